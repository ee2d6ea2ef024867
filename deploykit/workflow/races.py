"""The races of a tuning: all candidates beside each other, then the best beside changes of themselves."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from deploykit.bench.contain import TimeLimit
from deploykit.bench.race import (
    FAILED,
    FAR_OFF,
    IN,
    LOOKS,
    NOT_STARTED,
    TOO_LATE,
    UNFIT,
    Dropped,
    Entrant,
    Event,
    Lane,
    Outcome,
    Race,
    Round,
    Standing,
    lanes,
)
from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Policy
from deploykit.errors import DeploykitError, OutputFailed, UsageError
from deploykit.workflow.configuration import Configuration, source_name
from deploykit.workflow.fitness import TOO_LATE as NOT_JUDGED
from deploykit.workflow.fitness import Fitness
from deploykit.workflow.journal import Entry, Journal
from deploykit.workflow.outlook import Outlook
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.tuned import LATENCIES, RATE, Candidate, Question

#: Parts of what is left of the budget: for first looks, without what building takes, and for the race, once engines
#: were looked at and judged.
LOOKING_SHARE, RACING_SHARE = 0.45, 0.4
#: Of what the race left of the budget, a race of options has this share, half of it for first looks; less than so
#: many seconds are not worth beginning one.
OPTIONS_SHARE, OPTIONS_MIN_S = 0.5, 4.0
#: Of the time that building, or first looks, have left, one candidate may take this share while others wait for
#: theirs: one that hangs would have all of it.
WAITED_FOR_SHARE = 0.75
#: A budget that is named has time for so many times what a candidate took: the next time it takes a little longer.
NAMED_ROOM = 1.05
#: Seconds that one answer of a process may take where nothing else bounds it, and is given in any case.
LIMIT_S, LIMIT_MIN_S = 600.0, 2.0
#: The same of a process of its own for each block, which starts, loads and warms up in that.
FRESH_LIMIT_MIN_S = 15.0
#: What a race has begun may take so many seconds longer than the race may: who still has no answer then hangs.
OVERRUN_S = 30.0
#: What the journal calls the race of all candidates.
FIRST_RACE = "race"
#: Better by less than this is not worth leaving the default.
MIN_GAIN = 0.01
#: What the reason begins with of a candidate of which there is no engine.
UNBUILT = "it can't be built"


class Races:
    """Lets candidates of one network race, in the way that its question asks for.

    Args:
        source: the network.
        question: what is asked.
        profiler: that builds.
        journal: with the races that were run before; it is told each event.
        fitness: that judges the fastest.
        left_s: seconds that are left for races; asked whenever one is begun.
        budget_for_s: the budget that leaves races so many seconds, and building so many of them.
        say: is told which phase begins.
        detail: is told every step.

    Attributes:
        measuring_s: seconds that were spent on blocks and starts.
        starting_s: those of them in which processes were started, engines loaded and warmed up.
        building_s: seconds that were spent on building what was looked at and what came to be in between.
        start_s: seconds that it took to start each candidate that was.
        block_s: seconds that the last block of each candidate took.
        remarks: of races that the budget cut short.
    """

    def __init__(
        self,
        source: Source,
        question: Question,
        profiler: Profiler,
        journal: Journal,
        fitness: Fitness,
        left_s: Callable[[], float],
        budget_for_s: Callable[[float, float], float],
        say: Say = lambda text: None,
        detail: Say = lambda text: None,
    ) -> None:
        self._source, self._question, self._say, self._detail = source, question, say, detail
        self._profiler, self._journal, self._fitness = profiler, journal, fitness
        self._left_s, self._budget_for_s = left_s, budget_for_s
        self._deadline: Callable[[], float] = lambda: math.inf
        self.measuring_s = self.starting_s = self.building_s = 0.0
        self.start_s: dict[str, float] = {}
        self.block_s: dict[str, float] = {}
        self.remarks: list[str] = []

    def _limit_s(self) -> float:
        """How long one answer of a process may take, compiling included: until the time of the phase is over."""
        limit_s = self._profiler.options.timeout_s or LIMIT_S
        least_s = LIMIT_MIN_S if self._question.is_resident else FRESH_LIMIT_MIN_S
        return min(limit_s, max(least_s, self._deadline() - time.perf_counter()))

    def _race(
        self,
        name: str,
        fit: Mapping[str, Candidate],
        make: Callable[[str], str] = lambda name: "",
        needless: Callable[[str, Mapping[str, float]], str] = lambda name, firsts: "",
    ) -> Race:
        """A race of that name in the journal; `make` builds what is not built yet, see `Race`."""
        return Race(
            lanes_of(self._question, self._profiler.options.policy, fit, self._limit_s),
            margin=MIN_GAIN,
            record=self._journal.record(name),
            say=self._detail,
            earlier=self._earlier(name),
            make=make,
            needless=needless,
        )

    def _earlier(self, name: str) -> Sequence[Event]:
        """What the journal tells of a race.

        Before its first round there is time again for whoever was late, and whoever could not be built, for want of
        memory or time perhaps, is built once more.
        """
        events = self._journal.events.get(name, ())
        is_begun = any(isinstance(event, Round) and event.number for event in events)
        if is_begun or name in self._journal.over:
            return events
        late = (TOO_LATE, NOT_STARTED, NOT_JUDGED)
        return [
            one
            for one in events
            if not (
                isinstance(one, Dropped) and (one.reason in late or one.reason.startswith(UNBUILT))
            )
        ]

    def _run(self, name: str, race: Race, budget_s: float) -> Outcome:
        """Run a race to its end, which the journal is told; one that was over before isn't run once more."""
        end = time.perf_counter() + budget_s + OVERRUN_S
        self._deadline = lambda: end
        outcome = race.run(0.0 if name in self._journal.over else budget_s)
        self._deadline = lambda: math.inf
        if outcome.cut_short:
            inside = sum(one.fate == IN for one in outcome.standings)
            race_of = "the race" if name == FIRST_RACE else f"the race of {name}"
            self.remarks.append(
                f"The budget cut {race_of} short: it had time for {outcome.rounds} of the {LOOKS[0]} rounds that "
                f"tell {inside} candidates apart. Give a larger --budget, or fewer candidates."
            )
        self._journal.write(Entry(name, over=True))
        self.measuring_s += outcome.measuring_s
        self.starting_s += outcome.starting_s
        self.start_s |= race.start_s
        self.block_s |= race.block_s
        return outcome

    def _look(self, race: Race, budget_s: Callable[[], float]) -> dict[str, float]:
        """First looks for so long; whoever is not ready by then is out."""
        start = time.perf_counter()

        def deadline() -> float:
            now = time.perf_counter()
            return now + share_of(start + budget_s() - now, len(race.waiting) - 1)

        self._deadline = deadline
        return race.look(budget_s)

    def raced(
        self,
        fit: Mapping[str, Candidate],
        default: Candidate,
        building_s: float,
        default_built_s: float = 0.0,
    ) -> list[Candidate]:
        """Those that stay in, the best first; the others know why they are out.

        Args:
            fit: by name. An engine that is not built yet is when its turn to be looked at comes, so that none is
                built for which there is no time to look.
            default: which is built.
            building_s: seconds that building may take.
            default_built_s: seconds that the default's engine took, for what another would.
        """
        name = source_name(self._source)
        fit = self._with_what_was_looked_at(fit)
        left_s, before_s = self._left_s(), self.building_s
        begun: list[str] = []
        unbuilt: list[str] = []

        def made(one: str) -> str:
            """Why an engine can't be looked at."""
            begun.append(one)
            if fit[one].request is not None:
                return ""
            limit_s = min(building_s - (self.building_s - before_s), self._left_s())
            waiting = sum(fit[other].request is None for other in race.waiting) - 1
            limit = TimeLimit(share_of(limit_s, waiting), "--budget that building has")
            with limit.bounding():
                is_made = self._prepared(fit[one])
            if is_made or limit.left_s() > 0:
                return "" if is_made else fit[one].reason
            unbuilt.append(one)
            return NOT_STARTED

        def looking_s() -> float:
            built_s = self.building_s - before_s
            allowed_s = built_s + LOOKING_SHARE * (left_s - built_s)
            # The first is looked at in any case: what that takes tells what others do.
            return allowed_s if race.firsts or len(begun) > 1 else max(allowed_s, OVERRUN_S)

        outlook = Outlook(fit, self._question, default)
        with self._race(FIRST_RACE, fit, made, outlook.reason) as race:
            self._say(f"{name}: build {len(fit)} candidates, and a first look at each")
            looking = time.perf_counter()
            firsts = self._look(race, looking_s)
            if len(firsts) < 2 <= len(fit):
                spent_s, built_s = time.perf_counter() - looking, self.building_s - before_s
                looked_s = spent_s - built_s
                if unbuilt or not built_s:  # what was given up takes longer than it was given
                    built_s = max(built_s, default_built_s)
                self._refuse_budget(race, default.name, len(fit), looked_s, built_s)
            self._say(f"{name}: judge engines, the fastest first")
            self._put_out_the_unfit(race, firsts, fit, default)
            self._say(f"{name}: race of those that are near the fastest")
            budget_s = RACING_SHARE * self._left_s()
            race.send_home(budget_s)
            outcome = self._run(FIRST_RACE, race, budget_s)
        return self._standing(outcome, fit)

    def _with_what_was_looked_at(self, fit: Mapping[str, Candidate]) -> dict[str, Candidate]:
        """The candidates, with the engines of those that an earlier run looked at; who has none any more is out."""
        looked_at = {
            name
            for event in self._earlier(FIRST_RACE)
            if isinstance(event, Round)
            for name in event.values
        }
        return {
            name: one
            for name, one in fit.items()
            if one.request or name not in looked_at or self._prepared(one)
        }

    def _prepared(self, candidate: Candidate) -> bool:
        """Whether a candidate's engine can be built, as `prepare`, whose time counts as building."""
        start = time.perf_counter()
        try:
            return prepare(candidate, self._profiler)
        finally:
            self.building_s += time.perf_counter() - start

    def _refuse_budget(
        self, race: Race, default: str, everyone: int, looked_s: float, built_s: float
    ) -> None:
        """Say how much time is needed, where it was not even enough for a look at a second candidate.

        Args:
            race: who had no look for want of time.
            default: name of the default, which nobody can leave out.
            everyone: how many there are.
            looked_s: seconds that looking at the others took.
            built_s: seconds that building engines took.

        Raises:
            UsageError: it was not.
        """
        if not race.late:
            return  # all others failed by themselves
        self._journal.end()  # asked once more, there may be time
        done = max(1, everyone - len(race.late))
        longest_s = max((*race.start_s.values(), *race.block_s.values()), default=0.0)

        def needed_s(count: int) -> float:
            """The budget for a look at so many; the default, which is one of them, is built before."""
            last = needed_times(everyone - count)
            building_s = (count - 2 + last) / max(1, done - 1) * built_s
            look_s = looked_s / done
            looking_s = max(count * look_s, (count - 1) * look_s + last * longest_s)
            return self._budget_for_s(building_s + looking_s / LOOKING_SHARE, building_s)

        unready = [name for name in race.unready if name != default]
        raise too_short(
            self._question,
            "a first look at a second candidate",
            needed_s(done + 1),
            f"at all {everyone} candidates" if everyone > done + 1 else "",
            needed_s(everyone),
            # A larger budget is no help against what never ends.
            unready[0] if unready else "",
        )

    def told(
        self,
        name: str,
        order: list[Candidate],
        changed: Mapping[str, Sequence[Configuration]],
        everyone: dict[str, Candidate],
        left_s: float,
    ) -> tuple[list[Candidate], dict[str, list[Candidate]]]:
        """Race candidates of `order` beside themselves as `changed` says.

        Returns:
            Those that are in, the best first, and by the name of each base the variants that are surely better, the
            best first. An option that is not surely better comes after its base.
        """
        budget_s = OPTIONS_SHARE * left_s
        bases = {one.name: one for one in order if one.name in changed}
        changed = {base: changed[base] for base in bases}
        if not any(changed.values()):
            return order, {}
        if not self.has_time(name, order, left_s):
            self.remarks.append(f"No time was left for the race of {name}.")
            return order, {}
        base_of: dict[str, str] = {}
        fit = {order[0].name: order[0], **bases}
        # In turns: where the time for first looks is short, every engine was told something.
        for variants in itertools.zip_longest(*changed.values()):
            for base, configuration in zip(changed, variants, strict=True):
                if configuration is not None:
                    variant = Candidate(configuration, self._profiler.named(configuration))
                    everyone[variant.name] = variant
                    if self._prepared(variant):
                        fit[variant.name] = variant
                        base_of[variant.name] = base
        self._say(f"{source_name(self._source)}: race of {name}, {len(base_of)} candidates")
        with self._race(name, fit) as race:
            self._look(race, lambda: budget_s / 2)
            late = set(race.late) - base_of.keys()
            if not late:
                race.send_home(budget_s / 2, staying=fit.keys() - base_of.keys())
            outcome = self._run(name, race, 0.0 if late else budget_s / 2)
        if late:  # whose place is by the race before, which this one could not be held against
            for variant_name in base_of:
                variant = everyone[variant_name]
                variant.fate, variant.reason = FAILED, TOO_LATE
            return order, {}
        old_leader = order[0]
        inside = self._standing(outcome, fit)
        # All ratios are to one leader: whoever was not in this race keeps its distance to the old one.
        if old_leader.ratio is not None:
            for one in everyone.values():
                if one.name not in fit and one.ratio is not None:
                    one.ratio *= old_leader.ratio
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

    def has_time(self, name: str, order: Sequence[Candidate], left_s: float) -> bool:
        """Whether a race of changes of these is worth beginning in so many seconds, or was begun before."""
        return name in self._journal.events or OPTIONS_SHARE * left_s >= self._least_s(order)

    def _least_s(self, order: Sequence[Candidate]) -> float:
        """Seconds without which a race of changes is not worth beginning."""
        if self._question.is_resident or not order:
            return OPTIONS_MIN_S
        # Half of them are for first looks, and the other half has to do to tell two apart.
        return 2 * LOOKS[0] * 2 * self.block_s.get(order[0].name, OPTIONS_MIN_S)

    def _put_out_the_unfit(
        self,
        race: Race,
        firsts: Mapping[str, float],
        fit: Mapping[str, Candidate],
        default: Candidate,
    ) -> None:
        accepted: float | None = None
        judged = 0
        for name, first in firsts.items():
            if accepted is not None and first > FAR_OFF * accepted:
                return  # they are sent home for that, judged or not
            reason = ""
            if fit[name] is not default:
                # One is judged in any case: without it there was nothing to choose from.
                out_of_time = judged and self._left_s() <= 0
                reason = NOT_JUDGED if out_of_time else self._fitness.reason(fit[name])
                judged += 1
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


def lanes_of(
    question: Question,
    policy: Policy,
    fit: Mapping[str, Candidate],
    timeout_s: Callable[[], float],
) -> dict[str, Lane]:
    """What measures each candidate, built by then: a process that stays, or a new one for each block.

    Args:
        question: has the objective, and says which of the two it takes.
        policy: how a percentile is measured by new processes.
        fit: by names of their own.
        timeout_s: for each answer of a process; asked before each.
    """
    entrants = [Entrant(name, partial(timed, one)) for name, one in fit.items()]
    objective = question.objective
    if question.is_resident:
        return lanes(entrants, quantile=LATENCIES[objective], timeout_s=timeout_s)
    # A percentile takes its samples in each block, too.
    one_block = policy if objective in LATENCIES else Policy.quick()
    return lanes(
        entrants, worth=_worth(objective), policy=one_block.lasting(1.0), timeout_s=timeout_s
    )


def share_of(left_s: float, waiting: int) -> float:
    """What one candidate may take of the time that a phase has left, with so many who wait for theirs."""
    return max(0.0, left_s * (WAITED_FOR_SHARE if waiting > 0 else 1.0))


def needed_times(waiting: int) -> float:
    """How many times what one candidate takes a phase has to have left for it, with so many who wait for theirs."""
    return NAMED_ROOM / (WAITED_FOR_SHARE if waiting > 0 else 1.0)


def too_short(
    question: Question,
    what: str,
    needed_s: float,
    whole: str = "",
    whole_s: float = 0.0,
    begun: str = "",
) -> UsageError:
    """What refuses a budget that is too short for something, with one that is not.

    Args:
        question: has the budget.
        what: can't be done in it.
        needed_s: the budget that it can be done in.
        whole: what would be done with enough of it, and takes `whole_s`; empty leaves that out.
        whole_s: see `whole`.
        begun: who was begun and not ready, and may hang.
    """
    needed = math.ceil(max(needed_s, question.budget_s + 1))
    further = f", and {whole} about {max(needed, math.ceil(whole_s))} s" if whole else ""
    return UsageError(
        f"a budget of {question.budget_s:g} s is too short: {what} takes one of about {needed} s here{further}; "
        f"give --budget {needed}s or more"
        + (f"; {begun} was begun and not ready: leave it out if it hangs" if begun else "")
    )


def prepare(candidate: Candidate, profiler: Profiler) -> bool:
    """Build a candidate's engine; whether it can be. One that can't is out, with the reason.

    Raises:
        OutputFailed: the store can't be written, and no other one could be built either.
    """
    try:
        candidate.row, candidate.request = profiler.prepared(candidate.configuration)
    except OutputFailed:
        raise
    except DeploykitError as error:
        candidate.fate, candidate.reason = FAILED, f"{UNBUILT}: {error}"
        return False
    return True


def timed(candidate: Candidate) -> WorkerRequest:
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
