"""A profile as Markdown: what was found, what was measured and how far it can be trusted, what was not measured."""

from __future__ import annotations

from collections.abc import Sequence

from deploykit.report import refuse_simulated
from deploykit.report.conclusions import conclusions
from deploykit.report.markdown import as_text, table
from deploykit.report.states import DOUBT, doubts
from deploykit.report.views import ENGINES, PROFILE, Cells, Field, arrange
from deploykit.row import Row

_MEANING = (
    "Latency is the median of one run with its 95% interval; speedup is over the fp32 row that differs in the "
    "precision alone; drift is the signal-to-noise ratio of the outputs against the FP32 graph run without "
    f"optimisations. A number with {DOUBT} is doubtful: status names the causes, and below the table it is said "
    "what was seen. `fp16 (as fp32)` is emulated by the runtime: its accuracy is that of FP16, its latency says "
    "nothing about FP16 hardware. Networks without top-1 have random weights, or no labelled images were there.\n"
)


def page(
    rows: Sequence[Row],
    title: str = "What this profile found",
    remarks: Sequence[str] = (),
) -> str:
    """The page of a profile, for `$GITHUB_STEP_SUMMARY` and the like.

    Args:
        rows: of the profile.
        title: of the page.
        remarks: what a reader should know first, a sentence each.

    Raises:
        UsageError: a row is of a simulated device.
    """
    said = "".join(f"{as_text(remark)}.\n\n" for remark in remarks)
    return f"# {title}\n\n{said}{sections(rows)}"


def sections(rows: Sequence[Row], view: Sequence[Field] = PROFILE) -> str:
    """What was found, the measured rows with what makes them doubtful, and the others.

    Raises:
        UsageError: a row is of a simulated device.
    """
    for row in rows:
        refuse_simulated(row)
    measured = [row for row in rows if row["status"] == "ok"]
    others = [row for row in rows if row["status"] != "ok"]
    found = conclusions(rows)
    parts = ["".join(f"- {as_text(line)}.\n" for line in found)] if found else []
    parts += ["## Measured\n", _MEANING]
    parts.append(view_table(view, measured) if measured else "Nothing could be measured.\n")
    doubtful = doubts(measured)
    parts += ["".join(f"- {as_text(line)}.\n" for line in doubtful)] if doubtful else []
    if others:
        parts += [
            "## Built or tried, not measured\n",
            "Each precision was read back from the engine; where another was found, it stands in brackets.\n",
            view_table(ENGINES, others),
        ]
    return "\n".join(parts)


def view_table(fields: Sequence[Field], rows: Sequence[Cells]) -> str:
    """The rows as a table, without columns in which none says anything; above it what they have in common."""
    view = arrange(fields, rows)
    text = table(
        [field.heading for field in view.fields],
        [[field.text(row) for field in view.fields] for row in rows],
        [i for i, field in enumerate(view.fields) if field.number],
    )
    return f"In all rows: {as_text(', '.join(view.above))}.\n\n{text}" if view.above else text
