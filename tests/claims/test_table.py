from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import pytest

from deploykit.claims import Verdict
from deploykit.claims.table import COLUMNS, HEADER, junit_cases, verdict_cells, verdict_rows
from deploykit.report.csvfile import to_csv
from deploykit.report.junit import Case, junit_xml


def verdict(**changes):
    facts = {
        "id": "x",
        "verdict": "confirmed",
        "statement": "X is 50",
        "source": "notes",
        "about": "x",
        "kind": "static",
        "stated": 50,
        "unit": "px",
        "found": 48.834,
        "deviation": -0.02332,
        "tolerance": None,
        "tolerance_reason": "round",
        "holds": {"x": True, "y": None, "z": False},
        "explanation": "It is.",
        "evidence": {"a": 1, "b": 0.5},
        "expected": ("confirmed", "partly"),
        "seconds": 0.5,
    }
    return Verdict(**{**facts, **changes})


def test_rows_have_exactly_the_documented_columns():
    (row,) = verdict_rows([verdict()])
    assert list(row) == list(COLUMNS)
    assert row["parts"] == "x: holds; y: undecided; z: fails"
    assert row["evidence"] == "a=1; b=0.5"
    assert row["expected"] == "confirmed or partly"
    assert row["tolerance"] is None


def test_csv_holds_the_rows_with_blanks_for_what_there_is_not():
    text = to_csv(
        verdict_rows([verdict(explanation='A "quote", found.', found=None)]), tuple(COLUMNS)
    )
    (row,) = csv.DictReader(io.StringIO(text))
    assert list(row) == list(COLUMNS)
    assert row["explanation"] == 'A "quote", found.'
    assert row["found"] == row["tolerance"] == ""
    assert row["as_expected"] == "true"


@pytest.mark.parametrize(
    ("changes", "stated", "found"),
    [
        ({}, "50 px", "48.83 px (-2.3%)"),
        ({"unit": "ratio"}, "50", "48.83 (-2.3%)"),
        ({"stated": 140_000_000, "found": None, "deviation": None}, "140,000,000 px", "–"),
        ({"stated": "<0.5", "found": "a, b", "deviation": None}, "<0.5", "a, b"),
    ],
)
def test_cells_show_values_with_their_unit(changes, stated, found):
    (cells,) = verdict_cells([verdict(**changes)])
    assert len(cells) == len(HEADER)
    assert cells[2:4] == [stated, found]


def test_cells_mark_a_surprise():
    (cells,) = verdict_cells([verdict(verdict="refuted")])
    assert cells[1] == "refuted (unexpected)"


def test_junit_fails_on_surprises_and_skips_what_is_not_installed():
    cases = junit_cases(
        [
            verdict(id="fine"),
            verdict(id="surprise", verdict="refuted"),
            verdict(id="bare", verdict="undecided", missing="torch is not installed"),
        ]
    )
    root = ElementTree.fromstring(junit_xml("claims", [Case(**case) for case in cases]))
    suite = root.find("testsuite")
    assert suite is not None
    assert {k: suite.get(k) for k in ("name", "tests", "failures", "skipped", "time")} == {
        "name": "claims",
        "tests": "3",
        "failures": "1",
        "skipped": "1",
        "time": "1.500",
    }
    fine, surprise, bare = suite.iter("testcase")
    assert [child.tag for child in fine] == ["system-out"]
    assert surprise.find("failure").get("message").startswith("refuted, not confirmed or partly")
    assert bare.find("skipped").get("message") == "torch is not installed"
