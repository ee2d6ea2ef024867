"""What a profile or a tuning is asked for, refused where it can't be: commands and the Python API ask here alike.

Messages name the options of the command line; the Python API says its own names for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from deploykit.backends import get, loadable
from deploykit.backends.base import check_offered
from deploykit.bench.metric import load_metric
from deploykit.bench.scenario import Constraint, Policy, Scenario, arrivals_span_s
from deploykit.columns import BY_NAME, FLOAT, INT, NAMES
from deploykit.errors import UnknownName, UsageError
from deploykit.spec import ModelFile
from deploykit.stats import samples_needed
from deploykit.workflow.build import check_precisions, check_used, require_available
from deploykit.workflow.calibration import check_choice
from deploykit.workflow.choices import CalibrationChoice, EngineChoice
from deploykit.workflow.configuration import ProfileOptions, default_precisions, option_sets
from deploykit.workflow.plan import Source
from deploykit.workflow.search import check_constraint, percentile_of
from deploykit.workflow.tuned import LATENCIES, Question


def check_profile(options: ProfileOptions, constraint: Constraint | None = None) -> ProfileOptions:
    """Refuse, before any work is done, what no row could be measured with.

    Args:
        options: of the profile.
        constraint: that the largest load is searched for; None where none is.

    Returns:
        The options, with the calibration that leaves the test part to a metric.

    Raises:
        UnknownName, UsageError: a precision, backend, pass, option or data set that there is not, or that none of
            the backends has, or an option that would change nothing.
        MissingDependency: a backend can't build here.
    """
    check_choice(options.calibration)
    calibration = _judged(options.calibration, options.metric)
    if constraint is not None:
        check_constraint(constraint)
    calibration.keep.check(options.precisions or ("fp32",))
    named = [get(name) for name in options.backends]
    check_offered(named, options.precisions)
    for backend in named:
        for name in options.passes:
            backend.check_pass(name)
        for one in options.scenarios:
            backend.check_measured_as(one.boundary, cuda_graph=one.cuda_graph)
    option_sets(options.backends, options.run_options)
    check_used(options.build, calibration, options.precisions, named)
    check_counted(options.policy, options.scenarios, constraint)
    require_available(named)
    return replace(options, calibration=calibration)


def check_run(options: ProfileOptions, *, named: Sequence[str], has_backends: bool) -> None:
    """Refuse, before any work is done, what the main job could not measure, or what would change nothing in it.

    Its own precisions and backends may lack each other, and a backend of its own may be missing here: its rows are
    skipped. What is named has to be there.

    Args:
        options: of the run, with its own precisions and backends where none are named.
        named: the precisions that are named.
        has_backends: whether the backends are named.

    Raises:
        UnknownName, UsageError: there is no such precision, backend, option or data set, or none of the backends
            has it.
        MissingDependency: a backend that is named can't build here.
    """
    check_choice(options.calibration)
    backends = [get(name) for name in options.backends]
    options.calibration.keep.check(options.precisions)
    check_precisions(named, [backend.target for backend in backends])
    check_offered(backends, named)
    for backend in backends:
        for one in options.scenarios:
            backend.check_measured_as(one.boundary, cuda_graph=one.cuda_graph)
    option_sets(options.backends, options.run_options)
    check_used(options.build, options.calibration, options.precisions, backends)
    if has_backends:
        require_available(backends)


def in_own_precisions(options: ProfileOptions, sources: Sequence[Source]) -> ProfileOptions:
    """The options of a run that names no precision: each network's own, where a file is not in float32.

    Raises:
        UsageError: an option of conversion is given, and nothing is converted then.
    """
    own = {name for source in sources for name in default_precisions(source)}
    if own <= {"fp32"}:
        return options
    options.calibration.keep.check(sorted(own))
    check_used(options.build, options.calibration, (), [get(name) for name in options.backends])
    return replace(options, precisions=())


def check_scores(options: ProfileOptions, sources: Sequence[Source]) -> None:
    """Refuse to name what is judged on labelled images where there are none: weights of files name no data.

    Raises:
        UsageError: scores are named, and nothing is judged.
    """
    if options.scores is None or options.data is not None:
        return
    if all(isinstance(source, ModelFile) for source in sources):
        raise UsageError(
            "--scores names what is judged on labelled images: give --data DATASET, too"
        )


def check_counted(
    policy: Policy, scenarios: Sequence[Scenario], constraint: Constraint | None
) -> None:
    """Refuse counts of runs in a scenario, or a search, that has no number of them.

    Raises:
        UsageError: runs are counted there.
    """
    if policy.iterations is None and policy.warmup_iterations is None:
        return
    if constraint is not None:
        raise UsageError(
            "--constraint measures each load for as long as it needs: leave --iterations and "
            "--warmup-iterations out"
        )
    if any(one.streams != 1 or one.rate_per_s is not None for one in scenarios):
        raise UsageError(
            "--iterations and --warmup-iterations count the runs of one stream: leave --streams and "
            "--rate out"
        )


#: Columns of a roofline, and of rows beside each other, which no row of tune has.
UNFILLED = frozenset(
    {"arithmetic_intensity", "latency_bound_ms", "roofline_fraction"}
    | {"speedup", "speedup_low", "speedup_high", "precision_share_time"}
)
#: Columns that only a metric of the user's own fills.
_OF_METRIC = frozenset(name for name in NAMES if name.startswith("metric_"))
#: What a percentile may take of a tuning's budget, for each row and each block of new processes.
PERCENTILE_SHARE = 0.05


def check_tuning(question: Question, options: ProfileOptions) -> ProfileOptions:
    """Refuse, before any work is done, a tuning that could have no answer.

    Args:
        question: what is asked.
        options: how rows are measured, calibrated and judged.

    Returns:
        The options, with the calibration that leaves the test part to a metric.

    Raises:
        UnknownName, UsageError: a column, precision, backend or data set that there is not, or an option that would
            change nothing.
        MissingDependency: a backend can't build here.
    """
    for constraint in question.constraints:
        if constraint.column not in BY_NAME:
            raise UnknownName(
                "column in --constraint", constraint.column, NAMES, "see docs/columns.md"
            )
        if BY_NAME[constraint.column].kind not in (FLOAT, INT) or constraint.column in UNFILLED:
            raise UsageError(
                f"--constraint {constraint}: tune measures no number {constraint.column}; take another column of "
                "docs/columns.md"
            )
        if constraint.column in _OF_METRIC and options.metric is None:
            raise UsageError(
                f"--constraint {constraint} is on what --metric computes: give it and --max-metric-drop, too"
            )
    named = [get(name) for name in question.backends]
    tried = named or loadable()
    check_offered(tried, question.precisions)
    option_sets([backend.name for backend in tried], question.options)
    require_available(named)
    if (options.metric is None) != (question.max_metric_drop is None):
        raise UsageError(
            "--metric and --max-metric-drop go together: the function, and by how much its value may drop"
        )
    check_choice(options.calibration)
    offered = dict.fromkeys(name for backend in tried for name in backend.offered())
    check_used(EngineChoice(), options.calibration, question.precisions or (*offered,), tried)
    return replace(
        options,
        calibration=_judged(options.calibration, options.metric),
        policy=_reaching(question, options.policy),
    )


def _reaching(question: Question, policy: Policy) -> Policy:
    """The policy that reaches the highest percentile which is asked for, if there is time.

    Raises:
        UsageError: at the rate that is asked for, it takes more than its share of the budget.
    """
    asked = [percentile_of(constraint) for constraint in question.constraints]
    asked += [100 * LATENCIES[question.objective]] if question.objective in LATENCIES else []
    highest = max((one for one in asked if one is not None), default=0.0)
    limit_s = PERCENTILE_SHARE * question.budget_s
    if question.rate_per_s is not None:
        highest = max(
            highest, 50.0
        )  # which every row has: of fewer requests there is no latency at all
        needed = samples_needed(highest)
        takes_s = needed / question.rate_per_s
        if highest <= 50:  # of so few, all have to come
            takes_s = arrivals_span_s(needed, question.rate_per_s)
        if takes_s > max(limit_s, policy.max_s):
            least_s = math.ceil(takes_s / PERCENTILE_SHARE)
            raise UsageError(
                f"at {question.rate_per_s:g} requests a second the {needed} that p{highest:g} takes are more than "
                f"the budget has time for: give --budget {least_s}s, a higher rate"
                + " or a lower percentile"
                * (highest > 50)
            )
        if highest <= 50:
            return replace(policy, max_s=max(policy.max_s, takes_s))
    return policy if highest <= 50 else policy.reaching(highest, limit_s)


def _judged(choice: CalibrationChoice, metric: str | None) -> CalibrationChoice:
    """The calibration beside a metric of the user's own, which is computed on the test part.

    Raises:
        UsageError: there is no data to compute it on, or no such function.
    """
    if metric is None:
        return choice
    if choice.data is None:
        raise UsageError("--metric is computed on test images: give --data DATASET")
    load_metric(metric)
    return replace(choice, judged=True)
