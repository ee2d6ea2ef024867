"""How long a profile takes at the least, told before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from deploykit import env, zoo
from deploykit.backends import get
from deploykit.backends.base import FORWARD
from deploykit.bench.roofline import Ceilings, known_ceilings
from deploykit.errors import DeploykitError
from deploykit.spec import ModelSpec
from deploykit.workflow.configuration import Configuration, ProfileOptions
from deploykit.workflow.rows import Roofline

#: To start a process, load an engine and judge its outputs.
_AROUND_S = 1.0
#: Forward and backward are about so many forward passes.
_TRAINING_PASSES = 3


def least_s(
    wanted: Sequence[Configuration],
    options: ProfileOptions,
    folder: Path,
    *,
    measure: bool = True,
) -> float:
    """Seconds that measuring these takes at the least, building aside.

    Where runs are counted, each takes what the machine's ceilings allow at best: these are measured for it, once,
    in three seconds, where that may be.

    Args:
        wanted: the rows to be.
        options: of the profile; one without a roofline has no ceilings measured.
        folder: of the store, which has the ceilings.
        measure: whether ceilings that the store lacks may be measured.
    """
    policy = options.policy
    if policy.iterations is None:
        return len(wanted) * (policy.warmup_s + policy.min_s + _AROUND_S)
    runs = policy.iterations + (policy.warmup_iterations or 0)
    if measure and options.roofline:
        of_machine: Callable[[Configuration], Ceilings | None] = partial(
            _measured, Roofline(folder)
        )
    else:
        of_machine = partial(_known, known_ceilings(folder))
    return sum(_AROUND_S + runs * _run_s(one, of_machine) for one in wanted)


def _measured(roofline: Roofline, configuration: Configuration) -> Ceilings | None:
    try:
        return roofline.ceilings(configuration.scenario, on_gpu=get(configuration.backend).on_gpu())
    except DeploykitError:
        return None


def _known(stored: Sequence[Ceilings], configuration: Configuration) -> Ceilings | None:
    on_gpu = get(configuration.backend).on_gpu()
    threads = 0 if on_gpu else configuration.scenario.threads_in_use(env.usable_cores())
    return next((one for one in stored if one.threads == threads), None)


def _run_s(
    configuration: Configuration, of_machine: Callable[[Configuration], Ceilings | None]
) -> float:
    """What one run takes at the least; 0 where that is not known beforehand."""
    source = configuration.source
    if not isinstance(source, ModelSpec) or ":" in source.name:
        return 0.0
    if source.alpha != 1 or source.rho != 1 or source.resolution_px is not None:
        return 0.0
    machine = of_machine(configuration)
    if machine is None:
        return 0.0
    fastest = max(machine.gflops.values(), default=0.0)
    gflops = machine.gflops.get(configuration.precision, fastest)
    passes = 1 if configuration.run_pass == FORWARD else _TRAINING_PASSES
    operations = 2 * zoo.lookup(source.name).macs * configuration.batch * passes
    return operations / (gflops * 1e9) if gflops else 0.0
