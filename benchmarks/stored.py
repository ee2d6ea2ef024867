"""How often comparing stored reports raises false alarms, and whether it finds a slowdown of a tenth.

Each trial makes two reports, one after the other, as a gate meets them: 5 processes of the same engine for
the base, then 5 for the head, which is the same again (A/A) or slower by 10% for real (see
`benchmarks/slowed`). Then `deploykit compare` at its default limit, 5%. Trials of both kinds alternate, and
every one is kept (see `benchmarks/trials.py`).

DEPLOYKIT_BENCH_PAIRS sets the number of trials of each kind (100), DEPLOYKIT_BENCH_PROCESS_S how many
seconds each process measures (1).
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.result import Result
from benchmarks.slowdown import ALPHA, NETWORK, PLAIN, THREADS, build, slowed, slowed_backends
from benchmarks.trials import Trial, mixed, run_trials
from deploykit import env
from deploykit.bench.request import WorkerRequest, run_worker
from deploykit.bench.scenario import Policy
from deploykit.columns import SCHEMA_VERSION
from deploykit.report.compare import compare_reports
from deploykit.report.csv import to_csv
from deploykit.spec import Engine
from deploykit.store import Store

PAIRS = int(os.environ.get("DEPLOYKIT_BENCH_PAIRS", "100"))
PROCESS_S = float(os.environ.get("DEPLOYKIT_BENCH_PROCESS_S", "1"))
REPEATS, SLOWDOWN = 5, 10
SAME, SLOWER = "A/A", f"{SLOWDOWN}%"


def _report(path: Path, engine: Engine, backend: str) -> list[float]:
    """Measure a report; the low quantile of each of its processes."""
    # All but the clock of the slowed backend is ONNX Runtime, and the report is to be matched with its.
    named = {"schema": SCHEMA_VERSION, "run_id": path.stem, "status": "ok", "env_id": env.env_id()}
    network = {"model": NETWORK, "alpha": ALPHA, "rho": "1", "weights": "random", "batch": 1}
    rows = []
    for repeat in range(1, REPEATS + 1):
        policy = Policy(min_s=PROCESS_S, max_s=max(2 * PROCESS_S, PROCESS_S + 1))
        request = WorkerRequest(engine.path.parent, backend, threads=THREADS, policy=policy)
        row = {
            **named,
            **network,
            "precision": "fp32",
            "target": "cpu",
            **run_worker(request, 120).columns,
        }
        rows.append({**row, "backend": PLAIN, "streams": 1, "repeat": repeat})
    path.write_text(to_csv(rows))
    return [row["latency_p20_ms"] for row in rows]


def _trials(folder: Path) -> list[Trial]:
    engine = build(Store(folder / "engines"))

    def measure(kind: str, index: int) -> dict[str, Any]:
        base, head = folder / "base.csv", folder / "head.csv"
        base_ms = _report(base, engine, PLAIN)
        head_ms = _report(head, engine, PLAIN if kind == SAME else slowed(SLOWDOWN))
        comparison = compare_reports(str(base), str(head))
        (change,) = comparison.changes
        assert change.latency is not None
        return {
            "verdict": change.verdict,
            "gated": comparison.failure is not None,
            "ratio": change.latency.ratio,
            "p": change.latency_p,
            "base_ms": base_ms,
            "head_ms": head_ms,
        }

    settings = {"engine": engine.key, "process_s": PROCESS_S, "repeats": REPEATS}
    with slowed_backends():
        return run_trials("stored", mixed({SAME: PAIRS, SLOWER: PAIRS}), settings, measure)


def measure() -> Iterator[Result]:
    """Yield the figures."""
    with tempfile.TemporaryDirectory(prefix="deploykit-bench-") as folder:
        trials = _trials(Path(folder))
    what = f"{NETWORK} {ALPHA}, {THREADS} thread, {REPEATS} processes of {PROCESS_S:g} s a report"
    same, slower = ([t for t in trials if t["kind"] == kind] for kind in (SAME, SLOWER))
    # Gains closes no gate, but from nothing they would be as wrong.
    alarms = [t["verdict"] in ("slower", "faster") for t in same]
    for group, metric, share, target, least in (
        (same, "false alarms", statistics.mean(alarms), 0.01, False),
        (
            slower,
            f"slowdown of {SLOWDOWN}% found",
            statistics.mean(t["gated"] for t in slower),
            0.90,
            True,
        ),
    ):
        verdicts = Counter(t["verdict"] for t in group)
        tally = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        note = f"{len(group)} pairs of reports: {tally}; {what}"
        yield Result("stored", metric, share, "share", target, least, note)
    spread = statistics.median(max(t["base_ms"]) / min(t["base_ms"]) - 1 for t in trials)
    note = "median over reports: slowest over quickest process' 20% quantile"
    yield Result("stored", "spread of the processes of a report", spread, "share", note=note)
