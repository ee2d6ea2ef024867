"""The end of a tuning: would-be answers beside the default, and the rows that must meet the constraints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from deploykit.bench.channel import WorkerFailure
from deploykit.bench.interleaved import compare_interleaved
from deploykit.bench.race import FAILED, IN, SLOWER, UNFIT
from deploykit.bench.scenario import Policy
from deploykit.figures import general
from deploykit.row import overloaded
from deploykit.stats import RatioInterval, mean_ratio
from deploykit.workflow.configuration import source_name
from deploykit.workflow.fitness import Fitness
from deploykit.workflow.journal import Entry, Journal
from deploykit.workflow.plan import Source
from deploykit.workflow.profile import Profiler, Say
from deploykit.workflow.races import LIMIT_S, MIN_GAIN, Races, lanes_of, timed
from deploykit.workflow.tuned import BYTES, LATENCIES, Candidate, Meeting, Question

#: Seconds of an interleaved comparison with the default, and with the fp32 of another runtime.
CONFIRM_S, CONFIRM_OTHER_S = 8.0, 4.0
#: Whom the first look, in turns with the default, found to take so many times as long, need not meet the winner.
FAR_BEHIND = 2.0
#: Seconds of a row once its process is started, drift included, and of a start that nobody has timed.
ROW_S, START_S = 3.0, 1.5
#: The least that a comparison may be given, and how long a side may take to start in any case.
MEETING_MIN_S, START_MAX_S = 2.0, 30.0
#: Rounds of a comparison that takes a new process for each block, with the default and with another runtime; fewer
#: than so many decide nothing.
FRESH_ROUNDS, FRESH_OTHER_ROUNDS, FRESH_MIN_ROUNDS = 8, 4, 3
#: Seconds of such a process that nobody has timed.
FRESH_BLOCK_S = 3.0
#: Those within this share of the winner are measured as rows beside it, this many at most.
CLOSE, MAX_CLOSE = 0.1, 3


class Confirmation:
    """Finds the answer among those that a race left.

    Args:
        source: the network.
        question: what is asked.
        profiler: that measures rows.
        journal: with the meetings that were before; it is told each new one.
        fitness: that judges those who were not.
        races: that has lanes for who meets whom.
        left_s: seconds that are left of the budget; asked before each step.
        say: is told which phase begins.
        detail: is told every step.

    Attributes:
        measuring_s: seconds that were spent on comparisons and rows.
        starting_s: those of them in which the sides of comparisons were started.
        remarks: what was left out as the budget was used.
    """

    def __init__(
        self,
        source: Source,
        question: Question,
        profiler: Profiler,
        journal: Journal,
        fitness: Fitness,
        races: Races,
        left_s: Callable[[], float] = lambda: math.inf,
        say: Say = lambda text: None,
        detail: Say = lambda text: None,
    ) -> None:
        self._source, self._question, self._say, self._detail = source, question, say, detail
        self._profiler, self._journal = profiler, journal
        self._fitness, self._races = fitness, races
        self._left_s = left_s
        self.measuring_s = self.starting_s = 0.0
        self.remarks: list[str] = []

    def reserve_s(self, everyone: Iterable[Candidate], default: Candidate) -> float:
        """Seconds of the budget to keep for the end: rows, and who meets whom."""
        if self._question.objective == BYTES:
            return 0.0
        others = [one for one in everyone if self._meets_winner(one, default)]
        return self._end_s(default) + sum(
            self._meeting_s(one, self._compared_s(one, default)) for one in others
        )

    def _compared_s(self, one: Candidate, default: Candidate) -> float:
        """Seconds in which one and another are compared."""
        if self._question.is_resident:
            return CONFIRM_S if one is default else CONFIRM_OTHER_S
        rounds = FRESH_ROUNDS if one is default else FRESH_OTHER_ROUNDS
        return rounds * 2 * self._block_s(one)

    def _least_s(self, one: Candidate) -> float:
        """Seconds that comparing one and another takes at the least."""
        if self._question.is_resident:
            return MEETING_MIN_S
        return FRESH_MIN_ROUNDS * 2 * self._block_s(one)

    def _block_s(self, one: Candidate) -> float:
        """Of a new process that measures a block."""
        return self._races.block_s.get(one.name, FRESH_BLOCK_S)

    def _end_s(self, default: Candidate) -> float:
        """Of meeting the default and the rows of both."""
        rows_s = 2 * (ROW_S + self._start_s(default))
        return self._meeting_s(default, self._compared_s(default, default)) + rows_s

    def _meeting_s(self, one: Candidate, budget_s: float) -> float:
        """Of a comparison with its start, which every block of new processes has itself."""
        return budget_s + (START_S + self._start_s(one) if self._question.is_resident else 0.0)

    def _start_s(self, one: Candidate) -> float:
        known = self._races.start_s if self._question.is_resident else self._races.block_s
        return known.get(one.name, START_S)

    def _meets_winner(self, one: Candidate, default: Candidate) -> bool:
        """Whether one is what a runtime does where nobody says anything, and not surely far behind."""
        plain = replace(default.configuration, backend=one.configuration.backend)
        is_plain = one.configuration == plain and one is not default
        far = one.ratio is not None and one.ratio >= FAR_BEHIND
        return is_plain and one.fate != FAILED and not far

    def answered(
        self, order: list[Candidate], everyone: Mapping[str, Candidate], default: Candidate
    ) -> tuple[Candidate | None, list[Meeting]]:
        """The first that is surely better than the default and meets the constraints; else the default, if it does.

        A default that does not meet them need not be beaten. Those that were dropped as slower come last, as faster
        ones may miss a constraint. Who came close is measured as a row, too.
        """
        meetings: list[Meeting] = []
        rivals = [one for one in order if one is not default]
        if rivals and self._question.objective != BYTES:
            self._say(f"{source_name(self._source)}: {rivals[0].name} beside the default")
            rivals = self._behind_fp32(rivals, everyone, default, meetings)
        self._say(f"{source_name(self._source)}: measure the answer and who came close")
        slower = [one for one in everyone.values() if one.fate == SLOWER and one is not default]
        slower = [one for one in slower if one.ratio is not None and one not in rivals]
        chosen = None
        candidates = [*rivals, *sorted(slower, key=lambda one: one.ratio or 0.0)]
        # Where the default does not do, who comes next needs only a row: meeting it would tell nothing.
        may_fail = self._question.constraints or self._question.rate_per_s is not None
        default_holds = self._holds(default) if may_fail else True
        for place, one in enumerate(candidates):
            if place and self._left_s() < ROW_S + self._start_s(one):
                self.remarks.append(f"No time was left to measure {len(candidates) - place} more.")
                break
            if one.fate == SLOWER and (reason := self._fitness.reason(one)):
                one.fate, one.reason = UNFIT, reason
                continue
            is_better = not default_holds or self._is_better(one, default, meetings)
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
            chosen, default.fate, default.reason = default, IN, ""
        for one in order[:MAX_CLOSE]:
            in_time = self._left_s() >= ROW_S + self._start_s(one)
            if in_time and (one.ratio or 1.0) <= 1 + CLOSE:
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
        winner, quicker = rivals[0], list[tuple[float, Candidate]]()
        for one in everyone.values():
            if one is winner or not self._meets_winner(one, default):
                continue
            spare_s = self._left_s() - self._end_s(default)
            if spare_s < self._meeting_s(one, self._least_s(one)):
                self.remarks.append(f"No time was left for {winner.name} to meet {one.name}.")
                continue
            try:
                met = self._meet(winner, one, min(self._compared_s(one, default), spare_s))
            except WorkerFailure as failure:
                one.reason = f"{one.reason}; beside the winner: {failure}".lstrip("; ")
                continue
            meetings.append(met)
            if met.verdict == "worse" and not self._fitness.reason(one):
                one.fate, one.reason = IN, ""
                quicker.append((met.ratio.ratio, one))
        first = [one for _, one in sorted(quicker, key=lambda pair: -pair[0])]
        names = {one.name for one in first}
        return [*first, *(other for other in rivals if other.name not in names)]

    def _is_better(self, candidate: Candidate, default: Candidate, meetings: list[Meeting]) -> bool:
        """Whether a candidate is surely better than the default, which it meets; one that fails there is out."""
        if self._question.objective == BYTES:
            return int(candidate.row[BYTES]) < int(default.row[BYTES])
        if default.fate == FAILED:
            self._holds(default)  # which measures it: it may have been late, and no more
            if default.row.get("status") != "ok":
                return True
        try:
            spare_s = self._left_s() - 2 * ROW_S
            least_s = self._least_s(default)
            if not self._question.is_resident and spare_s < least_s:
                self.remarks.append(
                    f"No time was left for {candidate.name} to meet the default: give a larger --budget."
                )
                candidate.reason = "no time was left to hold it against the default"
                return False
            allowed_s = min(self._compared_s(default, default), max(least_s, spare_s))
            meetings.append(self._meet(candidate, default, allowed_s))
        except WorkerFailure as failure:
            candidate.fate, candidate.reason = FAILED, f"beside the default: {failure}"
            return False
        if (met := meetings[-1]).verdict == "better":
            return True
        taken = f"{met.ratio.ratio:.3f} times that, {met.ratio.low:.3f} to {met.ratio.high:.3f}"
        candidate.reason = f"beside the default {taken}: not surely better by {MIN_GAIN:.0%}"
        return False

    def _holds(self, candidate: Candidate) -> bool:
        """Whether a candidate's row, which is measured where it was not yet, meets the constraints."""
        if candidate.row.get("status") is None:
            self._detail(f"measure {candidate.name}")
            start = time.perf_counter()
            (candidate.row,) = self._profiler.rows([candidate.configuration])
            self.measuring_s += time.perf_counter() - start
        row = candidate.row
        if row.get("status") != "ok":
            said = next((note.text for note in row.noted("failed", "skipped")), "nobody knows why")
            candidate.fate, candidate.reason = FAILED, f"it was not measured: {said}"
            return False
        if overloaded(row):  # its numbers tell how long was measured, and come near to no bound
            candidate.fate, candidate.reason = UNFIT, "requests arrive faster than it serves them"
            return False
        missed = tuple(c for c in self._question.constraints if not c.met_by(row))
        if missed:
            told = [(one, row.get(one.column)) for one in missed]
            shown = (f"{m} fails: it is {'blank' if v is None else general(v, 4)}" for m, v in told)
            candidate.fate, candidate.reason = UNFIT, "; ".join(shown)
        candidate.missed = missed
        return not missed

    def _meet(self, winner: Candidate, other: Candidate, budget_s: float) -> Meeting:
        """One beside another, in turns.

        Raises:
            WorkerFailure: one of them can't be measured.
        """
        ratio = self._journal.met.get((winner.name, other.name))
        if ratio is None:
            self._detail(f"{winner.name} beside {other.name}")
            start = time.perf_counter()
            try:
                ratio = self._beside(winner, other, budget_s)
            finally:
                self.measuring_s += time.perf_counter() - start
            self._journal.write(Entry(name=winner.name, other=other.name, ratio=ratio))
        better = ratio.high < 1 and ratio.ratio <= 1 / (1 + MIN_GAIN)
        worse = ratio.low > 1 and ratio.ratio >= 1 + MIN_GAIN
        verdict = "better" if better else "worse" if worse else "same"
        return Meeting(winner.name, other.name, ratio, verdict)

    def _beside(self, winner: Candidate, other: Candidate, budget_s: float) -> RatioInterval:
        options = self._profiler.options

        def timeout_s() -> float:
            return min(options.timeout_s or LIMIT_S, max(START_MAX_S, self._left_s()))

        ratio, starting_s = compared(
            self._question, options.policy, winner, other, budget_s, timeout_s
        )
        self.starting_s += starting_s
        return ratio


def compared(
    question: Question,
    policy: Policy,
    ours: Candidate,
    theirs: Candidate,
    budget_s: float,
    timeout_s: Callable[[], float],
) -> tuple[RatioInterval, float]:
    """One built candidate beside another, be it of another network, in turns.

    Args:
        question: has the objective, and says whether processes stay or each block takes a new one.
        policy: how a percentile is measured by new processes.
        ours: whose objective is taken over the other's; above 1 it is worse.
        theirs: the other one.
        budget_s: seconds beside the start of both; exceeded by the least number of rounds that tell anything.
        timeout_s: for each answer of a process; asked before each.

    Returns:
        The ratio, and the seconds that starting both took.

    Raises:
        WorkerFailure: one of them can't be measured.
    """
    start = time.perf_counter()
    if question.is_resident:
        found = compare_interleaved(
            timed(theirs),
            timed(ours),
            threshold=MIN_GAIN,
            budget_s=budget_s,
            timeout_s=timeout_s(),
            quantile=LATENCIES[question.objective],
        )
        return found.ratio, time.perf_counter() - start - found.elapsed_s
    pair = lanes_of(question, policy, {"ours": ours, "theirs": theirs}, timeout_s)
    values: tuple[list[float], list[float]] = ([], [])
    for number in range(FRESH_ROUNDS):
        spent_s = time.perf_counter() - start
        # Of so long a round as those before, none is begun that would not end in time.
        if number >= FRESH_MIN_ROUNDS and spent_s * (number + 1) / number > budget_s:
            break
        values[0].append(pair["theirs"].block())
        values[1].append(pair["ours"].block())
    starting_s = sum(lane.starting_s for lane in pair.values())
    return mean_ratio(*values, confidence=0.99), starting_s
