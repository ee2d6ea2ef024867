"""Options of `deploykit profile` alone: in which scenario, how long and how often to measure, and what for."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import click
from click.core import ParameterSource

from deploykit.bench.scenario import (
    SHARE_OF_TIMEOUT,
    Constraint,
    Policy,
    Scenario,
    measuring_policy,
    parse_rate,
)
from deploykit.cli import completion
from deploykit.cli.options import (
    BATCHES,
    LIST,
    PERCENT,
    STREAMS,
    THREADS,
    Number,
    group,
    parse_list,
    read_by,
    refuse_beside,
)
from deploykit.errors import UnknownName, UsageError
from deploykit.report import STDOUT
from deploykit.spec import BOUNDARIES
from deploykit.workflow import ranges
from deploykit.workflow.choices import (
    DEFAULT_BUDGET_S,
    DEFAULT_THRESHOLD,
    run_option_values,
)
from deploykit.workflow.choices import preset as find_preset

_RATES = read_by(lambda text, name: tuple(map(parse_rate, parse_list(text, name))))
_BOUNDARIES = read_by(lambda text, name: tuple(map(_boundary, parse_list(text, name))))
_CONSTRAINT = read_by(lambda text, _: Constraint.parse(text))


def _boundary(name: str) -> str:
    if name not in BOUNDARIES:
        raise UnknownName("boundary", name, BOUNDARIES)
    return name


@dataclass(frozen=True)
class Scenarios:
    """Under what to measure: every batch in every scenario.

    Attributes:
        batches: images per run.
        each: every combination of threads, streams, rate and boundary.
        told: values of options of the runtimes, by name.
    """

    batches: tuple[int, ...]
    each: tuple[Scenario, ...]
    told: tuple[tuple[str, tuple[str, ...]], ...] = ()


@group(
    "scenarios",
    click.option(
        "--batch",
        default="1",
        callback=BATCHES,
        metavar="LIST",
        help="Images per run, such as 1,8.",
    ),
    click.option(
        "--threads",
        callback=THREADS,
        metavar="LIST",
        help="Threads of the runtime, such as 1,2; else all usable cores.",
    ),
    click.option(
        "--streams",
        default="1",
        callback=STREAMS,
        metavar="LIST",
        help="Concurrent requests, such as 1,2.",
    ),
    click.option(
        "--rate",
        callback=_RATES,
        metavar="LIST",
        help="Send requests at random times at this rate, such as 100/s; waiting counts in the latency.",
    ),
    click.option(
        "--boundary",
        callback=_BOUNDARIES,
        metavar="LIST",
        help="What a latency spans: end_to_end (host buffer to host buffer; the default) or device (a GPU alone).",
    ),
    click.option(
        "--cuda-graph", is_flag=True, help="Capture a run on a GPU as a CUDA graph and launch that."
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set an option of the runtime, such as ort.allow_spinning=0, or =0,1 to compare; can be repeated.",
    ),
)
def scenario_options(
    batch: tuple[int, ...],
    threads: tuple[int, ...] | None,
    streams: tuple[int, ...],
    rate: tuple[float, ...] | None,
    boundary: tuple[str, ...] | None,
    cuda_graph: bool,
    options: tuple[str, ...],
) -> Scenarios:
    """Under what to measure.

    Raises:
        UsageError: an option of the runtime has no value, or is given twice.
    """
    product = itertools.product(
        threads or (None,), streams, rate or (None,), boundary or (None,), (cuda_graph,)
    )
    return Scenarios(batch, tuple(itertools.starmap(Scenario, product)), run_option_values(options))


@dataclass(frozen=True)
class Measuring:
    """How to measure.

    Attributes:
        policy: how long.
        repeats: processes per configuration.
        samples: folder for raw samples; None leaves the choice to `samples_folder`.
        keep_samples: whether raw samples are kept at all.
        roofline: compare rows with the machine's ceilings.
        timeout_s: kill a row's process after that long.
    """

    policy: Policy
    repeats: int
    samples: Path | None
    keep_samples: bool
    roofline: bool
    timeout_s: float

    def samples_folder(self, csv: str | None) -> Path | None:
        """Where raw samples go: as was said, or beside the report; None where they are not kept.

        Args:
            csv: the report's path.
        """
        if self.samples is not None or not self.keep_samples:
            return self.samples
        if csv in (None, STDOUT) or (Path(csv).exists() and not Path(csv).is_file()):
            return None
        report = Path(csv)
        return report.with_name(f"{report.stem}-samples")

    def reaching(self, percentile: float) -> Policy:
        """The policy that goes on until a percentile has its samples, if the timeout lets it."""
        return self.policy.reaching(percentile, self.timeout_s * SHARE_OF_TIMEOUT)


@group(
    "measuring",
    click.option("--quick", is_flag=True, help="Measure 0.5 s per row instead of 3 s."),
    click.option(
        "--seconds",
        type=Number.of(ranges.SECONDS),
        metavar="S",
        help="Measure each row for so many seconds.",
    ),
    click.option(
        "--percentile",
        type=Number.of(ranges.PERCENTILE),
        metavar="P",
        help="Measure until this percentile, such as 99, has the samples it needs, and show it.",
    ),
    click.option(
        "--repeats",
        type=Number.of(ranges.REPEATS),
        default=1,
        metavar="N",
        help="Processes per configuration, spread over the run.",
    ),
    click.option(
        "--samples",
        metavar="DIR",
        help="Keep every latency there; else beside the --csv, in NAME-samples.",
    ),
    click.option("--no-samples", is_flag=True, help="Keep no latencies."),
    click.option(
        "--no-roofline", is_flag=True, help="Don't measure the machine's ceilings (once, 3 s)."
    ),
    click.option(
        "--timeout",
        type=Number.of(ranges.TIMEOUT_S),
        default=600,
        metavar="S",
        help="Kill a row that takes longer.",
    ),
)
def measuring_options(
    quick: bool,
    seconds: float | None,
    percentile: float | None,
    repeats: int,
    samples: str | None,
    no_samples: bool,
    no_roofline: bool,
    timeout: float,
) -> Measuring:
    """How to measure.

    Raises:
        UsageError: two options contradict each other, or the samples' folder is a file.
    """
    policy = measuring_policy(
        quick=quick, seconds=seconds, percentile=percentile, timeout_s=timeout
    )
    if no_samples and samples:
        raise UsageError("--samples and --no-samples contradict each other: give one of them")
    if samples and Path(samples).exists() and not Path(samples).is_dir():
        raise UsageError(f"--samples {samples} is a file: name a folder")
    folder = Path(samples) if samples else None
    return Measuring(policy, repeats, folder, not no_samples, not no_roofline, timeout)


constraint_option = click.option(
    "--constraint",
    callback=_CONSTRAINT,
    metavar="TEXT",
    help="Find the largest batch, or what is a list of --batch, --streams and --rate, that holds "
    "'latency_p95_ms<=10', say.",
)


@dataclass(frozen=True)
class Runs:
    """What one run does, and how many there are.

    Attributes:
        passes: "forward", "forward_backward".
        iterations, warmup_iterations: exactly so many; None leaves it to the policy.
        preset: the name of the preset that set what was not given; None without one.
    """

    passes: tuple[str, ...]
    iterations: int | None
    warmup_iterations: int | None
    preset: str | None

    @property
    def counted(self) -> bool:
        """Whether a number of runs is given."""
        return self.iterations is not None or self.warmup_iterations is not None

    def applied_to(self, policy: Policy) -> Policy:
        """The policy with the counts that are given."""
        if not self.counted:
            return policy
        return replace(policy, iterations=self.iterations, warmup_iterations=self.warmup_iterations)


def _take_defaults(context: click.Context, _: click.Parameter, name: str | None) -> str | None:
    """Let a preset's values stand for options that are not given; called before these are read."""
    if name is not None and not context.resilient_parsing:
        options, said = dict(find_preset(name).options), dict(context.default_map or {})
        # Which a file says, of how long to measure.
        if any(said.get(option) for option in ("quick", "seconds", "percentile")):
            options.pop("iterations", None)
        context.default_map = {**options, **said}
    return name


@group(
    "runs",
    click.option(
        "--pass",
        "run_pass",
        default="forward",
        callback=LIST,
        metavar="LIST",
        help="forward, forward_backward (in train mode, of cross entropy or what --option torch.loss says; torch "
        "backends only).",
    ),
    click.option(
        "--iterations",
        type=Number.of(ranges.ITERATIONS),
        metavar="N",
        help="Measure exactly so many runs, however long they take.",
    ),
    click.option(
        "--warmup-iterations",
        type=Number.of(ranges.WARMUP_ITERATIONS),
        metavar="N",
        help="Warm up by exactly so many runs.",
    ),
    click.option(
        "--preset",
        shell_complete=completion.preset,
        metavar="NAME",
        is_eager=True,
        callback=_take_defaults,
        help="vgg-listing: VGG-16 in PyTorch, batch 32, forward and backward, mean and std of 100 runs. "
        "Options given beside it count.",
    ),
)
def run_options(
    run_pass: tuple[str, ...],
    iterations: int | None,
    warmup_iterations: int | None,
    preset: str | None,
) -> Runs:
    """What one run does, and how many there are.

    Raises:
        UsageError: runs are counted, and it is said how long to measure, too.
    """
    context = click.get_current_context()
    names = ("iterations", "quick", "seconds", "percentile")
    given = [n for n in names if context.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    if "iterations" in given:
        refuse_beside("--iterations measures so many runs and", "quick", "seconds", "percentile")
    elif given:  # which count more than a number of runs that a file or a preset names
        iterations = None
    return Runs(run_pass, iterations, warmup_iterations, preset)


@dataclass(frozen=True)
class Against:
    """The other side of an interleaved comparison.

    Attributes:
        other: with what to compare.
        threshold: relative change of latency that matters.
        gate: whether a slowdown beyond it ends the command with 1.
        budget_s: seconds for blocks and loads.
    """

    other: str
    threshold: float
    gate: bool
    budget_s: float


@group(
    "against",
    click.option(
        "--against",
        metavar="OTHER",
        help="Compare with OTHER, in turns: an .onnx file, an engine's folder, a precision, "
        "an option set (precision=int8,threads=1,ort.allow_spinning=0), or another MODEL.",
    ),
    click.option(
        "--max-slowdown",
        callback=PERCENT,
        metavar="PERCENT",
        help="With --against: end with 1 if slower than OTHER by more, such as 5%.",
    ),
    click.option(
        "--against-seconds",
        type=Number.of(ranges.SECONDS),
        metavar="S",
        help=f"With --against: time for blocks and loads; default {DEFAULT_BUDGET_S:g}.",
    ),
)
def against_options(
    against: str | None, max_slowdown: float | None, against_seconds: float | None
) -> Against | None:
    """The other side of an interleaved comparison; None without --against.

    Raises:
        UsageError: an option that needs --against is given without it.
    """
    if against is None:
        if max_slowdown is not None or against_seconds is not None:
            raise UsageError("--max-slowdown and --against-seconds need --against OTHER")
        return None
    return Against(
        other=against,
        threshold=DEFAULT_THRESHOLD if max_slowdown is None else max_slowdown,
        gate=max_slowdown is not None,
        budget_s=DEFAULT_BUDGET_S if against_seconds is None else against_seconds,
    )
