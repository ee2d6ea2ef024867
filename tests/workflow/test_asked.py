"""What a tuning may be asked, before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploykit.bench.scenario import Constraint, Policy, arrivals_span_s
from deploykit.bench.streams import schedule_ns
from deploykit.errors import UsageError
from deploykit.spec import ModelFile
from deploykit.stats import samples_needed
from deploykit.workflow import asked as asked_module
from deploykit.workflow.asked import check_run, check_scores, check_tuning, in_own_precisions
from deploykit.workflow.choices import CalibrationChoice, KeepChoice
from deploykit.workflow.configuration import ProfileOptions
from deploykit.workflow.plan import DEFAULT_MODELS
from deploykit.workflow.run import BACKENDS, PRECISIONS
from deploykit.workflow.tuned import Question


@pytest.mark.parametrize(
    "text", ["device<=3", "roofline_fraction>=0.5", "latency_bound_ms<=1", "status<=1"]
)
def test_a_constraint_that_no_row_can_meet_is_refused_before_any_work(text):
    question = Question(constraints=(Constraint.parse(text),))
    with pytest.raises(UsageError, match="tune measures no number"):
        check_tuning(question, ProfileOptions())


def test_a_percentile_that_is_asked_for_is_measured_until_it_has_its_samples():
    def policy(**asked):
        return check_tuning(Question(**asked), ProfileOptions(policy=Policy.quick())).policy

    assert policy() == Policy.quick()
    p99 = policy(constraints=(Constraint.parse("latency_p99_ms<=20"),), budget_s=200.0)
    assert (p99.percentile, p99.max_s) == (99.0, 10.0)
    assert policy(objective="latency_p99_ms").percentile == 99.0
    with pytest.raises(UsageError, match=r"at 2 requests a second .* p99 .* --budget \d+s"):
        policy(objective="latency_p99_ms", rate_per_s=2.0)


def test_a_bound_on_a_metric_is_refused_without_the_metric():
    question = Question(constraints=(Constraint.parse("metric_value>=0.9"),))
    with pytest.raises(UsageError, match="is on what --metric computes"):
        check_tuning(question, ProfileOptions())


@pytest.mark.parametrize("objective", ["latency_p50_ms", "host_peak_mib", "engine_bytes"])
def test_at_a_low_rate_rows_last_until_there_is_a_median_or_are_refused(objective):
    """All candidates failed, as two requests a second had no median in two seconds."""
    quick = ProfileOptions(policy=Policy.quick())

    def policy(rate_per_s: float) -> Policy:
        asked = Question(objective=objective, rate_per_s=rate_per_s, budget_s=300.0)
        return check_tuning(asked, quick).policy

    needed = samples_needed(50)
    assert policy(100.0) == Policy.quick()
    assert policy(2.0).max_s == pytest.approx(arrivals_span_s(needed, 2.0))
    assert schedule_ns(2.0, policy(2.0).max_s).size >= needed
    with pytest.raises(
        UsageError, match=r"at 0\.1 requests .* p50 takes .* --budget \d+s, a higher rate$"
    ):
        policy(0.1)


def test_scores_are_named_where_something_is_judged():
    file, asked = ModelFile(Path("net.onnx")), ProfileOptions(scores="y")
    with pytest.raises(UsageError, match=r"--scores names what is judged .*: give --data"):
        check_scores(asked, [file])
    check_scores(asked, [file, *DEFAULT_MODELS])
    check_scores(ProfileOptions(scores="y", data="digits"), [file])
    check_scores(ProfileOptions(), [file])


def run_options(**more):
    return ProfileOptions(**{"precisions": PRECISIONS, "backends": BACKENDS} | more)


def test_the_main_job_lacks_of_its_own_what_it_refuses_where_it_is_named():
    torch = run_options(backends=("torch",))  # which has no fp16 on the CPU
    check_run(torch, named=(), has_backends=True)
    with pytest.raises(UsageError, match="no fp16 on this backend: torch has"):
        check_run(torch, named=("fp16",), has_backends=True)
    few = run_options(precisions=("fp32",), calibration=CalibrationChoice(images=3))
    with pytest.raises(UsageError, match="nothing is calibrated with --precision fp32"):
        check_run(few, named=("fp32",), has_backends=False)


def test_the_main_job_takes_quantised_files_as_they_are_and_ignores_no_option_then(monkeypatch):
    assert in_own_precisions(run_options(), DEFAULT_MODELS).precisions == PRECISIONS
    monkeypatch.setattr(asked_module, "default_precisions", lambda source: ("as-is",))
    assert in_own_precisions(run_options(), DEFAULT_MODELS).precisions == ()
    for choice, message in (
        (CalibrationChoice(method="mse"), "nothing is calibrated without --precision"),
        (CalibrationChoice(keep=KeepChoice(("a",))), "nothing is converted with --precision as-is"),
    ):
        with pytest.raises(UsageError, match=message):
            in_own_precisions(run_options(calibration=choice), DEFAULT_MODELS)
