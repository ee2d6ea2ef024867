from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from deploykit.report.junit import Case, junit_xml


def cases_of(text):
    return list(ElementTree.fromstring(text.encode()).iter("testcase"))


@given(st.text(), st.text())
def test_any_text_makes_a_document_that_can_be_read(name, reason):
    (case,) = cases_of(junit_xml(name, [Case(name, "c", failure=reason, output=reason)]))
    assert (case.find("failure") is not None) == bool(reason)


def test_colour_codes_do_not_break_the_document():
    (case,) = cases_of(junit_xml("s", [Case("a", "c", output="\x1b[31mred\x00")]))
    assert case.findtext("system-out") == "?[31mred?"
    text = junit_xml("s", [Case("a\x9b31m", "c", output="\x7fred")])
    assert "?31m" in text
    assert "?red" in text


def test_the_message_is_the_first_line_and_the_text_is_all():
    (case,) = cases_of(junit_xml("s", [Case("a", "c", failure="short\nlong")]))
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "short"
    assert failure.text == "short\nlong"


def test_a_suite_without_cases_is_valid():
    root = ElementTree.fromstring(junit_xml("none", []).encode())
    assert root.get("tests") == "0"
    assert root.get("failures") == "0"
