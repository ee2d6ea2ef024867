"""What a tuning chooses from: the configurations that installed runtimes offer, and changes of their options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from deploykit import backends, env
from deploykit.backends.base import check_offered
from deploykit.bench.scenario import Scenario
from deploykit.errors import MissingDependency
from deploykit.graph.recipes import AS_IS
from deploykit.spec import Reason
from deploykit.workflow.configuration import Configuration, default_precisions
from deploykit.workflow.plan import Source
from deploykit.workflow.tuned import Question


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


def combined_changes(variants: Sequence[Configuration]) -> Configuration | None:
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
