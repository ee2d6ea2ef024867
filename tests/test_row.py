"""Rows, their notes and findings."""

from __future__ import annotations

import dataclasses

import pytest

from deploykit.columns import COLUMNS, NAMES
from deploykit.row import Finding, Note, Row, emulated, findings_in, stability_text


def test_a_note_says_its_text_and_remedy():
    assert str(Note("load", "4 threads on 2 cores", "give --threads 2")) == (
        "4 threads on 2 cores: give --threads 2"
    )
    assert str(Note("missing", "no data")) == "no data"


def test_a_note_of_an_unknown_kind_is_an_error_of_the_program():
    with pytest.raises(ValueError, match="can't be of kind 'surprise'"):
        Note("surprise", "text")


ROW = Row(
    {"model": "lenet5", "batch": 1, "alpha": 1, "top1": None},
    (Note("missing", "top1 is blank"), Note("load", "2 threads take turns", "give --threads 1")),
)


def test_a_row_is_a_mapping_of_the_columns_that_have_a_value():
    assert dict(ROW) == {
        "reason": "top1 is blank; 2 threads take turns: give --threads 1",
        "model": "lenet5",
        "alpha": 1,
        "batch": 1,
    }
    assert len(ROW) == 4
    assert list(ROW) == [name for name in NAMES if name in ROW]
    assert ROW["top1"] is ROW["stability"] is ROW.get("threads") is None
    with pytest.raises(KeyError):
        ROW["exit_code"]


@pytest.mark.parametrize("name", ["exit_code", "latency_p97_ms", "reason", "stability"])
def test_a_column_that_does_not_exist_or_is_rendered_is_an_error_of_the_program(name):
    with pytest.raises(ValueError, match=f"no value for '{name}'"):
        Row({name: "text"})


@pytest.mark.parametrize("column", [c for c in COLUMNS if c.role != "note"], ids=lambda c: c.name)
def test_a_value_of_another_type_is_an_error_of_the_program(column):
    wrong = {"text": [1, 1.5, b"x"], "int": ["1", 1.5, True], "float": ["1.5", True]}[column.kind]
    for value in wrong:
        with pytest.raises(TypeError, match=f"{column.name} holds {column.kind}"):
            Row({column.name: value})


def test_a_status_is_one_of_three():
    with pytest.raises(ValueError, match="status can't be 'fine'"):
        Row({"status": "fine"})


def test_a_row_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROW.exit_code = 3
    with pytest.raises(TypeError):
        ROW["batch"] = 2
    more = ROW.plus({"batch": 2}, [Note("data", "x")], exit_code=2)
    assert (ROW["batch"], ROW.exit_code, len(ROW.notes)) == (1, 0, 2)
    assert (more["batch"], more.exit_code, len(more.notes)) == (2, 2, 3)


def test_notes_are_asked_for_by_kind_never_by_their_words():
    assert ROW.noted("load") == (ROW.notes[1],)
    assert ROW.noted("emulated") == ()


FINDINGS = (Finding("steal", "3% was taken", "use another machine"), Finding("trend", "up", "wait"))


@pytest.mark.parametrize("findings", [(), FINDINGS[:1], FINDINGS])
def test_findings_survive_the_stability_column(findings):
    assert Row({}, findings=findings)["stability"] == stability_text(findings)
    assert findings_in(stability_text(findings)) == findings


def test_a_row_that_was_not_timed_has_no_findings_rather_than_none():
    assert findings_in("") is None
    assert Row({})["stability"] is None
    assert Row({}, findings=())["stability"] == "stable"


@pytest.mark.parametrize(
    ("precision", "actual", "is_emulated"),
    [
        ("fp16", "fp32", True),
        ("int8", "int8+fp32", False),
        ("fp32", "fp32", False),
        ("fp32", None, False),
        ("as-is", "fp32", False),
        ("int8", "none", False),
        ("int8", "unknown", False),
    ],
)
def test_a_row_is_emulated_where_nothing_computes_in_its_precision(precision, actual, is_emulated):
    assert emulated(Row({"precision": precision, "precision_actual": actual})) is is_emulated
