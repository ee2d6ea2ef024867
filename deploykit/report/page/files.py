"""Pictures as files of their own, for papers: SVG by this package, PNG by matplotlib."""

from __future__ import annotations

from pathlib import Path

from deploykit.report.page.contents import Contents
from deploykit.report.page.pictures import pictures_of
from deploykit.report.page.raster import png, require_matplotlib
from deploykit.report.page.svg import document
from deploykit.writing import output_errors, write_atomic


def write_pictures(contents: Contents, folder: Path, ending: str) -> list[Path]:
    """Write each picture to `folder`, which is made if it is missing, and return the files.

    Args:
        contents: of the page.
        folder: for the files.
        ending: ".svg" or ".png".

    Raises:
        OutputFailed: a file can't be written.
        MissingDependency: PNG without matplotlib.
    """
    if ending == ".png":
        require_matplotlib()
    with output_errors("pictures", folder):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for picture in pictures_of(contents):
        if not picture.drawings:
            continue
        path = folder / f"{picture.name}{ending}"
        write_atomic(path, png(picture) if ending == ".png" else document(picture), "picture")
        written.append(path)
    return written
