"""What `deploykit doctor` does: examine the machine and show what it found."""

from __future__ import annotations

from deploykit.cli.display import print_json, print_table
from deploykit.cli.outputs import Outputs
from deploykit.workflow.machine import examine, runs_something


def doctor(outputs: Outputs) -> int:
    """Show what works here; return the exit code."""
    checks = examine()
    if outputs.json:
        print_json([vars(check) for check in checks])
    else:
        print_table(
            ("what", "state", "detail", "remedy"),
            [(c.what, c.state, c.detail, c.remedy) for c in checks],
        )
    return 0 if runs_something(checks) else 3
