"""The graph of layers: coloured by time, precision or drift, one engine's or two in step, with each layer's row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from deploykit.report.page.drawing import shortened
from deploykit.report.page.layering import GAP_X, NODE_HEIGHT, NODE_WIDTH, Layout, lay_out
from deploykit.report.page.markup import element, escaped
from deploykit.report.page.palette import ink_of, numbered
from deploykit.report.page.scales import Scale
from deploykit.report.page.svg import number, path_of
from deploykit.report.views import millions, percent, significant
from deploykit.row import text_of

Sheet = tuple[str, Sequence[Mapping[str, Any]]]
#: Between the names of `reads`.
JOINT = " | "
#: What is said of a file that was written before layers told what they read.
_ORDER_ALONE = (
    "does not tell which layer reads which, so its boxes stand in the order in which they run: write it anew with "
    "`deploykit layers`."
)
#: Steps of a colour from least to most.
STEPS = 7
#: What a graph can be coloured by, with the words for it.
_BY = (("time", "time"), ("precision", "precision"), ("snr", "drift SNR"))


def layers_section(sheets: Sequence[Sheet]) -> str:
    """The graphs beside each other, the tools above, the chosen layer's row below, and all layers as a table."""
    cells = [
        (name, [{key: text_of(value) for key, value in row.items()} for row in rows])
        for name, rows in sheets
    ]
    reading = (
        "Each box is a layer, with what flows into it above; a dashed box was added by the runtime and stands "
        "apart. The deeper the colour, the longer the layer takes, or the nearer to noise its values are; a box "
        "without colour has no number of its own, such as a layer that is computed in another one's. Turn the "
        "wheel or pinch to zoom, drag to move, click a box for its row."
    )
    if len(cells) > 1:
        reading += " Both graphs move together, and a click chooses the layer in both."
    chooser = "".join(
        f'<option value="{value}">{escaped(text)}</option>'
        for value, text in _BY
        if any(_values(rows, value) for _, rows in cells)
    )
    tools = (
        f'<label>Colour by <select id="by">{chooser}</select></label>'
        '<button type="button" data-zoom="1.4" aria-label="zoom in">+</button>'
        '<button type="button" data-zoom="0.714" aria-label="zoom out">−</button>'
        '<button type="button" data-zoom="0">whole graph</button>'
    )
    kinds = sorted({kind for _, rows in cells for kind in map(_precision, rows) if kind})
    numbers = numbered(kinds)
    most_ms = max((v for _, rows in cells for v in _values(rows, "time")), default=0.0)
    graphs = "".join(_graph(name, rows, most_ms, numbers) for name, rows in cells)
    remarks = "".join(
        element("p", escaped(f"{name} {_ORDER_ALONE}"), class_="remark")
        for name, rows in cells
        if not any(row.get("reads") for row in rows)
    )
    return (
        element("div", tools, class_="tools")
        + element("div", graphs, class_="graphs", id="graphs", data_by="time")
        + element("div", "No layer is chosen.", id="layer", aria_live="polite")
        + element("p", escaped(reading), class_="reading")
        + remarks
        + "".join(_table(name, rows) for name, rows in cells)
    )


def _values(rows: Sequence[Mapping[str, str]], by: str) -> list[float]:
    if by == "precision":
        return [1.0 for row in rows if _precision(row)]
    column = "time_ms" if by == "time" else "drift_snr_db"
    return [value for row in rows if (value := _number(row, column)) is not None]


def _number(row: Mapping[str, str], column: str) -> float | None:
    try:
        value = float(row.get(column) or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _precision(row: Mapping[str, str]) -> str:
    return row.get("computes_in") or ""


def _graph(
    name: str, rows: Sequence[Mapping[str, str]], most_ms: float, numbers: Mapping[str, int]
) -> str:
    ids: dict[str, int] = {}
    for place, row in enumerate(rows):
        ids.setdefault(row.get("node", ""), place)
    told = any(row.get("reads") for row in rows)
    reads: dict[str, list[str]] = {}
    last = ""
    for place, row in enumerate(rows):
        if _is_added(row):
            continue
        sources = [str(ids[one]) for one in row.get("reads", "").split(JOINT) if one in ids]
        # Without edges the order in which layers run is all there is.
        reads[str(place)] = sources if told else [last] if last else []
        last = str(place)
    # What runs later in the engine may stand earlier in the graph: a source comes first here.
    layout = lay_out(_sorted(reads))
    places = {**layout.places, **_beside(rows, layout)}
    edges = "".join(
        element("path", class_="s muted edge", d=_curve(points))
        for points in layout.routes.values()
    )
    snr = _values(rows, "snr")
    drift = Scale(min([*snr, 10.0]), max([*snr, 60.0]), 0.0, 1.0)
    boxes = "".join(
        _box(row, places[str(place)], most_ms, drift, numbers) for place, row in enumerate(rows)
    )
    width = max((x + NODE_WIDTH for x, _ in places.values()), default=1.0)
    height = max((y + NODE_HEIGHT for _, y in places.values()), default=1.0)
    size = f"{number(width)} {number(height)}"
    svg = element(
        "svg",
        element("g", edges + boxes, class_="view"),
        viewBox=f"0 0 {size}",
        data_size=size,
        data_start=number(next(iter(layout.places.values()), (0.0, 0.0))[0] + NODE_WIDTH / 2),
        preserveAspectRatio="xMidYMid meet",
        role="group",
        aria_label=f"layers of {name}",
    )
    return element("div", element("h3", escaped(name)) + element("div", svg, class_="graph"))


def _is_added(row: Mapping[str, str]) -> bool:
    return row.get("added") == "true"


def _beside(rows: Sequence[Mapping[str, str]], layout: Layout) -> dict[str, tuple[float, float]]:
    """Places of what the runtime added: a column at the right, each at the height of the layer that runs next."""
    places: dict[str, tuple[float, float]] = {}
    free = 0.0
    waiting: list[int] = []
    for place, row in enumerate(rows):
        if _is_added(row):
            waiting.append(place)
            continue
        if waiting:
            top = max(free, layout.places[str(place)][1])
            free = _stack(waiting, top, places, layout.width)
            waiting = []
    _stack(waiting, max(free, layout.height), places, layout.width)
    return places


def _stack(
    waiting: Sequence[int], top: float, places: dict[str, tuple[float, float]], left: float
) -> float:
    """Put boxes below each other from `top` on; returns where the next is free."""
    for index, place in enumerate(waiting):
        places[str(place)] = (left + 2 * GAP_X, top + index * (NODE_HEIGHT + 8))
    return top + len(waiting) * (NODE_HEIGHT + 8)


def _sorted(reads: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """The nodes so that each comes after what it reads; what reads itself in a circle comes as it stood."""
    done: dict[str, Sequence[str]] = {}
    entered: set[str] = set()
    for start in reads:
        stack = [(start, False)]
        while stack:
            name, left = stack.pop()
            if left:
                done.setdefault(name, reads[name])
            elif name not in entered:
                entered.add(name)
                stack.append((name, True))
                stack += [(source, False) for source in reversed(reads[name]) if source in reads]
    return done


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A path that leaves and enters boxes upright and runs through its bends."""
    if len(points) == 2 and abs(points[0][0] - points[1][0]) < 1:
        return path_of(points)
    parts = [f"M{number(points[0][0])} {number(points[0][1])}"]
    for (x, y), (next_x, next_y) in itertools.pairwise(points):
        if abs(x - next_x) < 1:
            parts.append(f"L{number(next_x)} {number(next_y)}")
        else:
            bend = (next_y - y) / 2
            parts.append(
                f"C{number(x)} {number(y + bend)} {number(next_x)} {number(next_y - bend)} "
                f"{number(next_x)} {number(next_y)}"
            )
    return "".join(parts)


def _box(
    row: Mapping[str, str],
    at: tuple[float, float],
    most_ms: float,
    drift: Scale,
    numbers: Mapping[str, int],
) -> str:
    x, y = at
    time_ms, snr_db, kind = _number(row, "time_ms"), _number(row, "drift_snr_db"), _precision(row)
    deep = {
        # The square root, so that a layer of a hundredth of the longest is not as pale as one of nothing.
        "time": None if time_ms is None or most_ms <= 0 else math.sqrt(max(0.0, time_ms) / most_ms),
        "snr": None if snr_db is None else 1 - drift(snr_db),
    }
    steps = {k: "" if v is None else f"q{min(STEPS - 1, int(v * STEPS))}" for k, v in deep.items()}
    values = {
        "time": f"{significant(time_ms)} ms" if time_ms is not None else _elsewhere(row),
        "precision": kind or "–",
        "snr": f"{significant(snr_db)} dB" if snr_db is not None else "–",
    }
    name = row.get("module") or row.get("node", "")
    heading = row.get("op_type", "")
    texts = element(
        "text", escaped(shortened(heading, NODE_WIDTH - 60, 11)), class_="op", x=8, y=16
    )
    texts += "".join(
        element(
            "text",
            escaped(shortened(value, 74, 10)),
            class_=f"v v-{by}",
            x=number(NODE_WIDTH - 7),
            y=16,
        )
        for by, value in values.items()
    )
    texts += element(
        "text", escaped(shortened(name, NODE_WIDTH - 16, 9.5)), class_="name", x=8, y=32
    )
    box = element(
        "rect",
        class_="added" if _is_added(row) else None,
        width=number(NODE_WIDTH),
        height=number(NODE_HEIGHT),
        rx=4,
        data_time=steps["time"] or None,
        data_snr=steps["snr"] or None,
        data_precision=ink_of(numbers[kind]) if kind else None,
    )
    return element(
        "g",
        element("title", escaped(f"{heading} {row.get('node', '')}")) + box + texts,
        class_="node",
        transform=f"translate({number(x)} {number(y)})",
        tabindex="0",
        data_n=row.get("node", ""),
        data_d="\n".join(f"{key}: {value}" for key, value in _told(row)),
    )


def _elsewhere(row: Mapping[str, str]) -> str:
    return "fused" if row.get("fused_into") else "–"


def _told(row: Mapping[str, str]) -> list[tuple[str, str]]:
    """A layer's row in words, for the panel below the graphs."""
    styles: dict[str, Any] = {
        "time_ms": lambda v: f"{significant(v, 4)} ms",
        "time_share": percent,
        "macs": lambda v: f"{millions(v)} M",
        "gflops": significant,
        "roofline_fraction": percent,
        "drift_snr_db": lambda v: f"{significant(v)} dB",
    }
    told = []
    for key, value in row.items():
        if value and key != "added":
            shown = styles[key](value) if key in styles and _number(row, key) is not None else value
            told.append((key, " ".join(str(shown).split())))
    return told


def _table(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    """All layers for readers without a script, and for print."""
    columns = (
        "node",
        "op_type",
        "engine_op_type",
        "computes_in",
        "time_ms",
        "time_share",
        "drift_snr_db",
    )
    head = "".join(element("th", escaped(column), scope="col") for column in columns)
    body = "".join(
        element("tr", "".join(element("td", escaped(row.get(column) or "–")) for column in columns))
        for row in rows
    )
    table = element("table", f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>")
    summary = element("summary", escaped(f"All {len(rows)} rows of {name} as a table"))
    return element("details", summary + element("div", table, class_="wide"))
