"""Which rows of two reports are of one configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from deploykit.report.comparing.processes import SOFT, Key, Process, check_unique

Groups = dict[Key, list[Process]]


class Match(NamedTuple):
    """One configuration and the processes that measured it; none on a side that lacks it.

    Attributes:
        key: values of the columns `KEY`.
        soft: values of the columns `SOFT`, of whichever side has them.
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
        base: processes by `KEY`.
        head: as well.
        names: of the two files, for errors.

    Raises:
        UsageError: a report holds one process twice.
    """
    for key in (*base, *(key for key in head if key not in base)):
        ours, theirs = _groups(base.get(key, [])), _groups(head.get(key, []))
        for source, groups in zip(names, (ours, theirs), strict=True):
            for processes in groups.values():
                check_unique(source, processes)
        yield from _pair(key, ours, theirs)


def _groups(processes: list[Process]) -> Groups:
    """The processes of one key by their soft columns; one with blanks joins the only group that it fits.

    Fitting means that the group has all values of the other and more: a row that failed early knows little.
    """
    found: Groups = {}
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
        tuple(n for n, x, y in zip(SOFT, soft, other, strict=True) if x != y) for other in others
    ]
    return min(differences, key=len, default=())
