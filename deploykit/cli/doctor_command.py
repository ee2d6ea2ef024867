"""`deploykit doctor`: what works here."""

from __future__ import annotations

import click

from deploykit.cli.options import json_option


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    r"""Tell what works here, what is missing, and the line that installs it.

    Ends with 3 if no backend can build and run anything.

    \b
    deploykit doctor
    """
    from deploykit.cli.display import print_json, print_table
    from deploykit.workflow.doctor import examine, runs_something

    checks = examine()
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        print_table(
            ("what", "state", "detail", "remedy"),
            [(c.what, c.state, c.detail, c.remedy) for c in checks],
        )
    return 0 if runs_something(checks) else 3
