"""`deploykit list`: the catalogue, from stored facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click

from deploykit.cli.library import backends, display, report, zoo
from deploykit.cli.options import Grouped
from deploykit.cli.outputs import Outputs, output_options
from deploykit.errors import UsageError
from deploykit.figures import general


@click.command("list", cls=Grouped)
@click.argument("pattern", required=False)
@click.option(
    "--precisions", is_flag=True, help="List precision recipes and their targets instead."
)
@output_options()
def command(pattern: str | None, precisions: bool, outputs: Outputs) -> None:
    r"""The catalogue: name, family, year, paper, input, parameters, MACs.

    MACs are multiply-accumulates of one image at the canonical input, in millions; one MAC is two FLOPs.

    \b
    deploykit list
    deploykit list 'vgg*'
    deploykit list --precisions
    """
    if precisions:
        if pattern is not None:
            raise UsageError(f"--precisions lists them all: leave {pattern} out")
        _list_precisions(outputs)
    else:
        _list_architectures(pattern, outputs)


def _list_architectures(pattern: str | None, outputs: Outputs) -> None:
    """Show the networks that match a pattern, or all.

    Raises:
        UsageError: none matches.
    """
    listed = zoo.architectures(pattern)
    if not listed:
        raise UsageError(f"no network matches {pattern!r}: see `deploykit list`")
    facts = [dataclasses.asdict(a) | {"input": a.input_shape} for a in listed]
    if outputs.json:
        display.print_json(facts)
    else:
        display.print_fields(_fields(), facts)


def _fields() -> list[report.views.Field]:
    views = report.views

    def multipliers(row: Mapping[str, Any]) -> str:
        return " ".join(name for name in ("alpha", "rho") if row[f"has_{name}"])

    def macs(row: Mapping[str, Any]) -> str:
        millions = row["macs"] / 1e6
        return f"{millions:,.1f}" if millions >= 0.1 else general(millions)

    return [
        views.Field("name", views.column("name", str), number=False),
        views.Field("family", views.column("family", str), number=False, rank=3),
        views.Field("year", views.column("year", str), rank=1),
        views.Field("input", lambda row: "x".join(map(str, row["input"]))),
        views.Field("parameters", lambda row: f"{row['parameters']:,}"),
        views.Field("MACs (M)", macs),
        views.Field("multipliers", multipliers, number=False, rank=2),
        views.Field("paper", views.column("paper", str), number=False, rank=4),
    ]


def _list_precisions(outputs: Outputs) -> None:
    """Show precision recipes and their targets."""
    recipes = backends.precisions()
    if outputs.json:
        display.print_json(
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
    # Recipes that read alike stand in one line; where all targets have a precision by one, it has one.
    targets: dict[tuple[str, str, str], dict[str, None]] = {}
    for one in recipes:
        calibrated = "yes" if one.needs_calibration else "no"
        known = targets.setdefault((one.name, calibrated, one.summary), {})
        known.update(dict.fromkeys(one.targets))
    order = list(dict.fromkeys(one.name for one in recipes))
    display.print_table(
        ("precision", "targets", "calibration", "recipe"),
        [
            (name, " ".join(known), calibrated, summary)
            for (name, calibrated, summary), known in sorted(
                targets.items(), key=lambda of: order.index(of[0][0])
            )
        ],
    )
