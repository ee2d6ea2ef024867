"""How long a profile takes at the least, told before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploykit import zoo
from deploykit.backends import get
from deploykit.backends.base import FORWARD
from deploykit.errors import DeploykitError
from deploykit.spec import ModelSpec
from deploykit.workflow.configuration import Configuration, ProfileOptions
from deploykit.workflow.rows import Roofline

#: To start a process, load an engine and judge its outputs.
_AROUND_S = 1.0
#: Forward and backward are about so many forward passes.
_TRAINING_PASSES = 3


def least_s(wanted: Sequence[Configuration], options: ProfileOptions, folder: Path) -> float:
    """Seconds that measuring these takes at the least, building aside.

    Where runs are counted, each takes what the machine's ceilings allow at best: these are measured for it, once,
    in three seconds.

    Args:
        wanted: the rows to be.
        options: of the profile.
        folder: of the store, which has the ceilings.
    """
    policy = options.policy
    if policy.iterations is None:
        return len(wanted) * (policy.warmup_s + policy.min_s + _AROUND_S)
    runs = policy.iterations + (policy.warmup_iterations or 0)
    roofline = Roofline(folder)
    return sum(_AROUND_S + runs * _run_s(one, roofline) for one in wanted)


def _run_s(configuration: Configuration, roofline: Roofline) -> float:
    """What one run takes at the least; 0 where that is not known beforehand."""
    source = configuration.source
    if not isinstance(source, ModelSpec) or ":" in source.name:
        return 0.0
    if source.alpha != 1 or source.rho != 1 or source.resolution_px is not None:
        return 0.0
    try:
        machine = roofline.ceilings(
            configuration.scenario, on_gpu=get(configuration.backend).on_gpu()
        )
    except DeploykitError:
        return 0.0
    fastest = max(machine.gflops.values(), default=0.0)
    gflops = machine.gflops.get(configuration.precision, fastest)
    passes = 1 if configuration.run_pass == FORWARD else _TRAINING_PASSES
    operations = 2 * zoo.lookup(source.name).macs * configuration.batch * passes
    return operations / (gflops * 1e9) if gflops else 0.0
