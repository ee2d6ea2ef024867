"""`deploykit doctor`: what works here."""

from __future__ import annotations

import click

from deploykit.cli.library import display, workflow
from deploykit.cli.options import Grouped
from deploykit.cli.outputs import Outputs, output_options


@click.command("doctor", cls=Grouped)
@output_options()
def command(outputs: Outputs) -> int:
    r"""Tell what works here, what is missing, and the line that installs it.

    Ends with 3 if no backend can build and run anything.

    \b
    deploykit doctor
    """
    checks = workflow.machine.examine()
    if outputs.json:
        display.print_json([vars(check) for check in checks])
    else:
        display.print_table(
            ("what", "state", "detail", "remedy"),
            [(c.what, c.state, c.detail, c.remedy) for c in checks],
        )
    return 0 if workflow.machine.runs_something(checks) else 3
