"""`deploykit doctor`: what works here."""

from __future__ import annotations

from collections.abc import Sequence

import click

from deploykit.cli.library import display, workflow
from deploykit.cli.options import Grouped
from deploykit.cli.outputs import Outputs, output_options
from deploykit.text import printable, write_line


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
            ("what", "state", "detail"), [(c.what, c.state, c.detail) for c in checks]
        )
        _print_remedies(checks)
    return 0 if workflow.machine.runs_something(checks) else 3


def _print_remedies(checks: Sequence[workflow.machine.Check]) -> None:
    """What helps, below the table: once for all that it helps, and unbroken, to be copied."""
    helped: dict[str, list[str]] = {}
    for check in checks:
        if check.remedy:
            helped.setdefault(check.remedy, []).append(check.what)
    for remedy, whats in helped.items():
        write_line("")
        display.print_text(f"{', '.join(whats)}:")
        write_line(printable(f"  {remedy}"))
