"""Which mark a row has in every picture: its precision gives colour and shape, doubt makes it hollow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deploykit.report.page.drawing import Mark, Point
from deploykit.report.page.entry import Entry
from deploykit.report.page.palette import ink_of, numbered, shape_of
from deploykit.report.views import latency, significant


class Series:
    """The precisions of a report with their marks."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        named = list(dict.fromkeys(entry.text("precision") or "unknown" for entry in entries))
        order = {"fp32": 0, "fp16": 1, "bf16": 2, "int8": 3}
        self.names: Sequence[str] = sorted(named, key=lambda name: order.get(name, 4))
        self._numbers = numbered(self.names)

    def ink(self, entry: Entry) -> str:
        """The ink of a row."""
        return ink_of(self._numbers[entry.text("precision") or "unknown"])

    def mark(
        self, entry: Entry, at: Point, what: Iterable[str] = ("latency",), size: float = 5.0
    ) -> Mark:
        """The mark of a row, hollow where one of the numbers that place it is doubtful."""
        shape = shape_of(self._numbers[entry.text("precision") or "unknown"])
        hollow = any(entry.doubtful(one) for one in what)
        return Mark(at, self.ink(entry), shape, hollow, size, entry.number, told(entry))

    def legend(
        self, entries: Sequence[Entry], what: Iterable[str] = ("latency",)
    ) -> list[tuple[str, str, bool, str]]:
        """What the marks of these rows stand for."""
        used = {entry.text("precision") or "unknown" for entry in entries}
        told_of = [
            (ink_of(self._numbers[name]), shape_of(self._numbers[name]), False, name)
            for name in self.names
            if name in used
        ]
        what = tuple(what)
        if any(entry.doubtful(one) for entry in entries for one in what):
            told_of.append(("muted", "circle", True, "hollow: doubtful, the table says why"))
        return told_of


def told(entry: Entry) -> str:
    """What appears under the pointer: the row's name, its numbers, and why it is doubtful."""
    parts = [entry.name, f"p50 {latency(entry.cells)} ms"]
    if entry.value("drift_snr_db") is not None:
        parts.append(f"drift {significant(entry.value('drift_snr_db'))} dB")
    if entry.value("top1") is not None:
        parts.append(f"top-1 {100 * (entry.value('top1') or 0):.1f}%")
    names = ", ".join(dict.fromkeys(doubt.name for doubt in entry.doubts if doubt.about))
    return "\n".join([*parts, *([f"doubtful: {names}"] if names else [])])
