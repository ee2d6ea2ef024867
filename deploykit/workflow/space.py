"""What a tuning chooses from: the configurations that installed runtimes offer, and changes of their options."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from deploykit import backends, env
from deploykit.backends.base import BackendBase, check_offered
from deploykit.bench.scenario import Scenario
from deploykit.errors import MissingDependency
from deploykit.graph.recipes import AS_IS
from deploykit.spec import Reason, RunOptions
from deploykit.workflow.configuration import Configuration, default_precisions, option_sets
from deploykit.workflow.plan import Source
from deploykit.workflow.tuned import RATE, Question

#: Batches and numbers of streams that are tried for throughput where nobody names any.
BATCHES, STREAMS = (1, 8, 32), (1, 2)


def tried_values(
    backend: BackendBase, question: Question, threads: int | None = None
) -> dict[str, tuple[str, ...]]:
    """What a question tries of each option of a runtime; the first value is what every candidate is told.

    Of an option that the question names, those are the values it names, the runtime's default first where it is
    among them; of the others that tuning tries at all and that can change anything in so many threads (None is all
    cores) on this machine, the default and then the rest.
    """
    named = dict(question.options)
    tried = {}
    for option in backend.run_options:
        is_tuned = option.tuned and option.matters(threads or _cores())
        values = named.get(option.name, option.values if is_tuned else ())
        if values:
            tried[option.name] = tuple(sorted(values, key=lambda value: value != option.default))
    return tried


def told_first(backend: BackendBase, question: Question) -> RunOptions:
    """The options that every candidate of a runtime is told."""
    first = ((name, values[0]) for name, values in tried_values(backend, question).items())
    return backend.chosen_options(tuple(first))


def single_changes(base: Configuration, question: Question | None = None) -> list[Configuration]:
    """A configuration with each one option of its runtime changed, to each other value that is tried."""
    backend = backends.get(base.backend)
    told = dict(base.options)
    return [
        replace(base, options=backend.chosen_options(tuple({**told, name: value}.items())))
        for name, values in tried_values(
            backend, question or Question(), base.scenario.threads
        ).items()
        for value in values[1:]
    ]


def combined_changes(
    variants: Sequence[Configuration], base: Configuration | None = None
) -> Configuration | None:
    """All that helped a base at once, of each option the first; None where that is only one."""
    before = {} if base is None else dict(base.options)
    changed: dict[str, str] = {}
    for one in variants:
        for option, value in one.options:
            if before.get(option) != value:
                changed.setdefault(option, value)
    if len(changed) < 2:
        return None
    return replace(variants[0], options=tuple(sorted({**before, **changed}.items())))


def candidates(source: Source, question: Question) -> tuple[Configuration, list[Configuration]]:
    """The default configuration of a network, and the others of a question's space, without it.

    Raises:
        MissingDependency: a backend that is named, or all, can't run here.
        UsageError: none of the backends has any of the precisions, or an option that is named.
    """
    loads = _loads(question)
    batch, streams = loads[0]
    plain = Scenario(None, streams, question.rate_per_s)
    own = default_precisions(source)[0]
    reference = backends.reference().name
    default = Configuration(source, own, reference, batch, plain)
    found: dict[Configuration, None] = {}
    engines = list(_engines(question, own))
    option_sets(list(dict.fromkeys(name for name, _ in engines)), question.options)
    # Breadth first: where the time for first looks is short, every engine had one before its variants do, and what
    # is compiled when it is loaded takes that of no others.
    variants = itertools.product((False, True), _threads(question), loads)
    for compiled, threads, (size, count) in variants:
        for backend, precision in engines:
            if backends.get(backend).compiled != compiled:
                continue
            told = told_first(backends.get(backend), question)
            scenario = Scenario(threads, count, question.rate_per_s)
            one = Configuration(source, precision, backend, size, scenario, options=told)
            found[one] = None
    found.pop(default, None)
    # So many threads are all cores, which is what the default has.
    found.pop(replace(default, scenario=replace(plain, threads=_cores())), None)
    return default, list(found)


def _engines(question: Question, own: str) -> Iterator[tuple[str, str]]:
    """Backends with the precisions that each is tried in: its own first."""
    named = [backends.get(name) for name in question.backends]
    usable = []
    for backend in named or backends.loadable():
        try:
            reason = backend.available() or backend.device()
        except Exception:
            if named:
                raise
            continue  # of another package, whose fault is none of what is asked for here
        if isinstance(reason, Reason):
            if named:
                raise MissingDependency(f"{backend.name} can't run here: {reason}")
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


def _loads(question: Question) -> list[tuple[int, int]]:
    """Batches with numbers of streams: all batches of the first number come first.

    Where a latency is bounded, more than one is tried only where it is named: the best of large batches miss it one
    after the other, and no time is left for one image.
    """
    is_bounded = any(one.column.startswith("latency_") for one in question.constraints)
    is_tried = question.objective == RATE and not is_bounded
    batches = question.batches or (BATCHES if is_tried else (1,))
    streams = question.streams or (STREAMS if is_tried else (1,))
    return [(size, count) for count in streams for size in batches]


def _threads(question: Question) -> list[int | None]:
    """None, which is all usable cores, then fewer."""
    if question.threads:
        return list(question.threads)
    cores = _cores()
    fewer = [2**power for power in range(cores.bit_length()) if 2**power < cores]
    return [None, *reversed(fewer)]


def _cores() -> int:
    return max(1, int(env.usable_cores()))
