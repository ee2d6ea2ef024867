"""The decision: the configuration that is best by one objective and holds what it must, found and confirmed.

Candidates are what the installed runtimes offer for a network: backends, precisions, threads, batches and streams.
The default, fp32 on ONNX Runtime with all cores, is always among them, and is the answer where nothing is surely
better. How it goes:

1. The default is built.
2. A first look measures each candidate beside the default. Its engine is built right before, so that none is built
   which there is no time to look at; what can't be built is out, with the reason.
3. From the fastest on, engines are judged: drift, which takes no labels, then accuracy image by image until it is
   decided (`stats.sequential`). Those far behind the best that is accepted aren't judged at all.
4. Those left race in turns (`bench.race`).
5. Where ONNX Runtime's int8 or fp32 is among the best, the best mix of both is predicted from what each layer takes
   (`workflow.what_if`), built, and races beside them. Where int8 is refused for what it loses, and was faster than
   the best, so does int8 with the fewest layers in fp32 with which it does not lose that (`workflow.keep`).
   The best few race once more beside themselves with one option of the runtime changed, and then with all that
   helped. An option is told only where the runtime is surely better for it.
6. The winner meets the fp32 of every other runtime, and whoever is to be the answer the default, in an interleaved
   comparison.
7. The first that is surely better than the default and whose row meets the constraints is the answer; else the
   default is, if it meets them. Who came close is measured as a row beside it.

The budget is of the whole, building included: each step has a part of what is left, what does not get done in it is
out and says so, and enough is kept for the end. The default's own engine is built whatever it takes.

What is measured is written to a journal in the store as it is measured, and the same question goes on from there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit import backends, codec, env
from deploykit.bench.contain import TimeLimit
from deploykit.bench.race import FAILED, FAR_OFF, IN, LATE, SLOWER, UNFIT
from deploykit.code_digest import others_digest
from deploykit.errors import DeploykitError, OutputFailed
from deploykit.row import Note, Row
from deploykit.spec import ModelFile, ModelSpec
from deploykit.store import Store, file_sha256, key_of
from deploykit.workflow.configuration import Configuration, ProfileOptions, source_name
from deploykit.workflow.confirmation import Confirmation
from deploykit.workflow.fitness import Fitness
from deploykit.workflow.journal import Entry, Journal
from deploykit.workflow.judge import data_key
from deploykit.workflow.keep import name_as_rule
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.races import MIN_GAIN, Races, needed_times, prepare, share_of, too_short
from deploykit.workflow.space import candidates, combined_changes, single_changes
from deploykit.workflow.tuned import BYTES, MEMORY, Candidate, Question, Tuned
from deploykit.workflow.what_if import MIN_GAIN as MIX_GAIN
from deploykit.zoo.catalogue import is_factory

#: The part of what is left once the default is built that the other engines may take; nearly all where the smallest
#: engine is asked for, which is raced with nobody.
BUILDING_SHARE, BUILDING_ALONE_SHARE = 0.4, 0.9
#: The best so many engines are tried with options of their runtimes.
OPTION_BASES = 2
#: A mix of precisions takes about so many seconds to predict, and is not begun with less than that left.
MIX_MIN_S = 45.0


#: Packages that make, judge and run engines.
_PACKAGES = (
    *("deploykit", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "torch"),
    *("tensorrt", "tensorrt-rtx"),
)


def _of_engines(source: Source, options: ProfileOptions) -> dict[str, Any]:
    """What else makes and judges the engines that a journal tells of: the file, calibration, builders, users' code.

    The file is that of the network, or of its weights. A function of the user's own, which makes the network or is
    the metric, may be mended before a tuning that was broken off goes on.
    """
    place = source.path if isinstance(source, ModelFile) else Path(source.weights)
    factory = source.name if isinstance(source, ModelSpec) and is_factory(source.name) else None
    own = (factory, options.metric)
    file = [str(place.absolute()), file_sha256(place)] if place.is_file() else None
    return {
        "file": file,
        "calibration": codec.to_values(options.calibration),
        "versions": {name: env.package_version(name) for name in _PACKAGES},
        "own": [None if name is None else others_digest(name, Path.cwd()) for name in own],
    }


class Tuning:
    """Answers a question for one network.

    Args:
        source: the network.
        question: what is asked.
        options: how rows are measured, calibrated and judged.
        store: of graphs and engines, and of the journal.
        say: is told which phase begins.
        detail: is told every step: each engine that is built, each round.

    Attributes:
        keeps_journal: whether what was measured stays in the journal when the answer is found, until `forget`.
    """

    def __init__(
        self,
        source: Source,
        question: Question,
        options: ProfileOptions,
        store: Store,
        say: Say = lambda text: None,
        detail: Say = lambda text: None,
    ) -> None:
        self.source, self.question, self.say, self.detail = source, question, say, detail
        self.profiler = Profiler(store, options, detail)
        facts = {
            "question": codec.to_values(question),
            "source": repr(source),
            "judged": [options.data and data_key(options.data), options.metric],
            "env": env.env_id(),
            **_of_engines(source, options),
        }
        self.keeps_journal = False
        self.journal = Journal(store.root / "tune" / f"{key_of(facts)[:16]}.jsonl")
        self._limit = TimeLimit(question.budget_s, "--budget")
        self._reserve_s = self._end_s = self._before_races_s = self._default_built_s = 0.0
        self.fitness = Fitness(
            source, question, self.profiler, self.journal, lambda: self._left_s, detail
        )
        self.races = Races(
            source,
            question,
            self.profiler,
            self.journal,
            self.fitness,
            lambda: self._left_s,
            self._budget_for_s,
            say,
            detail,
        )
        self.confirmation = Confirmation(
            source,
            question,
            self.profiler,
            self.journal,
            self.fitness,
            self.races,
            lambda: self._limit.left_s(),
            say,
            detail,
        )
        self._predicting_s = self._building_s = self._keeping_s = 0.0
        self._remarks: list[str] = []

    def __call__(self) -> Tuned:
        """Find the answer.

        Raises:
            UsageError: accuracy is to be judged and can't be, data has nothing for an input, or the budget is too
                short for any choice.
            MissingDependency: a backend can't run here.
            OutputFailed: the store can't be written.
            DeploykitError: the default itself can't be built.
        """
        start = time.perf_counter()
        self._limit = TimeLimit(self.question.budget_s, "--budget")
        self.fitness.require_labels()
        self.profiler.check_fed(self.source)
        too_few = self.fitness.too_few_images()
        self._building_s += time.perf_counter() - start  # the network is exported for that
        self.fitness.measure_metric()
        by_size = self.question.objective == BYTES
        default, others = self._built() if by_size else self._listed()
        everyone = {one.name: one for one in (default, *others)}
        fit = {name: one for name, one in everyone.items() if one.fate == IN}
        self._keep_for_the_end(everyone.values(), default)
        with self._limit.bounding():
            if by_size:
                order = self._by_size(fit)
            else:
                self._before_races_s = time.perf_counter() - start
                building_s = BUILDING_SHARE * self._limit.left_s()
                order = self.races.raced(fit, default, building_s, self._default_built_s)
                self._keep_for_the_end(everyone.values(), default)
                order = self._with_mix(order, everyone, default)
                order = self._with_layers_kept(order, everyone, default)
                order = self._with_options(order, everyone)
        best, meetings = self.confirmation.answered(order, everyone, default)
        for one in everyone.values():
            _tell_failure(one)
        elapsed_s = time.perf_counter() - start
        if not self.keeps_journal:
            self.forget()
        first = [] if best is None else [best]
        in_order = [*first, *(one for one in order if one is not best)]
        rest = [one for one in everyone.values() if one not in in_order]
        return Tuned(
            self.source,
            self.question,
            best,
            default,
            (*in_order, *rest),
            tuple(meetings),
            self._measuring_s,
            self.races.starting_s + self.confirmation.starting_s,
            elapsed_s,
            self.fitness.text,
            self.profiler.options.calibration,
            (
                *((too_few,) if too_few else ()),
                *self._remarks,
                *self.races.remarks,
                *self.confirmation.remarks,
            ),
            self._building_s + self.races.building_s,
            self.fitness.judging_s + self._keeping_s,
            self.profiler.options.metric,
        )

    def forget(self) -> None:
        """Let go of the journal: the same question is measured anew."""
        self.journal.end()

    @property
    def _measuring_s(self) -> float:
        return self._predicting_s + self.races.measuring_s + self.confirmation.measuring_s

    @property
    def _left_s(self) -> float:
        """What is left of the budget before the winner meets the default."""
        return max(0.0, self._limit.left_s() - self._reserve_s)

    def _keep_for_the_end(self, everyone: Iterable[Candidate], default: Candidate) -> None:
        """Set aside what the end takes, but no more than half of what is left."""
        self._end_s = self.confirmation.reserve_s(everyone, default)
        self._reserve_s = min(self._end_s, self._limit.left_s() / 2)

    def _budget_for_s(self, racing_s: float, building_s: float) -> float:
        """The budget that leaves races so many seconds, so many of them for building, and the end its own."""
        left_s = max(racing_s + min(racing_s, self._end_s), building_s / BUILDING_SHARE)
        return self._before_races_s + left_s

    # --- Candidates ---

    def _listed(self) -> tuple[Candidate, list[Candidate]]:
        """The default, whose engine is built, and all other candidates."""
        default, others = candidates(self.source, self.question)
        self.say(f"{source_name(self.source)}: build the default")
        start = time.perf_counter()
        only = self.profiler.only_batch(default)
        if only is not None:
            default, others = self._at_batch(only, default, others)
        row, request = self.profiler.prepared(default)  # without it there is nothing to beat
        self._default_built_s = time.perf_counter() - start
        self._building_s += self._default_built_s
        named = [Candidate(one, self.profiler.named(one)) for one in others]
        return Candidate(default, row, request), named

    def _at_batch(
        self, only: int, default: Configuration, others: list[Configuration]
    ) -> tuple[Configuration, list[Configuration]]:
        """The candidates of a graph that takes one batch only: whatever is named, they run that one.

        Named after another batch, each would race against itself, and the answer would be written with a batch that
        was never run.
        """
        left_out = [str(size) for size in dict.fromkeys(self.question.batches) if size != only]
        if left_out:
            self._remarks.append(
                f"The graph takes batch {only} only: batch {' and '.join(left_out)} can't be tried."
            )
        default = replace(default, batch=only)
        found = dict.fromkeys(replace(one, batch=only) for one in others)
        return default, [one for one in found if one != default]

    def _built(self) -> tuple[Candidate, list[Candidate]]:
        """The default and all other candidates, their engines built.

        Raises:
            UsageError: nothing but the default was built in the part of the budget that building has.
        """
        default, others = self._listed()
        self.say(f"{source_name(self.source)}: build {len(others)} candidates")
        building = time.perf_counter()
        limit = TimeLimit(BUILDING_ALONE_SHARE * self._limit.left_s(), "--budget")
        late, one_s = list[Candidate](), self._default_built_s
        for place, one in enumerate(others, 1):
            allowed = TimeLimit(
                share_of(limit.left_s(), len(others) - place), "--budget that building has"
            )
            with allowed.bounding():
                is_built = prepare(one, self.profiler)
            if not is_built and allowed.left_s() <= 0:
                late.append(one)
                one_s = max(one_s, time.perf_counter() - allowed.start_s)
        self._building_s += time.perf_counter() - building
        if late and all(one.request is None for one in others):
            before_s = building - self._limit.start_s
            needed_s = before_s + one_s * needed_times(len(others) - 1) / BUILDING_ALONE_SHARE
            raise too_short(self.question, "building a second engine", needed_s, begun=late[0].name)
        return default, others

    # --- A mix of precisions ---

    def _with_mix(
        self, order: list[Candidate], everyone: dict[str, Candidate], default: Candidate
    ) -> list[Candidate]:
        """The order of those that are in, once the best mix of int8 and fp32 raced beside the better of both."""
        base = next((one for one in order if _may_be_mixed(one)), None)
        if base is None or default.configuration.precision != "fp32":
            return order
        if self.question.objective == MEMORY:  # which times of layers say nothing of
            return order
        in_int8 = replace(base.configuration, precision="int8")
        built = [o for o in everyone.values() if o.configuration == in_int8 and o.request]
        left_s = self._left_s
        is_worth = left_s >= MIX_MIN_S and self.races.has_time("mix", order, left_s - MIX_MIN_S)
        if not built or (self.journal.kept is None and not is_worth):
            return order
        kept = self._mix(in_int8)
        if not kept:
            return order
        mixed = Candidate(replace(in_int8, kept=kept), Row({})).name
        changed, before = {base.name: [replace(in_int8, kept=kept)]}, order
        order, _ = self.races.told("mix", order, changed, everyone, self._left_s)
        mix = everyone.get(mixed)
        if mix is not None and mix.ratio is not None and base.ratio:
            self._remarks.append(
                f"In the race {mix.name} took {mix.ratio / base.ratio:.3f} of {base.name}."
            )
        if mix in order and (reason := self.fitness.reason(mix)):
            mix.fate, mix.reason = UNFIT, reason
            order = _without(mix, order, before, everyone)
        return order

    def _mix(self, int8: Configuration) -> tuple[str, ...]:
        """The layers that the best mix keeps in fp32; none where none is predicted to be worth building."""
        if self.journal.kept is not None:
            return self.journal.kept
        name = source_name(self.source)
        self.say(f"{name}: what a mix of int8 and fp32 would take")
        start = time.perf_counter()
        try:
            found = self.profiler.what_if(int8)
        except OutputFailed:
            raise
        except DeploykitError as error:
            self._remarks.append(f"A mix of int8 and fp32 was not predicted: {error}")
            return ()
        finally:
            self._predicting_s += time.perf_counter() - start
        worth = found.is_mix and found.gain >= MIX_GAIN
        self._remarks.append(found.sentence)
        kept = found.kept if worth else ()
        self.journal.write(Entry(kept=list(kept)))
        return kept

    # --- int8 that lost too much ---

    def _with_layers_kept(
        self, order: list[Candidate], everyone: dict[str, Candidate], default: Candidate
    ) -> list[Candidate]:
        """The order once int8 that lost too much raced with the fewest layers in fp32 with which it does not."""
        lost = [one for one in everyone.values() if _may_be_saved(one)]
        left_s = self._left_s
        if not lost or not order or default.configuration.precision != "fp32":
            return order
        is_worth = left_s >= MIX_MIN_S and self.races.has_time("layers kept", order, left_s / 2)
        if self.journal.saving is None and not is_worth:
            return order
        fastest = min(lost, key=lambda one: one.ratio or 1.0)
        kept = self._layers_to_keep(fastest, left_s / 2)
        if not kept:
            return order
        saved = replace(fastest.configuration, kept=kept)
        name = Candidate(saved, Row({})).name
        mix = everyone.get(name)  # that keeps as many layers, perhaps other ones
        if mix is not None and (mix in order or mix.configuration == saved):
            return order
        before = order
        order, _ = self.races.told(
            "layers kept", order, {order[0].name: [saved]}, everyone, self._left_s
        )
        one = everyone.get(name)
        if one is not None and one in order and (reason := self.fitness.reason(one)):
            one.fate, one.reason = UNFIT, reason
            order = _without(one, order, before, everyone)
        return order

    def _layers_to_keep(self, lost: Candidate, limit_s: float) -> tuple[str, ...]:
        """The fewest layers in fp32 with which a candidate loses half of what it may on the calibration part."""
        if self.journal.saving is not None:
            return self.journal.saving
        self.say(f"{source_name(self.source)}: layers of int8 to keep in fp32")
        start = time.perf_counter()
        try:
            found = self.profiler.layers_to_keep(lost.configuration, self.fitness.goal, limit_s)
        except OutputFailed:
            raise
        except DeploykitError as error:
            self._remarks.append(f"Which layers of int8 to keep in fp32 was not found: {error}")
            return ()
        finally:
            self._keeping_s += time.perf_counter() - start
        kept = tuple(map(name_as_rule, found.nodes or ()))
        self._remarks.append(
            f"{lost.name} was tried once more with {len(kept)} of {found.candidates} layers in fp32."
            if kept
            else f"No choice of layers in fp32 was found with which {lost.name} would hold it."
        )
        self.journal.write(Entry(saving=list(kept)))
        return kept

    # --- Options of the runtimes ---

    def _with_options(
        self, order: list[Candidate], everyone: dict[str, Candidate]
    ) -> list[Candidate]:
        """The order of those that are in once the best were told options one by one, and then what helped together.

        Candidates that come to be are added to `everyone`.
        """
        engines: dict[object, Candidate] = {}
        for one in order:
            at = one.configuration
            engines.setdefault((at.backend, at.precision, at.kept), one)
        bases = [one for one in engines.values() if (one.ratio or 1.0) <= FAR_OFF][:OPTION_BASES]
        changed = {base.name: single_changes(base.configuration, self.question) for base in bases}
        told, helped = self.races.told("options", order, changed, everyone, self._left_s)
        together = {
            variants[0].name: [combined]
            for base, variants in helped.items()
            if (
                combined := combined_changes(
                    [one.configuration for one in variants], everyone[base].configuration
                )
            )
            is not None
        }
        told, _ = self.races.told("options together", told, together, everyone, self._left_s)
        # Their engines were judged; what an option does to the outputs is, where it would be the answer.
        while told and told[0].configuration.options and (reason := self.fitness.reason(told[0])):
            told[0].fate, told[0].reason = UNFIT, reason
            told = _without(told[0], told, order, everyone)
        return told

    def _by_size(self, fit: Mapping[str, Candidate]) -> list[Candidate]:
        """By the bytes of the engine, which need no race: judged from the smallest on, until one is accepted."""
        smallest = sorted(fit.values(), key=lambda one: int(one.row[BYTES]))
        least = int(smallest[0].row[BYTES])
        accepted: list[Candidate] = []
        for candidate in smallest:
            candidate.ratio = int(candidate.row[BYTES]) / least
            if accepted and candidate.row[BYTES] > accepted[0].row[BYTES]:
                candidate.fate, candidate.reason = SLOWER, f"{accepted[0].name} is smaller"
                continue
            reason = self.fitness.reason(candidate)
            if reason:
                candidate.fate, candidate.reason = UNFIT, reason
            else:
                accepted.append(candidate)
        return accepted


def _without(
    refused: Candidate,
    order: Iterable[Candidate],
    before: Iterable[Candidate],
    everyone: Mapping[str, Candidate],
) -> list[Candidate]:
    """The order without one that is refused once it had raced.

    Args:
        refused: who is out.
        order: that the race left.
        before: it; who was slower than the refused one alone is in again.
        everyone: whose ratios are to whoever comes first now.
    """
    back = [one for one in before if one.fate == SLOWER]
    for one in back:
        one.fate, one.reason = IN, ""
    left = [*(one for one in order if one is not refused), *back]
    # Who is not surely better than what it was made of has a reason, and comes after it.
    rest = sorted(left, key=lambda one: (bool(one.reason), one.ratio or math.inf))
    leading = rest[0].ratio if rest else None
    if leading:
        for one in everyone.values():
            one.ratio = None if one.ratio is None else one.ratio / leading
    return rest


def _tell_failure(candidate: Candidate) -> None:
    """Let a candidate that failed have a row that says why; one whose turn to be looked at never came has none."""
    row, reason = candidate.row, candidate.reason
    if candidate.fate == FAILED and reason not in LATE and row.get("status") is None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        candidate.row = row.plus({"status": "failed", "timestamp": now}, [Note("failed", reason)])


def _may_be_saved(candidate: Candidate) -> bool:
    """Whether a candidate is int8 that was refused for what it loses, and was faster than whoever is best."""
    at = candidate.configuration
    refused = candidate.fate == UNFIT and candidate.request is not None
    on_cpu = backends.get(at.backend).target == backends.reference().target
    faster = candidate.ratio is not None and candidate.ratio < 1.0 - MIN_GAIN
    return refused and faster and on_cpu and at.precision == "int8" and not at.kept


def _may_be_mixed(candidate: Candidate) -> bool:
    """Whether a candidate's layers can be timed one by one, and it is near enough to the best to be worth it."""
    at = candidate.configuration
    is_timed = at.backend == backends.reference().name and at.precision in ("int8", "fp32")
    return is_timed and not at.kept and (candidate.ratio or 1.0) <= FAR_OFF
