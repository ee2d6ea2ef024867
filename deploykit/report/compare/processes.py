"""What one process measured, by configuration, and which configurations of two reports are one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from deploykit.columns import BY_NAME, IDENTITY_NAMES, SOFT_NAMES, checked_by
from deploykit.errors import UsageError
from deploykit.report.csv import Table, positive, share

_NAMED = (*IDENTITY_NAMES, *SOFT_NAMES)
_VALUES = tuple(name for name in checked_by("compare") if name not in _NAMED)
#: All columns that are read, beside the schema's version.
READ = (*_NAMED, *_VALUES)
_ENV, _SOFT_END = IDENTITY_NAMES.index("env_id"), len(_NAMED)
#: Where a blank stands for a value: the place in a key, and the value.
_BLANKS = [(i, BY_NAME[n].blank) for i, n in enumerate(IDENTITY_NAMES) if BY_NAME[n].blank]
_STATUS, _RUN_ID, _REPEAT, _REASON, _VERSION, _P20, _P50, _TOP1, _IMAGES = (
    _VALUES.index(name)
    for name in (
        "status",
        "run_id",
        "repeat",
        "reason",
        "backend_version",
        "latency_p20_ms",
        "latency_p50_ms",
        "top1",
        "test_images",
    )
)

Key = tuple[str, ...]


class Process(NamedTuple):
    """One row: what one process measured, the unit of comparison.

    Attributes:
        line: of the file, for errors.
        soft: values of the soft columns.
        p20_ms, p50_ms: quantiles of its latencies; None where it has none.
        top1: share of `test_images` that it got right.
    """

    line: int
    soft: Key
    status: str
    run_id: str
    repeat: str
    reason: str
    backend_version: str
    p20_ms: float | None
    p50_ms: float | None
    top1: float | None
    test_images: int | None


def read_processes(table: Table, *, across_machines: bool) -> dict[Key, list[Process]]:
    """The rows of a report by their configuration.

    Args:
        table: opened with the columns `READ`.
        across_machines: leave the machine out of the configuration.

    Raises:
        UsageError: a latency or an accuracy is no such number, a report to be compared across machines
            holds several of them, or whatever reading raises.
    """
    by_key: dict[Key, list[Process]] = {}
    machines: set[str] = set()
    # The same few texts stand in many rows: one copy of each is enough.
    seen: dict[Key, Key] = {}
    for line, cells in table.rows:
        names = list(cells[: len(IDENTITY_NAMES)])
        machines.add(names[_ENV])
        for place, value in _BLANKS:
            names[place] = names[place] or value
        if across_machines:
            names[_ENV] = ""
        soft = cells[len(IDENTITY_NAMES) : _SOFT_END]
        process = _process(table.path, line, seen.setdefault(soft, soft), cells[_SOFT_END:])
        by_key.setdefault(tuple(names), []).append(process)
    if across_machines and len(machines) > 1:
        raise UsageError(
            f"{table.path} holds rows of {len(machines)} machines: --across-machines takes one a report"
        )
    return by_key


def _process(source: str, line: int, soft: Key, cells: tuple[str, ...]) -> Process:
    images = positive(cells[_IMAGES], "test_images", source, line)
    return Process(
        line,
        soft,
        cells[_STATUS],
        cells[_RUN_ID],
        cells[_REPEAT],
        "" if cells[_STATUS] == "ok" else cells[_REASON],
        cells[_VERSION],
        positive(cells[_P20], "latency_p20_ms", source, line),
        positive(cells[_P50], "latency_p50_ms", source, line),
        share(cells[_TOP1], "top1", source, line),
        None if images is None else round(images),
    )


def check_unique(source: str, processes: list[Process]) -> None:
    """Refuse a configuration that holds one process twice.

    Raises:
        UsageError: it does, with the lines of both rows.
    """
    lines: dict[tuple[str, str], int] = {}
    for one in processes:
        before = lines.setdefault((one.run_id, one.repeat), one.line)
        if before != one.line:
            raise UsageError(
                f"{source}, lines {before} and {one.line}: duplicate rows, of one configuration, run and "
                "repeat; leave one out"
            )


class HasSoft(Protocol):
    """Whatever has values of the soft columns."""

    @property
    def soft(self) -> Key:
        """Values of the soft columns."""


T = TypeVar("T", bound=HasSoft)
Groups = dict[Key, list[Process]]


class Match(NamedTuple):
    """One configuration and the processes that measured it; none on a side that lacks it.

    Attributes:
        key: values of the identity columns.
        soft: values of the soft columns, of whichever side has them.
        near: where a side lacks it, the columns in which the other report's rows of the same key differ.
    """

    key: Key
    soft: Key
    base: list[Process]
    head: list[Process]
    near: tuple[str, ...] = ()


def match(
    base: Mapping[Key, list[Process]],
    head: Mapping[Key, list[Process]],
    names: tuple[str, str],
) -> Iterator[Match]:
    """Pair the configurations of two reports, in the order of the first, then those only in the second.

    Args:
        base: processes by identity.
        head: as well.
        names: of the two files, for errors.

    Raises:
        UsageError: a report holds one process twice.
    """
    for key in (*base, *(key for key in head if key not in base)):
        ours, theirs = by_soft(base.get(key, [])), by_soft(head.get(key, []))
        for source, groups in zip(names, (ours, theirs), strict=True):
            for processes in groups.values():
                check_unique(source, processes)
        yield from _pair(key, ours, theirs)


def by_soft(processes: Sequence[T]) -> dict[Key, list[T]]:
    """The processes of one identity by their soft columns; one with blanks joins the only group that it fits.

    Fitting means that the group has all values of the other and more: a row that failed early knows little.
    """
    found: dict[Key, list[T]] = {}
    for process in processes:
        found.setdefault(process.soft, []).append(process)
    if len(found) > 1:
        for soft in sorted(found, key=lambda values: -values.count("")):
            fuller = [other for other in found if other != soft and _within(soft, other)]
            fullest = [o for o in fuller if not any(o != p and _within(o, p) for p in fuller)]
            if len(fullest) == 1:
                found[fullest[0]] += found.pop(soft)
    return found


def _pair(key: Key, ours: Groups, theirs: Groups) -> Iterator[Match]:
    for soft in [soft for soft in ours if soft in theirs]:
        yield Match(key, soft, ours.pop(soft), theirs.pop(soft))
    for soft in list(ours):
        fitting = [other for other in theirs if _fit(soft, other)]
        # A blank fits several: then nothing says which is meant.
        if len(fitting) == 1 and sum(_fit(fitting[0], other) for other in ours) == 1:
            partner = fitting[0]
            yield Match(key, _merged(soft, partner), ours.pop(soft), theirs.pop(partner))
    for soft, processes in ours.items():
        yield Match(key, soft, processes, [], _differing(soft, theirs))
    for soft, processes in theirs.items():
        yield Match(key, soft, [], processes, _differing(soft, ours))


def _fit(a: Key, b: Key) -> bool:
    return all(x == y or not x or not y for x, y in zip(a, b, strict=True))


def _within(a: Key, b: Key) -> bool:
    return all(x == y or not x for x, y in zip(a, b, strict=True))


def _merged(a: Key, b: Key) -> Key:
    return tuple(x or y for x, y in zip(a, b, strict=True))


def _differing(soft: Key, others: Groups) -> tuple[str, ...]:
    """The columns in which the nearest of the others differs."""
    differences = [
        tuple(n for n, x, y in zip(SOFT_NAMES, soft, other, strict=True) if x != y)
        for other in others
    ]
    return min(differences, key=len, default=())
