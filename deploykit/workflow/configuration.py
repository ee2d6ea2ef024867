"""What a profile is asked for: its options, and the configurations, each a row to be, that they mean."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploykit.backends import get, names
from deploykit.backends.base import FORWARD
from deploykit.bench.contain import READING_LIMIT_S, contained
from deploykit.bench.scenario import Policy, Scenario
from deploykit.errors import DeploykitError, InvalidModel, UnknownName, UsageError
from deploykit.graph.precision import AS_IS, is_reduced
from deploykit.graph.read_write import parse
from deploykit.spec import ModelFile, ModelSpec, RunOptions, options_text
from deploykit.workflow.choices import CalibrationChoice, EngineChoice
from deploykit.workflow.plan import Source


def default_precisions(source: Source) -> tuple[str, ...]:
    """What a network is built in when nobody says: fp32, or as it is where its file is not in float32."""
    path = source.path if isinstance(source, ModelFile) else None
    if path is None or not path.is_file():
        return ("fp32",)
    try:
        return contained(
            precisions_of_file,
            path,
            doing=f"reading {path}",
            failed=InvalidModel,
            limit_s=READING_LIMIT_S,
        )
    except DeploykitError:  # opening the network says what is wrong with the file
        return ("fp32",)


def precisions_of_file(path: Path) -> tuple[str, ...]:
    """What an .onnx file is built in when nobody says.

    Raises:
        InvalidModel: as `graph.read_write.parse`.
    """
    model = parse(path)
    return (AS_IS,) if is_reduced(model) else ("fp32",)


#: One request after the other, on all usable cores.
_PLAIN = Scenario()


@dataclass(frozen=True)
class ProfileOptions:
    """How to measure.

    Attributes:
        precisions, backends, batches, scenarios: the product of these and the networks gives the rows. No
            precision means each network's own: fp32, or as it is where its file is not in float32.
        repeats: processes per configuration.
        policy: how long to warm up and measure.
        calibration: for precisions that need it.
        data: judge accuracy on this data set; None: on the one the weights were trained on.
        build: what engines are built for.
        timeout_s: kill a row's process after that long.
        roofline: compare rows with the machine's ceilings, which are measured once if they are not known.
        samples: folder that keeps every row's raw samples, made if it is missing; None keeps none.
        report_folder: what the `samples` column is relative to.
        passes: what a run does: "forward", "forward_backward" on backends that can; a product with the rest.
        scores: the output that holds class scores; None is the first that can.
        metric: "module:function" of the user's own to compute on the test part; see `bench.metric`.
        run_options: values of options of the runtimes, by name; a product with the rest on backends that have them.
    """

    precisions: Sequence[str] = ()
    backends: Sequence[str] = ("onnxruntime",)
    batches: Sequence[int] = (1,)
    scenarios: Sequence[Scenario] = (_PLAIN,)
    repeats: int = 1
    policy: Policy = field(default_factory=Policy)
    calibration: CalibrationChoice = field(default_factory=CalibrationChoice)
    data: str | None = None
    build: EngineChoice = field(default_factory=EngineChoice)
    timeout_s: float | None = 600.0
    roofline: bool = True
    samples: Path | None = None
    report_folder: Path = Path()
    passes: Sequence[str] = (FORWARD,)
    scores: str | None = None
    metric: str | None = None
    run_options: Sequence[tuple[str, tuple[str, ...]]] = ()


def source_name(source: Source) -> str:
    """A short name of a network for displays and messages."""
    return source.label if isinstance(source, ModelSpec) else source.name


@dataclass(frozen=True)
class Configuration:
    """One row to be: which network, in which precision, on which backend, at which batch and scenario.

    `repeat` counts the processes that measure one and the same, from 1. `options` are what the runtime is told,
    sorted, without those at their defaults. `kept` are rules for layers of this one that stay in fp32, beside those
    that all keep.
    """

    source: Source
    precision: str
    backend: str
    batch: int
    scenario: Scenario = _PLAIN
    repeat: int = 1
    run_pass: str = FORWARD
    options: RunOptions = ()
    kept: tuple[str, ...] = ()

    @property
    def mix(self) -> str:
        """How many layers a mix of precisions keeps, in words; empty for all that is none."""
        if not self.kept:
            return ""
        return f"but {len(self.kept)} layer{'s' * (len(self.kept) > 1)} in fp32"

    @property
    def text(self) -> str:
        """A short name for displays."""
        name = source_name(self.source)
        again = f"repeat {self.repeat}" if self.repeat > 1 else ""
        run_pass = self.run_pass if self.run_pass != FORWARD else ""
        how = (
            f"batch {self.batch}",
            self.scenario.text,
            options_text(self.options),
            run_pass,
            again,
        )
        words = (name, self.precision, self.mix, self.backend, *how)
        return " ".join(word for word in words if word)


def option_sets(
    backends: Sequence[str], wanted: Sequence[tuple[str, tuple[str, ...]]]
) -> dict[str, tuple[RunOptions, ...]]:
    """What each backend is told in turn: every combination of the values of the options that it has.

    Args:
        backends: their names.
        wanted: values by the names of options.

    Raises:
        UnknownName: no backend has an option of that name.
        UsageError: none of these backends has it, or it can't have that value.
    """
    asked = [get(name) for name in backends]
    for name, values in wanted:
        options = [o for backend in asked for o in backend.run_options if o.name == name]
        for value in values:
            for option in options:
                option.check(value)
        if not options:
            everywhere = {o.name: b for b in names() for o in get(b).run_options}
            if name not in everywhere:
                raise UnknownName("option in --option", name, everywhere)
            raise UsageError(
                f"--option {name} is told to {everywhere[name]}, which is not measured: add --backend "
                f"{everywhere[name]}, or leave it out"
            )
    sets: dict[str, tuple[RunOptions, ...]] = {}
    for backend in asked:
        own = {option.name for option in backend.run_options}
        pairs = [[(name, value) for value in values] for name, values in wanted if name in own]
        told = (backend.chosen_options(chosen) for chosen in itertools.product(*pairs))
        sets[backend.name] = tuple(dict.fromkeys(told))
    return sets


def enumerate_configurations(
    sources: Sequence[Source], options: ProfileOptions
) -> list[Configuration]:
    """The rows that a profile will have, in their order; a precision a backend lacks is left out.

    Repeats go round: what disturbs the machine for a while meets every configuration once rather than one
    of them every time. fp32 comes first, as the other precisions are set against it.

    Raises:
        UsageError: a file that is quantised already was named, and no backend takes it as it is; or see
            `option_sets`.
    """
    told = option_sets(options.backends, options.run_options)
    offers = {name: get(name).offered() for name in options.backends}
    wanted = {source: options.precisions or default_precisions(source) for source in sources}
    for source, precisions in wanted.items():
        if not options.precisions and not any(set(precisions) & set(o) for o in offers.values()):
            raise UsageError(
                f"{source_name(source)} is not in float32, and {' and '.join(offers)} can't take it "
                f"{precisions[0]}: choose another --backend"
            )
    rows = [
        Configuration(source, precision, backend, batch, scenario, repeat, run_pass, chosen)
        for repeat in range(1, options.repeats + 1)
        for source in sources
        for backend in options.backends
        for precision in sorted(wanted[source], key=lambda name: name != "fp32")
        for batch in options.batches
        for scenario in options.scenarios
        for run_pass in options.passes
        for chosen in told[backend]
        if precision in offers[backend]
    ]
    # What Python's lists name twice is asked for once, as in the lists of the command line.
    return list(dict.fromkeys(rows))
