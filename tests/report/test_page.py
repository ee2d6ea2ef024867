"""What a page says of rows, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from stored_reports import row

from deploykit.errors import UsageError
from deploykit.report.page import Contents, render
from deploykit.report.page.entry import DOUBTFUL, FAILED, OK, SKIPPED, entries_of
from deploykit.report.page.series import Series
from deploykit.report.page.tradeoff import frontier

HOSTILE = "<script>alert(1)</script>\x1b[31m"
UNSTABLE = "unstable: trend: latency changed by +86% over the run; warm up longer"


def entries(*rows):
    return entries_of(rows, "report.csv", Path())


def page(*rows, **more):
    return render(Contents("deploykit: a report", entries(*rows), **more))


def full(**values):
    usual = {"latency_p95_ms": 2.4, "throughput_ips": 450.0, "drift_snr_db": 40.0}
    return row(**{**usual, **values})


def test_rows_have_one_of_four_states():
    found = entries(
        full(),
        full(stability=UNSTABLE),
        full(status="failed", reason="it crashed"),
        full(status="skipped", reason="no NVIDIA GPU here"),
    )
    assert [entry.state for entry in found] == [OK, DOUBTFUL, FAILED, SKIPPED]


def test_every_doubtful_number_is_marked_and_the_reason_stands_beside_it():
    text = page(full(stability=UNSTABLE))
    (cells,) = re.findall(r"(?s)<tr data-r=.*?</tr>", text)
    marked = re.findall(r">([\d.,]+)(?: \[[^<]*\])?<abbr", cells)
    assert marked == ["2.2", "2.4", "450"]
    assert "trend: latency changed by +86% over the run" in cells.rpartition("<td")[2]


def test_a_doubtful_drift_marks_the_drift_alone():
    (cells,) = re.findall(
        r"(?s)<tr data-r=.*?</tr>", page(full(calibration="minmax, 8 synthetic images"))
    )
    assert re.findall(r">([\d.,]+)(?: \[[^<]*\])?<abbr", cells) == ["40"]


def test_a_doubtful_mark_is_hollow_and_a_sure_one_is_not():
    sure, doubtful = entries(full(), full(stability=UNSTABLE))
    series = Series([sure, doubtful])
    assert [series.mark(one, (0, 0)).hollow for one in (sure, doubtful)] == [False, True]


def test_names_are_text_and_never_markup():
    text = page(
        full(model=HOSTILE, backend=HOSTILE, precision=HOSTILE, device=HOSTILE, inputs=HOSTILE)
    )
    assert HOSTILE not in text
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m" in text


def test_claims_are_shown_with_their_arithmetic():
    claim = {
        "id": "params",
        "verdict": "refuted",
        "as_expected": "false",
        "statement": f"Fifty times fewer {HOSTILE}",
        "stated": "50",
        "found": "48.8",
        "unit": "ratio",
        "deviation": "-0.023",
        "tolerance": "0.05",
        "tolerance_reason": "a round figure",
        "parts": "ratio: holds",
        "evidence": "a=60965224; b=1248424",
    }
    text = render(Contents("claims", claims=[claim]))
    assert "stated 50 ratio, found 48.8 ratio: -2.3% off, 0.05 allowed (a round figure)" in text
    assert "<code>a=60965224</code>" in text
    assert "refuted, not as expected" in text
    assert "<script>alert" not in text


def test_the_line_joins_what_none_beats_in_both():
    fast, good, beaten, emulated = entries(
        full(latency_p50_ms=1.0, drift_snr_db=30.0),
        full(latency_p50_ms=2.0, drift_snr_db=60.0),
        full(latency_p50_ms=3.0, drift_snr_db=50.0),
        full(latency_p50_ms=0.5, drift_snr_db=90.0, precision="fp16", precision_actual="fp32"),
    )
    height = lambda entry: entry.value("drift_snr_db")  # noqa: E731
    assert frontier([beaten, emulated, good, fast], height) == [fast, good]


def test_a_simulated_device_has_no_page():
    with pytest.raises(UsageError, match="no measurements"):
        page(full(device="GPU (simulated)"))


def test_a_page_of_a_thousand_rows_is_under_two_megabytes():
    reason = (
        "emulated: computed in fp32 and rounded after each operator, so that the latency says nothing; "
        * 3
    )
    rows = [
        full(
            **{
                "model": f"network-with-a-long-name-{number // 3}",
                "precision": ("fp32", "fp16", "int8")[number % 3],
                "latency_p50_ms": 1 + number % 97 / 10,
                "top1": 0.5 + number % 40 / 100,
                "top1_low": 0.4,
                "top1_high": 0.95,
                "dataset": "digits/test",
                "gflops": 1.0 + number,
                "arithmetic_intensity": 1.0 + number % 50,
                "host_peak_mib": 100.0 + number,
                "reason": reason,
                "stability": UNSTABLE if number % 2 else "stable",
            }
        )
        for number in range(1000)
    ]
    text = page(*rows)
    assert text.count("<tr data-r") == 1000
    assert len(text.encode()) < 2_000_000
