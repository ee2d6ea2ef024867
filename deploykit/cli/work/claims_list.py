"""What `deploykit claims --list` does: show what is claimed, which needs no check."""

from __future__ import annotations

from deploykit.claims import list_statements
from deploykit.cli.display import print_json, print_table
from deploykit.cli.outputs import Outputs


def list_claims(outputs: Outputs) -> None:
    """Show every claim of the project with who says so."""
    listed = list_statements()
    if outputs.json:
        print_json([one._asdict() for one in listed])
    else:
        print_table(("id", "claim", "source"), listed)
