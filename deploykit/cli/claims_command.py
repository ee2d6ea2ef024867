"""`deploykit claims`: which of the things said of these networks are true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.outputs import output_options

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs


@click.command("claims")
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--list", "only_list", is_flag=True, help="List the claims without checking them.")
@click.option(
    "--profile", metavar="FILE", help="Measured rows; reports/profile.csv if it is there."
)
@output_options(
    csv="Write the verdicts; - for stdout.",
    junit="Write the verdicts as JUnit XML; - for stdout.",
)
def command(ids: tuple[str, ...], only_list: bool, profile: str | None, outputs: Outputs) -> None:
    r"""Check claims about networks by computing, and print a verdict for each.

    Ends with 1 if a verdict differs from the one expected of it, which is how a wrong change shows in CI.

    \b
    deploykit claims
    deploykit claims --list
    deploykit claims squeezenet-params-50x --csv -
    deploykit claims --profile reports/profile.csv --junit claims.xml
    """
    if only_list:
        from deploykit.cli.work.claims_list import list_claims

        list_claims(outputs)
        return
    from deploykit.cli.work.claims import claims

    claims(ids, profile, outputs)
