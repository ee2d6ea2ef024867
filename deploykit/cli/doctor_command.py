"""`deploykit doctor`: what works here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from deploykit.cli.outputs import output_options

if TYPE_CHECKING:
    from deploykit.cli.outputs import Outputs


@click.command("doctor")
@output_options()
def command(outputs: Outputs) -> int:
    r"""Tell what works here, what is missing, and the line that installs it.

    Ends with 3 if no backend can build and run anything.

    \b
    deploykit doctor
    """
    from deploykit.cli.work.doctor import doctor

    return doctor(outputs)
