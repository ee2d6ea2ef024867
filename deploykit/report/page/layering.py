"""A graph laid out from top to bottom: each node below all that it reads, with few crossings, in columns if deep.

After Sugiyama, Tagawa and Toda (1981): ranks by the longest path, an order within each rank by the middle of the
neighbours, then places that pull each node towards them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Sizes of a node and of what lies between, in pixels.
NODE_WIDTH, NODE_HEIGHT, GAP_X, GAP_Y = 168.0, 40.0, 22.0, 26.0
_STEP = NODE_HEIGHT + GAP_Y
#: Between columns, and how much wider than high a folded graph is to be, about.
_GAP_COLUMNS, _ASPECT = 60.0, 1.3
_SWEEPS, _PULLS = 8, 10
#: Where edges pass more rows than this in all, as in a DenseNet, they go straight, and the graph is one column.
MOST_PLACES = 6000


@dataclass(frozen=True)
class Layout:
    """Where everything lies.

    Attributes:
        places: left upper corner of each node.
        routes: points of each edge from the lower border of its source to the upper one of its target.
        width, height: of the whole.
    """

    places: Mapping[str, tuple[float, float]]
    routes: Mapping[tuple[str, str], Sequence[tuple[float, float]]]
    width: float
    height: float


def lay_out(reads: Mapping[str, Sequence[str]]) -> Layout:
    """Lay out a graph.

    Args:
        reads: of each node, those that it reads; the nodes are in an order in which nothing comes before what it
            reads, and what is read but is no node, or comes later, is left out.
    """
    order = {name: place for place, name in enumerate(reads)}
    edges = [
        (source, name)
        for name, sources in reads.items()
        for source in dict.fromkeys(sources)
        if order.get(source, len(order)) < order[name]
    ]
    rank: dict[str, int] = {}
    by_target: dict[str, list[str]] = {name: [] for name in reads}
    for source, target in edges:
        by_target[target].append(source)
    for name in reads:
        rank[name] = 1 + max((rank[source] for source in by_target[name]), default=-1)
    long = sum(rank[target] - rank[source] for source, target in edges) > MOST_PLACES
    rows, chains = _rows(rank, edges if not long else [])
    chains |= {edge: list(edge) for edge in edges if long}
    neighbours = _neighbours(chains)
    if not long:
        _uncross(rows, neighbours)
    across = _across(rows, neighbours)
    corners, lefts, tallest = _columns(rows, across, fold=not long)

    def corner(name: str, at: int) -> tuple[float, float]:
        left, top = corners[at]
        return across[name] + left, at * _STEP + top

    places = {name: corner(name, rank[name]) for name in reads}
    routes = {}
    for (source, target), chain in chains.items():
        x, y = places[source]
        points = [(x + NODE_WIDTH / 2, y + NODE_HEIGHT)]
        for bend in chain[1:-1]:
            x, y = corner(bend, int(bend.rpartition("\0")[2]))
            upper, lower = (x + GAP_X / 2, y + 2), (x + GAP_X / 2, y + NODE_HEIGHT - 2)
            points += [*_between(points[-1], upper, lefts), upper, lower]
        x, y = places[target]
        points += _between(points[-1], (x + NODE_WIDTH / 2, y), lefts)
        routes[source, target] = [*points, (x + NODE_WIDTH / 2, y)]
    width = max(
        (corner(n, at)[0] + _width(n) for at, row in enumerate(rows) for n in row), default=0.0
    )
    return Layout(places, routes, width, _STEP * tallest)


def _between(
    here: tuple[float, float], there: tuple[float, float], lefts: Sequence[float]
) -> list[tuple[float, float]]:
    """The way from the foot of a column up to the head of the next, between both; nothing within a column."""
    if here[1] < there[1]:
        return []
    gap = max(left for left in lefts if left <= there[0]) - _GAP_COLUMNS / 2
    low, high = here[1] + GAP_Y / 2, there[1] - GAP_Y / 2
    return [(here[0], low), (gap, low), (gap, high), (there[0], high)]


def _columns(
    rows: Sequence[Sequence[str]], across: Mapping[str, float], *, fold: bool
) -> tuple[list[tuple[float, float]], list[float], int]:
    """How far each row is moved so that a deep graph stands in columns; where these begin; the most rows of one.

    A column ends before a row that is one node alone, so that no more than what this node reads goes on beside it.
    """
    wide = max((across[n] + _width(n) for row in rows for n in row), default=0.0)
    wide -= min((across[n] for row in rows for n in row), default=0.0)
    count = max(1, round(math.sqrt(_ASPECT * len(rows) * _STEP / (wide + _GAP_COLUMNS))))
    alone = [at for at, row in enumerate(rows) if len(row) == 1 and not row[0].startswith("\0")]
    cuts = [0]
    for number in range(1, count if fold else 1):
        wanted = number * len(rows) / count
        near = min(alone, key=lambda at: abs(at - wanted), default=0)
        if near > cuts[-1] and abs(near - wanted) < len(rows) / count / 2:
            cuts.append(near)
    moved: list[tuple[float, float]] = []
    lefts = []
    left = 0.0
    for first, end in pairwise([*cuts, len(rows)]):
        names = [name for row in rows[first:end] for name in row]
        start = min((across[name] for name in names), default=0.0)
        lefts.append(left)
        moved += [(left - start, -first * _STEP)] * (end - first)
        left += max((across[n] + _width(n) for n in names), default=0.0) - start + _GAP_COLUMNS
    return (
        moved,
        lefts,
        max((end - first for first, end in pairwise([*cuts, len(rows)])), default=0),
    )


def _rows(
    rank: Mapping[str, int], edges: Sequence[tuple[str, str]]
) -> tuple[list[list[str]], dict[tuple[str, str], list[str]]]:
    """The nodes of each rank, with a bend in each rank that an edge passes; and each edge with its bends."""
    rows: list[list[str]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for name, at in rank.items():
        rows[at].append(name)
    chains = {}
    for number, (source, target) in enumerate(edges):
        chain = [source]
        for at in range(rank[source] + 1, rank[target]):
            bend = f"\0{number}\0{at}"
            rows[at].append(bend)
            chain.append(bend)
        chains[source, target] = [*chain, target]
    return rows, chains


def _neighbours(
    chains: Mapping[tuple[str, str], Sequence[str]],
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for chain in chains.values():
        for upper, lower in pairwise(chain):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    return above, below


def _uncross(
    rows: list[list[str]], neighbours: tuple[Mapping[str, list[str]], Mapping[str, list[str]]]
) -> None:
    """Order each row by the mean place of what is above, then of what is below, in turns."""
    above, below = neighbours
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        sides = above if down else below
        for at in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            other = rows[at - 1 if down else at + 1]
            place = {name: index / max(1, len(other)) for index, name in enumerate(other)}
            own = {name: index / max(1, len(rows[at])) for index, name in enumerate(rows[at])}

            def middle(name: str) -> float:
                found = [place[n] for n in sides.get(name, ()) if n in place]  # noqa: B023
                return sum(found) / len(found) if found else own[name]  # noqa: B023

            rows[at].sort(key=middle)


def _across(
    rows: Sequence[Sequence[str]],
    neighbours: tuple[Mapping[str, list[str]], Mapping[str, list[str]]],
) -> dict[str, float]:
    """Places from left to right: pulled to the neighbours' middle, kept apart from those beside."""
    above, below = neighbours
    x: dict[str, float] = {}
    for row in rows:
        left = -sum(map(_width, row)) / 2
        for name in row:
            x[name] = left
            left += _width(name)
    for pull in range(_PULLS):
        sides = (above, below)[pull % 2]
        for row in rows if pull % 2 == 0 else reversed(rows):
            wanted = []
            for name in row:
                found = sorted(x[n] + _width(n) / 2 for n in sides.get(name, ()) if n in x)
                # A bend is narrower than a node: what is aligned are their middles.
                half = _width(name) / 2
                wanted.append(_median(found) - half if found else x[name])
            _spread(row, wanted, x)
    return x


def _median(values: Sequence[float]) -> float:
    """The middle of sorted values, or the mean of the two in the middle."""
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def _spread(row: Sequence[str], wanted: Sequence[float], x: dict[str, float]) -> None:
    """Put a row's nodes as near to where they want to be as their order and widths allow.

    Neighbours that would overlap form a block, which stands where its members want to be on average.
    """
    blocks: list[tuple[float, float, int]] = []  # sum of wanted starts, width, members
    for name, want in zip(row, wanted, strict=True):
        block = (want, _width(name), 1)
        while blocks and blocks[-1][0] / blocks[-1][2] + blocks[-1][1] > block[0] / block[2]:
            total, width, count = blocks.pop()
            block = (total + block[0] - block[2] * width, width + block[1], count + block[2])
        blocks.append(block)
    names = iter(row)
    for total, _, count in blocks:
        left = total / count
        for _ in range(count):
            name = next(names)
            x[name] = left
            left += _width(name)


def _width(name: str) -> float:
    """What a node takes with its gap; a bend takes less."""
    return GAP_X if name.startswith("\0") else NODE_WIDTH + GAP_X
