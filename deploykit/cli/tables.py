"""Tables as plain text in a given width: nothing is cut off, no name breaks inside a word, no column vanishes.

Where columns don't fit, texts are wrapped; where that is not enough, each row is a paragraph of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

_GAP = "  "
#: Text columns are wrapped to this at the least, if their words allow it.
_LEAST_WIDTH = 16
#: Where a name may be broken when no line can hold it.
_BREAKS = re.compile(r"(?<=[/_.,:=-])")
#: Where a number may be: its interval stands on the next line.
_BEFORE_INTERVAL = re.compile(r" (?=\[)")


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def wrap(text: str, width: int) -> list[str]:
    """The lines of a text: broken between words, names behind their signs, inside a word as a last resort.

    A width of less than one column is taken as one: what is set in by two leaves none of a terminal that narrow.
    """
    width = max(1, width)
    found: list[str] = []
    for word in text.split():
        if found and width_of(found[-1]) + 1 + width_of(word) <= width:
            found[-1] += f" {word}"
            continue
        found += _broken(word, width)
    return found or [""]


def _broken(word: str, width: int) -> list[str]:
    if width_of(word) <= width:
        return [word]
    found = [""]
    for piece in _BREAKS.split(word):
        rest = piece
        if width_of(found[-1]) + width_of(rest) > width and found[-1]:
            found.append("")
        while width_of(rest) > width:
            found[-1], rest = rest[:width], rest[width:]
            found.append("")
        found[-1] += rest
    return [line for line in found if line]


def layout(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int],
    room: int,
    whole: Collection[int] = (),
) -> list[str]:
    """The lines of a table of at most `room` columns; a paragraph for each row where it can't be that narrow.

    Args:
        header: over the columns.
        rows: of cells.
        right: columns that are set to the right, which are never wrapped.
        room: columns of the terminal.
        whole: other columns that are never wrapped.
    """
    if not header:
        return []
    columns = widths(header, rows, right, room, whole)
    if columns is None:
        return stacked(header, rows, room)
    return lines(header, rows, columns, right)


def lines(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    columns: Sequence[int],
    right: Collection[int],
) -> list[str]:
    """The lines of a table with columns of these widths."""
    rule = _GAP.join("─" * width for width in columns)
    texts = [*_lines(header, columns, right), rule]
    # In all rows or in none, so that numbers stand one below the other.
    below = {place for place in right if any(width_of(row[place]) > columns[place] for row in rows)}
    for row in rows:
        texts += _lines(row, columns, right, below)
    return texts


def stacked(header: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[str]:
    """Each row as a paragraph: its first cell, then what its other cells say, each with its heading."""
    texts: list[str] = []
    for row in rows:
        # A number is no name: it says what it counts.
        name = f"{header[0]} {row[0]}" if row[0].isdecimal() else row[0]
        texts += wrap(name, room)
        said = [
            f"{heading} {cell}".strip()
            for heading, cell in zip(header[1:], row[1:], strict=True)
            if cell not in ("", "–")
        ]
        texts += [f"  {line}" for line in _joined(said, room - 2)]
    return texts


def _joined(parts: Sequence[str], width: int) -> list[str]:
    """Parts in lines, broken between them where one more does not fit."""
    found: list[str] = []
    for part in parts:
        if found and width_of(found[-1]) + 3 + width_of(part) <= width:
            found[-1] += f" · {part}"
        else:
            found += wrap(part, width)
    return found


def _natural(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(width_of, (head, *cells))) for head, *cells in zip(header, *rows, strict=True)]


def widths(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int],
    room: int,
    whole: Collection[int] = (),
    *,
    intervals_below: bool = False,
) -> list[int] | None:
    """The width of each column, as for `layout`; None where they can't be narrow enough.

    With `intervals_below`, the interval of a number may stand on a line of its own.
    """
    columns = _natural(header, rows)
    least = []
    for place, (head, *cells) in enumerate(zip(header, *rows, strict=True)):
        heading = max(map(width_of, head.split()), default=0)
        if place in right and intervals_below:
            parts = (part for cell in cells for part in _BEFORE_INTERVAL.split(cell))
            least.append(max([heading, *map(width_of, parts)]))
        elif place in right or place in whole:
            least.append(max([heading, *map(width_of, cells)]))
        else:
            words = (width_of(word) for cell in (head, *cells) for word in cell.split())
            longest = max(words, default=0)
            least.append(max(longest, min(_LEAST_WIDTH, columns[place])))
    over = sum(columns) + len(_GAP) * (len(header) - 1) - room
    while over > 0:
        place = max(range(len(columns)), key=lambda i: columns[i] - least[i])
        if columns[place] <= least[place]:
            return None
        # Half an interval's width less does not help: it goes below its number as a whole.
        less = columns[place] - least[place] if place in right else 1
        columns[place] -= less
        over -= less
    return columns


def _lines(
    cells: Sequence[str],
    columns: Sequence[int],
    right: Collection[int],
    below: Collection[int] = (),
) -> list[str]:
    """One row's cells as lines, wrapped within their columns; in those `below`, intervals on lines of their own."""
    wrapped = [
        _BEFORE_INTERVAL.split(cell) if place in below else wrap(cell, width)
        for place, (cell, width) in enumerate(zip(cells, columns, strict=True))
    ]
    height = max(map(len, wrapped))
    found = []
    for line in range(height):
        parts = []
        for place, column in enumerate(wrapped):
            text = column[line] if line < len(column) else ""
            space = " " * (columns[place] - width_of(text))
            parts.append(space + text if place in right else text + space)
        found.append(_GAP.join(parts).rstrip())
    return found
