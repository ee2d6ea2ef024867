from __future__ import annotations

import csv
import io
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from deploykit.claims import Claim, Outcome, PartResult, Verdict
from deploykit.claims.verdict import (
    COLUMNS,
    HEADER,
    junit_cases,
    verdict_cells,
    verdict_rows,
    written_rows,
)
from deploykit.errors import MissingDependency, UsageError
from deploykit.report.csv import to_csv
from deploykit.report.junit import Case, junit_xml


def verdict(**changes):
    values = {
        "id": "x",
        "statement": "X is 50",
        "source": "notes",
        "about": "x",
        "kind": "counted",
        "stated": 50,
        "unit": "px",
        "check": "one_blueprint",
        "arguments": {"networks": []},
        "hedge": "about",
        "universal": False,
        "expected": ("confirmed", "in context"),
        "parts": {"x": "holds", "y": ("undecided", "holds"), "z": "fails"},
        "found": [
            PartResult("x", True, "u", printed=True),
            PartResult("y", None),
            PartResult("z", False),
        ],
        "computed": 48.834,
        "explanation": "It is.",
        "evidence": {"a": 1, "b": 0.5},
        "seconds": 0.5,
        "error": None,
    }
    values |= changes
    timing = {name: values.pop(name) for name in ("seconds", "error")}
    found = values.pop("found")
    names = ("computed", "explanation", "evidence")
    outcome = Outcome(found, **{name: values.pop(name) for name in names})
    return Verdict(Claim(**values), outcome, **timing)


REFUTED = {"found": [PartResult("z", False)], "parts": "fails"}
UNDECIDED = {"found": [PartResult("z", None)]}


def test_rows_have_exactly_the_documented_columns():
    (row,) = verdict_rows([verdict()])
    assert list(row) == list(COLUMNS)
    assert row["parts"] == "x [u]: holds (printed); y: undecided; z: fails"
    assert row["evidence"] == "a=1; b=0.5"
    assert row["expected"] == "confirmed or in context"
    assert row["expected_parts"] == "x: holds; y: undecided or holds; z: fails"
    assert (row["agrees_from"], row["agrees_to"]) == (42.5, 57.5)
    assert row["hedge"] == "about"
    assert "15%" in row["tolerance"]
    assert row["found"] == 48.834
    assert row["deviation"] == pytest.approx(48.834 / 50 - 1)
    (bound,) = verdict_rows([verdict(hedge="at least", parts="holds")])
    assert bound["agrees_to"] is bound["deviation"] is None
    assert (bound["agrees_from"], bound["expected_parts"]) == (50, "each holds")
    (own,) = verdict_rows([verdict(hedge="")])  # of a check that takes no margin
    assert own["tolerance"] is own["agrees_from"] is own["agrees_to"] is None
    (words,) = verdict_rows([verdict(stated="all", hedge="")])
    assert words["tolerance"] is words["agrees_from"] is words["agrees_to"] is None


@pytest.mark.parametrize(
    ("stated", "written"),
    [
        (62_378_344, ("62378344", "62378343.5", "62378344.5")),
        (Decimal("12.345678"), ("12.345678", "12.3456775", "12.3456785")),
        (Decimal("1e-8"), ("0.00000001", "0.000000009", "0.000000011")),
    ],
)
def test_files_have_all_digits_of_what_is_stated(stated, written):
    """They had six: 62,378,344 parameters were stated as 6.23783e+07, and so were both of the limits."""
    one = verdict(
        stated=stated,
        hedge="",
        check="count",
        arguments={"network": "lenet5"},
        computed=float(stated),
    )
    (row,) = csv.DictReader(io.StringIO(to_csv(written_rows([one]), tuple(COLUMNS))))
    assert (row["stated"], row["agrees_from"], row["agrees_to"]) == written
    assert isinstance(verdict_rows([one])[0]["stated"], int | float)
    if float(stated).is_integer():
        assert (verdict_rows([one])[0]["stated"], row["found"]) == (62_378_344, "62378344")


def test_csv_holds_the_rows_with_blanks_for_what_there_is_not():
    text = to_csv(
        verdict_rows([verdict(explanation='A "quote", found.', computed=None, hedge="")]),
        tuple(COLUMNS),
    )
    (row,) = csv.DictReader(io.StringIO(text))
    assert list(row) == list(COLUMNS)
    assert row["explanation"] == 'A "quote", found.'
    assert row["found"] == row["hedge"] == row["settled_by"] == ""
    assert row["as_expected"] == "true"


@pytest.mark.parametrize(
    ("changes", "stated", "computed"),
    [
        ({}, "50 px", "48.83 px (-2.3%)"),
        ({"unit": "ratio"}, "50", "48.83 (-2.3%)"),
        ({"stated": 140_000_000, "computed": None}, "140,000,000 px", "–"),
        ({"stated": "<0.5", "computed": "a, b"}, "<0.5", "a, b"),
        # The digits that a figure is stated with say what agrees with it.
        ({"stated": Decimal("50.0")}, "50.0 px", "48.83 px (-2.3%)"),
        ({"stated": Decimal("4.120"), "computed": 4.1234}, "4.120 px", "4.123 px (+0.1%)"),
        ({"stated": Decimal("1e300"), "unit": ""}, "1.000×10^300", "48.83 (-100.0%)"),
        ({"stated": 2016, "unit": "year", "computed": 2017}, "2016", "2017 (+0.0%)"),
    ],
)
def test_cells_show_values_with_their_unit(changes, stated, computed):
    (cells,) = verdict_cells([verdict(**changes)])
    assert len(cells) == len(HEADER)
    assert cells[2:4] == [stated, computed]


def test_cells_mark_a_surprise():
    (cells,) = verdict_cells([verdict(**REFUTED)])
    assert cells[1] == "refuted (unexpected)"


def test_junit_fails_on_surprises_and_faults_and_skips_what_is_not_installed():
    cases = junit_cases(
        [
            verdict(id="fine"),
            verdict(id="surprise", **REFUTED),
            verdict(id="bare", **UNDECIDED, error=MissingDependency("torch is not installed")),
            verdict(id="broken", **UNDECIDED, error=UsageError("claim broken: no such layer")),
        ]
    )
    root = ElementTree.fromstring(junit_xml("claims", [Case(**case) for case in cases]))
    suite = root.find("testsuite")
    assert suite is not None
    assert {k: suite.get(k) for k in ("name", "tests", "failures", "skipped", "time")} == {
        "name": "claims",
        "tests": "4",
        "failures": "2",
        "skipped": "1",
        "time": "2.000",
    }
    fine, surprise, bare, broken = suite.iter("testcase")
    assert [child.tag for child in fine] == ["system-out"]
    assert (
        surprise.find("failure")
        .get("message")
        .startswith("is refuted, not confirmed or in context")
    )
    assert bare.find("skipped").get("message") == "torch is not installed"
    assert broken.find("failure").get("message").startswith("could not be evaluated: ")


def test_no_digits_are_made_up_for_what_no_float_has_every_digit_of():
    """3.14e23 stood in claims.csv as 314000000000000007340032."""
    one = verdict(
        stated=Decimal("3.14e23"),
        hedge="",
        check="count",
        arguments={"network": "lenet5"},
        computed=3.14e23,
    )
    (row,) = written_rows([one])
    assert (row["stated"], row["agrees_to"]) == ("314" + "0" * 21, "3145" + "0" * 20)
    (row,) = verdict_rows([one])
    assert row["stated"] == row["found"] == 3.14e23
    assert not isinstance(row["stated"], int)
