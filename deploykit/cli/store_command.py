"""`deploykit store`: what the engine store holds, and taking things out of it."""

from __future__ import annotations

import click

from deploykit.cli.groups import store_option
from deploykit.cli.library import artifacts, display, report, workflow, writing
from deploykit.cli.options import Grouped, read_by
from deploykit.cli.outputs import Outputs, output_options
from deploykit.errors import UsageError
from deploykit.text import printable, write_line

ACTIONS = ("list", "size", "remove", "gc")


@click.command("store", cls=Grouped)
@click.argument("action", type=click.Choice(ACTIONS), metavar="list|size|remove|gc")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option(
    "--older-than",
    callback=read_by(lambda text, option: workflow.stored.days(text, option)),
    metavar="TIME",
    help="With gc: what nobody asked for in so long, such as 12h, 30d or 2w; default 30d.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@store_option
@output_options()
def command(
    action: str,
    names: tuple[str, ...],
    older_than: float | None,
    dry_run: bool,
    store: str | None,
    outputs: Outputs,
) -> int:
    r"""List what the engine store holds, tell its size, or take things out of it.

    `list` shows entries, the largest first, all or those of the NAMEs; `size` what they take together; `remove`
    takes out those of the NAMEs, which may be patterns; `gc` takes out what nothing will ask for again (made by
    versions that are no longer installed, damaged, or from a file that is gone) and what nobody asked for in
    --older-than.
    What a running command has in use stays.

    \b
    deploykit store list
    deploykit store list 'lenet5*' --json
    deploykit store size
    deploykit store remove 'lenet5-int8-*'
    deploykit store gc --older-than 2w --dry-run
    """
    if older_than is not None and action != "gc":
        raise UsageError(f"--older-than is of gc: leave it out with {action}")
    if dry_run and action not in ("remove", "gc"):
        raise UsageError(f"--dry-run is of remove and gc: leave it out with {action}")
    if names and action in ("size", "gc"):
        raise UsageError(f"{action} takes no names: leave {names[0]} out")
    if action == "remove" and not names:
        raise UsageError("remove needs a NAME, such as 'lenet5*': see `deploykit store list`")
    opened = artifacts.open_store(store)
    if action == "gc" and not dry_run:
        opened.clear()
        writing.clear_working_folders()
    everything = workflow.stored.stored_in(opened)
    chosen = workflow.stored.matching(everything, names) if names else everything
    if action == "list":
        _list(opened.root, chosen, outputs)
    elif action == "size":
        _size(opened.root, everything, outputs)
    else:
        if action == "gc":
            limit = workflow.stored.DEFAULT_DAYS if older_than is None else older_than
            chosen = workflow.stored.garbage(everything, limit)
        taken = (
            workflow.stored.Taken(tuple(chosen), ())
            if dry_run
            else workflow.stored.take_out(opened, chosen)
        )
        _taken(taken, outputs, dry_run=dry_run)
    return 0


def _list(root: object, chosen: list[workflow.stored.Stored], outputs: Outputs) -> None:
    if outputs.json:
        display.print_json([_values(one) for one in chosen])
        return
    write_line(printable(f"{root}: {_summary(chosen)}"), err=True)
    if chosen:
        display.print_table(
            ("name", "kind", "precision", "MB", "idle", "stale because"),
            [
                (
                    one.name,
                    one.kind,
                    one.precision,
                    report.views.megabytes(one.size_bytes),
                    f"{one.idle_days:.0f} d",
                    one.stale,
                )
                for one in chosen
            ],
            right=(3, 4),
        )


def _size(root: object, everything: list[workflow.stored.Stored], outputs: Outputs) -> None:
    kinds = sorted({one.kind for one in everything})
    sums = {kind: [one for one in everything if one.kind == kind] for kind in kinds}
    if outputs.json:
        display.print_json(
            {
                "path": str(root),
                "bytes": sum(one.size_bytes for one in everything),
                "kinds": {
                    kind: {"count": len(of), "bytes": sum(one.size_bytes for one in of)}
                    for kind, of in sums.items()
                },
            }
        )
        return
    for kind, of in sums.items():
        write_line(f"{kind}: {_summary(of)}")
    write_line(printable(f"{root}: {_summary(everything)}"))


def _taken(taken: workflow.stored.Taken, outputs: Outputs, *, dry_run: bool) -> None:
    if outputs.json:
        display.print_json(
            {
                "removed": [] if dry_run else [one.name for one in taken.removed],
                "would_remove": [one.name for one in taken.removed] if dry_run else [],
                "in_use": [one.name for one in taken.in_use],
                "freed_bytes": 0 if dry_run else taken.freed_bytes,
            }
        )
        return
    for one in taken.removed:
        why = one.stale or f"last asked for {one.idle_days:.0f} days ago"
        verb = "would remove" if dry_run else "removed"
        write_line(printable(f"{verb} {one.name} ({why})"))
    for one in taken.in_use:
        write_line(printable(f"left {one.name}: another process has it in use"), err=True)
    size, count = _megabytes(taken.removed), len(taken.removed)
    write_line(
        f"{size} would be freed ({count} to remove)"
        if dry_run
        else f"{size} freed ({count} removed)"
    )


def _summary(of: list[workflow.stored.Stored]) -> str:
    return f"{len(of)} {'entry' if len(of) == 1 else 'entries'}, {_megabytes(of)}"


def _megabytes(of: object) -> str:
    total = sum(one.size_bytes for one in of)  # type: ignore[attr-defined]
    return f"{report.views.megabytes(total)} MB"


def _values(one: workflow.stored.Stored) -> dict[str, object]:
    return {
        "name": one.name,
        "kind": one.kind,
        "precision": one.precision or None,
        "backend": one.backend or None,
        "bytes": one.size_bytes,
        "idle_days": round(one.idle_days, 2),
        "path": str(one.path),
        "stale": one.stale or None,
    }
