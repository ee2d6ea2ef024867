"""JUnit XML, which continuous integration shows as test results. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

from deploykit.report import refuse_simulated_text

#: Characters that XML 1.0 can't hold, not even escaped, and those that it can and a terminal acts on.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One result: passed unless `failure` or `skipped` says why not.

    Attributes:
        name: of the case, unique within `classname`.
        classname: what the viewer groups by, dotted.
        seconds: what it took.
        failure, skipped: the reason, or empty.
        output: shown with the case whatever its outcome.
    """

    name: str
    classname: str
    seconds: float = 0.0
    failure: str = ""
    skipped: str = ""
    output: str = ""


def junit_xml(suite: str, cases: Iterable[Case]) -> str:
    """Write cases as the XML document of one test suite, ready for a file in UTF-8.

    Raises:
        UsageError: a case names a simulated device.
    """
    cases = list(cases)
    for case in cases:
        for text in (case.name, case.failure, case.skipped, case.output):
            refuse_simulated_text(text, f"a case of {suite}")
    totals = {
        "tests": str(len(cases)),
        "failures": str(sum(bool(case.failure) for case in cases)),
        "errors": "0",
        "skipped": str(sum(bool(case.skipped) and not case.failure for case in cases)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }
    root = ElementTree.Element("testsuites", totals)
    parent = ElementTree.SubElement(root, "testsuite", {"name": _clean(suite), **totals})
    for case in cases:
        element = ElementTree.SubElement(
            parent,
            "testcase",
            {
                "name": _clean(case.name),
                "classname": _clean(case.classname),
                "time": f"{case.seconds:.3f}",
            },
        )
        if case.failure:
            _reason(element, "failure", case.failure)
        elif case.skipped:
            _reason(element, "skipped", case.skipped)
        if case.output:
            ElementTree.SubElement(element, "system-out").text = _clean(case.output)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _reason(element: ElementTree.Element, tag: str, text: str) -> None:
    """Say why: the first line as the message that lists show, all of it as the text."""
    first = text.splitlines()[0] if text.strip() else text
    ElementTree.SubElement(element, tag, {"message": _clean(first)}).text = _clean(text)


def _clean(text: str) -> str:
    """Put a question mark for what XML can't hold, such as the escape codes of coloured output."""
    return _FORBIDDEN.sub("?", text)
