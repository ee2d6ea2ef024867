from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.columns import (
    BY_NAME,
    COLUMNS,
    IDENTITY_NAMES,
    NAMES,
    SCHEMA_VERSION,
    SETTING_NAMES,
    SOFT_NAMES,
    checked_by,
    differences_from_plain,
)
from deploykit.report.check import READ as CHECKED
from deploykit.report.compare.processes import READ as COMPARED
from deploykit.report.markdown import columns_page
from deploykit.row import text_of

#: The contract: other tools rely on these names in this order.
CONTRACT = (
    "schema run_id timestamp status reason "
    "model alpha rho weights precision precision_actual target backend backend_version device env_id "
    "batch threads streams boundary "
    "parameters macs onnx_bytes engine_bytes build_s "
    "warmup_iterations iterations latency_mean_ms latency_std_ms latency_min_ms latency_p50_ms "
    "latency_p50_low_ms latency_p50_high_ms latency_p90_ms latency_p95_ms latency_p99_ms stability "
    "throughput_ips "
    "host_peak_mib host_delta_mib device_context_mib device_peak_mib "
    "drift_reference drift_max_abs drift_cosine drift_snr_db top1_agreement dataset top1 top1_low "
    "top1_high top5 "
    "gflops arithmetic_intensity roofline_fraction"
).split()


def test_the_columns_are_those_of_the_contract_and_new_ones_stand_at_the_end():
    assert list(NAMES[: len(CONTRACT)]) == CONTRACT
    assert SCHEMA_VERSION == 1


def test_no_column_comes_twice():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_column_says_what_it_means(column):
    assert len(column.meaning) >= 3
    assert column.kind in ("text", "int", "float")
    assert BY_NAME[column.name] is column


def test_a_blank_is_blank_and_never_0():
    assert text_of(None) == ""
    assert text_of(math.nan) == ""
    assert text_of(0) == "0"
    assert text_of(0.0) == "0"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_fraction_keeps_six_digits(value):
    assert float(text_of(value)) == pytest.approx(value, rel=1e-5, abs=5e-324)


@given(st.text())
def test_text_is_one_line(value):
    assert len(text_of(value).splitlines()) <= 1


def test_the_page_on_columns_is_made_from_them():
    page = (Path(__file__).parents[1] / "docs" / "columns.md").read_text()
    assert page == columns_page(), "python -m deploykit.report.markdown > docs/columns.md"
    assert all(f"| `{name}` |" in page for name in NAMES)


def test_every_reader_has_the_whole_identity():
    for names in (COMPARED, CHECKED):
        assert {*IDENTITY_NAMES, *SOFT_NAMES, "status"} <= set(names)
    network = {
        "model",
        "alpha",
        "rho",
        "weights",
        "macs",
        "dataset",
        "calibration",
        "inputs",
        "metric",
    }
    assert {*IDENTITY_NAMES, *SOFT_NAMES} - network <= set(SETTING_NAMES)
    assert set(SETTING_NAMES) <= set(checked_by("claims"))


def test_the_columns_of_a_comparison_keep_their_order():
    assert " ".join(IDENTITY_NAMES) == (
        "model alpha rho weights precision target backend batch streams rate_per_s kept pass env_id cuda_graph "
        "engine_options options"
    )
    assert " ".join(SOFT_NAMES) == "threads boundary dataset calibration macs inputs metric"


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_column_has_a_role_and_the_unit_that_its_name_says(column):
    assert column.role in ("identity", "soft", "measured", "note", "fact")
    assert bool(column.place) is (column.role in ("identity", "soft"))
    for ending, unit in (("_ms", "ms"), ("_mib", "MiB"), ("_bytes", "bytes"), ("_s", "s")):
        if column.name.endswith(ending) and column.name != "rate_per_s":
            assert column.unit == unit


def test_columns_were_added_in_the_order_in_which_they_stand():
    revisions = [column.added for column in COLUMNS]
    assert revisions == sorted(revisions)
    assert all(BY_NAME[name].added == 0 for name in CONTRACT)


def test_a_row_that_spans_the_device_alone_is_named_so():
    """Two rows of an H100, one with the copies and one without them, had one name."""
    plain = dict.fromkeys(NAMES, "") | {"pass": BY_NAME["pass"].blank, "cuda_graph": "yes"}
    assert differences_from_plain(plain | {"boundary": "end_to_end"}) == ["CUDA graph"]
    assert differences_from_plain(plain | {"boundary": "device"}) == ["device", "CUDA graph"]
