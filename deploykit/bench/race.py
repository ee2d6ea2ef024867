"""Finding the fastest of many configurations: all in turns, the slower ones dropped, the rest measured longer.

In a round every entrant that is still in has one block, in an order drawn anew, so that what slows the machine for
a while meets all of them. An entrant is dropped when its ratios to the leader are surely above 1:
the test is made at few, ever rarer rounds, and its error is shared over looks and entrants, so that the fastest is
dropped with a chance of a hundredth at most. Who is far behind at the first look isn't kept waiting at all.

Time is kept: no round is begun that is not expected to end in it, and only so many race as can be told apart in it.
Where it is over after fewer rounds than it takes to tell anybody apart, nobody is dropped.

Every round is handed to `record` as it ends and can be given back as `earlier`: a race that was broken off goes on
where it was.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from deploykit.bench.channel import Channel, WorkerFailure
from deploykit.bench.interleaved import (
    BLOCK_MAX_S,
    BLOCK_MIN_S,
    BLOCK_RUNS,
    MODULE,
    Ready,
    Turn,
)
from deploykit.bench.request import WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.errors import UsageError
from deploykit.stats import RatioInterval, mean_ratio

#: Rounds after which who is slower is asked; the first is the least that can tell.
LOOKS = (8, 12, 17, 24, 34, 48, 68, 96, 136, 192, 272, 384, 543, 768)
#: The chance, at most, that the fastest is dropped in a whole race.
ERROR = 0.01
#: Who takes so many times the best at the first look is not raced, nor who is beyond the best so many.
FAR_OFF = 1.6
MAX_RACED = 10
#: Blocks of a first look by a process that stays, and by new ones, each of which measures as long as ten of those.
FIRST_BLOCKS, FRESH_FIRST_BLOCKS = 3, 1
#: A block of the first entrant stands beside the look after it, too, where that begins within so many seconds.
SHARED_WITHIN_S = 1.0
#: Engines are loaded anew, to other places in memory, when that has taken less than this share of the time.
RENEWING_SHARE = 0.3
TIMEOUT_S = 120.0
#: A race is of so many at the least, however little time there is.
MIN_RACED = 2
#: Why an entrant is out that had no first look: there was no time to start it, or starting it took too long. Of an
#: entrant itself that says nothing.
TOO_LATE = "the time for first looks was used up before its turn"
NOT_STARTED = "it was not ready in the time that there was for a first look at it"
NOT_RACED = "those in the race were faster at the first look, and no time was left to start it"
LATE = (TOO_LATE, NOT_STARTED)
IN, SLOWER, UNFIT, FAILED = FATES = ("in", "slower", "unfit", "failed")


@dataclass(frozen=True)
class Entrant:
    """One configuration.

    Attributes:
        name: of its own in the race.
        request: gives what measures it, when it is started.
    """

    name: str
    request: Callable[[], WorkerRequest]


@dataclass(frozen=True)
class Round:
    """One round, or with number 0 a first look: what each entrant's block was worth; the smaller the better."""

    number: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Dropped:
    """An entrant that is out: "slower", "unfit" for the question or "failed", and why in words."""

    name: str
    fate: str
    reason: str


Event = Round | Dropped
T = TypeVar("T")


@dataclass(frozen=True)
class Standing:
    """How an entrant ended.

    Attributes:
        name: the entrant's.
        fate: "in", "slower", "unfit" or "failed".
        value: the median of its blocks; None where it has none.
        first: how many times as long as the first entrant it took at the first look; None where nobody looked.
        ratio: to the leader, over the rounds that both were in; None for the leader, and where these are too few.
        reason: why it is out.
    """

    name: str
    fate: str
    value: float | None
    first: float | None
    ratio: RatioInterval | None
    reason: str


@dataclass(frozen=True)
class Outcome:
    """A race that is over.

    Attributes:
        standings: the leader first, then by value; those that failed last.
        rounds: how many there were.
        measuring_s: seconds that blocks and starts took.
        starting_s: those of them in which processes were started, engines loaded and warmed up.
        elapsed_s: seconds of the whole.
        cut_short: whether the time was over before anybody could be told apart.
    """

    standings: tuple[Standing, ...]
    rounds: int
    measuring_s: float
    starting_s: float
    elapsed_s: float
    cut_short: bool = False

    @property
    def leader(self) -> Standing | None:
        """Who came first; None where all failed."""
        first = self.standings[0] if self.standings else None
        return first if first is not None and first.fate == IN else None


class Lane(Protocol):
    """Measures one entrant, block by block.

    Attributes:
        starting_s: seconds of blocks that were spent on starting and warming up rather than on runs.
        first_blocks: how many a first look takes; the smallest counts, as interference only adds time.
    """

    starting_s: float
    first_blocks: int

    def start(self) -> None:
        """Get ready."""

    def block(self) -> float:
        """The worth of one more block."""

    def close(self) -> None:
        """Let go of everything."""


class ResidentLane:
    """A process that stays: latency of one request after the other, by a quantile of each block.

    Args:
        entrant: to measure.
        quantile: of a block's latencies, which is what it is worth, in nanoseconds.
        timeout_s: for each answer, asked anew for each.
    """

    def __init__(self, entrant: Entrant, quantile: float, timeout_s: Callable[[], float]) -> None:
        self._entrant, self._quantile, self._timeout_s = entrant, quantile, timeout_s
        self._channel: Channel | None = None
        self._block_s = self._renew_s = self._renewed_s = self._spent_s = 0.0
        self.starting_s, self.first_blocks = 0.0, FIRST_BLOCKS

    def start(self) -> None:
        """Start the process, load the engine and warm up."""
        request = self._entrant.request()
        self._channel = Channel(MODULE, request.threads)
        ready = self._channel.ask(request, Ready, self._timeout_s())
        self._block_s = min(BLOCK_MAX_S, max(BLOCK_MIN_S, BLOCK_RUNS * ready.run_s))
        self._renew_s = ready.renew_s

    def block(self) -> float:
        """Nanoseconds of a run; the engine is loaded anew before it where that pays."""
        assert self._channel is not None
        renew = self._renewed_s + self._renew_s <= RENEWING_SHARE * self._spent_s
        turn = Turn(self._block_s, self._quantile, renew=renew, apart=True)
        start = time.perf_counter()
        nanoseconds = self._channel.ask(turn, float, self._timeout_s())
        self._spent_s += time.perf_counter() - start
        self._renewed_s += self._renew_s if renew else 0.0
        return nanoseconds

    def close(self) -> None:
        """Kill the process."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class FreshLane:
    """A new process for every block, for what takes one: streams, arrivals, memory.

    Args:
        entrant: to measure.
        worth: what a block is worth, from the columns that were measured; the smaller the better.
        policy: how long a block measures.
        timeout_s: for each process, asked anew for each.
    """

    def __init__(
        self,
        entrant: Entrant,
        worth: Callable[[Mapping[str, object]], float | None],
        policy: Policy,
        timeout_s: Callable[[], float],
    ) -> None:
        self._entrant, self._worth = entrant, worth
        self._policy, self._timeout_s = policy, timeout_s
        self.starting_s, self.first_blocks = 0.0, FRESH_FIRST_BLOCKS

    def start(self) -> None:
        """Nothing: every block starts a process of its own."""

    def block(self) -> float:
        """What one process measured is worth.

        Raises:
            WorkerFailure: it did not measure what is asked for.
        """
        request = replace(self._entrant.request(), policy=self._policy)
        start = time.perf_counter()
        result = run_worker(request, self._timeout_s())
        timed_s = result.details.get("elapsed_s", 0.0)
        self.starting_s += max(0.0, time.perf_counter() - start - timed_s)
        value = self._worth(result.columns)
        if value is None:
            said = next((note.text for note in result.notes), "it is blank")
            raise WorkerFailure(f"the objective was not measured: {said}", "error")
        return value

    def close(self) -> None:
        """Nothing is kept."""


@dataclass
class _Runner:
    """An entrant in the race: its lane, its first look, and its blocks by the number of their round."""

    lane: Lane
    first: float | None = None
    blocks: dict[int, float] = field(default_factory=dict)
    fate: str = IN
    reason: str = ""
    is_open: bool = False
    start_s: float | None = None
    block_s: float = 0.0

    @property
    def value(self) -> float | None:
        values = sorted(self.blocks.values())
        return values[len(values) // 2] if values else None


class Race:
    """A race over lanes: `look` at all, put out who can't be taken, then `run`. Use it in a `with`.

    Args:
        lanes: of the entrants, by name; the first one is what the others are held against at the first look.
        margin: those that are surely nearer to the leader than this are as good as it.
        record: is handed every event as it happens.
        say: is told what is being done.
        earlier: what an earlier run of the same race recorded.
        make: gets an entrant ready when its turn to be looked at comes, and says why it can't; empty where it does.
        needless: says why an entrant needs no look, by what those that had one took; empty where it does.
        seed: of the order of turns.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        *,
        margin: float = 0.01,
        record: Callable[[Event], None] = lambda event: None,
        say: Callable[[str], None] = lambda text: None,
        earlier: Sequence[Event] = (),
        make: Callable[[str], str] = lambda name: "",
        needless: Callable[[str, Mapping[str, float]], str] = lambda name, firsts: "",
        seed: int = 0,
    ) -> None:
        self._runners = {name: _Runner(lane) for name, lane in lanes.items()}
        self._margin, self._record, self._say, self._make = margin, record, say, make
        self._needless = needless
        self._order = random.Random(seed)
        self._rounds = 0
        self._measuring_s = self._starting_s = 0.0
        self._is_looking = False
        #: The smallest of the first entrant's blocks beside the last look.
        self._reference: float | None = None
        #: A block of the first entrant that one look alone was held against, and when it ended.
        self._unshared: tuple[float, float] | None = None
        self._started = time.perf_counter()
        looks = len(LOOKS) * max(1, len(lanes) - 1)
        self._confidence = 1 - 2 * ERROR / looks
        self._take_up(earlier)

    def __enter__(self) -> Race:
        return self

    def __exit__(self, *exception: object) -> None:
        for runner in self._runners.values():
            self._close(runner)

    def look(self, budget_s: float | Callable[[], float] = math.inf) -> dict[str, float]:
        """Start everybody in turn, each beside the first one, who stays.

        Args:
            budget_s: who was not started by then is out. Who was begun and takes too long then, the lanes' own
                limits say. A function is asked anew for each, as making one may change it.

        Returns:
            How many times as long as the first one each takes, of those that are in; the fastest first.
        """
        self._is_looking = True
        start = time.perf_counter()

        def is_over() -> bool:
            allowed_s = budget_s() if callable(budget_s) else budget_s
            return time.perf_counter() - start > allowed_s

        try:
            return self._looked(is_over)
        finally:
            self._is_looking = False

    def _looked(self, is_over: Callable[[], bool]) -> dict[str, float]:
        reference: str | None = None
        for name, runner in self._inside().items():
            if runner.first is None and (reason := self._needless(name, self.firsts)):
                self.put_out(name, SLOWER, reason)
                continue
            if runner.first is None and is_over():
                self.put_out(name, FAILED, TOO_LATE)
                continue
            if reason := self._make(name):
                self.put_out(name, FAILED, reason)
                continue
            self._say(f"first look at {name}")
            if runner.first is None:
                value = self._looked_at(name, runner, reference, is_over)
                if value is None:
                    continue
                runner.first = value
                self._record(Round(0, {name: value}))
            if reference is None:
                reference = name
                self._open(name, runner)
        return dict(sorted(self.firsts.items(), key=lambda pair: pair[1]))

    @property
    def firsts(self) -> dict[str, float]:
        """How many times as long as the first one each takes that is in and was looked at, in their order."""
        return {name: r.first for name, r in self._inside().items() if r.first is not None}

    @property
    def late(self) -> list[str]:
        """Who had no first look, as the time for these was used."""
        return [name for name, runner in self._runners.items() if runner.reason in LATE]

    @property
    def unready(self) -> list[str]:
        """Who of these was begun, and took too long to be ready."""
        return [name for name, runner in self._runners.items() if runner.reason == NOT_STARTED]

    @property
    def waiting(self) -> list[str]:
        """Who is in and has no first look yet."""
        return [name for name, runner in self._inside().items() if runner.first is None]

    @property
    def block_s(self) -> dict[str, float]:
        """Seconds that the last block of each entrant took."""
        return {n: one.block_s for n, one in self._runners.items() if one.block_s}

    @property
    def start_s(self) -> dict[str, float]:
        """Seconds that it last took to start each entrant that was."""
        return {n: one.start_s for n, one in self._runners.items() if one.start_s is not None}

    def _looked_at(
        self, name: str, runner: _Runner, reference: str | None, is_over: Callable[[], bool]
    ) -> float | None:
        """The smallest block over that of the first entrant, each next to one of it.

        Where that one has failed, over its last ones. One block each has to do where the time is over.
        """
        if not self._open(name, runner):
            return None
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(runner.lane.first_blocks):
            if ours and is_over():
                break
            shared = self._just_before()
            value = self._block(name)
            if value is None:
                return None
            ours.append(value)
            beside = None if reference is None else shared or self._beside(reference)
            theirs += [] if beside is None else [beside]
            if beside is not None and shared is None and runner.lane.first_blocks == 1:
                self._unshared = beside, time.perf_counter()
        if theirs or self._reference is None:
            self._reference = min(theirs or ours)
        if reference is not None:
            # It may wait for long, while engines are judged.
            self._close(runner)
        return min(ours) / self._reference

    def _just_before(self) -> float | None:
        """The block of the first entrant right before a look, which then needs none of its own; each serves two.

        So a look by new processes takes one and a half of them rather than two.
        """
        unshared, self._unshared = self._unshared, None
        if unshared is None or time.perf_counter() - unshared[1] > SHARED_WITHIN_S:
            return None
        return unshared[0]

    def _beside(self, reference: str) -> float | None:
        """A block of the first entrant beside another's look; None where it has failed.

        Late beside another it is not out: it had its own look, and all others are held against it.
        """
        runner = self._runners[reference]
        if runner.fate != IN:
            return None
        start = time.perf_counter()
        try:
            if not runner.is_open:
                runner.is_open = True
                runner.lane.start()
            return runner.lane.block()
        except WorkerFailure as failure:
            if failure.kind == "timeout":
                self._close(runner)
            else:
                self.put_out(reference, FAILED, str(failure))
            return None
        finally:
            self._measuring_s += time.perf_counter() - start

    def put_out(self, name: str, fate: str, reason: str) -> None:
        """An entrant that can't be taken, and why."""
        runner = self._runners[name]
        runner.fate, runner.reason = fate, reason
        self._close(runner)
        self._record(Dropped(name, fate, reason))

    def send_home(self, budget_s: float = math.inf, staying: Collection[str] = ()) -> None:
        """Put out who is far behind the best at the first look, and who is beyond the best so many.

        Args:
            budget_s: for the race; no more stay than there is time for as many rounds as tell them apart.
            staying: who stays, be there time for it or not.
        """
        firsts = self.firsts
        in_order = sorted(firsts, key=lambda name: firsts[name])
        most = self._most_raced(in_order, budget_s)
        for place, name in enumerate(in_order):
            times = firsts[name] / firsts[in_order[0]]
            if times > FAR_OFF:
                text = f"{times:.2f} times {in_order[0]} at the first look"
                self.put_out(name, SLOWER, text)
            elif place >= MAX_RACED or (place >= most and name not in staying):
                time_for = "" if most == MAX_RACED else ", as many as there was time for"
                text = f"{times:.2f} times {in_order[0]} at the first look, and {most} were faster"
                self.put_out(name, SLOWER, f"{text}{time_for}")

    def _most_raced(self, in_order: Sequence[str], budget_s: float) -> int:
        """Of how many, the fastest first, there can be a race in that time: their starts and rounds."""
        needed_s = 0.0
        for place, name in enumerate(in_order[:MAX_RACED]):
            runner = self._runners[name]
            needed_s += self._opening_s(runner) + LOOKS[0] * runner.block_s
            if place >= MIN_RACED and needed_s > budget_s:
                return place
        return MAX_RACED

    def _opening_s(self, runner: _Runner) -> float:
        return 0.0 if runner.is_open else runner.start_s or 0.0

    def run(self, budget_s: float) -> Outcome:
        """Race until one is left, all that are left are as good as the leader, or the time is used.

        Args:
            budget_s: for all blocks, starts and warming up; exceeded by what is begun and takes longer than before.
        """
        deadline = time.perf_counter() + budget_s
        for name, runner in sorted(
            self._inside().items(), key=lambda pair: pair[1].first or math.inf
        ):
            if self._goes_on(deadline - time.perf_counter() - self._opening_s(runner)):
                self._say(f"start {name}")
                self._open(name, runner)
            elif not runner.is_open:
                break  # whoever is slower is not raced instead of it
        ready = {name: runner for name, runner in self._inside().items() if runner.is_open}
        if len(ready) >= MIN_RACED:
            for name in self._inside().keys() - ready.keys():
                self.put_out(name, SLOWER, NOT_RACED)
        while self._are_ready() and self._goes_on(deadline - time.perf_counter() - self._round_s()):
            self._one_round()
            if self._rounds in LOOKS:
                self._drop_the_slower()
        elapsed_s = time.perf_counter() - self._started
        cut_short = self._rounds < LOOKS[0] and len(self._inside()) > 1
        starting_s = self._starting_s + sum(r.lane.starting_s for r in self._runners.values())
        return Outcome(
            self._standings(), self._rounds, self._measuring_s, starting_s, elapsed_s, cut_short
        )

    def _are_ready(self) -> bool:
        return all(runner.is_open for runner in self._inside().values())

    def _round_s(self) -> float:
        """What a round takes, by the last block of each."""
        return sum(runner.block_s for runner in self._inside().values())

    def _take_up(self, earlier: Sequence[Event]) -> None:
        for event in earlier:
            if isinstance(event, Dropped):
                if event.name in self._runners:
                    runner = self._runners[event.name]
                    runner.fate, runner.reason = event.fate, event.reason
                continue
            for name, value in event.values.items():
                if name not in self._runners:
                    continue
                if event.number == 0:
                    self._runners[name].first = value
                else:
                    self._runners[name].blocks[event.number] = value
            self._rounds = max(self._rounds, event.number)

    def _inside(self) -> dict[str, _Runner]:
        return {name: runner for name, runner in self._runners.items() if runner.fate == IN}

    def _open(self, name: str, runner: _Runner) -> bool:
        """Start a lane that is not; whether it runs."""
        if not runner.is_open:
            runner.is_open = True
            start = time.perf_counter()
            self._measured(name, runner.lane.start)
            runner.start_s = time.perf_counter() - start
            self._starting_s += runner.start_s
        return runner.fate == IN

    def _close(self, runner: _Runner) -> None:
        runner.lane.close()
        runner.is_open = False

    def _block(self, name: str) -> float | None:
        """What one more block of an entrant is worth; None where it fails."""
        runner = self._runners[name]
        start = time.perf_counter()
        value = self._measured(name, runner.lane.block)
        runner.block_s = time.perf_counter() - start
        return value

    def _measured(self, name: str, measure: Callable[[], T]) -> T | None:
        """What a lane measures; None where it fails, which puts the entrant out."""
        start = time.perf_counter()
        try:
            return measure()
        except WorkerFailure as failure:
            late = self._is_looking and failure.kind == "timeout"
            self.put_out(name, FAILED, NOT_STARTED if late else str(failure))
            return None
        finally:
            self._measuring_s += time.perf_counter() - start

    def _goes_on(self, left_s: float) -> bool:
        inside = self._inside()
        if len(inside) < 2 or left_s <= 0 or self._rounds >= LOOKS[-1]:
            return False
        if self._rounds < LOOKS[0]:
            return True
        leader = self._leader()
        return self._rounds not in LOOKS or not all(
            self._is_as_good(name, leader) for name in inside if name != leader
        )

    def _one_round(self) -> None:
        names = list(self._inside())
        self._order.shuffle(names)
        self._rounds += 1
        self._say(f"round {self._rounds}, {len(names)} in")
        values = {}
        for name in names:
            value = self._block(name)
            if value is not None:
                self._runners[name].blocks[self._rounds] = value
                values[name] = value
        self._record(Round(self._rounds, values))

    def _leader(self) -> str:
        """Of those that are in, the one with the smallest median; all of them have the same rounds.

        Without rounds, it is the fastest at the first look.
        """

        def place(name: str) -> tuple[float, float]:
            runner = self._runners[name]
            return runner.value or math.inf, runner.first or math.inf

        return min(self._inside(), key=place)

    def ratio(self, name: str, other: str) -> RatioInterval | None:
        """What one takes over what another takes in the rounds of both; None where these are too few to tell."""
        ours, theirs = self._runners[name].blocks, self._runners[other].blocks
        both = sorted(ours.keys() & theirs.keys())
        if len(both) < LOOKS[0]:
            return None
        return mean_ratio(
            [theirs[n] for n in both], [ours[n] for n in both], confidence=self._confidence
        )

    def _is_as_good(self, name: str, leader: str) -> bool:
        ratio = self.ratio(name, leader)
        return ratio is not None and ratio.high <= 1 + self._margin

    def _drop_the_slower(self) -> None:
        inside = self._inside()
        if len(inside) < 2:
            return
        leader = self._leader()
        for name in inside:
            ratio = None if name == leader else self.ratio(name, leader)
            if ratio is not None and ratio.low > 1:
                self.put_out(
                    name,
                    SLOWER,
                    f"{ratio.ratio:.3f} times {leader}, {ratio.low:.3f} to {ratio.high:.3f}, "
                    f"after {self._rounds} rounds",
                )

    def _standings(self) -> tuple[Standing, ...]:
        inside = self._inside()
        leader = self._leader() if inside else None

        def place(name: str) -> tuple[int, float, float]:
            runner = self._runners[name]
            group = -1 if name == leader else FATES.index(runner.fate)
            return group, runner.value or math.inf, runner.first or math.inf

        return tuple(
            Standing(
                name,
                self._runners[name].fate,
                self._runners[name].value,
                self._runners[name].first,
                None if leader in (None, name) else self.ratio(name, leader),
                self._runners[name].reason,
            )
            for name in sorted(self._runners, key=place)
        )


def lanes(
    entrants: Sequence[Entrant],
    *,
    quantile: float | None = 0.5,
    worth: Callable[[Mapping[str, object]], float | None] | None = None,
    policy: Policy | None = None,
    timeout_s: Callable[[], float] = lambda: TIMEOUT_S,
) -> dict[str, Lane]:
    """A lane for each entrant, all of one kind.

    Args:
        entrants: names are their own.
        quantile: of the latency of one request after the other, by processes that stay.
        worth: where given, a new process measures each block as `policy` says, and this is its worth.
        policy: see `worth`; None is a second.
        timeout_s: for each answer, asked anew for each.

    Raises:
        UsageError: two entrants have one name.
    """
    if len({entrant.name for entrant in entrants}) < len(entrants):
        raise UsageError("two entrants of a race have the same name: give each its own")
    if worth is not None:
        policy = policy or Policy.quick().lasting(1.0)
        return {one.name: FreshLane(one, worth, policy, timeout_s) for one in entrants}
    assert quantile is not None
    return {one.name: ResidentLane(one, quantile, timeout_s) for one in entrants}
