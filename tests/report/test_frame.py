"""Frames of rows: types, attributes, and what a notebook shows."""

from __future__ import annotations

import pandas as pd

from deploykit import env
from deploykit.columns import NAMES
from deploykit.report.csv import rows_of
from deploykit.report.frame import Frame, frame_of, profile_frame
from deploykit.row import Finding, Note, Row

FULL = Row(
    {
        "status": "ok",
        "model": "<script>alert(1)</script>\x1b[31m",
        "rho": "6/7",
        "alpha": 1.0,
        "precision": "int8",
        "precision_actual": "int8",
        "backend": "onnxruntime",
        "batch": 1,
        "threads": 2,
        "latency_p50_ms": 1.25,
        "throughput_ips": 800.0,
        "engine_bytes": 2_000_000,
    },
    findings=(),
)
SHAKY = FULL.plus(
    {"precision": "fp32"},
    findings=(Finding("modes", "latency piles up at two values", "stop other processes"),),
)
FAILED = Row({"status": "failed", "model": "net", "batch": 1}, (Note("failed", "no such thing"),))


def test_columns_have_types_of_their_own():
    frame = profile_frame([FULL, FAILED])
    assert list(frame.columns) == list(NAMES)
    assert frame["batch"].dtype == frame["threads"].dtype == "Int64"
    assert frame["latency_p50_ms"].dtype == frame["alpha"].dtype == "float64"
    assert pd.api.types.is_string_dtype(frame["rho"])
    assert frame.loc[0, "rho"] == "6/7"
    assert frame.loc[1, "reason"] == "no such thing"
    assert pd.isna(frame.loc[1, "threads"])
    assert pd.isna(frame.loc[1, "rho"])
    assert frame[frame["status"] == "ok"]["threads"].tolist() == [2]


def test_a_column_without_values_has_its_type_too():
    frame = profile_frame([])
    assert frame["batch"].dtype == "Int64"
    assert frame["alpha"].dtype == "float64"


def test_the_environment_stays_with_what_is_made_of_the_frame():
    frame = profile_frame([FULL], answers=["a"])
    assert frame.attrs["environment"]["env_id"] == env.env_id()
    part = frame[frame["batch"] == 1].sort_values("latency_p50_ms")
    assert isinstance(part, Frame)
    assert part.attrs == frame.attrs


def test_a_frame_is_read_back_as_the_rows_it_was_made_of():
    rows = rows_of(profile_frame([FULL, SHAKY]))
    assert [dict(row) for row in rows] == [dict(FULL), dict(SHAKY)]


def test_a_notebook_shows_names_escaped_and_doubtful_numbers_marked():
    html = profile_frame([FULL, SHAKY, FAILED])._repr_html_()
    assert "<script>" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;" in html
    sure, shaky, failed = html.split("<tr>")[2:]
    assert ">1.25<" in sure
    assert ">1.25?<" in shaky
    assert "latency piles up at two values" in shaky
    assert "no such thing" in failed
    assert "3 rows" in html


def test_a_frame_of_sure_rows_has_no_column_of_doubts():
    html = profile_frame([FULL])._repr_html_()
    assert "because" not in html
    assert "?" not in html


def test_a_long_frame_says_what_is_not_shown():
    html = profile_frame([FULL] * 70)._repr_html_()
    assert html.count("<tr>") == 1 + 60
    assert "70 rows" in html
    assert "the first 60 are shown" in html


def test_other_frames_and_parts_of_one_are_shown_as_pandas_shows_them():
    frame = frame_of([{"what": "<b>", "n": 1, "x": 0.5, "yes": True}, {"what": None, "n": None}])
    assert [str(kind) for kind in frame.dtypes[1:]] == ["Int64", "float64", "boolean"]
    assert "&lt;b&gt;" in frame._repr_html_()
    assert "dataframe" in profile_frame([FULL])[["model", "batch"]]._repr_html_()
