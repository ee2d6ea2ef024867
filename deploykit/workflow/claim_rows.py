"""Rows that claims take, measured on this machine: all that several need, each configuration once a round."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

from deploykit.bench.scenario import Policy, Scenario
from deploykit.claims import Claim
from deploykit.claims.measure import Measure, together
from deploykit.errors import UsageError
from deploykit.row import Row
from deploykit.spec import BuildOptions
from deploykit.store import Store
from deploykit.workflow.choices import CalibrationChoice, EngineChoice
from deploykit.workflow.configuration import (
    Configuration,
    ProfileOptions,
    enumerate_configurations,
)
from deploykit.workflow.profile import Profiler

#: Rounds over all that is measured: what disturbs the machine for a while meets each configuration once.
ROUNDS = 3

#: Claims look at medians, of three rounds: a second of each is enough, and all of them fit the time.
POLICY = Policy(min_s=1.0, max_s=3.0, percentile=50.0)
#: No further row is begun after so long.
BUDGET_S = 15 * 60.0


def measure_for(
    claims: Sequence[Claim],
    store: Store,
    *,
    budget_s: float = BUDGET_S,
    policy: Policy | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Row]:
    """Measure what the claims have measured for them, row by row, in rounds over everything.

    A round that is begun when the time is over is not finished; `say` is told how many rows are left out.

    Args:
        claims: those without a `measure` take nothing.
        store: of networks and engines.
        budget_s: after that long no row is begun.
        policy: how long a row is measured; None is `POLICY`.
        say: is told what is being done.

    Raises:
        UsageError: nothing is measured for any of the claims.
        OutputFailed: the store can't be written.
    """
    measures = together(claim.measure for claim in claims if claim.measure is not None)
    if not measures:
        raise UsageError("nothing is measured for the claims that are named: leave --measure out")
    each = [
        _planned(one, level, policy or POLICY)
        for one in measures
        for level in one.optimization_levels or (None,)
    ]
    profilers = [Profiler(store, options, _naming(options, say)) for options, _ in each]
    rounds = [
        [
            (profiler, configuration)
            for profiler, (_, planned) in zip(profilers, each, strict=True)
            for configuration in planned
            if configuration.repeat == number
        ]
        for number in range(1, ROUNDS + 1)
    ]
    todo = list(itertools.chain.from_iterable(rounds))
    end_s = time.perf_counter() + budget_s
    for number, (profiler, configuration) in enumerate(todo):
        if time.perf_counter() > end_s:
            say(f"{len(todo) - number} of {len(todo)} rows left out: {budget_s:.0f} s are over")
            return
        yield from profiler.rows([configuration])


def _naming(options: ProfileOptions, say: Callable[[str], None]) -> Callable[[str], None]:
    """What tells `say` which build options a step is of: rows of one claim may differ in nothing else."""
    words = options.build.options.differences(1)
    return (lambda text: say(f"{text} ({words})")) if words else say


def _planned(
    measure: Measure, level: int | None, policy: Policy
) -> tuple[ProfileOptions, list[Configuration]]:
    options = ProfileOptions(
        precisions=measure.precisions,
        backends=measure.backends,
        batches=measure.batches,
        passes=measure.passes,
        scenarios=[Scenario(threads=number) for number in measure.threads or (None,)],
        build=EngineChoice(options=BuildOptions(optimization_level=level)),
        repeats=ROUNDS,
        policy=policy,
        calibration=CalibrationChoice(synthetic=True),
        roofline=False,
    )
    sources = [network.spec for network in measure.networks]
    return options, enumerate_configurations(sources, options)
