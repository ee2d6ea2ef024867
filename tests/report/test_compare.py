from __future__ import annotations

import random

import pytest
from stored_reports import ROW, repeats, row, save

from deploykit.errors import UsageError
from deploykit.report.compare import Limits, compare_reports, rendering

NOISE = 0.03


@pytest.fixture
def compare(tmp_path):
    """Compare rows with rows."""

    def call(base, head, *arguments, **options):
        paths = save(tmp_path / "base.csv", base), save(tmp_path / "head.csv", head)
        return compare_reports(*paths, *arguments, **options)

    return call


@pytest.fixture
def verdict(compare):
    """The verdict on rows of one configuration."""

    def call(base, head, *arguments, **options):
        (change,) = compare(base, head, *arguments, **options).changes
        return change.verdict

    return call


def noisy(generator, latency_ms, count=5, **values):
    return repeats(latency_ms, [generator.lognormvariate(0, NOISE) for _ in range(count)], **values)


def test_a_report_is_the_same_as_itself(compare):
    found = compare(repeats(), repeats())
    assert [c.verdict for c in found.changes] == ["same"]
    assert found.failure is None


def test_a_clear_slowdown_is_a_regression_and_a_clear_gain_is_not(compare):
    slower, faster = compare(repeats(2), repeats(2.4)), compare(repeats(2.4), repeats(2))
    assert [c.verdict for c in (*slower.changes, *faster.changes)] == ["slower", "faster"]
    assert slower.changes[0].latency.ratio == pytest.approx(1.2)
    assert "1 of 1 configurations regressed" in str(slower.failure)
    assert "1.2 times as long" in str(slower.failure)
    assert faster.failure is None


def test_a_change_within_the_limit_does_not_gate_however_significant(verdict):
    base, head = repeats(2, spread=[1.0] * 5), repeats(2.09, spread=[1.0] * 5)
    assert verdict(base, head) == "same"
    assert verdict(base, head, Limits(slowdown=0.04)) == "slower"


def test_a_change_that_noise_explains_is_undecided_and_says_what_would_decide_it(compare):
    wild = (0.8, 0.9, 1.0, 1.1, 1.2)
    (change,) = compare(repeats(2, wild), repeats(2.2, wild)).changes
    assert change.verdict == "undecided"
    assert "--repeats 10" in change.reason


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_processes_decide_nothing(compare, count):
    (change,) = compare(repeats(2)[:count], repeats(4)).changes
    assert change.verdict == "undecided"
    assert change.reason == (
        f"{count} and 5 processes, 3 a side are the least: profile with --repeats 5"
    )


def test_of_equal_reports_at_most_one_in_a_hundred_gates(compare):
    generator = random.Random(0)
    gated = sum(
        compare(noisy(generator, 2), noisy(generator, 2)).failure is not None for _ in range(200)
    )
    assert gated <= 2


def test_of_equal_reports_of_many_rows_at_most_one_in_a_hundred_gates(compare):
    generator = random.Random(1)

    def report():
        return [r for i in range(20) for r in noisy(generator, 2, model=f"m{i}")]

    # With no correction over rows about one in eight would, at this noise and limit.
    limits = Limits(slowdown=0.005)
    gated = sum(compare(report(), report(), limits).failure is not None for _ in range(60))
    assert gated <= 2


def test_a_slowdown_of_a_tenth_is_found_nine_times_in_ten(compare):
    generator = random.Random(2)
    found = sum(
        compare(noisy(generator, 2), noisy(generator, 2.2)).failure is not None for _ in range(100)
    )
    assert found >= 90


def test_the_median_stands_in_where_a_side_lacks_the_low_quantile(compare):
    head = [{**r, "latency_p20_ms": None} for r in repeats(2)]
    (change,) = compare(repeats(2), head).changes
    assert change.latency.quantile == "p50"
    assert change.latency.base_ms == pytest.approx(2.2, rel=1e-3)
    assert change.verdict == "same"


def test_rows_without_latencies_are_undecided(verdict):
    blank = [{**r, "latency_p20_ms": None, "latency_p50_ms": None} for r in repeats()]
    assert verdict(repeats(), blank) == "undecided"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("model", "mlp"),
        ("alpha", 0.5),
        ("rho", "6/7"),
        ("weights", "random"),
        ("precision", "int8"),
        ("target", "tensorrt"),
        ("backend", "openvino"),
        ("batch", 8),
        ("streams", 2),
        ("rate_per_s", 100),
        ("pass", "forward_backward"),
        ("kept", "classifier.1/Gemm"),
        ("cuda_graph", "yes"),
        ("engine_options", "channels-last"),
        ("options", "ort.allow_spinning=0"),
        ("threads", 1),
        ("boundary", "device"),
        ("calibration", "digits"),
        ("macs", 1),
    ],
)
def test_rows_of_different_configurations_are_not_compared(compare, column, value):
    base = repeats() if ROW.get(column) else repeats(**{column: "7"})
    found = compare(base, repeats(4, **{column: value}))
    assert [c.verdict for c in found.changes] == ["base only", "head only"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("engine_options", "compile-mode=max-autotune"),
        ("options", "ort.allow_spinning=0"),
        ("cuda_graph", "yes"),
        ("kept", "a/Conv"),
    ],
)
def test_a_blank_that_stands_for_the_default_is_another_configuration_than_what_was_asked_for(
    compare, column, value
):
    found = compare(repeats(), repeats(4, **{column: value}))
    assert [c.verdict for c in found.changes] == ["base only", "head only"]
    (change,) = compare(repeats(**{column: value}), repeats(**{column: value})).changes
    assert value.removeprefix("yes") in change.name


def test_what_keeps_rows_from_matching_is_named(compare):
    found = compare(repeats(), repeats(threads=1))
    assert found.changes[0].reason == "differs from the other report in threads"


def test_a_gate_that_compared_nothing_does_not_pass(compare):
    nothing = compare(repeats(), repeats(threads=1)).failure
    assert isinstance(nothing, UsageError)
    assert "no configuration in common (differs from the other report in threads)" in str(nothing)
    assert compare(repeats(), [*repeats(), *repeats(threads=1)]).failure is None


def test_a_blank_matches_the_only_row_that_it_fits(verdict):
    assert verdict(repeats(), repeats(threads=None, dataset="digits/test")) == "same"
    assert verdict(repeats(**{"pass": None}), repeats()) == "same"


def test_a_blank_that_fits_several_rows_matches_none(compare):
    head = [*repeats(threads=1), *repeats(threads=2, run_id="other")]
    found = compare(repeats(threads=None), head)
    assert sorted(c.verdict for c in found.changes) == ["base only", "head only", "head only"]


def test_two_resolutions_of_one_network_are_told_apart_by_their_work(compare):
    rows = [*repeats(2), *repeats(8, macs=10)]
    assert [c.verdict for c in compare(rows, rows).changes] == ["same", "same"]


def test_a_row_that_failed_joins_the_processes_of_its_configuration(compare):
    failed = row(status="failed", reason="killed", repeat=6, threads=None, boundary=None, macs=None)
    found = compare(repeats(), [*repeats(), failed])
    (change,) = found.changes
    assert (change.verdict, change.reason) == ("failed", "1 of 6 processes: killed")
    assert found.failure is not None


def test_what_failed_once_and_fails_always_is_a_regression(compare):
    failed = [row(status="failed", reason="killed", repeat=number) for number in range(1, 7)]
    before = [*repeats(), row(status="failed", reason="killed", repeat=6)]
    (change,) = compare(before, failed).changes
    assert (change.verdict, change.reason) == ("failed", "killed")
    (change,) = compare(before, before).changes
    assert change.verdict == "same"


def test_a_row_that_failed_joins_none_where_several_could_be_meant(compare):
    failed = row(status="failed", reason="killed", repeat=6, threads=None)
    rows = [*repeats(), *repeats(threads=1)]
    found = compare(rows, [*rows, failed])
    assert sorted(c.verdict for c in found.changes) == ["head only", "same", "same"]


def test_what_was_ok_and_failed_is_a_regression(compare):
    failed = row(status="failed", reason="killed by signal 9", latency_p20_ms=None, threads=None)
    found = compare(repeats(), [failed])
    assert [c.verdict for c in found.changes] == ["failed"]
    assert "failed, killed by signal 9" in str(found.failure)
    assert compare([failed], repeats()).changes[0].verdict == "mended"
    assert compare([failed], [failed]).failure is None


def test_a_device_that_is_not_there_is_no_regression(compare):
    skipped = row(status="skipped", reason="no device", threads=None)
    found = compare(repeats(), [skipped])
    assert [(c.verdict, c.reason) for c in found.changes] == [("skipped", "no device")]
    assert found.failure is None


def test_a_row_that_is_there_twice_is_refused_with_its_lines(compare):
    with pytest.raises(UsageError, match=r"head\.csv, lines 2 and 7: duplicate rows"):
        compare(repeats(), [*repeats(), row()])


def test_several_runs_in_one_report_add_up(compare):
    base = [*repeats()[:2], *(r | {"run_id": "second"} for r in repeats()[:2])]
    (change,) = compare(base, repeats()).changes
    assert change.latency.processes == (4, 5)
    assert change.verdict == "same"


def test_different_machines_are_refused_unless_asked_for(compare, verdict):
    with pytest.raises(UsageError, match=r"on machine machine, .* on other: .*--across-machines"):
        compare(repeats(), repeats(env_id="other"))
    assert verdict(repeats(), repeats(env_id="other"), across_machines=True) == "same"
    two = [*repeats(), *repeats(env_id="other", run_id="b")]
    with pytest.raises(UsageError, match="rows of 2 machines"):
        compare(repeats(), two, across_machines=True)


def test_machines_that_only_one_report_has_are_listed_beside_the_common_one(compare):
    found = compare(repeats(), [*repeats(), *repeats(9, env_id="other")])
    assert [c.verdict for c in found.changes] == ["same", "head only"]


def accuracies(top1, images, **values):
    return repeats(top1=top1, test_images=images, dataset="digits/test", **values)


@pytest.mark.parametrize(
    ("base", "head", "images", "expected"),
    [
        (0.90, 0.85, 10_000, "worse"),
        (0.85, 0.90, 10_000, "better"),
        (0.90, 0.897, 1_000_000, "same"),
        (0.90, 0.90, 100, "same"),
        (0.90, 0.85, 100, "undecided"),
        (0.90, 0.90, None, "same"),
        (0.90, 0.85, None, "undecided"),
    ],
)
def test_accuracy_has_a_test_and_verdicts_of_its_own(compare, base, head, images, expected):
    found = compare(accuracies(base, images), accuracies(head, images))
    (change,) = found.changes
    assert (change.verdict, change.accuracy_verdict) == ("same", expected)
    assert (found.failure is not None) == (expected == "worse")


def test_accuracy_and_metrics_that_head_has_no_more_are_undecided(compare):
    (change,) = compare(accuracies(0.9, 500), repeats()).changes
    assert change.accuracy_verdict == "undecided"
    assert "head has none any more: profile it with the same --data" in change.reason
    (change,) = compare(with_metric(0.5), repeats()).changes
    assert change.metric_verdict == "undecided"
    (change,) = compare(repeats(), accuracies(0.9, 500)).changes
    assert change.accuracy_verdict == ""


def test_a_metric_without_intervals_is_undecided_unless_it_is_the_same(compare):
    def bare(value):
        return repeats(metric="iou:each", metric_value=value)

    (change,) = compare(bare(0.9), bare(0.1)).changes
    assert change.metric_verdict == "undecided"
    assert "too few images for an interval" in change.reason
    (change,) = compare(bare(0.9), bare(0.9)).changes
    assert change.metric_verdict == "same"
    (change,) = compare(with_metric(0.9), bare(0.1)).changes
    assert change.metric_verdict == "undecided"


def test_processes_do_not_multiply_the_images_that_accuracy_rests_on(compare):
    (change,) = compare(accuracies(0.9, 500), accuracies(0.88, 500)).changes
    assert change.accuracy.images == (500, 500)
    assert change.accuracy_verdict == "undecided"


def test_another_version_of_the_backend_is_said(compare):
    (change,) = compare(repeats(), repeats(backend_version="1.21")).changes
    assert change.reason == "backend 1.20 became 1.21"


@pytest.mark.parametrize("name", ["latency_p20_ms", "latency_p50_ms", "top1", "test_images"])
def test_values_that_cannot_be_are_refused(compare, name):
    with pytest.raises(UsageError, match=rf"base\.csv, line 2: {name} is -1"):
        compare([row(**{name: -1})], repeats())


def test_both_reports_cannot_be_standard_input():
    with pytest.raises(UsageError, match="one of the two"):
        compare_reports("-", "-")


def with_metric(value, width=0.02, **values):
    ends = {"metric_low": value - width / 2, "metric_high": value + width / 2}
    return repeats(metric="iou:each", metric_value=value, **ends, **values)


@pytest.mark.parametrize(
    ("head", "limit", "expected"),
    [
        (0.70, 0.0, "worse"),
        (0.90, 0.0, "better"),
        (0.79, 0.0, "undecided"),  # 0.01 lower, and each is known to 0.01
        (0.80, 0.0, "same"),
        (0.70, 0.2, "same"),
        (0.70, 0.105, "undecided"),  # within the limit, not surely
        (0.70, 0.05, "worse"),
    ],
)
def test_a_metric_that_fell_by_more_than_its_intervals_allow_is_a_regression(
    compare, head, limit, expected
):
    found = compare(with_metric(0.80), with_metric(head), Limits(metric_drop=limit))
    (change,) = found.changes
    assert (change.verdict, change.metric_verdict) == ("same", expected)
    assert change.regression == (expected == "worse")
    if expected == "worse":
        assert f"iou:each fell from 0.8 to {head:g}" in str(found.failure)
    assert "metric: 1 " + expected in rendering.summary(found)
    row = rendering.rows_of(found)[0]
    assert row["metric_change"] == pytest.approx(head - 0.80)
    assert row["metric_verdict"] == expected


def test_a_metric_of_one_side_alone_is_not_judged(compare):
    (change,) = compare(repeats(), with_metric(0.5)).changes
    assert (change.metric, change.metric_verdict) == (None, "")


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"metric_value": "nan"}, "metric_value is nan: it must be a finite number"),
        ({"metric_low": 0.9, "metric_high": 0.7}, "metric_low 0.9 is above metric_high 0.7"),
    ],
)
def test_metrics_that_are_none_are_refused(compare, cells, says):
    with pytest.raises(UsageError, match=says):
        compare(with_metric(0.8), [{**row, **cells} for row in with_metric(0.8)])
