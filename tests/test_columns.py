from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.columns import BY_NAME, COLUMNS, NAMES, SCHEMA_VERSION
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
