"""The proof of the catalogue: every network through export, every precision and every builder.

Run as `python -m studies.catalogue` (`make catalogue`). One process per network, a few at a time,
each with a store of its own that is removed when the network is done. Rows reach the CSV as they come, and a
network whose rows this code made on this machine is not proven again, so that a run that was broken off goes on.
"""

from __future__ import annotations

import argparse
import itertools
import math
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from fractions import Fraction
from pathlib import Path
from typing import Any

from deploykit import env, zoo
from deploykit.bench.channel import WorkerFailure, run_child
from deploykit.code_digest import code_digest
from deploykit.errors import EXIT_INTERRUPTED, DeploykitError
from deploykit.report.csv import CsvReport, read_cells, read_rows
from deploykit.spec import ModelSpec
from studies.catalogue_join import LATENCY_COLUMNS, Key, joined, key_of
from studies.catalogue_worker import ProofRequest

PRECISIONS = ("fp32", "fp16", "int8")
BACKENDS = ("onnxruntime", "tensorrt-rtx")
TIMEOUT_S = 1800.0


#: The columns of catalogue.csv.
COLUMNS = (
    *("model", "alpha", "rho", "precision", "backend", "backend_version", "status", "reason"),
    *(
        "parameters",
        "macs",
        "uncounted",
        "onnx_bytes",
        "engine_bytes",
        "export_s",
        "convert_s",
        "build_s",
    ),
    *("precision_actual", "products", "drift_of", "drift_max_abs", "drift_cosine", "drift_snr_db"),
    *("network_s", "env_id", "code"),
    *LATENCY_COLUMNS,
)

#: The latencies that go with a proof, beside it: `studies.catalogue_latency` measures them.
LATENCIES = "catalogue_latency.csv"

#: Packages whose code decides what a row comes to.
PROVING = tuple(f"deploykit.{name}" for name in ("zoo", "graph", "backends", "bench"))

#: MobileNet's multipliers of width and of resolution (224, 192, 160, 128 px), Howard et al., tables 6 and 7.
ALPHAS, RHOS = (1.0, 0.75, 0.5, 0.25), (*(Fraction(n, 7) for n in (7, 6, 5, 4)),)


def variants(pattern: str | None = None) -> list[ModelSpec]:
    """Every network of the catalogue, and MobileNet at each pair of its published multipliers."""
    specs = []
    for architecture in zoo.architectures(pattern):
        grid = (
            itertools.product(ALPHAS, RHOS)
            if architecture.name == "mobilenet"
            else [(1.0, RHOS[0])]
        )
        specs += [ModelSpec(architecture.name, alpha, rho) for alpha, rho in grid]
    return specs


def unproven(
    specs: Sequence[ModelSpec], rows: Sequence[Mapping[str, Any]], code: str | None
) -> list[ModelSpec]:
    """The networks that lack rows of this machine and of this code, of any where `code` is None."""
    made = Counter(
        key_of(row)
        for row in rows
        if row["backend"] in BACKENDS
        and row["status"] == "ok"
        and (code is None or (row["env_id"], row.get("code")) == (env.env_id(), code))
    )
    wanted = len(PRECISIONS) * len(BACKENDS)
    return [spec for spec in specs if made[spec.name, spec.alpha, str(spec.rho)] < wanted]


def prove(spec: ModelSpec, folder: Path, threads: int) -> list[dict[str, Any]]:
    """All rows of one network; where its process fails, one row that says why."""
    start_s = time.perf_counter()
    request = ProofRequest(spec, folder, threads, PRECISIONS, BACKENDS)
    module = "studies.catalogue_worker"
    try:
        rows = run_child(module, request, list[dict[str, Any]], TIMEOUT_S, threads)
    except WorkerFailure as error:
        rows = [{"status": "failed", "reason": str(error)}]
    shared = {
        "model": spec.name,
        "alpha": spec.alpha,
        "rho": str(spec.rho),
        "network_s": round(time.perf_counter() - start_s, 1),
        "env_id": env.env_id(),
        "code": proving_code(),
    }
    return [{**row, **shared} for row in rows]


def proving_code() -> str:
    """Twelve digits of the digest of the code that decides what rows come to."""
    return code_digest(*PROVING)[:12]


def catalogue(
    specs: Sequence[ModelSpec], path: str, jobs: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Prove `specs`, `jobs` at a time, and write the rows to `path` in the catalogue's order.

    Rows that `path` has of a network stay until there are others of it.

    Returns:
        The rows of `specs`.

    Raises:
        UsageError, OutputFailed: `path` can't be written.
    """
    report = CsvReport(path, COLUMNS)
    stored = read_cells(path) if Path(path).is_file() else []
    table = Path(path).with_name(LATENCIES)
    latencies = read_rows(str(table)) if table.is_file() else []
    threads = max(1, int(env.usable_cores()) // jobs)
    done: dict[ModelSpec, list[dict[str, Any]]] = {}
    # The lightest first, so that a mistake shows early.
    order = sorted(specs, key=lambda spec: zoo.lookup(spec.name).macs)
    with (
        tempfile.TemporaryDirectory(prefix="deploykit-catalogue-") as folder,
        ThreadPoolExecutor(jobs) as pool,
    ):
        try:
            pending = {pool.submit(prove, spec, Path(folder), threads): spec for spec in order}
            for future in as_completed(pending):
                spec = pending[future]
                done[spec] = future.result()
                failed = [row for row in done[spec] if row["status"] != "ok"]
                seconds = done[spec][0]["network_s"]
                say(
                    f"[{len(done)}/{len(specs)}] {spec.label}: {len(done[spec])} rows, "
                    f"{len(failed)} failed, {seconds:.0f} s"
                )
                for row in failed:
                    say(f"    {row.get('precision')} {row.get('backend')}: {row['reason']}")
                fresh = [row for s in specs for row in done.get(s, [])]
                made = {key_of(row) for row in fresh}
                rows = _in_order([*(row for row in stored if key_of(row) not in made), *fresh])
                report.replace(joined(rows, latencies, BACKENDS) if latencies else rows)
        except BaseException:  # Ctrl-C too: what has not begun does not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [row for s in specs for row in done[s]]


def _in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in the order of `variants`; those of one network stay as they come."""
    place: dict[Key, int] = {
        (spec.name, spec.alpha, str(spec.rho)): i for i, spec in enumerate(variants())
    }
    return sorted(rows, key=lambda row: place.get(key_of(row), len(place)))


def join(path: Path, table: Path) -> None:
    """Bring the latencies of a table into the proof at `path`.

    Raises:
        UsageError, OutputFailed: one of them can't be read, or `path` can't be written.
    """
    rows = joined(_in_order(read_cells(path)), read_rows(str(table)), BACKENDS)
    CsvReport(str(path), COLUMNS).replace(rows)


def main() -> int:
    """The command: prove what matches the pattern and tell what it took."""
    parser = argparse.ArgumentParser(prog="python -m studies.catalogue")
    parser.add_argument("pattern", nargs="?", help="only these networks, such as 'vgg*'")
    parser.add_argument("--csv", default="reports/catalogue.csv")
    parser.add_argument(
        "--missing", action="store_true", help="only networks without rows, of whatever code"
    )
    parser.add_argument("--jobs", type=int, default=max(1, int(env.usable_cores())))
    options = parser.parse_args()
    start_s = time.perf_counter()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        specs = variants(options.pattern)
        stored = read_cells(Path(options.csv)) if Path(options.csv).is_file() else []
        left = unproven(specs, stored, None if options.missing else proving_code())
        if len(left) < len(specs):
            say(f"{len(specs) - len(left)} of {len(specs)} networks are proven")
        rows = catalogue(left, options.csv, options.jobs, say)
    except DeploykitError as error:
        say(f"deploykit: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("stopped: the same command goes on with the networks that are left")
        return EXIT_INTERRUPTED
    failed = sum(row["status"] != "ok" for row in rows)
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    minutes = math.ceil((time.perf_counter() - start_s) / 6) / 10
    say(f"{len(rows)} rows, {failed} failed, {minutes} min, largest process {peak_gib:.1f} GiB")
    return 4 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
