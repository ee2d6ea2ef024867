"""A drawing as a list of things to draw, which an SVG of a page, one for a paper and a PNG are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
#: Letters are about so wide, as a share of their size.
LETTER = 0.56


@dataclass(frozen=True)
class Line:
    """Straight pieces through points; filled where `opacity` is given, else stroked."""

    points: Sequence[Point]
    ink: str
    width: float = 1.5
    dashed: bool = False
    opacity: float | None = None
    row: int | None = None


@dataclass(frozen=True)
class Dots:
    """Many small dots of one kind."""

    points: Sequence[Point]
    ink: str
    size: float = 2.0
    opacity: float = 0.5
    row: int | None = None


@dataclass(frozen=True)
class Mark:
    """A mark that stands for a row, hollow where the row is doubtful; `title` appears under the pointer."""

    at: Point
    ink: str
    shape: str = "circle"
    hollow: bool = False
    size: float = 5.0
    row: int | None = None
    title: str = ""


@dataclass(frozen=True)
class Box:
    """A rectangle from its corner with the smallest coordinates; hollow where what it tells is doubtful."""

    at: Point
    size: Point
    ink: str
    opacity: float = 1.0
    hollow: bool = False
    row: int | None = None
    title: str = ""


@dataclass(frozen=True)
class Text:
    """One line of text; `anchor` is start, middle or end, and `turned` runs upwards."""

    at: Point
    text: str
    ink: str = "text"
    size: float = 12.0
    anchor: str = "start"
    turned: bool = False
    bold: bool = False
    row: int | None = None

    @property
    def width(self) -> float:
        """About how wide it will be."""
        return len(self.text) * self.size * LETTER


Item = Line | Dots | Mark | Box | Text


@dataclass
class Drawing:
    """What to draw, in its order, on a sheet of so many pixels.

    Attributes:
        heading: what it is of, where a picture has several drawings.
        row: the row that all of it is about.
    """

    width: float
    height: float
    items: list[Item] = field(default_factory=list)
    heading: str = ""
    row: int | None = None

    def add(self, *items: Item) -> None:
        """Draw above what is there."""
        self.items.extend(items)


@dataclass
class Picture:
    """One or several drawings with what a reader needs.

    Attributes:
        name: of files and links.
        title: over it.
        reading: the sentence on how to read it.
        legend: ink, shape, whether hollow, and what it stands for.
        remarks: what is missing or was left out.
    """

    name: str
    title: str
    reading: str
    drawings: list[Drawing] = field(default_factory=list)
    legend: list[tuple[str, str, bool, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def shortened(text: str, width: float, size: float = 12.0) -> str:
    """The text, cut in its middle where it is wider than `width`."""
    most = max(4, int(width / size / LETTER))
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[-(most - 1 - head) :]}"
