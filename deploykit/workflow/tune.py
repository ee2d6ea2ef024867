"""The decision: the configuration that is best by one objective and holds what it must, found and confirmed.

Candidates are what the installed runtimes offer for a network: backends, precisions, threads, batches and streams.
The default, fp32 on ONNX Runtime with all cores, is always among them, and is the answer where nothing is surely
better. How it goes:

1. Every engine is built; what can't be built is out, with the reason.
2. A first look measures each candidate beside the default.
3. From the fastest on, engines are judged: drift, which takes no labels, then accuracy image by image until it is
   decided (`stats.sequential`). Those far behind the best that is accepted aren't judged at all.
4. Those left race in turns (`bench.race`).
5. The best few race once more beside themselves with one option of the runtime changed, and then with all that
   helped. An option is told only where the runtime is surely better for it.
6. The winner meets the default, and the fp32 of every runtime, in an interleaved comparison.
7. The winner and who came close are measured as every row is; of those, the best that meets the constraints is it.

What is measured is written to a journal in the store as it is measured, and the same question goes on from there.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deploykit import backends, codec, env
from deploykit.backends.base import check_offered
from deploykit.bench.channel import WorkerFailure
from deploykit.bench.interleaved import compare_interleaved
from deploykit.bench.race import (
    FAILED,
    FAR_OFF,
    IN,
    SLOWER,
    UNFIT,
    Dropped,
    Entrant,
    Event,
    Outcome,
    Race,
    Round,
    Standing,
    lanes,
)
from deploykit.bench.request import run_worker
from deploykit.bench.scenario import Policy, Scenario
from deploykit.errors import DeploykitError, MissingDependency, OutputFailed, UsageError
from deploykit.graph.recipes import AS_IS
from deploykit.row import Row
from deploykit.spec import Reason, options_text
from deploykit.stats import DropTest, mean_ratio
from deploykit.stats.sequential import ACCEPTED, REJECTED
from deploykit.store import Store, key_of
from deploykit.workflow.configuration import (
    Configuration,
    ProfileOptions,
    default_precisions,
    source_name,
)
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler, Say
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
from deploykit.writing import output_errors

#: An engine that computes in float32 and is this near is the network itself but for the order of sums.
FP32_SNR_DB = 60.0
#: Parts of the budget: until when first looks are begun, and what the race may use of the rest.
LOOKING_SHARE, RACING_SHARE = 0.4, 0.25
#: The best so many engines are tried with options of their runtimes.
OPTION_BASES = 2
#: Of what the race left of the budget, a race of options has this share, half of it for first looks; less than so
#: many seconds are not worth beginning one.
OPTIONS_SHARE, OPTIONS_MIN_S = 0.5, 4.0
#: Seconds of an interleaved comparison with the default, and with the fp32 of another runtime.
CONFIRM_S, CONFIRM_OTHER_S = 8.0, 4.0
#: Better by less than this is not worth leaving the default.
MIN_GAIN = 0.01
#: Rounds of a comparison that takes a new process for each block.
FRESH_ROUNDS = 8
#: What judging an engine measures of it.
JUDGED = ("drift_snr_db", "top1", "top1_low", "top1_high")
#: Those within this share of the winner are measured as rows beside it, this many at most.
CLOSE, MAX_CLOSE = 0.1, 3


class Journal:
    """What a tuning measured, line by line in a file of the store.

    Args:
        path: of the file; what it holds already is in `events`, by race, with those that are `over`. Lines that
            can't be read end it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: dict[str, list[Event]] = {}
        self.judged: dict[str, str] = {}
        self.over: set[str] = set()
        try:
            lines = path.read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                entry = codec.from_json(line, Entry)
            except ValueError:
                break
            if entry.over:
                self.over.add(entry.race)
            elif entry.engine:
                self.judged[entry.engine] = entry.reason
            elif entry.fate:
                self.events.setdefault(entry.race, []).append(
                    Dropped(entry.name, entry.fate, entry.reason)
                )
            else:
                self.events.setdefault(entry.race, []).append(Round(entry.round, entry.values))

    def write(self, entry: Entry) -> None:
        """Add a line.

        Raises:
            OutputFailed: the store can't be written.
        """
        with output_errors("engine store"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(codec.to_json(entry) + b"\n")

    def record(self, race: str) -> Callable[[Event], None]:
        """What writes the events of one race."""

        def write(event: Event) -> None:
            if isinstance(event, Dropped):
                self.write(Entry(race, name=event.name, fate=event.fate, reason=event.reason))
            else:
                self.write(Entry(race, round=event.number, values=dict(event.values)))

        return write

    def end(self) -> None:
        """The question is answered: asked again, it is measured again."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Entry:
    """A line of the journal: a round, a candidate that is out, a race that is over, or a judged engine."""

    race: str = ""
    round: int = 0
    values: dict[str, float] = field(default_factory=dict)
    name: str = ""
    fate: str = ""
    reason: str = ""
    engine: str = ""
    over: bool = False


class Tuning:
    """Answers a question for one network.

    Args:
        source: the network.
        question: what is asked.
        options: how rows are measured, calibrated and judged.
        store: of graphs and engines, and of the journal.
        say: is told which phase begins.
        detail: is told every step: each engine that is built, each round.
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
        facts = {"question": codec.to_values(question), "source": repr(source), "env": env.env_id()}
        self.journal = Journal(store.root / "tune" / f"{key_of(facts)[:16]}.jsonl")
        self._measuring_s = 0.0
        self._verdicts: dict[str, str] = dict(self.journal.judged)

    def __call__(self) -> Tuned:
        """Find the answer.

        Raises:
            UsageError: accuracy is to be judged and can't be, or the budget is too short for any choice.
            MissingDependency: a backend can't run here.
            OutputFailed: the store can't be written.
            DeploykitError: the default itself can't be built.
        """
        start = time.perf_counter()
        if self.question.max_accuracy_drop is not None:
            self._require_labels()
        default, others = self._built()
        everyone = {one.name: one for one in (default, *others)}
        fit = {name: one for name, one in everyone.items() if one.fate == IN}
        if self.question.objective == BYTES:
            order = self._by_size(fit)
            meetings: list[Meeting] = []
        else:
            order = self._raced(fit, default)
            order = self._with_options(order, everyone)
            meetings = self._meetings(order, everyone, default)
        best = self._chosen(order, everyone, default, meetings)
        elapsed_s = time.perf_counter() - start
        self.journal.end()
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
        )

    def _require_labels(self) -> None:
        """Refuse, before anything is measured, a drop that nobody could judge."""
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
            candidate = Candidate(configuration, Row({}))
            made.append(candidate)
            try:
                candidate.row, candidate.request = self.profiler.prepared(configuration)
            except OutputFailed:
                raise
            except DeploykitError as error:
                candidate.fate, candidate.reason = FAILED, f"it can't be built: {error}"
        return first, made

    # --- Judging ---

    def _judge(self, candidate: Candidate) -> str:
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
        least = self.question.min_snr_db
        computes_fp32 = candidate.row.get("precision_actual") == "fp32"
        if wanted is None:
            least = MIN_SNR_DB if least is None else least
        if least is not None and snr is not None and snr < least:
            return f"its outputs drift to {snr:.1f} dB, below {least:g} dB"
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

    def _judged_text(self) -> str:
        wanted = self.question.max_accuracy_drop
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

    def _lanes(self, fit: Mapping[str, Candidate]) -> Mapping[str, Any]:
        entrants = [
            Entrant(name, one.request, one.configuration.batch)
            for name, one in fit.items()
            if one.request is not None
        ]
        objective, limit_s = self.question.objective, self.profiler.options.timeout_s or 600.0
        limit_s = min(limit_s, max(30.0, self.question.budget_s))
        if self.question.is_resident:
            quick = Policy.quick()
            entrants = [
                replace(e, request=replace(e.request, policy=quick, samples_path=None), images=1)
                for e in entrants
            ]
            return lanes(entrants, quantile=LATENCIES[objective], timeout_s=limit_s)
        return lanes(entrants, worth=_worth(objective), seconds=1.0, timeout_s=limit_s)

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

    # --- Options of the runtimes ---

    def _with_options(
        self, order: list[Candidate], everyone: dict[str, Candidate]
    ) -> list[Candidate]:
        """The order of those that are in once the best were told options one by one, and then what helped together.

        Candidates that come to be are added to `everyone`.
        """
        engines: dict[tuple[str, str], Candidate] = {}
        for one in order:
            engines.setdefault((one.configuration.backend, one.configuration.precision), one)
        bases = [one for one in engines.values() if (one.ratio or 1.0) <= FAR_OFF][:OPTION_BASES]
        changed = {base.name: single_changes(base.configuration) for base in bases}
        told, helped = self._told("options", order, changed, everyone)
        together = {
            variants[0].name: [combined]
            for variants in helped.values()
            if (combined := _together([one.configuration for one in variants])) is not None
        }
        told, _ = self._told("options together", told, together, everyone)
        # Their engines were judged; what an option does to the outputs is, where it would be the answer.
        while told and told[0].configuration.options and (reason := self._judge(told[0])):
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
                    variant.row, variant.request = self.profiler.prepared(configuration)
                    fit[variant.name] = everyone[variant.name] = variant
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
            reason = "" if fit[name] is default else self._judge(fit[name])
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
        accepted: list[Candidate] = []
        for candidate in smallest:
            least = int(smallest[0].row[BYTES])
            candidate.ratio = int(candidate.row[BYTES]) / least
            if accepted and candidate.row[BYTES] > accepted[0].row[BYTES]:
                candidate.fate, candidate.reason = SLOWER, f"{accepted[0].name} is smaller"
                continue
            reason = self._judge(candidate)
            if reason:
                candidate.fate, candidate.reason = UNFIT, reason
            else:
                accepted.append(candidate)
        return accepted

    # --- The end ---

    def _meetings(
        self, order: Sequence[Candidate], everyone: Mapping[str, Candidate], default: Candidate
    ) -> list[Meeting]:
        """The winner beside the default and the fp32 of each other runtime."""
        if not order or (order[0] is default and len(order) == 1):
            return []
        winner = next((one for one in order if one is not default), None)
        if winner is None:
            return []
        others = [default]
        for one in everyone.values():
            configuration = one.configuration
            plain = configuration == replace(default.configuration, backend=configuration.backend)
            if plain and one not in (default, winner) and one.request and one.fate != FAILED:
                others.append(one)
        found = []
        self.say(f"{source_name(self.source)}: {winner.name} beside the default")
        for other in others:
            self.detail(f"{winner.name} beside {other.name}")
            try:
                found.append(
                    self._meet(winner, other, CONFIRM_S if other is default else CONFIRM_OTHER_S)
                )
            except WorkerFailure as failure:
                if other is default:
                    raise
                other.reason = f"{other.reason}; beside the winner: {failure}".lstrip("; ")
        return found

    def _meet(self, winner: Candidate, other: Candidate, budget_s: float) -> Meeting:
        start = time.perf_counter()
        assert winner.request is not None
        assert other.request is not None
        if self.question.is_resident:
            quick = Policy.quick()
            base = replace(other.request, policy=quick, samples_path=None)
            judged = replace(winner.request, policy=quick, samples_path=None)
            quantile = LATENCIES[self.question.objective]
            compared = compare_interleaved(
                base, judged, threshold=MIN_GAIN, budget_s=budget_s, quantile=quantile
            )
            ratio = compared.ratio
        else:
            pair = self._lanes({winner.name: winner, other.name: other})
            ours, theirs = pair[winner.name], pair[other.name]
            values: tuple[list[float], list[float]] = ([], [])
            for _ in range(FRESH_ROUNDS):
                values[0].append(theirs.block())
                values[1].append(ours.block())
            ratio = mean_ratio(*values, confidence=0.99)
        self._measuring_s += time.perf_counter() - start
        better = ratio.high < 1 and ratio.ratio <= 1 / (1 + MIN_GAIN)
        worse = ratio.low > 1 and ratio.ratio >= 1 + MIN_GAIN
        return Meeting(other.name, ratio, "better" if better else "worse" if worse else "same")

    def _chosen(
        self,
        order: list[Candidate],
        everyone: Mapping[str, Candidate],
        default: Candidate,
        meetings: Sequence[Meeting],
    ) -> Candidate | None:
        """The first that is surely better than the default and meets the constraints; else the default, if it does.

        `order` is put in the order in which they are asked.
        """
        verdicts = {meeting.other: meeting.verdict for meeting in meetings}
        if verdicts.pop(default.name, "better") != "better":
            order[:] = [default, *(one for one in order if one is not default)]
        for name in (name for name, verdict in verdicts.items() if verdict == "worse"):
            # The fp32 of another runtime beats the winner of the race: by chance, or nobody had looked at it.
            candidate = everyone[name]
            if not self._judge(candidate):
                candidate.fate, candidate.reason = IN, ""
                order[:] = [candidate, *(one for one in order if one is not candidate)]
        if default not in order:
            order.append(default)
        chosen: Candidate | None = None
        self.say(f"{source_name(self.source)}: measure the answer and who came close")
        for place, candidate in enumerate(order):
            near = (candidate.ratio or 1.0) <= 1 + CLOSE and place < MAX_CLOSE
            if chosen is not None and not near and candidate is not default:
                continue
            self.detail(f"measure {candidate.name}")
            (candidate.row,) = self.profiler.rows([candidate.configuration])
            missed = [c for c in self.question.constraints if not c.met_by(candidate.row)]
            if missed:
                value = candidate.row.get(missed[0].column)
                shown = "blank" if value is None else f"{value:.4g}"
                candidate.fate, candidate.reason = UNFIT, f"{missed[0]} fails: it is {shown}"
            elif candidate.row.get("status") == "ok" and chosen is None:
                chosen = candidate
        return chosen


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


def single_changes(base: Configuration) -> list[Configuration]:
    """A configuration with each one option of its runtime changed, to each other value that tuning tries."""
    backend = backends.get(base.backend)
    return [
        replace(base, options=backend.chosen_options((*base.options, (option.name, value))))
        for option in backend.run_options
        if option.tuned
        for value in option.values
        if value != option.default
    ]


def _together(variants: Sequence[Configuration]) -> Configuration | None:
    """All that helped at once, of each option the first; None where that is only one."""
    told: dict[str, str] = {}
    for one in variants:
        for option, value in one.options:
            told.setdefault(option, value)
    if len(told) < 2:
        return None
    return replace(variants[0], options=tuple(sorted(told.items())))


def candidates(source: Source, question: Question) -> tuple[Configuration, list[Configuration]]:
    """The default configuration of a network, and the others of a question's space, without it.

    Raises:
        MissingDependency: a backend that is named, or all, can't run here.
        UsageError: none of the backends has any of the precisions.
    """
    batch, streams = question.batches[0], question.streams[0]
    plain = Scenario(None, streams, question.rate_per_s)
    own = default_precisions(source)[0]
    reference = backends.reference().name
    default = Configuration(source, own, reference, batch, plain)
    found: dict[Configuration, None] = {}
    # Breadth first: where the time for first looks is short, every engine had one before its variants do.
    for threads in _threads(question):
        for backend, precision in _engines(question, own):
            for size in question.batches:
                for count in question.streams:
                    scenario = Scenario(threads, count, question.rate_per_s)
                    found[Configuration(source, precision, backend, size, scenario)] = None
    found.pop(default, None)
    return default, list(found)


def _engines(question: Question, own: str) -> Iterator[tuple[str, str]]:
    """Backends with the precisions that each is tried in: its own first."""
    named = question.backends or backends.names()
    usable = []
    for name in named:
        backend = backends.get(name)
        reason = backend.available() or backend.device()
        if isinstance(reason, Reason):
            if question.backends:
                raise MissingDependency(f"{name} can't run here: {reason}")
            continue
        usable.append(backend)
    if not usable:
        raise MissingDependency("no backend can run here; deploykit doctor says what is missing")
    check_offered(usable, question.precisions)
    for backend in usable:
        offered = [p for p in backend.offered() if p not in backend.emulated and p != AS_IS]
        wanted = question.precisions or ((own,) if own == AS_IS else tuple(offered))
        for precision in wanted:
            if precision in backend.offered():
                yield backend.name, precision


def _threads(question: Question) -> list[int | None]:
    """None, which is all usable cores, then fewer."""
    if question.threads:
        return list(question.threads)
    cores = max(1, int(env.usable_cores()))
    fewer = [2**power for power in range(cores.bit_length()) if 2**power < cores]
    return [None, *reversed(fewer)]
