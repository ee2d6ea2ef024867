"""Tuning over architectures: every network has its answer, and one of them is the cheapest that holds all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploykit.bench.scenario import Constraint
from deploykit.errors import DeploykitError, OutputFailed, UsageError
from deploykit.figures import general
from deploykit.spec import ModelSpec
from deploykit.store import Store
from deploykit.workflow.configuration import ProfileOptions, source_name
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.space import candidates
from deploykit.workflow.trained import Training
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import RATE, Candidate, Question, Tuned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deploykit.report.frame import Frame


@dataclass(frozen=True)
class Refused:
    """A network that was not tuned.

    Attributes:
        source: the network.
        why: in one sentence.
        error: what was raised; None where its top-1 is too low.
    """

    source: Source
    why: str
    error: DeploykitError | None = None


@dataclass
class Frontier:
    """Answers for several networks.

    Attributes:
        answers: of those that were tuned, in the order in which they were asked for.
        refused: the others.
    """

    answers: list[Tuned] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def cheapest(self) -> Tuned | None:
        """The answer with the best objective of those that hold everything; None where none does."""
        return min(self._held(), key=_cost, default=None)

    @property
    def line(self) -> list[Tuned]:
        """The answers that no other one beats in both objective and top-1, the cheapest first.

        Where no top-1 is known, the cheapest alone.
        """
        found: list[Tuned] = []
        for one in sorted(self._held(), key=lambda one: (_cost(one), -(_top1(one) or 0.0))):
            if not found or (_top1(one) or 0.0) > (_top1(found[-1]) or 0.0):
                found.append(one)
        return found

    @property
    def sentence(self) -> str:
        """Which network to take, and which others are worth their price."""
        asked = len(self.answers) + len(self.refused)
        best = self.cheapest
        if best is None:
            return f"None of {asked} networks holds what was asked."
        text = f"Of {asked} networks take {_told(best)}: it is the cheapest that holds everything."
        line = self.line
        if _top1(best) is None:
            return f"{text} Top-1 of it is not known, so that no other one can be set against its price."
        if len(line) == 1:
            return f"{text} No other one that does has a higher top-1."
        return f"{text} The frontier: {'; '.join(map(_told, line))}."

    @property
    def best(self) -> Candidate | None:
        """The chosen candidate of the cheapest network; None where none holds everything."""
        return None if self.cheapest is None else self.cheapest.best

    @property
    def engine(self) -> Path | None:
        """The folder of the engine of `best`; None where there is none."""
        return None if self.cheapest is None else self.cheapest.engine

    @property
    def frame(self) -> Frame:
        """The candidates of every network that was tuned, as `Tuned.frame` has them."""
        from deploykit.report.frame import candidates_frame, joined

        return joined([one.frame for one in self.answers]) if self.answers else candidates_frame([])

    @property
    def toml(self) -> str:
        """The answer of the cheapest network as options, for --config of the commands.

        Raises:
            UsageError: no network holds everything.
        """
        if self.cheapest is None:
            raise UsageError(f"{self.sentence.rstrip('.')}, so that there is nothing to write")
        return self.cheapest.toml

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """The Pareto picture of all networks; as `Tuned.plot`.

        Raises:
            UsageError: no network was tuned, or the path has another ending than .svg and .png.
            MissingDependency: matplotlib is not installed.
            OutputFailed: the path can't be written.
        """
        from deploykit.workflow import pareto

        if not self.answers:
            raise UsageError("no network was tuned, so that there is nothing to draw")
        figure = pareto.draw(self.answers)
        if path is not None:
            pareto.save(figure, Path(path))
        return figure

    def _held(self) -> list[Tuned]:
        return [one for one in self.answers if one.best is not None]


def tune_each(
    sources: Sequence[Source],
    question: Question,
    options: ProfileOptions,
    store: Store,
    *,
    min_top1: float | None = None,
    training: Training | None = None,
    say: Say = lambda text: None,
    detail: Say = lambda text: None,
    step: Callable[[], None] = lambda: None,
) -> Iterator[Tuned | Refused]:
    """Tune networks one after the other, and give each answer as it is found.

    Args:
        sources: the networks.
        question: what is asked of each.
        options: how rows are measured, calibrated and judged.
        store: of graphs and engines, and of the journals.
        min_top1: least share of images that must be told right, as a share, by the lower end of its 95% interval;
            a network that is below it in fp32 is not tuned.
        training: trains networks of the catalogue that no trained weights come for; None trains none.
        say: is told which phase begins.
        detail: is told every step.
        step: is called when a network is done.

    Raises:
        DeploykitError: the only network can't be tuned; of several, it is in the `Refused`.
        OutputFailed: the store can't be written.
    """
    if min_top1 is not None:
        bound = Constraint("top1_low", ">=", min_top1)
        question = replace(question, constraints=(*question.constraints, bound))
    ended: list[Tuning] = []
    for asked in sources:
        source = asked
        try:
            why = None
            if training is not None:
                source = training.of(asked, store, say, detail)
            if min_top1 is not None:
                profiler = Profiler(store, options, detail)
                say(f"{source_name(source)}: top-1 in fp32")
                why = _too_low(source, question, profiler, min_top1)
            if why is not None:
                yield Refused(source, why)
            else:
                tuning = Tuning(source, question, options, store, say, detail)
                # Until all have their answers: broken off, the same command measures none of them again.
                if len(sources) > 1:
                    tuning.keeps_journal = True
                    ended.append(tuning)
                yield tuning()
        except OutputFailed:
            raise
        except DeploykitError as error:
            if len(sources) == 1:
                raise
            yield Refused(source, f"{source_name(source)}: {error}", error)
        step()
    for tuning in ended:
        tuning.forget()


def _too_low(source: Source, question: Question, profiler: Profiler, min_top1: float) -> str | None:
    """Why a network is refused for its top-1 in fp32; None where it is not.

    Raises:
        UsageError: there are no labels to judge it by.
        DeploykitError: it can't be measured.
    """
    name = source_name(source)
    said = profiler.why_unjudged(source)
    if said is not None:
        raise UsageError(
            f"top-1 of {name} can't be judged: {said}; give labelled images with --data, or leave --min-top1 out"
        )
    default, _ = candidates(source, question)
    (row,) = profiler.rows([default])
    top1, low = row.get("top1"), row.get("top1_low")
    if top1 is None or low is None:
        why = next((note.text for note in row.notes), "it is blank")
        raise UsageError(f"top-1 of {name} was not measured: {why}")
    if low >= min_top1:
        return None
    text = f"{name} is refused: its top-1 in fp32 is {top1:.1%}, and may be {low:.1%} (95%), below {min_top1:.1%}"
    if isinstance(source, ModelSpec) and source.weights == "random" and ":" not in source.name:
        text += "; its weights are random: take --weights trained, or --train"
    return text


def _told(tuned: Tuned) -> str:
    """A network's answer with its price and its top-1."""
    assert tuned.best is not None
    value, top1 = tuned.best.row.get(tuned.question.objective), _top1(tuned)
    price = "" if value is None else f"{tuned.question.objective} {general(value, 4)}"
    right = "" if top1 is None else f"top-1 {top1:.1%}"
    shown = ", ".join(part for part in (price, right) if part)
    return f"{source_name(tuned.source)} as {tuned.best.name}" + (f" ({shown})" if shown else "")


def _cost(tuned: Tuned) -> float:
    assert tuned.best is not None
    value = tuned.best.row.get(tuned.question.objective)
    if not isinstance(value, int | float):
        return float("inf")
    return -value if tuned.question.objective == RATE else value


def _top1(tuned: Tuned) -> float | None:
    value = None if tuned.best is None else tuned.best.row.get("top1")
    return float(value) if isinstance(value, int | float) else None
