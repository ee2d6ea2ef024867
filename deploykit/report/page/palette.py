"""Colours and shapes: what people with any kind of colour vision tell apart, on light and on dark.

Colours are Okabe and Ito's, made lighter for a dark page. No picture tells anything by colour alone: precisions
have shapes too, and what is doubtful is hollow.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Each ink on a light page and on a dark one. p0 to p6 are for series, the others for what they are called.
INKS: dict[str, tuple[str, str]] = {
    "text": ("#1b1f24", "#e6e8eb"),
    "muted": ("#5b636d", "#a3abb5"),
    "grid": ("#dfe3e8", "#363c44"),
    "paper": ("#ffffff", "#15181c"),
    "p0": ("#0072b2", "#56b4e9"),
    "p1": ("#b86e00", "#e69f00"),
    "p2": ("#007a5a", "#2fc79a"),
    "p3": ("#a94f86", "#d990bd"),
    "p4": ("#3d3d8f", "#a5a5f0"),
    "p5": ("#7a6a00", "#e8d94a"),
    "p6": ("#5b636d", "#a3abb5"),
    "limit": ("#c04000", "#ff8a4c"),
}
#: Marks that differ by their outline.
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "plus")
_FIXED = {"fp32": 0, "fp16": 1, "int8": 2, "bf16": 3}


def numbered(names: Sequence[str]) -> dict[str, int]:
    """A number for each precision: always the same for the usual ones, the next for others, in their order."""
    numbers = {name: _FIXED[name] for name in names if name in _FIXED}
    for name in names:
        if name not in numbers:
            numbers[name] = max([3, *numbers.values()]) + 1
    return numbers


def ink_of(number: int) -> str:
    """The ink of a series; all beyond the last share one."""
    return f"p{min(number, 6)}"


def shape_of(number: int) -> str:
    """The shape of a series' marks."""
    return SHAPES[number % len(SHAPES)]


def style_sheet(*, dark: bool = True) -> str:
    """The inks as CSS: variables, a class of each name, and their dark values where a reader prefers those."""
    rules = [_variables(0)]
    if dark:
        rules.append(f"@media screen and (prefers-color-scheme:dark){{{_variables(1)}}}")
    rules += [f".{name}{{color:var(--{name})}}" for name in INKS]
    return "\n".join(rules)


def _variables(which: int) -> str:
    values = ";".join(f"--{name}:{pair[which]}" for name, pair in INKS.items())
    return f":root{{{values}}}"
