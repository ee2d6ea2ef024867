from __future__ import annotations

import pytest

from deploykit.report.conclusions import conclusions
from deploykit.report.speedup import Fp32Rows, of_pair
from deploykit.report.states import doubts, is_emulated
from deploykit.report.views import speedup
from deploykit.row import Finding, Row

SPREAD = Finding("spread", "the median is only known to 9%", "measure longer")


def row(precision, median_ms, *, findings=(), **cells):
    """A row whose median is known to half a percent."""
    known = {
        "status": "ok",
        "model": "squeezenet1_0",
        "backend": "onnxruntime",
        "precision": precision,
        "precision_actual": precision,
        "latency_p50_ms": median_ms,
        "latency_p50_low_ms": median_ms * 0.995,
        "latency_p50_high_ms": median_ms * 1.005,
        "engine_bytes": 5_000_000 if precision == "fp32" else 1_300_000,
        "drift_snr_db": 130.0 if precision == "fp32" else 35.0,
        "repeat": 1,
    }
    return Row(known | cells, findings=findings)


def test_what_the_rows_allow_is_said_with_its_interval():
    assert conclusions([row("fp32", 8.5), row("int8", 3.0)]) == [
        "int8 is 2.83 (2.75 to 2.92) times faster than fp32 on squeezenet1_0, 3.8 times smaller, drift 35 dB"
    ]


def test_a_metric_of_the_users_own_is_told_beside_that_of_fp32():
    judged = {"metric": "iou:each", "metric_value": 0.81234, "metric_fp32": 0.9}
    (said,) = conclusions([row("fp32", 8.5), row("int8", 3.0, **judged)])
    assert said.endswith("drift 35 dB, iou:each 0.8123 (fp32: 0.9)")


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("env_id", ("aaaa1111", "bbbb2222"), ("machine aaaa1111", "machine bbbb2222")),
        ("weights", ("random", "trained"), ("weights random", "weights trained")),
        ("boundary", ("end_to_end", "device"), ("", ", device")),
        ("batch", (1, 8), ("", ", batch 8")),
    ],
)
def test_sentences_of_several_settings_say_which_they_are_of(name, values, said):
    rows = [
        row(precision, ms, **{name: value})
        for value in values
        for precision, ms in (("fp32", 8.5), ("int8", 3.0))
    ]
    first, second = conclusions(rows)
    assert first != second
    assert said[0] in first
    assert said[1] in second
    if name in ("env_id", "weights"):  # one alone goes without saying
        assert str(values[0]) not in conclusions(rows[:2])[0]


def test_slower_and_as_fast_are_said_as_such():
    slower, level = (conclusions([row("fp32", 3.0), row("int8", ms)]) for ms in (6.0, 3.01))
    assert "int8 is 2.0 (1.9 to 2.1) times slower than fp32" in slower[0]
    assert "neither faster nor slower than fp32 for sure (0.969 to 1.026 times as fast)" in level[0]


@pytest.mark.parametrize("side", ["fp32", "int8"])
def test_what_is_doubtful_on_either_side_is_said_to_be(side):
    rows = [row(p, ms, findings=(SPREAD,) * (p == side)) for p, ms in (("fp32", 8), ("int8", 3))]
    (said,) = conclusions(rows)
    assert "perhaps" in said
    assert said.endswith("doubtful: fp32: wide interval" if side == "fp32" else ": wide interval")


def test_no_speed_is_told_of_what_is_emulated():
    rows = [row("fp32", 8.5), row("fp16", 16.0, precision_actual="fp32", drift_snr_db=66.0)]
    (said,) = conclusions(rows)
    assert said.startswith("fp16 is emulated in fp32 on squeezenet1_0")
    assert "times" not in said
    assert said.endswith("drift 66 dB")


def test_nothing_is_concluded_across_settings_or_without_fp32():
    assert conclusions([row("fp32", 8.5, batch=1), row("int8", 3.0, batch=8)]) == []
    assert conclusions([row("int8", 3.0)]) == []
    assert conclusions([row("fp32", 8.5), Row({"status": "failed", "precision": "int8"})]) == []


def test_of_three_processes_a_side_their_spread_gives_the_interval():
    rows = [
        row(precision, ms * scale, repeat=repeat)
        for repeat, scale in enumerate((0.8, 1.0, 1.25), 1)
        for precision, ms in (("fp32", 8.0), ("int8", 4.0))
    ]
    wide = of_interval(conclusions(rows)[0])
    narrow = of_interval(conclusions(rows[:2])[0])
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def of_interval(sentence):
    low, _, high = sentence.partition("(")[2].partition(")")[0].partition(" to ")
    return float(low), float(high.split()[0])


def test_a_row_is_set_against_the_fp32_row_of_its_round():
    rows = Fp32Rows([row("fp32", 8.0), row("fp32", 9.0, repeat=2)])
    assert rows.speedup(row("int8", 4.0)).ratio == pytest.approx(2)
    assert rows.speedup(row("int8", 4.5, repeat=2)).ratio == pytest.approx(2)
    assert rows.speedup(row("int8", 4.0, repeat=3)) is None
    assert rows.speedup(row("fp32", 8.0)) is None


def test_a_speedup_says_which_side_is_doubtful_and_overload_has_none():
    doubtful, overloaded = (
        row("fp32", 8.0, findings=(Finding(name, "seen", "help"),))
        for name in ("trend", "overload")
    )
    found = of_pair(row("int8", 4.0), doubtful)
    assert found.doubt == "its fp32 row: trend"
    assert found.cells["speedup_doubt"] == found.doubt
    assert of_pair(row("int8", 4.0), overloaded) is None


def test_the_speedup_of_what_is_emulated_is_doubtful_and_not_for_its_fp32_row():
    """It was shown as sure a number as any, where the status alone said that it times conversions."""
    emulated = row("fp16", 9.0, precision_actual="fp32 compute, fp16 storage (emulated)")
    assert is_emulated(emulated)
    found = of_pair(emulated, row("fp32", 8.0))
    assert found.doubt == "this row: emulated"
    shown = emulated.plus(found.cells)
    assert speedup(shown).startswith("0.889?")
    assert doubts([shown]) == []
    inherited = row("int8", 4.0).plus({"speedup_doubt": "its fp32 row: trend"})
    assert doubts([inherited]) == [
        "1 more speedup is doubtful, as the fp32 row is that it is against"
    ]
