"""`deploykit report`: a report as one page of HTML, with pictures."""

from __future__ import annotations

from pathlib import Path

import click

from deploykit.cli.library import page as pages
from deploykit.cli.library import report, writing
from deploykit.cli.options import PERCENT, Grouped, refuse_beside
from deploykit.cli.outputs import write_document
from deploykit.errors import UsageError
from deploykit.report import STDOUT, page_beside
from deploykit.text import write_line


@click.command("report", cls=Grouped)
@click.argument("path", metavar="REPORT")
@click.argument("base", required=False, metavar="[BASE]")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="The page; default the report's name with .html; - for stdout.",
)
@click.option("--png", metavar="DIR", help="Write each picture there as PNG, for papers.")
@click.option("--svg", metavar="DIR", help="Write each picture there as SVG.")
@click.option(
    "--claims", metavar="FILE", help="Verdicts on claims; default claims.csv beside the report."
)
@click.option(
    "--layers",
    multiple=True,
    metavar="FILE",
    help="Rows of `layers --csv`, drawn as a graph; twice for two graphs side by side.",
)
@click.option(
    "--max-slowdown",
    default="5%",
    callback=PERCENT,
    show_default=True,
    metavar="PERCENT",
    help="Where the limit line stands when a BASE is given.",
)
@click.option(
    "--across-machines", is_flag=True, help="Compare with BASE though the machines differ."
)
def command(
    path: str,
    base: str | None,
    output: str | None,
    png: str | None,
    svg: str | None,
    claims: str | None,
    layers: tuple[str, ...],
    max_slowdown: float,
    across_machines: bool,
) -> None:
    r"""Write a report as one page of HTML with pictures, which needs no server and no network.

    REPORT is a CSV of `deploykit profile`, `tune`, `claims` or `layers`; BASE is an earlier profile, which is drawn
    beside it. Samples and env.json are taken from beside the report, for distributions and the roofline.

    \b
    deploykit report reports/profile.csv
    deploykit report head.csv base.csv -o compared.html
    deploykit report reports/profile.csv --svg pictures
    deploykit report profile.csv --layers fp32.csv --layers int8.csv -o out.html
    """
    if len(layers) > 2:
        raise UsageError("two graphs of layers stand side by side: give --layers twice at most")
    if base is None:
        refuse_beside("a report alone, without BASE,", "max_slowdown", "across_machines")
    if output is None and path != STDOUT and report.csv.is_read_once(path):
        raise UsageError(f"{path} is a pipe, and no page can lie beside it: name the page with -o")
    if output is None:
        output = page_beside(path)
    output = report.destination(output)
    report.csv.keep_files([path, base, claims, *layers], [output])
    report.csv.check_destination(output)
    contents = pages.reading.read(
        path,
        base,
        claims=claims,
        layers=layers,
        max_slowdown=max_slowdown,
        across_machines=across_machines,
    )
    for remark in contents.remarks:
        write_line(remark, err=True)
    if png is not None:
        pages.raster.require_matplotlib()
    page = pages.render(contents)
    for folder, ending in ((png, ".png"), (svg, ".svg")):
        if folder is not None:
            written = pages.files.write_pictures(contents, Path(folder), ending)
            for name in written:
                write_line(f"wrote {name}", err=True)
            if not written:
                write_line(f"note: {path} has no pictures to write to {folder}", err=True)
    if output == STDOUT:
        write_document(page)
    else:
        writing.write_atomic(Path(output), page, "page")
        write_line(f"wrote {output}", err=True)
