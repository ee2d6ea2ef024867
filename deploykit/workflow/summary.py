"""summary.md: what a run found, for someone who opens one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploykit.claims.table import HEADER, verdict_cells
from deploykit.claims.verdict import Verdict
from deploykit.report.markdown import table
from deploykit.report.schema import Row
from deploykit.report.views import PROFILE, Field, column, label, megabytes, precision

#: What is worth seeing of engines that could not run here.
_ENGINES = (
    Field("model", label, number=False),
    Field("backend", lambda row: f"{row['backend']} {row['backend_version']}", number=False),
    Field("precision", precision, number=False),
    Field("engine MB", column("engine_bytes", megabytes)),
    Field("build s", column("build_s")),
    Field("status", lambda row: f"{row['status']}: {row['reason']}", number=False),
)


def _view(fields: Sequence[Field], rows: Sequence[Row]) -> str:
    """The rows as a table, without columns in which none of them says anything."""
    fields = [f for f in fields if f.tells(rows)]
    return table(
        [field.heading for field in fields],
        [[field.text(row) for field in fields] for row in rows],
        [i for i, field in enumerate(fields) if field.number],
    )


def summarise(
    rows: Sequence[Row], verdicts: Sequence[Verdict], environment: Mapping[str, Any]
) -> str:
    """The summary of a run as Markdown: what was measured, what was only built, what the claims came to."""
    measured = [row for row in rows if row["status"] == "ok"]
    others = [row for row in rows if row["status"] != "ok"]
    machine, packages = environment["machine"], environment["packages"]
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    parts = [
        "# What this run found\n",
        f"Measured on {machine['cpu']} ({machine['cores']:g} cores, {machine['memory_gib']} GiB, "
        f"{', '.join(machine['gpus']) or 'no GPU'}), Python {environment['python']}; {versions}. "
        f"Environment `{environment['env_id']}`, described in `env.json`.\n",
        "## Measured\n",
        "Latency is the median of one run, host buffer to host buffer, with the 95% interval of the median; "
        "drift is the signal-to-noise ratio of the outputs against the FP32 graph run without optimisations. "
        "`fp16 (as fp32)` is emulated by the runtime: its accuracy is that of FP16, its latency says nothing "
        "about FP16 hardware. Networks without top-1 have seeded random weights.\n",
        _view(PROFILE, measured) if measured else "Nothing could be measured.\n",
    ]
    if others:
        parts += [
            "## Built or tried, not measured\n",
            "Each precision was read back from the engine; where another was found, it stands in brackets.\n",
            _view(_ENGINES, others),
        ]
    parts += ["## Claims\n", table(HEADER, verdict_cells(verdicts))]
    return "\n".join(parts)
