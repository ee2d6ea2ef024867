"""The decision: the configuration that is best by one objective and holds what it must, found and confirmed.

Candidates are what the installed runtimes offer for a network: backends, precisions, threads, batches and streams.
The default, fp32 on ONNX Runtime with all cores, is always among them, and is the answer where nothing is surely
better. How it goes:

1. Every engine is built; what can't be built is out, with the reason.
2. A first look measures each candidate beside the default.
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

What is measured is written to a journal in the store as it is measured, and the same question goes on from there.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from deploykit import backends, codec, env
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.interleaved import compare_interleaved
from deploykit.bench.race import (
    FAILED,
    FAR_OFF,
    IN,
    SLOWER,
    UNFIT,
    Entrant,
    Lane,
    Outcome,
    Race,
    Standing,
    lanes,
)
from deploykit.bench.request import WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.errors import DeploykitError, OutputFailed, UsageError
from deploykit.figures import general
from deploykit.row import Row
from deploykit.spec import options_text
from deploykit.stats import DropTest, RatioInterval, mean_ratio
from deploykit.stats.sequential import ACCEPTED, REJECTED
from deploykit.store import Store, key_of
from deploykit.workflow.choices import Goal
from deploykit.workflow.configuration import Configuration, ProfileOptions, source_name
from deploykit.workflow.journal import Entry, Journal
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.space import candidates, combined_changes, single_changes
from deploykit.workflow.tuned import (
    BYTES,
    LATENCIES,
    MIN_SNR_DB,
    RATE,
    Candidate,
    Meeting,
    Question,
    Tuned,
)
from deploykit.workflow.what_if import MIN_GAIN as MIX_GAIN

#: An engine that computes in float32 and is this near is the network itself but for the order of sums.
FP32_SNR_DB = 60.0
#: Parts of the budget: until when first looks are begun, and what the race may use of the rest.
LOOKING_SHARE, RACING_SHARE = 0.4, 0.25
#: The best so many engines are tried with options of their runtimes.
OPTION_BASES = 2
#: Of what the race left of the budget, a race of options has this share, half of it for first looks; less than so
#: many seconds are not worth beginning one.
OPTIONS_SHARE, OPTIONS_MIN_S = 0.5, 4.0
#: A mix of precisions takes about so many seconds to predict, and is not begun with less than that left.
MIX_MIN_S = 45.0
#: Decibels above those asked for, with which layers are kept: on other images it may be less.
SNR_ROOM_DB = 1.0
#: Seconds of an interleaved comparison with the default, and with the fp32 of another runtime.
CONFIRM_S, CONFIRM_OTHER_S = 8.0, 4.0
#: Better by less than this is not worth leaving the default.
MIN_GAIN = 0.01
#: Rounds of a comparison that takes a new process for each block.
FRESH_ROUNDS = 8
#: What judging an engine measures of it.
JUDGED = ("drift_snr_db", "top1", "top1_low", "top1_high", "metric_value")
#: Those within this share of the winner are measured as rows beside it, this many at most.
CLOSE, MAX_CLOSE = 0.1, 3


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
            "judged": [options.data, options.metric],
            "env": env.env_id(),
        }
        self.keeps_journal = False
        self.journal = Journal(store.root / "tune" / f"{key_of(facts)[:16]}.jsonl")
        self._measuring_s = 0.0
        self._verdicts: dict[str, str] = dict(self.journal.judged)
        self._remarks: list[str] = []

    def __call__(self) -> Tuned:
        """Find the answer.

        Raises:
            UsageError: accuracy is to be judged and can't be, or the budget is too short for any choice.
            MissingDependency: a backend can't run here.
            OutputFailed: the store can't be written.
            DeploykitError: the default itself can't be built.
        """
        start = time.perf_counter()
        self._require_labels()
        default, others = self._built()
        everyone = {one.name: one for one in (default, *others)}
        fit = {name: one for name, one in everyone.items() if one.fate == IN}
        if self.question.objective == BYTES:
            order = self._by_size(fit)
        else:
            order = self._raced(fit, default)
            order = self._with_mix(order, everyone, default)
            order = self._with_layers_kept(order, everyone, default)
            order = self._with_options(order, everyone)
        best, meetings = self._answered(order, everyone, default)
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
            elapsed_s,
            self._judged_text(),
            self.profiler.options.calibration,
            tuple(self._remarks),
        )

    def forget(self) -> None:
        """Let go of the journal: the same question is measured anew."""
        self.journal.end()

    def _require_labels(self) -> None:
        """Refuse, before anything is measured, a drop that nobody could judge."""
        if self.question.max_metric_drop is not None and self.profiler.options.metric is None:
            raise UsageError("a drop of a metric needs the metric: give its function, too")
        if self.question.max_accuracy_drop is None:
            return
        said = self.profiler.why_unjudged(self.source)
        if said is not None:
            raise UsageError(
                f"accuracy of {source_name(self.source)} can't be judged: {said}; give labelled images with "
                "--data, or leave --max-accuracy-drop out and judge by --min-snr-db"
            )

    # --- Candidates ---

    def _built(self) -> tuple[Candidate, list[Candidate]]:
        """The default and all other candidates, their engines built; the default first."""
        default, others = candidates(self.source, self.question)
        self.say(f"{source_name(self.source)}: build {1 + len(others)} candidates")
        row, request = self.profiler.prepared(default)  # without it there is nothing to beat
        first = Candidate(default, row, request)
        made = []
        for configuration in others:
            made.append(Candidate(configuration, Row({})))
            self._prepare(made[-1])
        return first, made

    def _prepare(self, candidate: Candidate) -> bool:
        """Build a candidate's engine; whether it can be. One that can't is out, with the reason.

        Raises:
            OutputFailed: the store can't be written, and no other one could be built either.
        """
        try:
            candidate.row, candidate.request = self.profiler.prepared(candidate.configuration)
        except OutputFailed:
            raise
        except DeploykitError as error:
            candidate.fate, candidate.reason = FAILED, f"it can't be built: {error}"
            return False
        return True

    # --- Judging ---

    def judge(self, candidate: Candidate) -> str:
        """Why an engine can't be taken; empty where it can. Asked once for an engine."""
        assert candidate.request is not None
        told = options_text(candidate.configuration.options)
        engine = f"{candidate.request.engine} {told}".rstrip()
        if engine not in self._verdicts:
            self.detail(f"judge {candidate.name}")
            try:
                reason = self._unfit(candidate)
            except OutputFailed:
                raise
            except WorkerFailure as failure:
                reason = f"it does not run: {failure}"
            self._verdicts[engine] = reason
            self.journal.write(Entry(engine=engine, reason=reason))
        return self._verdicts[engine]

    def _unfit(self, candidate: Candidate) -> str:
        configuration, wanted = candidate.configuration, self.question.max_accuracy_drop
        request = self.profiler.judging(configuration, wanted)
        result = run_worker(request, self.profiler.options.timeout_s)
        seen = {name: result.columns.get(name) for name in JUDGED if name in result.columns}
        candidate.row = candidate.row.plus(seen)
        snr = result.columns.get("drift_snr_db")
        least, by_metric = self.question.min_snr_db, self.question.max_metric_drop is not None
        computes_fp32 = candidate.row.get("precision_actual") == "fp32"
        if wanted is None and not by_metric:
            least = MIN_SNR_DB if least is None else least
        if least is not None and snr is not None and snr < least:
            return f"its outputs drift to {snr:.1f} dB, below {least:g} dB"
        if by_metric and (reason := self._lost_metric(configuration, seen)):
            return reason
        if wanted is None:
            return ""
        if computes_fp32 and snr is not None and snr >= FP32_SNR_DB:
            return ""
        stored = result.details.get("drop")
        if stored is None:
            said = next((n.text for n in result.notes if n.kind == "data"), "there are no labels")
            raise UsageError(
                f"accuracy of {source_name(self.source)} can't be judged: {said}; leave --max-accuracy-drop out "
                "and judge by --min-snr-db"
            )
        test = codec.from_values(stored, DropTest)
        if test.verdict == ACCEPTED:
            return ""
        drop = f"{test.drop:+.2%} on {test.images} images".replace("+-", "-")
        if test.verdict == REJECTED:
            return f"its top-1 drops by more than {wanted:.2%}: {drop}"
        return (
            f"whether its top-1 drops by more than {wanted:.2%} can't be told: {drop}; about "
            f"{test.images_needed():,} images are needed"
        )

    def _lost_metric(self, configuration: Configuration, seen: Mapping[str, object]) -> str:
        """Why an engine can't be taken for what it loses of the user's metric; empty where it loses no more."""
        name, allowed = self.profiler.options.metric, self.question.max_metric_drop
        value = seen.get("metric_value")
        assert isinstance(value, int | float)
        assert allowed is not None
        best = self.profiler.metric_in_fp32(configuration)
        if best - value <= allowed:
            return ""
        return f"its {name} is {general(value, 4)}, below the {general(best, 4)} of fp32 by more than {allowed:g}"

    def _judged_text(self) -> str:
        wanted, allowed = self.question.max_accuracy_drop, self.question.max_metric_drop
        if wanted is None and allowed is not None:
            return (
                f"{self.profiler.options.metric} is below that of fp32 by {allowed:g} at the most."
            )
        if wanted is None:
            least = self.question.min_snr_db
            return (
                f"Accuracy was not judged: outputs keep {MIN_SNR_DB if least is None else least:g} dB "
                "to those of fp32."
            )
        return (
            f"Top-1 is below that of fp32 by less than {wanted:.2%}, with an error of at most 1%."
        )

    # --- Measuring ---

    @property
    def _limit_s(self) -> float:
        """How long one answer of a process may take, compiling included."""
        limit_s = self.profiler.options.timeout_s or 600.0
        return min(limit_s, max(30.0, self.question.budget_s))

    def _lanes(self, fit: Mapping[str, Candidate]) -> dict[str, Lane]:
        entrants = [Entrant(name, _timed(one)) for name, one in fit.items() if one.request]
        objective = self.question.objective
        if self.question.is_resident:
            return lanes(entrants, quantile=LATENCIES[objective], timeout_s=self._limit_s)
        return lanes(entrants, worth=_worth(objective), seconds=1.0, timeout_s=self._limit_s)

    def _race(self, name: str, fit: Mapping[str, Candidate]) -> Race:
        """A race of that name in the journal."""
        return Race(
            self._lanes(fit),
            margin=MIN_GAIN,
            record=self.journal.record(name),
            say=self.detail,
            earlier=self.journal.events.get(name, ()),
        )

    def _run(self, name: str, race: Race, budget_s: float) -> Outcome:
        """Run a race to its end, which the journal is told; one that was over before isn't run once more."""
        outcome = race.run(0.0 if name in self.journal.over else budget_s)
        self.journal.write(Entry(name, over=True))
        self._measuring_s += outcome.measuring_s
        return outcome

    def _raced(self, fit: Mapping[str, Candidate], default: Candidate) -> list[Candidate]:
        """Those that stay in, the best first; the others know why they are out."""
        budget_s = self.question.budget_s
        name = source_name(self.source)
        with self._race("race", fit) as race:
            self.say(f"{name}: first look at {len(fit)} candidates")
            looking = time.perf_counter()
            firsts = race.look(LOOKING_SHARE * budget_s)
            if len(firsts) < 2 <= len(fit):
                self._refuse_budget(len(race.late), len(fit), time.perf_counter() - looking)
            self.say(f"{name}: judge engines, the fastest first")
            self._put_out_the_unfit(race, firsts, fit, default)
            race.send_home()
            self.say(f"{name}: race of those that are near the fastest")
            outcome = self._run("race", race, RACING_SHARE * budget_s)
        return self._standing(outcome, fit)

    def _refuse_budget(self, late: int, everyone: int, spent_s: float) -> None:
        """Say how much time is needed, where it was not even enough for a look at a second candidate.

        Raises:
            UsageError: it was not.
        """
        if not late:
            return  # all others failed by themselves
        looked_at = max(1, everyone - late)
        needed_s = math.ceil(
            max(spent_s / looked_at * everyone / LOOKING_SHARE, self.question.budget_s + 1)
        )
        raise UsageError(
            f"a budget of {self.question.budget_s:g} s is too short: a first look at all {everyone} candidates "
            f"takes one of about {needed_s} s here; give --budget {needed_s}s, or fewer candidates with --backend, "
            "--precision or --threads"
        )

    # --- A mix of precisions ---

    def _with_mix(
        self, order: list[Candidate], everyone: dict[str, Candidate], default: Candidate
    ) -> list[Candidate]:
        """The order of those that are in, once the best mix of int8 and fp32 raced beside the better of both."""
        base = next((one for one in order if _may_be_mixed(one)), None)
        if base is None or default.configuration.precision != "fp32":
            return order
        in_int8 = replace(base.configuration, precision="int8")
        built = [o for o in everyone.values() if o.configuration == in_int8 and o.request]
        left_s = self.question.budget_s - self._measuring_s - CONFIRM_S
        if not built or (self.journal.kept is None and left_s < MIX_MIN_S):
            return order
        kept = self._mix(in_int8)
        if not kept:
            return order
        mixed = Candidate(replace(in_int8, kept=kept), Row({})).name
        changed = {base.name: [replace(in_int8, kept=kept)]}
        order, _ = self._told("mix", order, changed, everyone)
        mix = everyone.get(mixed)
        if mix is not None and mix.ratio is not None and base.ratio:
            self._remarks.append(
                f"In the race it took {mix.ratio / base.ratio:.3f} of {base.name}."
            )
        if mix in order and (reason := self.judge(mix)):
            mix.fate, mix.reason = UNFIT, reason
            order = [one for one in order if one is not mix]
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
            self._measuring_s += time.perf_counter() - start
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
        left_s = self.question.budget_s - self._measuring_s - CONFIRM_S
        if not lost or not order or default.configuration.precision != "fp32":
            return order
        if self.journal.saving is None and left_s < MIX_MIN_S:
            return order
        fastest = min(lost, key=lambda one: one.ratio or 1.0)
        kept = self._layers_to_keep(fastest, left_s / 2)
        if not kept:
            return order
        saved = replace(fastest.configuration, kept=kept)
        order, _ = self._told("layers kept", order, {order[0].name: [saved]}, everyone)
        one = everyone.get(Candidate(saved, Row({})).name)
        if one is not None and one in order and (reason := self.judge(one)):
            one.fate, one.reason = UNFIT, reason
            order = [other for other in order if other is not one]
        return order

    def _layers_to_keep(self, lost: Candidate, limit_s: float) -> tuple[str, ...]:
        """The fewest layers in fp32 with which a candidate loses half of what it may on the calibration part."""
        if self.journal.saving is not None:
            return self.journal.saving
        self.say(f"{source_name(self.source)}: layers of int8 to keep in fp32")
        start = time.perf_counter()
        try:
            found = self.profiler.layers_to_keep(lost.configuration, self._goal(), limit_s)
        except OutputFailed:
            raise
        except DeploykitError as error:
            self._remarks.append(f"Which layers of int8 to keep in fp32 was not found: {error}")
            return ()
        finally:
            self._measuring_s += time.perf_counter() - start
        kept = found.nodes or ()
        self._remarks.append(
            f"{lost.name} was tried once more with {len(kept)} of {found.candidates} layers in fp32."
            if kept
            else f"No choice of layers in fp32 was found with which {lost.name} would hold it."
        )
        self.journal.write(Entry(saving=list(kept)))
        return kept

    def _goal(self) -> Goal:
        """What layers are kept for: half of the drop that is allowed, as other images judge it; or the drift."""
        asked = self.question
        if asked.max_accuracy_drop is not None:
            return Goal(max_drop=asked.max_accuracy_drop / 2)
        if asked.max_metric_drop is not None:
            metric = self.profiler.options.metric
            return Goal(max_metric_drop=asked.max_metric_drop / 2, metric=metric)
        least = MIN_SNR_DB if asked.min_snr_db is None else asked.min_snr_db
        return Goal(min_snr_db=least + SNR_ROOM_DB)

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
        told, helped = self._told("options", order, changed, everyone)
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
        told, _ = self._told("options together", told, together, everyone)
        # Their engines were judged; what an option does to the outputs is, where it would be the answer.
        while told and told[0].configuration.options and (reason := self.judge(told[0])):
            told[0].fate, told[0].reason = UNFIT, reason
            told = told[1:]
        return told

    def _told(
        self,
        name: str,
        order: list[Candidate],
        changed: Mapping[str, Sequence[Configuration]],
        everyone: dict[str, Candidate],
    ) -> tuple[list[Candidate], dict[str, list[Candidate]]]:
        """Race candidates of `order` beside themselves as `changed` says.

        Returns:
            Those that are in, the best first, and by the name of each base the variants that are surely better, the
            best first. An option that is not surely better comes after its base.
        """
        left_s = self.question.budget_s - self._measuring_s - CONFIRM_S
        budget_s = OPTIONS_SHARE * left_s
        ready = name in self.journal.events or budget_s >= OPTIONS_MIN_S
        bases = {one.name: one for one in order if one.name in changed}
        changed = {base: changed[base] for base in bases}
        if not any(changed.values()) or not ready:
            return order, {}
        base_of: dict[str, str] = {}
        fit = {order[0].name: order[0], **bases}
        # In turns: where the time for first looks is short, every engine was told something.
        for variants in itertools.zip_longest(*changed.values()):
            for base, configuration in zip(changed, variants, strict=True):
                if configuration is not None:
                    variant = Candidate(configuration, Row({}))
                    everyone[variant.name] = variant
                    if self._prepare(variant):
                        fit[variant.name] = variant
                        base_of[variant.name] = base
        self.say(f"{source_name(self.source)}: race of {name}, {len(base_of)} candidates")
        with self._race(name, fit) as race:
            race.look(budget_s / 2)
            race.send_home()
            outcome = self._run(name, race, budget_s / 2)
        inside = self._standing(outcome, fit)
        helped: dict[str, list[Candidate]] = {}
        unsure = []
        for tried in (standing.name for standing in outcome.standings):
            if tried not in base_of:
                continue
            base, one = base_of[tried], fit[tried]
            ratio = race.ratio(tried, base)
            if ratio is not None and ratio.high < 1:  # be it slower than another that helped more
                helped.setdefault(base, []).append(one)
            elif one in inside and fit[base] in inside:
                unsure.append(one)
                one.reason = f"not surely better than {base}"
        sure = [one for one in inside if one not in unsure]
        rest = [one for one in order if one.name not in fit]
        return [*sure, *unsure, *rest], helped

    def _put_out_the_unfit(
        self,
        race: Race,
        firsts: Mapping[str, float],
        fit: Mapping[str, Candidate],
        default: Candidate,
    ) -> None:
        accepted: float | None = None
        for name, first in firsts.items():
            if accepted is not None and first > FAR_OFF * accepted:
                return  # they are sent home for that, judged or not
            reason = "" if fit[name] is default else self.judge(fit[name])
            if reason:
                race.put_out(name, UNFIT, reason)
            elif accepted is None:
                accepted = first

    def _standing(self, outcome: Outcome, fit: Mapping[str, Candidate]) -> list[Candidate]:
        leader = outcome.leader
        inside = []
        for standing in outcome.standings:
            candidate = fit[standing.name]
            candidate.fate, candidate.reason = standing.fate, standing.reason
            candidate.ratio = _ratio_to(leader, standing)
            if standing.fate == IN:
                inside.append(candidate)
        return inside

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
            reason = self.judge(candidate)
            if reason:
                candidate.fate, candidate.reason = UNFIT, reason
            else:
                accepted.append(candidate)
        return accepted

    # --- The end ---

    def _answered(
        self, order: list[Candidate], everyone: Mapping[str, Candidate], default: Candidate
    ) -> tuple[Candidate | None, list[Meeting]]:
        """The first that is surely better than the default and meets the constraints; else the default, if it does.

        A default that does not meet them need not be beaten. Those that were dropped as slower come last, as faster
        ones may miss a constraint. Who came close is measured as a row, too.
        """
        meetings: list[Meeting] = []
        rivals = [one for one in order if one is not default]
        if rivals and self.question.objective != BYTES:
            self.say(f"{source_name(self.source)}: {rivals[0].name} beside the default")
            rivals = self._behind_fp32(rivals, everyone, default, meetings)
        self.say(f"{source_name(self.source)}: measure the answer and who came close")
        slower = [one for one in everyone.values() if one.fate == SLOWER and one is not default]
        slower = [one for one in slower if one.ratio is not None and one not in rivals]
        chosen = None
        for one in (*rivals, *sorted(slower, key=lambda one: one.ratio or 0.0)):
            if one.fate == SLOWER and (reason := self.judge(one)):
                one.fate, one.reason = UNFIT, reason
                continue
            is_better = self._is_better(one, default, meetings)
            if one.fate == FAILED:
                continue
            if not is_better and self._holds(default):
                break
            if self._holds(one):
                chosen, one.fate, one.reason = one, IN, ""
                break
        if (
            self._holds(default) and chosen is None
        ):  # measured in any case, to be seen beside the answer
            chosen = default
        for one in order[:MAX_CLOSE]:
            if (one.ratio or 1.0) <= 1 + CLOSE:
                self._holds(one)
        return chosen, meetings

    def _behind_fp32(
        self,
        rivals: list[Candidate],
        everyone: Mapping[str, Candidate],
        default: Candidate,
        meetings: list[Meeting],
    ) -> list[Candidate]:
        """The rivals behind the fp32 of another runtime that beats the first of them.

        By chance it was dropped, or nobody had looked at it.
        """
        winner, found = rivals[0], rivals
        for one in everyone.values():
            configuration = one.configuration
            is_plain = configuration == replace(
                default.configuration, backend=configuration.backend
            )
            if not is_plain or one in (default, winner) or not one.request or one.fate == FAILED:
                continue
            try:
                met = self._meet(winner, one, CONFIRM_OTHER_S)
            except WorkerFailure as failure:
                one.reason = f"{one.reason}; beside the winner: {failure}".lstrip("; ")
                continue
            meetings.append(met)
            if met.verdict == "worse" and not self.judge(one):
                one.fate, one.reason = IN, ""
                found = [one, *(other for other in found if other is not one)]
        return found

    def _is_better(self, candidate: Candidate, default: Candidate, meetings: list[Meeting]) -> bool:
        """Whether a candidate is surely better than the default, which it meets; one that fails there is out."""
        if self.question.objective == BYTES:
            return int(candidate.row[BYTES]) < int(default.row[BYTES])
        if default.fate == FAILED:
            return True
        try:
            meetings.append(self._meet(candidate, default, CONFIRM_S))
        except WorkerFailure as failure:
            candidate.fate, candidate.reason = FAILED, f"beside the default: {failure}"
            return False
        return meetings[-1].verdict == "better"

    def _holds(self, candidate: Candidate) -> bool:
        """Whether a candidate's row, which is measured where it was not yet, meets the constraints."""
        if candidate.row.get("status") is None:
            self.detail(f"measure {candidate.name}")
            start = time.perf_counter()
            (candidate.row,) = self.profiler.rows([candidate.configuration])
            self._measuring_s += time.perf_counter() - start
        missed = [c for c in self.question.constraints if not c.met_by(candidate.row)]
        if missed:
            value = candidate.row.get(missed[0].column)
            shown = "blank" if value is None else f"{general(value, 4)}"
            candidate.fate, candidate.reason = UNFIT, f"{missed[0]} fails: it is {shown}"
        return not missed and candidate.row.get("status") == "ok"

    def _meet(self, winner: Candidate, other: Candidate, budget_s: float) -> Meeting:
        """One beside another, in turns.

        Raises:
            WorkerFailure: one of them can't be measured.
        """
        self.detail(f"{winner.name} beside {other.name}")
        start = time.perf_counter()
        try:
            ratio = self._beside(winner, other, budget_s)
        finally:
            self._measuring_s += time.perf_counter() - start
        better = ratio.high < 1 and ratio.ratio <= 1 / (1 + MIN_GAIN)
        worse = ratio.low > 1 and ratio.ratio >= 1 + MIN_GAIN
        verdict = "better" if better else "worse" if worse else "same"
        return Meeting(winner.name, other.name, ratio, verdict)

    def _beside(self, winner: Candidate, other: Candidate, budget_s: float) -> RatioInterval:
        if self.question.is_resident:
            return compare_interleaved(
                _timed(other),
                _timed(winner),
                threshold=MIN_GAIN,
                budget_s=budget_s,
                timeout_s=self._limit_s,
                quantile=LATENCIES[self.question.objective],
            ).ratio
        pair = self._lanes({winner.name: winner, other.name: other})
        ours, theirs = pair[winner.name], pair[other.name]
        values: tuple[list[float], list[float]] = ([], [])
        for _ in range(FRESH_ROUNDS):
            values[0].append(theirs.block())
            values[1].append(ours.block())
        return mean_ratio(*values, confidence=0.99)


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


def _timed(candidate: Candidate) -> WorkerRequest:
    """What times a candidate, and no more."""
    assert candidate.request is not None
    return replace(candidate.request, policy=Policy.quick(), samples_path=None)


def _ratio_to(leader: Standing | None, standing: Standing) -> float | None:
    """How many times the leader's a standing's objective is; by the race, else by the first look."""
    if leader is None or standing is leader:
        return None if leader is None else 1.0
    if standing.ratio is not None:
        return standing.ratio.ratio
    if standing.first is not None and leader.first:
        return standing.first / leader.first
    return None


def _worth(objective: str) -> Callable[[Mapping[str, object]], float | None]:
    """What a process measured is worth; the smaller the better."""

    def worth(columns: Mapping[str, object]) -> float | None:
        value = columns.get(objective)
        if not isinstance(value, int | float) or value <= 0:
            return None
        return 1.0 / value if objective == RATE else float(value)

    return worth
