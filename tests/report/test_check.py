from __future__ import annotations

import pytest
from stored_reports import repeats, row, save

from deploykit.errors import UsageError
from deploykit.report.check import check_report

STRONG = {
    "latency_min_ms": 1.9,
    "latency_p90_ms": 2.3,
    "latency_p95_ms": 2.4,
    "latency_p99_ms": 2.6,
}


@pytest.fixture
def weak(tmp_path):
    """The names of the weaknesses of rows, all else being strong."""

    def call(*rows):
        found = check_report(save(tmp_path / "a.csv", [{**STRONG, **r} for r in rows]))
        assert all(w.seen and w.remedy for w in found.weak)
        return [w.name for w in found.weak]

    return call


def test_a_strong_row_has_no_weakness(weak):
    assert weak(row()) == []


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"status": "failed", "reason": "killed"}, "failed"),
        ({"stability": "unstable: steal: 3% was stolen; use another machine"}, "steal"),
        ({"latency_p95_ms": None}, "runs"),
        ({"latency_p50_ms": None}, "runs"),
        ({"latency_p50_ms": 2.35}, "order"),
        ({"latency_bound_ms": 2.5}, "bound"),
        ({"precision": "fp16", "precision_actual": "fp32"}, "emulated"),
        ({"calibration": "synthetic, 32 images"}, "calibration"),
        ({"drift_snr_db": 3.0}, "drift"),
        ({"drift_snr_db": -2.0}, "drift"),
        (
            {"drift_snr_db": 40.0, "drift_worst_output": "scores", "drift_worst_snr_db": 1.5},
            "drift",
        ),
        ({"top1": 0.9, "top1_low": 0.8, "top1_high": 0.95}, "accuracy"),
        (
            {"metric": "iou:each", "metric_value": 0.7, "metric_high": 0.75, "metric_fp32": 0.8},
            "metric",
        ),
        ({"samples": "a-samples/none.npz"}, "samples"),
    ],
)
def test_a_weak_row_is_named_for_what_is_weak(weak, values, name):
    assert weak(row(**values)) == [name]


@pytest.mark.parametrize(
    "values",
    [
        {"latency_bound_ms": 2.1},
        {"drift_snr_db": 30.0},
        {"drift_snr_db": "inf"},
        {"top1": 0.99, "top1_low": 0.98, "top1_high": 0.995},
        {"calibration": "digits/calibration, 500 images"},
        {"precision": "int8", "precision_actual": "int8+fp32"},
        {"precision": "as-is", "precision_actual": "fp32"},
        {"reason": "emulated: is a word like any other"},
    ],
)
def test_what_is_as_it_should_be_is_no_weakness(weak, values):
    assert weak(row(**values)) == []


def test_what_was_seen_and_what_helps_come_from_the_row(tmp_path):
    said = "unstable: steal: 3% was stolen; use another machine | trend: up 9%; warm up"
    found = check_report(save(tmp_path / "a.csv", [row(**STRONG, stability=said)]))
    one, other = found.weak
    assert (other.name, other.seen, other.remedy) == ("trend", "up 9%", "warm up")
    assert (one.line, one.row) == (2, "lenet5 fp32 onnxruntime")
    assert (one.seen, one.remedy) == ("3% was stolen", "use another machine")


def test_samples_lie_beside_the_report(tmp_path, weak):
    (tmp_path / "kept.npz").touch()
    assert weak(row(samples="kept.npz")) == []


def test_processes_that_disagree_are_weak_in_the_slowest(tmp_path):
    rows = repeats(2, (1.0, 1.02, 1.3), latency_p90_ms=9.0, latency_p95_ms=9.0)
    found = check_report(save(tmp_path / "a.csv", rows))
    assert [(w.name, w.line) for w in found.weak] == [("spread", 4)]
    assert "3 processes spread by 30%" in found.weak[0].seen


def test_too_few_processes_to_compare_are_a_remark_not_a_weakness(tmp_path):
    found = check_report(save(tmp_path / "a.csv", [row(**STRONG)]))
    assert found.weak == ()
    assert "1 of 1 configurations have fewer than 3 processes" in found.remarks[0]
    rows = repeats(latency_p90_ms=9.0, latency_p95_ms=9.0)
    assert check_report(save(tmp_path / "b.csv", rows)).remarks == ()


def test_rows_are_counted_once_whatever_they_are_weak_in(tmp_path):
    bad = row(**STRONG | {"latency_p95_ms": None}, drift_snr_db=1.0)
    found = check_report(save(tmp_path / "a.csv", [bad, row(**STRONG)]))
    assert (found.rows, found.weak_rows, len(found.weak)) == (2, 1, 2)


def test_values_that_cannot_be_are_refused(tmp_path):
    path = save(tmp_path / "a.csv", [row(latency_p50_ms="fast")])
    with pytest.raises(UsageError, match="line 2: latency_p50_ms is fast"):
        check_report(path)


def test_a_device_that_is_not_there_is_a_remark_not_a_weakness(tmp_path):
    found = check_report(save(tmp_path / "a.csv", [row(status="skipped", reason="no GPU here")]))
    assert found.weak == ()
    assert found.remarks == ("1 of 1 rows were skipped, such as: no GPU here",)


def test_the_words_of_the_stability_column_are_understood(tmp_path):
    """The column as measuring writes it, not as this test thinks it does."""
    from deploykit.bench.timing import Timing
    from deploykit.row import Finding

    findings = (Finding("load", "others used 1.2 cores", "stop them"),)
    said = Timing.stability.fget(type("Timed", (), {"findings": findings})())  # type: ignore[attr-defined]
    (one,) = check_report(save(tmp_path / "a.csv", [row(**STRONG, stability=said)])).weak
    assert (one.name, one.seen, one.remedy) == ("load", "others used 1.2 cores", "stop them")


def test_processes_are_those_of_compare_and_of_no_other_configuration(tmp_path):
    """Blanks of older reports and of rows that another repeat judges join; what differs stays apart."""
    quick = {"latency_p90_ms": 9.0, "latency_p95_ms": 9.0}
    rows = repeats(2, (1.0, 1.0, 1.0), **quick)
    rows[0]["dataset"] = "digits/test"
    rows[1]["pass"] = None
    assert check_report(save(tmp_path / "a.csv", rows)).remarks == ()
    for column in ("boundary", "calibration", "weights", "kept", "rate_per_s"):
        other = "7" if column == "rate_per_s" else "other"
        slow = repeats(4, (1.0, 1.0, 1.0), **quick, **{column: other})
        for mine in rows:
            mine.setdefault(column, "" if column == "rate_per_s" else "one")
        found = check_report(save(tmp_path / "b.csv", [*rows, *slow]))
        assert [w.name for w in found.weak if w.name == "spread"] == [], column
        assert found.remarks == (), column


def test_names_tell_threads_and_machine_where_a_report_has_several(tmp_path):
    bad = STRONG | {"drift_snr_db": 1.0}
    one = row(**bad, env_id="aaaa")
    found = check_report(save(tmp_path / "a.csv", [one, row(**bad, env_id="bbbb")]))
    plain = "lenet5 fp32 onnxruntime"
    assert [w.row for w in found.weak] == [f"{plain} on aaaa", f"{plain} on bbbb"]
    # A row that failed before threads were chosen says nothing of them.
    failed = row(env_id="aaaa", status="failed", reason="killed", threads=None)
    found = check_report(save(tmp_path / "b.csv", [one, failed]))
    assert [w.row for w in found.weak] == [plain, plain]
    found = check_report(save(tmp_path / "c.csv", [one, row(**bad, env_id="aaaa", threads=1)]))
    assert [w.row for w in found.weak] == [f"{plain} 2 threads", f"{plain} 1 thread"]


def test_processes_that_disagree_are_named_with_their_machine(tmp_path):
    quick = {"latency_p90_ms": 9.0, "latency_p95_ms": 9.0}
    rows = repeats(2, (1.0, 1.02, 1.3), env_id="aaaa", **quick)
    rows += repeats(2, (1.0, 1.0, 1.0), env_id="bbbb", **quick)
    found = check_report(save(tmp_path / "a.csv", rows))
    assert [w.row for w in found.weak] == ["lenet5 fp32 onnxruntime on aaaa"]
