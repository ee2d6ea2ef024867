"""What a tuning may be asked, before any work is done."""

from __future__ import annotations

import pytest

from deploykit.bench.scenario import Constraint, Policy
from deploykit.errors import UsageError
from deploykit.workflow.asked import check_tuning
from deploykit.workflow.configuration import ProfileOptions
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
