"""Tables for Markdown readers: GitHub's pages, `$GITHUB_STEP_SUMMARY`, README."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A GitHub Markdown table; `right` are the indices of right-aligned columns."""
    aligned = set(right)
    lines = [list(header), ["--:" if i in aligned else "---" for i in range(len(header))]]
    lines += [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
