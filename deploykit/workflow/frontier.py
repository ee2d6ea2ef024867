"""Tuning over architectures: every network has its answer, and one of them is the cheapest that holds all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.bench.channel import WorkerFailure
from deploykit.bench.race import FAR_OFF
from deploykit.bench.scenario import Constraint
from deploykit.errors import DeploykitError, OutputFailed, UsageError
from deploykit.figures import general, with_ends
from deploykit.spec import ModelSpec
from deploykit.stats import RatioInterval
from deploykit.store import Store
from deploykit.workflow.configuration import ProfileOptions, source_name
from deploykit.workflow.confirmation import CONFIRM_S, FRESH_BLOCK_S, FRESH_ROUNDS, compared
from deploykit.workflow.journal import Entry, Journal
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.races import LIMIT_S
from deploykit.workflow.space import candidates
from deploykit.workflow.trained import Training
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import BYTES, MEMORY, RATE, Candidate, Question, Tuned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from deploykit.report.frame import Frame

#: So many networks, the nearest first, meet the one that is the cheapest by its row.
MAX_BESIDE = 3


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


@dataclass(frozen=True)
class Beside:
    """A network's answer in turns with that of the network which is the cheapest by its row.

    Attributes:
        answer: the network's.
        cheapest: the other one.
        ratio: its objective over the other's, of a rate the time of an image, above 1 where it is worse; None where
            it was not found out.
        why: the reason of that.
    """

    answer: Tuned
    cheapest: Tuned
    ratio: RatioInterval | None
    why: str = ""

    @property
    def sentence(self) -> str:
        """What was found, in a clause."""
        ours, theirs = (source_name(one.source) for one in (self.answer, self.cheapest))
        if self.ratio is None:
            return f"{ours} was not measured in turns with {theirs}: {self.why}"
        value, low, high = with_ends(self.ratio.ratio, self.ratio.low, self.ratio.high)
        return f"{ours} took {value} times what {theirs} took (99% interval {low} to {high})"


@dataclass
class Frontier:
    """Answers for several networks.

    Attributes:
        answers: of those that were tuned, in the order in which they were asked for.
        refused: the others.
        beside: those that are near the cheapest, in turns with it.
    """

    answers: list[Tuned] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    beside: list[Beside] = field(default_factory=list)

    def take(self, one: Tuned | Refused | Beside) -> None:
        """Add what was found, as `tune_each` gives it."""
        if isinstance(one, Refused):
            self.refused.append(one)
        elif isinstance(one, Beside):
            self.beside.append(one)
        else:
            self.answers.append(one)

    @property
    def cheapest(self) -> Tuned | None:
        """The answer with the best objective of those that hold everything; None where none does.

        Of those that were measured in turns, by that rather than by their rows, which are minutes apart.
        """
        return min(self._held(), key=self._cost, default=None)

    @property
    def line(self) -> list[Tuned]:
        """The answers that no other one beats in both objective and top-1, the cheapest first.

        Where no top-1 is known, the cheapest alone.
        """
        found: list[Tuned] = []
        for one in sorted(self._held(), key=lambda one: (self._cost(one), -(_top1(one) or 0.0))):
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
        if self.beside:
            text += f" In turns at the end, {'; '.join(one.sentence for one in self.beside)}."
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

    def beside_values(self, answer: Tuned) -> list[dict[str, Any]]:
        """What an answer took of the cheapest one in turns, for JSON; empty where the two did not meet."""
        return [
            {
                "model": source_name(one.cheapest.source),
                "why": one.why,
                **({} if one.ratio is None else vars(one.ratio)),
            }
            for one in self.beside
            if one.answer is answer
        ]

    def near(self) -> list[Tuned]:
        """The cheapest by its row, and behind it those that may be as cheap, as rows are minutes apart.

        Only of those whose engines are here, and of nothing that a busy machine leaves as it is.
        """
        held = [
            one for one in self._held() if one.best is not None and one.best.request is not None
        ]
        if not held or held[0].question.objective in (BYTES, MEMORY):
            return held[:1]
        first, *others = sorted(held, key=_cost)
        if _cost(first) < 0:
            near = [one for one in others if _cost(one) * FAR_OFF <= _cost(first)]
        else:
            near = [one for one in others if _cost(one) <= _cost(first) * FAR_OFF]
        return [first, *near[:MAX_BESIDE]]

    def _cost(self, one: Tuned) -> float:
        """What an answer's objective is, the smaller the better."""
        met = next((found for found in self.beside if found.answer is one), None)
        if met is None or met.ratio is None:
            return _cost(one)
        cost = _cost(met.cheapest)
        return cost / met.ratio.ratio if cost < 0 else cost * met.ratio.ratio

    def _held(self) -> list[Tuned]:
        return [one for one in self.answers if one.best is not None]


def beside_s(question: Question, networks: int) -> float:
    """Seconds that networks in turns take at the most, without what starting them does."""
    if question.objective in (BYTES, MEMORY):
        return 0.0
    each_s = CONFIRM_S if question.is_resident else FRESH_ROUNDS * 2 * FRESH_BLOCK_S
    return min(networks - 1, MAX_BESIDE) * each_s


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
) -> Iterator[Tuned | Refused | Beside]:
    """Tune networks one after the other, and give each answer as it is found, then who met the cheapest in turns.

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
    found, by_whom = Frontier(), list[tuple[Tuned, Tuning]]()
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
                answer = tuning()
                by_whom.append((answer, tuning))
                found.take(answer)
                yield answer
        except OutputFailed:
            raise
        except DeploykitError as error:
            if len(sources) == 1:
                raise
            yield Refused(source, f"{source_name(source)}: {error}", error)
        step()
    yield from _in_turns(found.near(), by_whom, options, say, detail)
    for tuning in ended:
        tuning.forget()


def _in_turns(
    near: Sequence[Tuned],
    by_whom: Sequence[tuple[Tuned, Tuning]],
    options: ProfileOptions,
    say: Say,
    detail: Say,
) -> Iterator[Beside]:
    """Measure answers in turns with the first of them; what that found before is in its journal."""
    if len(near) < 2:
        return
    first, *others = near
    say(f"{source_name(first.source)} in turns with {len(others)} that may be as cheap")

    def journal_of(one: Tuned) -> Journal:
        return next(tuning.journal for answer, tuning in by_whom if answer is one)

    def label(one: Tuned) -> str:
        """What tells an engine apart from that of any other network or version."""
        assert one.best is not None
        return f"{journal_of(one).path.stem} {one.best.name}"

    for one in others:
        assert one.best is not None
        assert first.best is not None
        known = journal_of(first).met.get((label(one), label(first)))
        if known is not None:
            yield Beside(one, first, known)
            continue
        detail(f"{source_name(one.source)} beside {source_name(first.source)}")
        try:
            ratio, _ = compared(
                first.question,
                options.policy,
                one.best,
                first.best,
                beside_s(first.question, 2),
                lambda: options.timeout_s or LIMIT_S,
            )
        except WorkerFailure as failure:
            yield Beside(one, first, None, str(failure))
            continue
        entry = Entry(name=label(one), other=label(first), ratio=ratio)
        journal_of(first).write(entry)
        yield Beside(one, first, ratio)


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
    only = profiler.only_batch(default)
    if only is not None:
        default = replace(default, batch=only)
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
