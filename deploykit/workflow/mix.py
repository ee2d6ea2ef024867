"""Mixed precision for speed, as a table: what layers take in int8 and in fp32, what changes cost, and the best mix.

A mix is predicted from the table, and the best of all mixes is found exactly, as a cut of least cost: each layer
stands on one of two sides, and each value that is made on one and read on the other costs its change, once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Unit:
    """Layers that one of the engines computes together, so that a mix has them in one precision.

    Attributes:
        layers: their names, in the graph's order; the first is the unit's own name where there is no product.
        op_type: of the layer that the unit is named by.
        fp32_ms, int8_ms: of one run, in each engine.
        has_int8: whether the int8 engine computes it in integers.
        follows: whether it does so only where a layer before it does: it has no product.
    """

    layers: tuple[str, ...]
    name: str
    op_type: str
    fp32_ms: float
    int8_ms: float
    has_int8: bool
    follows: bool


@dataclass(frozen=True)
class Passed:
    """A value that units pass on.

    Attributes:
        maker: the unit that makes it; None for an input, which is float32.
        readers: the units that read it, without its maker.
        is_output: whether the network puts it out, in float32.
        to_int8_ms, to_fp32_ms: what it costs to change it.
    """

    maker: int | None
    readers: tuple[int, ...]
    is_output: bool
    to_int8_ms: float
    to_fp32_ms: float


@dataclass(frozen=True)
class Table:
    """What every unit takes in each precision, and what every change costs.

    Attributes:
        units: in the order of the graph.
        passed: the values between them.
        fp32_ms, int8_ms: a whole run of each engine, which no profile slows.
    """

    units: tuple[Unit, ...]
    passed: tuple[Passed, ...]
    fp32_ms: float
    int8_ms: float

    @property
    def all_int8(self) -> frozenset[int]:
        """The units that int8 is possible for."""
        return frozenset(i for i, unit in enumerate(self.units) if unit.has_int8)

    def predicted_ms(self, in_int8: Collection[int]) -> float:
        """What a run takes with these units in int8, all others in fp32: the sum of its parts, changes included."""
        total = sum(
            unit.int8_ms if i in in_int8 else unit.fp32_ms for i, unit in enumerate(self.units)
        )
        for value in self.passed:
            others = [reader in in_int8 for reader in value.readers]
            if value.maker in in_int8 and (value.is_output or not all(others)):
                total += value.to_fp32_ms
            elif value.maker not in in_int8 and any(others):
                total += value.to_int8_ms
        return total

    def fitted(self) -> Table:
        """The table with its parts scaled so that those of each engine make up its whole run.

        What the parts leave open, be it calls between nodes or interruptions, falls on them by what they take.
        """
        fp32_factor = self.fp32_ms / (self.predicted_ms(()) or 1.0)
        fixed_ms = sum(unit.fp32_ms for unit in self.units if not unit.has_int8)
        scaled_ms = self.predicted_ms(self.all_int8) - fixed_ms
        int8_factor = max(0.0, self.int8_ms - fixed_ms * fp32_factor) / (scaled_ms or 1.0)
        units = [
            replace(unit, fp32_ms=unit.fp32_ms * fp32_factor, int8_ms=unit.int8_ms * int8_factor)
            for unit in self.units
        ]
        passed = [
            replace(
                value,
                to_int8_ms=value.to_int8_ms * int8_factor,
                to_fp32_ms=value.to_fp32_ms * int8_factor,
            )
            for value in self.passed
        ]
        return replace(self, units=tuple(units), passed=tuple(passed))

    def best(self) -> frozenset[int]:
        """The units to have in int8 so that the prediction is least.

        The network is cut between a source, which stands for int8, and a sink, for fp32: a unit that is cut off
        from the source pays what it takes in fp32, one that is cut off from the sink what it takes in int8.
        """
        count = len(self.units)
        source, sink = count, count + 1
        cut = _Cut(count + 2 + 2 * len(self.passed))
        spare = count + 2
        for i, unit in enumerate(self.units):
            cut.add(source, i, unit.fp32_ms)
            cut.add(i, sink, unit.int8_ms if unit.has_int8 else math.inf)
        for value in self.passed:
            to_fp32, to_int8, spare = spare, spare + 1, spare + 2
            maker = sink if value.maker is None else value.maker
            for reader in value.readers:
                cut.add(to_fp32, reader, math.inf)
                cut.add(reader, to_int8, math.inf)
                if self.units[reader].follows:
                    makers = [v.maker for v in self.passed if reader in v.readers]
                    if len(makers) == 1:
                        cut.add(reader, maker, math.inf)
            if value.is_output:
                cut.add(to_fp32, sink, math.inf)
            if value.maker is not None:
                cut.add(maker, to_fp32, value.to_fp32_ms)
            cut.add(to_int8, maker, value.to_int8_ms)
        return frozenset(i for i in cut.beside(source, sink) if i < count)

    def kept(self, in_int8: Collection[int]) -> tuple[str, ...]:
        """The layers to keep in fp32 so that these units alone are in int8."""
        return tuple(
            name
            for i in sorted(self.all_int8 - frozenset(in_int8))
            for name in self.units[i].layers
        )


def best_mix(one: Table, other: Table) -> tuple[frozenset[int], float]:
    """The best mix, or precision, by two tables of a network that were measured apart, and its milliseconds.

    What one table finds best is so partly by chance, which the other one does not share: each chooses, and the
    other predicts. A prediction is in milliseconds of the mean of both tables.
    """
    mean = mean_table(one, other)
    found = [(mean.int8_ms, mean.all_int8), (mean.fp32_ms, frozenset[int]())]
    for chooser, judge in ((one, other), (other, one)):
        chosen = chooser.best()
        scale = mean.int8_ms / judge.int8_ms
        found.append((judge.predicted_ms(chosen) * scale, chosen))
    predicted_ms, chosen = min(found, key=lambda pair: pair[0])
    return chosen, predicted_ms


def mean_table(one: Table, other: Table) -> Table:
    """The mean of two tables of one network."""
    units = [
        replace(a, fp32_ms=(a.fp32_ms + b.fp32_ms) / 2, int8_ms=(a.int8_ms + b.int8_ms) / 2)
        for a, b in zip(one.units, other.units, strict=True)
    ]
    whole = [(one.fp32_ms + other.fp32_ms) / 2, (one.int8_ms + other.int8_ms) / 2]
    return Table(tuple(units), one.passed, *whole)


class _Cut:
    """The cut of least cost between two of some nodes (Dinic 1970). Costs are in milliseconds.

    Args:
        nodes: how many there are.
    """

    #: More than all costs together.
    _INFINITE = 1 << 60

    def __init__(self, nodes: int) -> None:
        self._edges: list[list[int]] = [[] for _ in range(nodes)]
        self._to: list[int] = []
        self._room: list[int] = []

    def add(self, start: int, end: int, cost: float) -> None:
        """Let the cut between `start`, on the first side, and `end`, on the second, cost so much."""
        room = self._INFINITE if math.isinf(cost) else round(max(0.0, cost) * 1e9)
        for a, b, size in ((start, end, room), (end, start, 0)):
            self._edges[a].append(len(self._to))
            self._to.append(b)
            self._room.append(size)

    def beside(self, source: int, sink: int) -> set[int]:
        """The nodes on the side of `source`."""
        while True:
            levels = self._levels(source)
            if sink not in levels:
                return set(levels)
            places = [0] * len(self._edges)
            while self._push(source, sink, levels, places):
                pass

    def _levels(self, source: int) -> dict[int, int]:
        """How many edges with room each node is from `source`; who can't be reached is left out."""
        levels, reached = {source: 0}, [source]
        for node in reached:
            for edge in self._edges[node]:
                end = self._to[edge]
                if self._room[edge] and end not in levels:
                    levels[end] = levels[node] + 1
                    reached.append(end)
        return levels

    def _push(self, source: int, sink: int, levels: Mapping[int, int], places: list[int]) -> bool:
        """Fill one shortest path; whether there was one."""
        path: list[int] = []
        node = source
        while node != sink:
            edges = self._edges[node]
            while places[node] < len(edges):
                edge = edges[places[node]]
                end = self._to[edge]
                if self._room[edge] and levels.get(end) == levels[node] + 1:
                    break
                places[node] += 1
            if places[node] < len(edges):
                path.append(edges[places[node]])
                node = self._to[path[-1]]
            elif path:  # a dead end: one step back
                node = self._to[path.pop() ^ 1]
                places[node] += 1
            else:
                return False
        room = min(self._room[edge] for edge in path)
        for edge in path:
            self._room[edge] -= room
            self._room[edge ^ 1] += room
        return True
