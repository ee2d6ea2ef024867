"""Help that is broken between words, and never inside `--max-batch` or `[default: 1]`."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click

#: What stands for a hyphen and for a space while click breaks lines, which it would do there.
_HYPHEN, _SPACE = "\N{NON-BREAKING HYPHEN}", "\N{NO-BREAK SPACE}"
#: Texts that stay in one line.
_WHOLE = re.compile(r"\[default: [^\]]{1,24}\]")


def _held(text: str) -> str:
    """The text with all that must not be broken held together."""
    whole = _WHOLE.sub(lambda found: found[0].replace(" ", _SPACE), text)
    return whole.replace("-", _HYPHEN)


class HelpFormatter(click.HelpFormatter):
    """click's, but for where lines are broken."""

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        super().write_text(_held(text))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write a list of options with what they do."""
        super().write_dl([(name, _held(text)) for name, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        """The help as it is shown."""
        return super().getvalue().replace(_HYPHEN, "-").replace(_SPACE, " ")


class HelpContext(click.Context):
    """The context of every command."""

    formatter_class = HelpFormatter
