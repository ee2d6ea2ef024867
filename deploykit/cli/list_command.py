"""`deploykit list`: the catalogue, from stored facts."""

from __future__ import annotations

import click

from deploykit.cli.options import json_option


@click.command("list")
@click.argument("pattern", required=False)
@click.option(
    "--precisions", is_flag=True, help="List precision recipes and their targets instead."
)
@json_option
def command(pattern: str | None, precisions: bool, as_json: bool) -> None:
    r"""The catalogue: name, family, year, paper, input, parameters, MACs.

    MACs are multiply-accumulates of one image at the canonical input, in millions; one MAC is two FLOPs.

    \b
    deploykit list
    deploykit list 'vgg*'
    deploykit list --precisions
    """
    if precisions:
        _list_precisions(as_json)
        return
    from deploykit import zoo
    from deploykit.cli.display import print_json, print_table

    found = zoo.architectures(pattern)
    if as_json:
        import dataclasses

        print_json([dataclasses.asdict(a) for a in found])
        return
    print_table(
        ("name", "family", "year", "paper", "input", "parameters", "MACs (M)", "multipliers"),
        [
            (
                a.name,
                a.family,
                str(a.year),
                a.paper,
                "x".join(map(str, a.input_shape)),
                f"{a.parameters:,}",
                f"{a.macs / 1e6:,.1f}" if a.macs >= 1e5 else f"{a.macs / 1e6:.3g}",
                " ".join(n for n, has in (("alpha", a.has_alpha), ("rho", a.has_rho)) if has),
            )
            for a in found
        ],
        right=(2, 4, 5, 6),
    )


def _list_precisions(as_json: bool) -> None:
    from deploykit.cli.display import print_json, print_table
    from deploykit.graph.precision import precisions

    recipes = precisions()
    if as_json:
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
