"""What a part of the torture is given, and what it answers with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Failures that a report names; it counts all.
MOST_NAMED = 50


@dataclass(frozen=True)
class Task:
    """What a part is to do.

    Attributes:
        folder: empty, for whatever the part writes; it is removed afterwards.
        seconds: that it may take; it begins nothing new after them.
        seed: everything random in it is drawn from this, so that a failure can be had again.
        count: of its cases; None is the part's own number.
        processes: that may work at once.
        say: told, now and then, how far it is.
        before: the report of earlier runs that this one goes on from; empty where it begins anew.
    """

    folder: Path
    seconds: float
    seed: int = 0
    count: int | None = None
    processes: int = 2
    say: Callable[[str], None] = print
    before: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Cases that earlier runs tried; those that come next are tried now."""
        return int(self.before.get("done", 0))

    def cases(self, cases: Sequence[int]) -> list[int]:
        """Of all cases those that are left, after those that failed in an earlier run."""
        return list(dict.fromkeys([*self.before.get("failed_cases", []), *cases[self.done :]]))


@dataclass
class Result:
    """What a part came to.

    Attributes:
        asked: cases that were to be tried, those of earlier runs among them.
        done: cases that were tried now; fewer where the time was over.
        counts: what came of them, by name, such as {"tracebacks": 0}.
        failures: one line each, with the seed that has it again; empty where all went well.
        failed_cases: the cases of them, by number, where the part can try these alone.
        facts: what else a reader needs, such as limits.
    """

    asked: int
    done: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    failed_cases: list[int] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def count(self, name: str, number: int = 1) -> None:
        """Add to a count; 0 makes it stand in the report."""
        self.counts[name] = self.counts.get(name, 0) + number

    def fail(self, text: str, case: int | None = None) -> None:
        """Note a failure of a case."""
        self.failures.append(text)
        if case is not None and case not in self.failed_cases:
            self.failed_cases.append(case)
