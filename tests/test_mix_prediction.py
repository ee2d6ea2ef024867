"""The benchmark of predicted mixes: which mixes are tried, and what counts as near."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks import mix_prediction
from deploykit.stats import RatioInterval
from deploykit.workflow.mix import Passed, Table, Unit
from deploykit.workflow.what_if import Tried, WhatIf

#: A chain of four convolutions, the third with a pool behind it that follows, and one unit that has no int8.
UNITS = (
    Unit(("a",), "a", "Conv", 2.0, 1.0, True, False),
    Unit(("b",), "b", "Conv", 2.0, 1.0, True, False),
    Unit(("p",), "p", "MaxPool", 0.5, 0.25, True, True),
    Unit(("c",), "c", "Conv", 2.0, 1.0, True, False),
    Unit(("s",), "s", "Softmax", 0.5, 0.5, False, False),
)
TABLE = Table(
    UNITS,
    tuple(Passed(i - 1, (i,), False, 0.1, 0.2) for i in range(1, 5)),
    fp32_ms=7.0,
    int8_ms=4.0,
)


def found(in_int8: frozenset[int]) -> WhatIf:
    built = SimpleNamespace()
    kept = TABLE.kept(in_int8)
    return WhatIf(TABLE, in_int8, kept, TABLE.predicted_ms(in_int8), built, built)  # type: ignore[arg-type]


def test_half_a_network_has_no_unit_in_int8_that_follows_one_in_fp32():
    assert mix_prediction.half(TABLE) == {3}  # the pool of the second half follows the first


def test_the_best_mix_and_half_of_the_network_are_tried_where_they_are_mixes():
    assert [name for name, _ in mix_prediction.mixes(found(frozenset({1, 2})))] == ["best", "half"]
    assert [name for name, _ in mix_prediction.mixes(found(TABLE.all_int8))] == ["half"]
    assert [name for name, _ in mix_prediction.mixes(found(frozenset({3})))] == ["best"]
    half = dict(mix_prediction.mixes(found(TABLE.all_int8)))["half"]
    assert half.kept == ("a", "b", "p")
    assert half.predicted_ms == pytest.approx(2.0 + 2.0 + 0.5 + 1.0 + 0.5 + 0.1 + 0.2)


@pytest.mark.parametrize(
    ("ratio", "off", "met"),
    [(1.51, "+0.043", "yes"), (1.45, "+0.086", "no"), (1.49, "+0.057", "open")],
)
def test_a_prediction_is_held_against_what_the_mix_takes(monkeypatch, ratio, off, met):
    one = found(frozenset({3}))  # predicted to take 6.3 ms, 1.575 of int8
    interval = RatioInterval(ratio, ratio * 0.99, ratio * 1.01, 0.99, 12)
    tried = Tried(SimpleNamespace(), ratio * TABLE.int8_ms, interval, interval)  # type: ignore[arg-type]
    monkeypatch.setattr(mix_prediction, "try_mix", lambda *told: tried)
    cells = mix_prediction.cells_of(None, None, one)  # type: ignore[arg-type]
    assert (cells["off"], cells["met"]) == (off, met)


def test_rows_of_another_state_of_the_code_are_made_again():
    digest = mix_prediction.code_digest(*mix_prediction._CODE)[:12]
    row = {"env_id": mix_prediction.env.env_id(), "code": digest}
    assert mix_prediction.is_done([row])
    assert not mix_prediction.is_done([row, {**row, "code": "older"}])
    assert not mix_prediction.is_done([])


def test_the_summary_counts_mixes_and_networks():
    rows = {
        "a": [{"network": "a", "off": "+0.04"}, {"network": "a", "off": "-0.09"}],
        "b": [{"network": "b", "note": "no"}],
    }
    assert mix_prediction.summary(rows) == "1 of 2 mixes of 1 networks were predicted within 5%."
