"""The page around pictures and table: one file with its style and script, which it may take from nowhere else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploykit.report.conclusions import conclusions
from deploykit.report.page.claims_section import claims_section
from deploykit.report.page.contents import Contents
from deploykit.report.page.drawing import Drawing, Mark, Picture
from deploykit.report.page.layer_graph import layers_section
from deploykit.report.page.markup import element, escaped, paragraphs
from deploykit.report.page.pictures import pictures_of
from deploykit.report.page.row_table import facts, table
from deploykit.report.page.svg import inline, whole_style

_HERE = Path(__file__).parent
#: Drawings narrower than this stand beside each other.
_SMALL = 500.0
#: So many sentences stand at the top.
_MOST_FOUND = 12
#: What is said once where all rows, or nearly all, have it in common.
_SAID_ONCE = (
    ("device", "device"),
    ("backend", "backend"),
    ("backend_version", "version"),
    ("threads", "threads"),
    ("boundary", "measured from"),
    ("drift_reference", "drift against"),
    ("run_id", "run"),
)


def render(contents: Contents) -> str:
    """The page as HTML."""
    sections = [_picture_section(picture) for picture in pictures_of(contents)]
    if contents.entries:
        sections.append(("table", "Rows", _rows_section(contents)))
    if contents.layers:
        sections.append(("layers", "Layers", layers_section(contents.layers)))
    if contents.claims:
        sections.append(("claims", "Claims", claims_section(contents.claims)))
    nav = "".join(element("a", escaped(title), href=f"#{name}") for name, title, _ in sections)
    body = "".join(
        element("section", element("h2", escaped(title)) + content, id=name)
        for name, title, content in sections
    )
    head = element("h1", escaped(contents.title)) + _facts(contents)
    head += paragraphs(contents.remarks, "remark") + _found(contents) + element("nav", nav)
    return _document(contents.title, element("header", head) + element("main", body))


def _document(title: str, body: str) -> str:
    style = whole_style() + (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    # Nothing may be loaded, and no script or style run but these two, whatever a name may hold.
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escaped(title)}</title><style>{style}</style></head>\n'
        f"<body>{body}<footer>Made by <code>deploykit report</code>; this file loads nothing from elsewhere."
        f"</footer><script>{script}</script></body></html>\n"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _facts(contents: Contents) -> str:
    rows = [entry.cells for entry in contents.entries]
    said = facts(rows, _SAID_ONCE)
    times = sorted(entry.text("timestamp") for entry in contents.entries if entry.text("timestamp"))
    if times:
        said.append(("measured", between(times[0], times[-1])))
    for name, record in contents.machines.items():
        # Of several, rows tell by this name which they are of.
        called = f"machine {name}" if len(contents.machines) > 1 else "machine"
        said += [(called, text)] if (text := machine_text(record)) else []
    terms = "".join(element("dt", escaped(a)) + element("dd", escaped(b)) for a, b in said)
    return element("dl", terms, class_="facts") if said else ""


def machine_text(record: Any) -> str:
    """A machine in a line, as far as a record of env.json tells it; what is of another form is left out."""
    machine = record.get("machine") if isinstance(record, Mapping) else None
    if not isinstance(machine, Mapping) or not machine.get("cpu"):
        return ""
    cores, memory, gpus = (machine.get(name) for name in ("cores", "memory_gib", "gpus"))
    parts = [str(machine["cpu"])]
    parts += [f"{cores:g} cores"] if isinstance(cores, int | float) else []
    parts += [f"{memory} GiB"] if isinstance(memory, int | float) else []
    if isinstance(gpus, list | tuple):
        parts.append(", ".join(map(str, gpus)) or "no GPU")
    return ", ".join(parts)


def between(first: str, last: str) -> str:
    """A span of time as people write it, from two times as reports have them; what is no such time stays."""
    try:
        begun, ended = (datetime.fromisoformat(text).astimezone(UTC) for text in (first, last))
    except ValueError:
        return first if first == last else f"{first} to {last}"
    said = f"{begun:%Y-%m-%d %H:%M}"
    if begun.date() != ended.date():
        return f"{said} to {ended:%Y-%m-%d %H:%M} UTC"
    return f"{said} UTC" if f"{ended:%H:%M}" in said else f"{said} to {ended:%H:%M} UTC"


def _found(contents: Contents) -> str:
    """How each precision compares with fp32, in sentences; the first ones of many."""
    said = conclusions([entry.cells for entry in contents.entries])
    items = "".join(element("li", escaped(f"{text}.")) for text in said[:_MOST_FOUND])
    left = len(said) - _MOST_FOUND
    more = element("p", escaped(f"{left} more comparisons are in the pictures."))
    return element("ul", items, class_="found") + more * (left > 0) if said else ""


def _rows_section(contents: Contents) -> str:
    reading = (
        "One row is one process that measured one configuration. A question mark stands behind each number that is "
        "doubtful, and the last column says why. Click a heading to sort; the filter acts on the pictures too."
    )
    return element("p", escaped(reading), class_="reading") + table(contents.entries)


def _picture_section(picture: Picture) -> tuple[str, str, str]:
    small = all(drawing.width < _SMALL for drawing in picture.drawings)
    sheets = "".join(_sheet(drawing, picture.title) for drawing in picture.drawings)
    content = legend(picture.legend)
    content += (
        element("div", sheets, class_="sheets small" if small else "sheets") if sheets else ""
    )
    content += element("p", escaped(picture.reading), class_="reading")
    return picture.name, picture.title, content + paragraphs(picture.remarks, "remark")


def _sheet(drawing: Drawing, title: str) -> str:
    heading = element("h3", escaped(drawing.heading)) if drawing.heading else ""
    svg = inline(drawing, f"{title}: {drawing.heading}" if drawing.heading else title)
    return element("div", heading + svg, class_="sheet", data_r=drawing.row)


def legend(entries: Sequence[tuple[str, str, bool, str]]) -> str:
    """Marks with what they stand for, as a list."""
    items = []
    for ink, shape, hollow, text in entries:
        drawing = Drawing(16, 16)
        drawing.add(Mark((8, 8), ink, shape, hollow))
        items.append(element("li", inline(drawing, text) + escaped(text)))
    return element("ul", "".join(items), class_="legend") if items else ""
