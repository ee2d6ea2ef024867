"""A report as one page of HTML: pictures with a sentence on how to read each, and the rows as a table.

`pictures_of` draws, `render` writes the page. It needs no server and no network, and its policy forbids both.
"""

from __future__ import annotations

from deploykit.report.page.contents import Contents
from deploykit.report.page.shell import render

__all__ = ["Contents", "render"]
