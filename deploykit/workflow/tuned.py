"""What `deploykit tune` is asked and what it answers, as values: the question, the candidates, and the decision."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.bench.race import FAILED, IN
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Constraint
from deploykit.columns import NAMES
from deploykit.data.options import split_options
from deploykit.errors import UnknownName, UsageError
from deploykit.figures import general, with_ends
from deploykit.row import Row, overloaded
from deploykit.spec import InputChoice, ModelFile, ModelSpec, options_text
from deploykit.stats import RatioInterval
from deploykit.text import printable
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.configuration import Configuration, source_name
from deploykit.workflow.plan import Source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deploykit.report.frame import Frame

#: What can be made as small or, for the first, as large as possible.
RATE, BYTES, MEMORY = "throughput_ips", "engine_bytes", "host_peak_mib"
LATENCIES: Mapping[str, float] = {
    "latency_p50_ms": 0.5,
    "latency_p90_ms": 0.9,
    "latency_p95_ms": 0.95,
    "latency_p99_ms": 0.99,
}
OBJECTIVES = (*LATENCIES, RATE, BYTES, MEMORY)
#: A reduced engine is accepted from this drift on where no other limit was given: below it is called poor.
MIN_SNR_DB = 10.0


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        objective: the column to make as small as possible, or throughput_ips to make as large.
        constraints: that the answer's row must meet.
        max_accuracy_drop: share of the images by which top-1 may be below fp32's; None judges by drift alone.
        min_snr_db: that outputs must reach; None is `MIN_SNR_DB` where accuracy is not judged.
        backends: to choose from; none means all that can run here.
        precisions: to choose from; none means all that a backend offers and does not emulate.
        threads: to choose from; none means powers of two up to all usable cores.
        batches, streams: to choose from; none means 1, and for throughput, with no bound on a latency, more. More
            than one make sense for throughput only.
        rate_per_s: requests that arrive per second; None sends each as soon as the last is answered, as throughput
            has to be measured.
        options: values of options of the runtimes to choose from, by name; of the others all that tuning tries.
        max_metric_drop: by how much the metric of the user's own may be below fp32's; None does not judge by it.
        budget_s: seconds for the whole, building, judging and the rows at the end included; exceeded where the
            default itself takes longer to build, and by what the last step takes.

    Raises:
        UsageError: an objective that there is not, or a combination that makes no sense.
    """

    objective: str = "latency_p50_ms"
    constraints: tuple[Constraint, ...] = ()
    max_accuracy_drop: float | None = None
    min_snr_db: float | None = None
    backends: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    streams: tuple[int, ...] = ()
    rate_per_s: float | None = None
    options: tuple[tuple[str, tuple[str, ...]], ...] = ()
    max_metric_drop: float | None = None
    budget_s: float = 180.0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise UnknownName("objective", self.objective, OBJECTIVES)
        if self.max_accuracy_drop is not None and not 0 < self.max_accuracy_drop < 1:
            raise UsageError(
                f"a drop of {self.max_accuracy_drop:.3%} can't be judged: allow more than 0% and less than 100%"
            )
        if self.objective == RATE and self.rate_per_s is not None:
            raise UsageError(
                f"{RATE} is the rate itself of whatever keeps up with it: leave --rate out, or take a latency"
            )
        if self.objective in LATENCIES and max(len({*self.batches}), len({*self.streams})) > 1:
            raise UsageError(
                "a latency is of one batch and one number of streams: give one of each, or take throughput_ips"
            )

    @property
    def is_resident(self) -> bool:
        """Whether blocks are measured by processes that stay: one request after the other."""
        one_stream = {*self.streams} <= {1}
        return self.objective in LATENCIES and one_stream and self.rate_per_s is None


@dataclass
class Candidate:
    """One configuration, and what became of it.

    Attributes:
        configuration: what it is.
        row: before it is measured, then as it was measured.
        fate: "in", "slower", "unfit" or "failed".
        reason: why it is out.
        ratio: its objective over the winner's, as far as it was measured, above 1 where it is worse.
        missed: the constraints that its row does not meet.
    """

    configuration: Configuration
    row: Row
    request: WorkerRequest | None = None
    fate: str = IN
    reason: str = ""
    ratio: float | None = None
    missed: tuple[Constraint, ...] = ()

    @property
    def name(self) -> str:
        """Precision, backend, scenario, and what the runtime is told."""
        one = self.configuration
        batch = f"batch {one.batch}" if one.batch > 1 else ""
        options = options_text(one.options)
        return " ".join(
            w for w in (one.precision, one.mix, one.backend, one.scenario.text, batch, options) if w
        )


@dataclass(frozen=True)
class Meeting:
    """A candidate beside another: its objective over the other's, and what that says of it."""

    name: str
    other: str
    ratio: RatioInterval
    verdict: str


@dataclass(frozen=True)
class Tuned:
    """The answer for one network.

    Attributes:
        source: the network.
        question: what was asked.
        best: the chosen candidate, with its row; None where none meets the constraints.
        default: what would be taken without asking.
        candidates: all, the best first, those that were dropped after them.
        meetings: the winner of the race beside other runtimes' fp32, and would-be answers beside the default.
        measuring_s: seconds of blocks, comparisons, rows and layers that were timed, with all that was started
            for these.
        starting_s: those of them in which processes of races and comparisons were started, engines loaded and
            warmed up.
        elapsed_s: seconds of the whole.
        judged: how accuracy was judged, in words.
        calibration: what engines were calibrated with, and on which data.
        remarks: what else was found, such as what a mix of precisions was predicted to take.
        building_s, judging_s: of the seconds outside measuring, those in which engines were built, and in which it
            was found out what they lose.
        metric: "module:function" of the user's own that judged, on images that then don't calibrate; None without.
    """

    source: Source
    question: Question
    best: Candidate | None
    default: Candidate
    candidates: tuple[Candidate, ...]
    meetings: tuple[Meeting, ...]
    measuring_s: float
    starting_s: float
    elapsed_s: float
    judged: str
    calibration: CalibrationChoice = field(default_factory=CalibrationChoice)
    remarks: tuple[str, ...] = ()
    building_s: float = 0.0
    judging_s: float = 0.0
    metric: str | None = None

    @property
    def outside_s(self) -> float:
        """Seconds outside measuring."""
        return max(0.0, self.elapsed_s - self.measuring_s)

    @property
    def outside_share(self) -> float:
        """What was spent on other things than measuring, as a share of the budget."""
        return self.outside_s / self.question.budget_s

    @property
    def time_sentence(self) -> str:
        """Where the time went, in one sentence."""
        return (
            f"It took {self.elapsed_s:.0f} s: {self.measuring_s:.0f} s of measuring, {self.starting_s:.0f} of them "
            f"to start processes, {self.building_s:.0f} s of building and {self.judging_s:.0f} s of judging. What "
            f"was not measuring took {self.outside_share:.0%} of the budget of {self.question.budget_s:g} s."
        )

    @property
    def engine(self) -> Path | None:
        """The folder of the answer's engine; None where there is no answer, or it was not built here."""
        if self.best is None or self.best.request is None:
            return None
        return self.best.request.engine

    @property
    def rows(self) -> list[Row]:
        """The rows that were measured, the answer's first, and those of candidates that failed."""
        return [one.row for one in self.candidates if one.row.get("status") is not None]

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        name, objective = source_name(self.source), self.question.objective
        if self.best is None:
            return f"{name}: no configuration meets what was asked. {self._nearest()}".rstrip()
        value = self.best.row.get(objective)
        shown = "" if value is None else f", {objective} {general(value, 4)}"
        if self.best is self.default:
            others = [one for one in self.candidates if one is not self.default]
            why = "nothing else is surely better" if others else "it is the only one"
            if others and all(one.ratio is None for one in others):
                why = "no other one could be measured"
            return f"{name}: keep the default, {self.best.name}{shown}: {why}. {self.judged}"
        met = (self.best.name, self.default.name)
        against = next((m for m in self.meetings if (m.name, m.other) == met), None)
        gain = ""
        if against is not None:
            ends = 1 / against.ratio.high, 1 / against.ratio.low
            value, low, high = with_ends(1 / against.ratio.ratio, *ends)
            gain = (
                f", {value} times as good as the default {self.default.name} "
                f"({against.ratio.confidence:.0%} interval {low} to {high})"
            )
        return f"{name}: take {self.best.name}{shown}{gain}. {self.judged}"

    @property
    def frame(self) -> Frame:
        """All candidates, the best first: the columns of a profile, then candidate, fate and ratio.

        `reason` says why a candidate is out, or what its row says. What was not measured is blank.
        """
        from deploykit.report.frame import candidates_frame

        return candidates_frame(
            [
                {
                    **{name: one.row.get(name) for name in NAMES},
                    "candidate": one.name,
                    "fate": one.fate,
                    "ratio": one.ratio,
                    "reason": one.reason or one.row.get("reason"),
                }
                for one in self.candidates
            ]
        )

    @property
    def toml(self) -> str:
        """The answer as options of `deploykit profile` and `deploykit build`, for their --config.

        Raises:
            UsageError: there is no answer.
        """
        return to_toml(self)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The Pareto picture: the objective against top-1, or against the drift where none was measured.

        Args:
            path: an .svg or .png file to write it to as well.

        Raises:
            MissingDependency: matplotlib is not installed.
            UsageError: the path has another ending.
            OutputFailed: it can't be written.
        """
        from deploykit.workflow import pareto

        figure = pareto.draw([self])
        if path is not None:
            pareto.save(figure, Path(path))
        return figure

    def _nearest(self) -> str:
        """Who came nearest to the constraints that nobody meets, by the one that it misses by most.

        Who is refused for something else, or does not run, could not be taken either if the bounds were wider.
        """
        best: tuple[float, str] | None = None
        for one in self.candidates:
            values = [(missed, one.row.get(missed.column)) for missed in one.missed]
            known = [(missed, v) for missed, v in values if isinstance(v, int | float)]
            if not known or len(known) < len(values):
                continue
            distance = max(abs(v - m.bound) / (abs(m.bound) or 1.0) for m, v in known)
            if best is None or distance < best[0]:
                told = " and to ".join(f"{m}, with {general(v, 4)}" for m, v in known)
                best = distance, f"{one.name} came nearest to {told}."
        if best is not None:
            return best[1]
        if self.default.fate == FAILED:
            return f"Of the default: {self.default.reason}."
        measured = [one.row for one in self.candidates if one.row.get("status") == "ok"]
        if measured and all(map(overloaded, measured)):
            return "Requests arrive faster than any of those that were measured serves them."
        blank = {
            missed.column
            for one in self.candidates
            for missed in one.missed
            if one.row.get(missed.column) is None
        }
        if not blank:
            return ""
        are = f"{' and '.join(sorted(blank))} {'are' if len(blank) > 1 else 'is'}"
        return f"{are} blank in what was measured: the notes of the rows say why."


def as_values(tuned: Tuned) -> dict[str, Any]:
    """An answer as plain values, for JSON."""
    return {
        "model": source_name(tuned.source),
        "answer": tuned.sentence,
        "objective": tuned.question.objective,
        "best": None if tuned.best is None else {name: tuned.best.row.get(name) for name in NAMES},
        "candidates": [
            {
                "name": one.name,
                "fate": one.fate,
                "ratio": one.ratio,
                "reason": one.reason,
                "row": {name: one.row.get(name) for name in NAMES},
            }
            for one in tuned.candidates
        ],
        "meetings": [
            {"name": m.name, "other": m.other, "verdict": m.verdict, **vars(m.ratio)}
            for m in tuned.meetings
        ],
        "measuring_s": tuned.measuring_s,
        "starting_s": tuned.starting_s,
        "building_s": tuned.building_s,
        "judging_s": tuned.judging_s,
        "elapsed_s": tuned.elapsed_s,
        "budget_s": tuned.question.budget_s,
        "outside_s": tuned.outside_s,
        "outside_share": tuned.outside_share,
        "engine": None if tuned.engine is None else str(tuned.engine),
        "remarks": list(tuned.remarks),
    }


def to_toml(tuned: Tuned) -> str:
    """The answer as options of `deploykit profile` and `deploykit build`, for their --config.

    Raises:
        UsageError: there is no answer.
    """
    if tuned.best is None:
        raise UsageError(f"{source_name(tuned.source)} has no answer that could be written")
    row = tuned.best.row
    remarks = (
        tuned.sentence,
        f"device: {row.get('device') or 'unknown'}; date: {row.get('timestamp') or 'unknown'}",
        "deploykit profile --config FILE measures it; deploykit build --config FILE builds its engine.",
        *(() if tuned.engine is None else (f"its engine here: {tuned.engine.absolute()}",)),
    )
    lines = [f"# {printable(' '.join(text.split()))}" for text in remarks]
    lines += [f"{name} = {_as_toml(value)}" for name, value in as_options(tuned)]
    return "\n".join(lines) + "\n"


def as_options(tuned: Tuned) -> Iterator[tuple[str, Any]]:
    """What the answer is, by the names of the options that say it on the command line."""
    from deploykit import backends

    assert tuned.best is not None
    configuration, source = tuned.best.configuration, tuned.source
    yield from _of_source(source)
    yield "precision", configuration.precision
    yield "backend", configuration.backend
    yield "target", backends.get(configuration.backend).target
    scenario = configuration.scenario
    yield "batch", configuration.batch
    if scenario.threads is not None:
        yield "threads", scenario.threads
    yield "streams", scenario.streams
    if scenario.rate_per_s is not None:
        yield "rate", scenario.rate_per_s
    if configuration.options:
        yield "option", [f"{name}={value}" for name, value in configuration.options]
    choice = tuned.calibration
    if configuration.kept:
        keep = replace(choice.keep, nodes=(*choice.keep.nodes, *configuration.kept))
        choice = replace(choice, keep=keep)
    yield from _of_calibration(choice)
    if tuned.metric is not None:  # which keeps the test images out of calibration
        yield "metric", tuned.metric


def _of_source(source: Source) -> Iterator[tuple[str, Any]]:
    if isinstance(source, ModelFile):
        yield "model", str(source.path.absolute())
        yield from _of_inputs(source.inputs)
        return
    yield "model", source.name
    if source.alpha != 1:
        yield "alpha", source.alpha
    if source.rho != 1:
        yield "rho", str(source.rho)
    if source.weights != ModelSpec.weights:
        is_file = Path(source.weights).is_file()
        yield "weights", str(Path(source.weights).absolute()) if is_file else source.weights
    if source.num_classes is not None:
        yield "num-classes", source.num_classes
    if source.resolution_px is not None:
        yield "resolution", source.resolution_px
    if source.seed:
        yield "seed", source.seed


def _of_inputs(inputs: InputChoice) -> Iterator[tuple[str, Any]]:
    if inputs.shapes:
        sizes = [
            (name, "x".join("?" if size is None else str(size) for size in shape) or "scalar")
            for name, shape in inputs.shapes
        ]
        yield "shape", [f"{name}={text}" if name else text for name, text in sizes]
    if inputs.dims:
        yield "dim", [f"{name}={size}" for name, size in inputs.dims]
    if inputs.values:
        yield "input", [f"{name}={_anywhere(text)}" for name, text in inputs.values]
    if inputs.layout is not None:
        yield "layout", inputs.layout


def _anywhere(values: str) -> str:
    """What an input is fed, its file by a path that holds in any folder."""
    return str(Path(values).absolute()) if values.endswith(".npy") else values


def _of_calibration(choice: CalibrationChoice) -> Iterator[tuple[str, Any]]:
    if choice.data is not None:
        plain, _ = split_options(choice.data)
        told = choice.data[len(plain) :]
        kind, colon, place = plain.partition(":")
        is_path = bool(colon) and Path(place).exists()
        yield "data", f"{kind}:{Path(place).absolute()}{told}" if is_path else choice.data
    if choice.method != CalibrationChoice.method:
        yield "calibration-method", choice.method
    if choice.int8 != CalibrationChoice.int8:
        yield "int8", choice.int8
    if choice.images is not None:
        yield "calibration-images", choice.images
    if choice.synthetic:
        yield "synthetic-calibration", True
    if choice.strict:
        yield "strict", True
    if choice.keep.nodes:
        yield "keep", list(choice.keep.nodes)
    if choice.keep.op_types:
        yield "keep-op", list(choice.keep.op_types)
    if choice.keep.drift:
        yield "keep-drift", choice.keep.drift


def _as_toml(value: Any) -> str:
    """A value as TOML writes it: its strings are JSON's but for one character."""
    if isinstance(value, list):
        return f"[{', '.join(map(_as_toml, value))}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
