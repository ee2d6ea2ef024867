"""What `deploykit list` does: show the catalogue, or the precision recipes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from deploykit import zoo
from deploykit.cli.display import print_fields, print_json, print_table
from deploykit.cli.outputs import Outputs
from deploykit.errors import UsageError
from deploykit.report.views import Field, column


def list_architectures(pattern: str | None, outputs: Outputs) -> None:
    """Show the networks that match a pattern, or all.

    Raises:
        UsageError: none matches.
    """
    listed = zoo.architectures(pattern)
    if not listed:
        raise UsageError(f"no network matches {pattern!r}: see `deploykit list`")
    facts = [dataclasses.asdict(a) | {"input": a.input_shape} for a in listed]
    if outputs.json:
        print_json(facts)
    else:
        print_fields(_fields(), facts)


def _fields() -> list[Field]:
    def multipliers(row: Mapping[str, Any]) -> str:
        return " ".join(name for name in ("alpha", "rho") if row[f"has_{name}"])

    def macs(row: Mapping[str, Any]) -> str:
        millions = row["macs"] / 1e6
        return f"{millions:,.1f}" if millions >= 0.1 else f"{millions:.3g}"

    return [
        Field("name", column("name", str), number=False),
        Field("family", column("family", str), number=False, rank=3),
        Field("year", column("year", str), rank=1),
        Field("input", lambda row: "x".join(map(str, row["input"]))),
        Field("parameters", lambda row: f"{row['parameters']:,}"),
        Field("MACs (M)", macs),
        Field("multipliers", multipliers, number=False, rank=2),
        Field("paper", column("paper", str), number=False, rank=4),
    ]


def list_precisions(outputs: Outputs) -> None:
    """Show precision recipes and their targets."""
    # The recipes are a quarter of what this module would import, and the catalogue needs none of them.
    from deploykit.backends import precisions

    recipes = precisions()
    if outputs.json:
        print_json(
            [
                {
                    "precision": r.name,
                    "targets": list(r.targets),
                    "needs_calibration": r.needs_calibration,
                    "summary": r.summary,
                }
                for r in recipes
            ]
        )
        return
    print_table(
        ("precision", "targets", "calibration", "recipe"),
        [
            (r.name, " ".join(r.targets), "yes" if r.needs_calibration else "no", r.summary)
            for r in recipes
        ],
    )
