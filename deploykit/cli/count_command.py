"""`deploykit count`: parameters and work of networks, from their structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from deploykit.cli import completion
from deploykit.cli.groups import build_timeout_option, network_options, quiet_option, read_ahead
from deploykit.cli.library import display, progress, report, workflow
from deploykit.cli.options import Grouped, refuse_beside
from deploykit.cli.outputs import Outputs, check_documents, output_options, write_documents
from deploykit.errors import DeploykitError
from deploykit.text import printable, write_line
from deploykit.workflow.choices import Variants

MEANING = (
    "MACs are multiply-accumulates of convolutions and matrix products of one image, without bias, normalisation "
    "and pooling; FLOPs are two for each."
)
#: Name of the row, in tables and documents, that sums up the operators.
TOTAL = "total"
COLUMNS = (
    "model",
    "alpha",
    "rho",
    "inputs",
    "operator",
    "nodes",
    "parameters",
    "macs",
    "flops",
    "activation_bytes",
    "weight_bytes",
    "lower_bound",
    "remarks",
)


@click.command("count", cls=Grouped)
@click.argument(
    "models",
    shell_complete=completion.models,
    nargs=-1,
    required=True,
    metavar="MODEL...",
    callback=read_ahead,
)
@click.option(
    "--operators", is_flag=True, help="List the operators of each network, where there are several."
)
@network_options
@output_options(
    csv="Write a row per operator; - for stdout.", markdown="Write a page; - for stdout."
)
@build_timeout_option
@quiet_option
def command(
    models: tuple[str, ...],
    operators: bool,
    variants: Variants,
    outputs: Outputs,
    quiet: bool,
) -> int:
    r"""Parameters, multiply-accumulates and bytes of networks, in all and by operator.

    MODEL is a name of the catalogue, a path to an .onnx file, or module:factory. Nothing is exported, built or
    run. MACs are multiply-accumulates of convolutions and matrix products of one image, without bias,
    normalisation and pooling; FLOPs are two for each. What multiplies and can't be counted makes them a lower
    bound, which is said with the reason.

    \b
    deploykit count mobilenet --alpha 1,0.5
    deploykit count my.onnx --shape x=1x3x320x320
    deploykit count detector.onnx --dim height=640 --dim width=640 --csv -
    deploykit count my_module:my_network --resolution 224 --json
    """
    refuse_beside("count makes no weights and runs nothing: it", "seed", "input_values")
    check_documents(outputs)
    sources = workflow.plan.plan(models, variants)
    counted: list[workflow.network.Counted] = []
    failed: list[DeploykitError] = []
    with progress.Steps(len(sources), quiet=quiet) as steps:
        for source in sources:
            steps.say(f"count {getattr(source, 'label', source)}")
            try:
                counted.append(workflow.network.count_source(source))
            except DeploykitError as error:
                failed.append(error)
            steps.step()
    if len(sources) == 1 and failed:
        raise failed[0]
    rows = [list(_rows(one)) for one in counted]
    _show(counted, rows, outputs, operators=operators or len(counted) == 1)
    write_documents(
        outputs,
        csv=lambda: report.csv.to_csv([row for of in rows for row in of], COLUMNS),
        markdown=lambda: _page(counted, rows),
    )
    for one in counted:
        for note in one.notes:
            write_line(printable(f"{one.spec.label}: {note}"), err=True)
    for failure in failed:
        write_line(printable(f"deploykit: not counted: {failure}"), err=True)
    return max((failure.exit_code for failure in failed), default=0)


def _rows(one: workflow.network.Counted) -> Iterator[dict[str, Any]]:
    """A row for each operator, those with most work first, and one for all."""
    counts, spec = one.counts, one.spec
    about = {
        "model": spec.name,
        "alpha": spec.alpha,
        "rho": str(spec.rho),
        "inputs": "; ".join(
            f"{i.name}={'x'.join(map(str, i.with_batch(1))) or 'scalar'} {i.dtype}"
            for i in one.inputs
        ),
    }
    ranked = sorted(
        counts.by_operator.items(), key=lambda of: (-of[1].macs, -of[1].parameters, of[0])
    )
    for name, operator in ranked:
        if not (operator.nodes or operator.parameters):
            continue
        reasons = [text for text in counts.remarks if text.startswith(f"{name}:")]
        yield about | {
            "operator": name,
            "nodes": operator.nodes,
            "parameters": operator.parameters,
            "macs": operator.macs,
            "flops": 2 * operator.macs,
            "activation_bytes": operator.activation_bytes,
            "lower_bound": name in counts.uncounted,
            "remarks": "; ".join(reasons),
        }
    yield about | {
        "operator": TOTAL,
        "nodes": sum(operator.nodes for operator in counts.by_operator.values()),
        "parameters": counts.parameters,
        "macs": counts.macs,
        "flops": 2 * counts.macs,
        "activation_bytes": counts.activation_bytes,
        "weight_bytes": counts.weight_bytes,
        "lower_bound": counts.is_lower_bound,
        "remarks": "; ".join([*counts.remarks, *map(str, one.notes)]),
    }


def _show(
    counted: Sequence[workflow.network.Counted],
    rows: Sequence[Sequence[Mapping[str, Any]]],
    outputs: Outputs,
    *,
    operators: bool,
) -> None:
    if outputs.json:
        display.print_json(
            [
                {name: value for name, value in of[-1].items() if name not in ("operator", "nodes")}
                | {
                    "remarks": list(one.counts.remarks),
                    "uncounted": dict(one.counts.uncounted),
                    "notes": list(map(str, one.notes)),
                    "by_operator": [{name: row[name] for name in COLUMNS[4:10]} for row in of[:-1]],
                }
                for one, of in zip(counted, rows, strict=True)
            ]
        )
    if not outputs.table or not counted:
        return
    if operators:
        for one, of in zip(counted, rows, strict=True):
            title = f"{one.spec.label}, {of[-1]['inputs']}"
            display.print_fields(
                _fields(_HEADER, _RANKS),
                [_named(_HEADER, _cells(row, of[-1])) for row in of],
                title,
            )
    if len(counted) > 1:
        header, cells = _summary(counted, rows)
        display.print_fields(
            _fields(header, _SUMMARY_RANKS, texts=2), [_named(header, one) for one in cells]
        )
    verdicts: dict[str, list[str]] = {}
    for one, of in zip(counted, rows, strict=True):
        verdicts.setdefault(_verdict(one, of[-1]), []).append(one.spec.label)
    for verdict, labels in verdicts.items():
        display.print_text(f"{', '.join(labels)}: {verdict}")
    display.print_text(MEANING)


_HEADER = ("operator", "nodes", "parameters", "MACs", "of all", "FLOPs", "outputs MB")
#: Which columns go first where a terminal has no room for all: FLOPs are two for each MAC.
_RANKS = {"FLOPs": 5, "outputs MB": 4, "nodes": 3, "of all": 2}
_SUMMARY_RANKS = {"FLOPs": 5, "outputs MB": 4, "weights MB": 3, "inputs": 2}


def _fields(
    header: Sequence[str], ranks: Mapping[str, int], texts: int = 1
) -> list[report.views.Field]:
    """The columns of a table, the first `texts` of them texts."""
    views = report.views
    return [
        views.Field(name, views.text(name), number=place >= texts, rank=ranks.get(name, 0))
        for place, name in enumerate(header)
    ]


def _named(header: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    return dict(zip(header, cells, strict=True))


def _cells(row: Mapping[str, Any], total: Mapping[str, Any]) -> tuple[str, ...]:
    views = report.views
    share = views.percent(row["macs"] / total["macs"]) if row["macs"] else ""
    least = "≥ " if row["lower_bound"] else ""
    return (
        str(row["operator"]),
        f"{row['nodes']:,}",
        f"{row['parameters']:,}",
        f"{least}{row['macs']:,}",
        share,
        f"{least}{row['flops']:,}",
        views.megabytes(row["activation_bytes"]),
    )


def _summary(
    counted: Sequence[workflow.network.Counted], rows: Sequence[Sequence[Mapping[str, Any]]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    views = report.views
    header = ("network", "inputs", "parameters", "MACs", "FLOPs", "weights MB", "outputs MB")
    cells: list[tuple[str, ...]] = []
    for one, of in zip(counted, rows, strict=True):
        total = of[-1]
        least = "≥ " if total["lower_bound"] else ""
        cells.append(
            (
                one.spec.label,
                str(total["inputs"]),
                f"{total['parameters']:,}",
                f"{least}{total['macs']:,}",
                f"{least}{total['flops']:,}",
                views.megabytes(total["weight_bytes"]),
                views.megabytes(total["activation_bytes"]),
            )
        )
    return header, cells


def _verdict(one: workflow.network.Counted, total: Mapping[str, Any]) -> str:
    """Whether the numbers are all, and if not, why."""
    remarks = "; ".join(one.counts.remarks)
    if one.counts.is_lower_bound:
        return (
            f"a lower bound, {total['macs']:,} MACs and those of "
            f"{', '.join(one.counts.uncounted)} ({remarks})"
        )
    unsized = ", ".join(one.counts.unsized)
    beside = f"; the outputs of {unsized} are of unknown size" if unsized else ""
    return f"all that multiplies is counted{f' ({remarks})' if remarks else ''}{beside}"


def _page(
    counted: Sequence[workflow.network.Counted], rows: Sequence[Sequence[Mapping[str, Any]]]
) -> str:
    table, as_text = report.markdown.table, report.markdown.as_text
    parts = [
        "# What networks take\n",
        f"{MEANING}\n",
        table(*_summary(counted, rows), right=range(2, 7)),
    ]
    for one, of in zip(counted, rows, strict=True):
        parts.append(f"## {as_text(one.spec.label)}\n")
        parts.append(
            table(_HEADER, [_cells(row, of[-1]) for row in of], right=range(1, len(_HEADER)))
        )
        verdict = _verdict(one, of[-1])
        parts.append(f"{as_text(verdict[0].upper() + verdict[1:])}.\n")
        parts += [f"{as_text(str(note))}.\n" for note in one.notes]
    return "\n".join(parts)
