"""Options of what one run does and how many there are, and the presets that set them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from deploykit.cli.options import listed, stack
from deploykit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploykit.bench.policy import Policy
    from deploykit.bench.scenario import Scenario


def _take_defaults(context: click.Context, _: click.Parameter, name: str | None) -> str | None:
    """Let a preset's values stand for options that are not given; called before these are read."""
    if name is not None and not context.resilient_parsing:
        from deploykit.workflow.plan import preset

        context.default_map = {**(context.default_map or {}), **preset(name).options}
    return name


pass_options = stack(
    click.option(
        "--pass",
        "run_pass",
        default="forward",
        metavar="LIST",
        help="forward, forward_backward (cross entropy in train mode; torch backends only).",
    ),
    click.option(
        "--iterations",
        type=click.IntRange(2),
        metavar="N",
        help="Measure exactly so many runs, however long they take.",
    ),
    click.option(
        "--warmup-iterations", type=click.IntRange(1), metavar="N", help="And warm up so many."
    ),
    click.option(
        "--preset",
        metavar="NAME",
        is_eager=True,
        callback=_take_defaults,
        help="vgg-listing: VGG-16 in PyTorch, batch 32, forward and backward, mean and std of 100 runs. "
        "Options given beside it count.",
    ),
)


def take_passes(
    options: dict[str, Any],
    backends: Sequence[str],
    scenarios: Sequence[Scenario],
    policy: Policy,
    *,
    searching: bool,
) -> tuple[list[str], Policy]:
    """Take the options of `pass_options`, `preset` excepted, out of a command's options.

    Args:
        options: of the command.
        backends: that are to run; each must know every pass.
        scenarios: the streams, threads and rates to measure under.
        policy: how long to measure otherwise.
        searching: whether the load is searched for.

    Returns:
        The passes, and the policy with the counts in it.

    Raises:
        UnknownName, UsageError: a pass that there is not, or that a backend lacks; counts under a scenario that
            has none.
    """
    from deploykit.backends import get
    from deploykit.backends.passes import check_pass

    passes = listed(options.pop("run_pass"), "--pass")
    for backend in backends:
        for name in passes:
            check_pass(get(backend), name)
    iterations, warmup = options.pop("iterations"), options.pop("warmup_iterations")
    if iterations is None and warmup is None:
        return passes, policy
    if searching:
        raise UsageError(
            "--constraint measures each load for as long as it needs: leave --iterations and "
            "--warmup-iterations out"
        )
    if any(scenario.streams > 1 or scenario.rate_per_s is not None for scenario in scenarios):
        raise UsageError(
            "--iterations and --warmup-iterations count the runs of one stream: leave --streams and --rate out"
        )
    return passes, replace(policy, iterations=iterations, warmup_iterations=warmup)
