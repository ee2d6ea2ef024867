"""What one process measured, as a comparison takes it from a report's row."""

from __future__ import annotations

from typing import NamedTuple

from deploykit.errors import UsageError
from deploykit.report.reading import Table, positive, share

#: Columns that must be equal for two rows to be of one configuration.
KEY = "model alpha rho weights precision target backend batch streams rate_per_s kept pass env_id".split()
#: Columns that must be equal where both have a value: a row that failed early, or one of an older report,
#: lacks some. `macs` stands for the resolution, which has no column.
SOFT = "threads boundary dataset calibration macs".split()
_VALUES = (
    "run_id repeat reason backend_version latency_p20_ms latency_p50_ms top1 test_images".split()
)
#: All columns that are read, beside schema and status.
READ = (*KEY, *SOFT, "status", *_VALUES)
_PASS, _ENV, _SOFT_END = KEY.index("pass"), KEY.index("env_id"), len(KEY) + len(SOFT)

Key = tuple[str, ...]


class Process(NamedTuple):
    """One row: what one process measured, the unit of comparison.

    Attributes:
        line: of the file, for errors.
        soft: values of the columns `SOFT`.
        p20_ms, p50_ms: quantiles of its latencies; None where it has none.
        top1: share of `test_images` that it got right.
    """

    line: int
    soft: Key
    status: str
    run_id: str
    repeat: str
    reason: str
    backend_version: str
    p20_ms: float | None
    p50_ms: float | None
    top1: float | None
    test_images: int | None


def read_processes(table: Table, *, across_machines: bool) -> dict[Key, list[Process]]:
    """The rows of a report by their configuration.

    Args:
        table: opened with the columns `READ`.
        across_machines: leave the machine out of the configuration.

    Raises:
        UsageError: a latency or an accuracy is no such number, a report to be compared across machines
            holds several of them, or whatever reading raises.
    """
    found: dict[Key, list[Process]] = {}
    machines: set[str] = set()
    # The same few texts stand in many rows: one copy of each is enough.
    seen: dict[Key, Key] = {}
    for line, cells in table.rows:
        key = (*cells[:_PASS], cells[_PASS] or "forward", "" if across_machines else cells[_ENV])
        machines.add(cells[_ENV])
        soft = cells[len(KEY) : _SOFT_END]
        process = _process(table.path, line, seen.setdefault(soft, soft), cells[_SOFT_END:])
        found.setdefault(key, []).append(process)
    if across_machines and len(machines) > 1:
        raise UsageError(
            f"{table.path} holds rows of {len(machines)} machines: --across-machines takes one a report"
        )
    return found


def _process(source: str, line: int, soft: Key, cells: tuple[str, ...]) -> Process:
    status, run_id, repeat, reason, version, p20, p50, top1, images = cells
    count = positive(images, "test_images", source, line)
    return Process(
        line,
        soft,
        status,
        run_id,
        repeat,
        "" if status == "ok" else reason,
        version,
        positive(p20, "latency_p20_ms", source, line),
        positive(p50, "latency_p50_ms", source, line),
        share(top1, "top1", source, line),
        None if count is None else round(count),
    )


def check_unique(source: str, processes: list[Process]) -> None:
    """Refuse a configuration that holds one process twice.

    Raises:
        UsageError: it does, with the lines of both rows.
    """
    lines: dict[tuple[str, str], int] = {}
    for one in processes:
        before = lines.setdefault((one.run_id, one.repeat), one.line)
        if before != one.line:
            raise UsageError(
                f"{source}, lines {before} and {one.line}: duplicate rows, of one configuration, run and "
                "repeat; leave one out"
            )
