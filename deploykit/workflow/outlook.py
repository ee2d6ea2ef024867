"""Which candidates need no look: those that would be far off even if a change of load gained them more than others.

Looks at an engine that is far behind, with more images, more streams or fewer threads, take time from the others.
What such a change can gain is bounded: by what it gained the engines that were looked at, with room, and where more
is run at once by how much more that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploykit.bench.race import FAR_OFF
from deploykit.workflow.tuned import LATENCIES, RATE, Candidate, Question

#: A change may gain so many times as much as it gained whoever it gained the most, of so many at the least.
GAIN_ROOM, LEAST_SEEN = 1.5, 2


@dataclass(frozen=True)
class _Load:
    """What one engine is measured at: threads of a run, None being all cores, images and streams."""

    threads: int | None
    batch: int
    streams: int


class Outlook:
    """Tells which candidates of a first look can't be near the best.

    Nothing is passed over where a constraint has to hold, which a slower one may, where requests arrive at a rate,
    where they queue, or for what is no time. What others are held against computes in the precision of the default,
    and so is not refused later for what it loses.

    Args:
        fit: the candidates by name, in the order of their looks.
        question: what is asked.
        default: the default, with its precision.
    """

    def __init__(
        self, fit: Mapping[str, Candidate], question: Question, default: Candidate
    ) -> None:
        self._fit = fit
        self._precision = default.configuration.precision
        timed = question.objective in LATENCIES or question.objective == RATE
        self._tells = timed and not question.constraints and question.rate_per_s is None

    def reason(self, name: str, firsts: Mapping[str, float]) -> str:
        """Why a candidate needs no look; empty where it does.

        Args:
            name: of the candidate.
            firsts: by name, what those that were looked at took over one of them, the smaller the better; in the
                order of the candidates.
        """
        if not self._tells:
            return ""
        bases = self._bases(firsts)
        base = bases.get(_engine(self._fit[name]))
        sure = {one: value for one, value in firsts.items() if self._is_sure(one)}
        if base is None or not sure:
            return ""
        gain = self._gain(name, base, bases, firsts)
        if gain is None:
            return ""
        if firsts[base] / gain <= FAR_OFF * min(sure.values()):
            return ""
        before = _load(self._fit[base])
        beside = [value for one, value in sure.items() if _load(self._fit[one]) == before]
        behind = firsts[base] / min(beside or sure.values())
        return f"not looked at: {base} took {behind:.2f} times the best in {self._precision}, too far behind it"

    def _gain(
        self, name: str, base: str, bases: Mapping[object, str], firsts: Mapping[str, float]
    ) -> float | None:
        """How many times as good a candidate can be as its engine was before; None where nobody knows."""
        load, before = _load(self._fit[name]), _load(self._fit[base])
        bounds = []
        if load.threads == before.threads:
            more = load.batch * load.streams / (before.batch * before.streams)
            if more > 1:
                bounds.append(more)
        gained = [
            firsts[other] / value
            for one, value in firsts.items()
            if _load(self._fit[one]) == load
            and (other := bases[_engine(self._fit[one])]) != one
            and _load(self._fit[other]) == before
        ]
        if len(gained) >= LEAST_SEEN:
            bounds.append(GAIN_ROOM * max(gained))
        return min(bounds, default=None)

    def _bases(self, firsts: Mapping[str, float]) -> dict[object, str]:
        """The first of each engine that was looked at."""
        bases: dict[object, str] = {}
        for name in firsts:
            bases.setdefault(_engine(self._fit[name]), name)
        return bases

    def _is_sure(self, name: str) -> bool:
        return self._fit[name].configuration.precision == self._precision


def _engine(candidate: Candidate) -> tuple[str, str, tuple[str, ...]]:
    at = candidate.configuration
    return at.backend, at.precision, at.kept


def _load(candidate: Candidate) -> _Load:
    at = candidate.configuration
    return _Load(at.scenario.threads, at.batch, at.scenario.streams)
