"""Rows as a data frame: columns of real types, the environment in `attrs`, and a display for notebooks.

Frames of this module derive from pandas', so that it imports pandas: it is itself imported where a frame is made.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from deploykit import env
from deploykit.columns import BY_NAME, FLOAT, INT, NAMES, TEXT
from deploykit.report.conclusions import conclusions
from deploykit.report.states import FEW_RUNS, few_runs, findings_of
from deploykit.report.views import PROFILE, arrange
from deploykit.text import printable

#: What a frame is of, under this key of its `attrs`.
KIND = "of"
PROFILE_KIND = "profile"
#: Rows that a notebook shows; the rest is in the frame.
MOST_SHOWN = 60

BOOL = "bool"
# pandas 3 has a type for text in which a blank is NaN; before it, text is of type object.
_TEXT_TYPE = "str" if int(pd.__version__.partition(".")[0]) >= 3 else "object"
_TYPES = {TEXT: _TEXT_TYPE, INT: "Int64", FLOAT: "float64", BOOL: "boolean"}


class Frame(pd.DataFrame):
    """A data frame that knows where its numbers come from.

    Text is text (`rho` stays "6/7"), whole numbers are pandas' Int64, which has blanks, all others float64 with NaN
    for what was not measured. `attrs["environment"]` describes the machine and the versions of packages. In a
    notebook a profile shows the columns that people look at; doubtful numbers are marked, with the reason beside.
    """

    @property
    def _constructor(self) -> type[Frame]:
        return Frame

    def _repr_html_(self) -> str | None:
        is_profile = self.attrs.get(KIND) == PROFILE_KIND and set(NAMES) <= set(self.columns)
        if not is_profile:
            plain: str | None = pd.DataFrame(self)._repr_html_()  # type: ignore[operator]
            return plain
        rows = _records(self.head(MOST_SHOWN))
        hidden = len(self) - len(rows)
        note = f"{len(self)} rows, {len(self.columns)} columns in the frame"
        if hidden:
            note += f"; the first {len(rows)} are shown"
        said = "".join(f"<p>{_text(one)}</p>" for one in conclusions(_records(self)))
        return f"{_table(rows)}{said}<p>{_text(note)}</p>"


def profile_frame(rows: Iterable[Mapping[str, Any]], **attrs: Any) -> Frame:
    """Rows of a profile as a frame in the columns of `deploykit.columns`, blanks included.

    Args:
        rows: as `Profiler.rows` gives them.
        attrs: more than the environment, for the frame's `attrs`.
    """
    kinds = {name: BY_NAME[name].kind for name in NAMES}
    return frame_of(rows, kinds, **{KIND: PROFILE_KIND, **attrs})


def candidates_frame(records: Iterable[Mapping[str, Any]]) -> Frame:
    """Candidates of a tuning as a frame: the columns of a profile, then `candidate`, `fate` and `ratio`."""
    kinds = {name: BY_NAME[name].kind for name in NAMES}
    kinds |= {"candidate": TEXT, "fate": TEXT, "ratio": FLOAT}
    return frame_of(records, kinds, **{KIND: PROFILE_KIND})


def joined(frames: Sequence[Frame]) -> Frame:
    """Frames of the same columns one below the other; the environment is that of the first."""
    frame = Frame(pd.concat(frames, ignore_index=True))
    frame.attrs = dict(frames[0].attrs)
    return frame


def frame_of(
    records: Iterable[Mapping[str, Any]], kinds: Mapping[str, str] | None = None, **attrs: Any
) -> Frame:
    """Records as a frame with real types.

    Args:
        records: values by column; None is a blank.
        kinds: "text", "int", "float" or "bool" by column, in their order; None finds out from the values.
        attrs: more than the environment, for the frame's `attrs`.
    """
    listed = list(records)
    kinds = _kinds(listed) if kinds is None else kinds
    columns = {
        name: pd.Series([record.get(name) for record in listed], dtype=_TYPES[kind])
        for name, kind in kinds.items()
    }
    frame = Frame(columns, columns=list(kinds))
    frame.attrs.update({"environment": env.capture(), **attrs})
    return frame


def _kinds(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The kind of each column by the values in it."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: _kind([record.get(name) for record in records], name) for name in names}


def _kind(values: Sequence[Any], name: str) -> str:
    if name in BY_NAME:
        return BY_NAME[name].kind
    types = {type(value) for value in values if value is not None}
    if types == {bool}:
        return BOOL
    if types == {int}:
        return INT
    return FLOAT if types and types <= {int, float} else TEXT


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as views take them: blanks are None."""
    known = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in known.to_dict("records")]


def doubt(row: Mapping[str, Any]) -> str:
    """Why a row's numbers are not to be relied on, in words; "" where nothing is known against them."""
    if row.get("status") not in (None, "ok"):
        return str(row.get("reason") or "no reason is known")
    seen = [finding.seen for finding in findings_of(row)]
    return "; ".join([FEW_RUNS] * few_runs(row) + seen)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of a profile as an HTML table; what names hold is escaped, doubtful numbers bear a question mark."""
    arranged = arrange(PROFILE, rows)
    why = [doubt(row) for row in rows]
    head = [field.heading for field in arranged.fields] + ["because"] * any(why)
    lines = ["<table>"]
    if arranged.above:
        lines.append(f"<caption>{_text(', '.join(arranged.above))}</caption>")
    lines += ["<thead><tr>", *(f"<th>{_text(name)}</th>" for name in head), "</tr></thead><tbody>"]
    for row, reason in zip(rows, why, strict=True):
        cells = [_cell(field.text(row), number=field.number) for field in arranged.fields]
        cells += [_cell(reason, number=False)] * any(why)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "".join([*lines, "</tbody></table>"])


def _cell(text: str, *, number: bool) -> str:
    return f'<td style="text-align:{"right" if number else "left"}">{_text(text)}</td>'


def _text(text: str) -> str:
    return html.escape(printable(text))
