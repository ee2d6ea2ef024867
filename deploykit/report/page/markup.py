"""HTML from text of any origin: every name goes through `escaped`, and nothing else makes text into markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

from deploykit.text import printable


def escaped(text: object) -> str:
    r"""Text as HTML shows it: no markup, and control characters but new lines as Python writes them (\x1b)."""
    return html.escape("\n".join(map(printable, str(text).split("\n"))))


def element(name: str, content: str = "", **attributes: object) -> str:
    """An element around markup; attributes are escaped, those that are None are left out.

    Args:
        name: of the element.
        content: markup, not text.
        attributes: by name; `class_` is class, an underscore within a name is a hyphen, True is an attribute
            without a value.
    """
    return f"<{name}{_attributes(attributes)}>{content}</{name}>"


def _attributes(attributes: dict[str, object]) -> str:
    parts = []
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        written = name.rstrip("_").replace("_", "-")
        parts.append(f" {written}" if value is True else f' {written}="{escaped(value)}"')
    return "".join(parts)


def paragraphs(texts: Iterable[str], class_: str) -> str:
    """Each text as a paragraph."""
    return "".join(element("p", escaped(text), class_=class_) for text in texts)
