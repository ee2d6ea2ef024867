"""What is to be said of the cores that a measurement has, one line each."""

from __future__ import annotations

import os

from deploykit import env
from deploykit.bench.scenario import Scenario
from deploykit.row import Finding, Note


def of_machine() -> list[str]:
    """Remarks on this process' share of the machine: a limit below its cores, or a single core."""
    total, may, limit = os.cpu_count() or 1, env.affinity_cores(), env.cpu_limit()
    cores = env.usable_cores()
    threads = max(1, int(cores))
    remarks = []
    if limit is not None and limit < may:
        remarks.append(
            f"a cgroup limit leaves {limit:g} of {total} cores: runtimes get {_count(threads, 'thread')} unless "
            "--threads gives more, which would be throttled"
        )
    elif may < total:
        remarks.append(
            f"this process may run on {may} of {total} cores (its affinity): runtimes get "
            f"{_count(threads, 'thread')} unless --threads says otherwise"
        )
    if cores <= 1:
        remarks.append(
            "one core only: whatever else runs is in the latencies; measure on an idle machine, with one stream"
        )
    return remarks


def of_scenario(scenario: Scenario) -> list[Note]:
    """Notes on a scenario: more threads than cores take turns."""
    usable = max(1, int(env.usable_cores()))
    each = scenario.threads or usable
    wanted = each * scenario.streams
    if wanted <= usable:
        return []
    who = f"{scenario.streams} streams of " if scenario.streams > 1 else ""
    advice = f"--threads {max(1, usable // scenario.streams)}"
    if scenario.streams > usable:
        advice += f" and --streams {usable} at most"
    text = f"{who}{_count(each, 'thread')} take turns on {_count(usable, 'core')}"
    return [Note("load", text, f"give {advice}")]


def doubts(scenario: Scenario) -> tuple[Finding, ...]:
    """Doubt in a timing whose threads take turns: a runtime's threads wait for the one that has no core."""
    usable = max(1, int(env.usable_cores()))
    if (scenario.threads or usable) <= usable:
        return ()
    text = f"{_count(scenario.threads or usable, 'thread')} take turns on {_count(usable, 'core')}"
    return (Finding("threads", text, f"give --threads {usable}"),)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
