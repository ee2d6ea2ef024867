"""Latency of every network of the catalogue on the processor: fp32 and int8, on ONNX Runtime and OpenVINO.

Run as `python -m studies.catalogue_latency` (`make catalogue-latency`) on an idle machine. Each network has three
processes for each configuration, and they go round: what disturbs the machine for a while meets all four. The rows
are those of a profile, so that `deploykit report` and `compare` take them; at the end the latencies go into the
table of the proof beside them, catalogue.csv (`--join` does that alone). A network whose rows of this machine are
in the table is not measured again, so that a run that was broken off goes on. `--build` makes the engines and
measures nothing, which may be done before on a busy machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from deploykit import env, zoo
from deploykit.backends import get
from deploykit.bench.scenario import Policy
from deploykit.columns import NAMES
from deploykit.errors import DeploykitError
from deploykit.report.csv import CsvReport, read_rows
from deploykit.row import Row
from deploykit.spec import ModelSpec
from deploykit.store import Store
from deploykit.workflow.configuration import (
    Configuration,
    ProfileOptions,
    enumerate_configurations,
)
from deploykit.workflow.profile import Profiler
from studies.catalogue import join, variants

BACKENDS, PRECISIONS = ("onnxruntime", "openvino"), ("fp32", "int8")
#: Processes for each configuration: the fewest that an interval over processes takes.
REPEATS = 3
#: A process measures for so long at most: each network has twelve of them.
POLICY = Policy(warmup_s=0.2, warmup_max_s=2.0, min_s=0.5, max_s=2.0)
#: Of a network of so many MACs that has too few runs for a median; its processes measure longer.
SLOW_MACS, SLOW_POLICY = 20e9, Policy(warmup_s=0.2, warmup_max_s=4.0, min_s=8.0, max_s=10.0)


def configurations(spec: ModelSpec) -> tuple[ProfileOptions, list[Configuration]]:
    """What is measured of one network at batch 1, and its rows to be, round by round."""
    options = ProfileOptions(
        precisions=PRECISIONS,
        backends=[name for name in BACKENDS if get(name).available() is None],
        repeats=REPEATS,
        policy=SLOW_POLICY if work(spec) >= SLOW_MACS else POLICY,
        roofline=False,
    )
    return options, enumerate_configurations([spec], options)


def is_of(row: Row, spec: ModelSpec) -> bool:
    """Whether a row is about a network."""
    named = (str(row["model"]), float(row["alpha"]), str(row["rho"]))
    return named == (spec.name, spec.alpha, str(spec.rho))


def missing(specs: Sequence[ModelSpec], rows: Sequence[Row], env_id: str) -> list[ModelSpec]:
    """The networks that lack rows of a machine, the lightest first: of what is cut short most is there."""
    here = [row for row in rows if row.get("env_id") == env_id and row["status"] == "ok"]
    lacking = [s for s in specs if sum(is_of(r, s) for r in here) < len(configurations(s)[1])]
    return sorted(lacking, key=work)


def work(spec: ModelSpec) -> float:
    """About how many MACs a network takes for an image."""
    return zoo.lookup(spec.name).macs * spec.alpha * float(spec.rho) ** 2


def build(spec: ModelSpec, store: Store, say: Callable[[str], None]) -> None:
    """Make the engines of one network."""
    options, wanted = configurations(spec)
    profiler = Profiler(store, options)
    for configuration in wanted:
        if configuration.repeat > 1:
            continue
        try:
            profiler.prepared(configuration)
        except DeploykitError as error:
            say(f"    {configuration.text}: {error}")


def measure(
    specs: Sequence[ModelSpec],
    path: Path,
    store: Store | None,
    time_s: float,
    say: Callable[[str], None],
) -> int:
    """Measure the networks until the time is over; each goes to the table when all of its rows are there.

    Args:
        specs: networks.
        path: of the table; rows of other networks, and of these on other machines, stay.
        store: of engines; None gives each network one of its own, which goes with it.
        time_s: no network is begun later.
        say: is told of each network.

    Returns:
        Number of rows that are not ok.

    Raises:
        UsageError, OutputFailed: the table can't be read or written.
    """
    start_s, failed = time.perf_counter(), 0
    rows = read_rows(str(path)) if path.is_file() else []
    report = CsvReport(str(path), NAMES)
    for place, spec in enumerate(specs, 1):
        if time.perf_counter() - start_s > time_s:
            say(f"{len(specs) - place + 1} networks are left: {time_s:.0f} s are over")
            break
        options, wanted = configurations(spec)
        own = tempfile.TemporaryDirectory(prefix="deploykit-latency-") if store is None else None
        with own or nullcontext() as folder:
            found = list(Profiler(store or Store(Path(str(folder))), options).rows(wanted))
        bad = [row for row in found if row["status"] != "ok"]
        failed += len(bad)
        seconds = time.perf_counter() - start_s
        say(f"[{place}/{len(specs)}] {spec.label}: {len(found)} rows, {seconds:.0f} s in all")
        for row in bad:
            say(f"    {row['precision']} {row['backend']}: {row.noted('failed')[0].text}")
        env_id = env.env_id()
        rows = [r for r in rows if not (is_of(r, spec) and r.get("env_id") == env_id)] + found
        report.replace(rows)
    return failed


def main() -> int:
    """The command: measure what matches the pattern and is not in the table."""
    parser = argparse.ArgumentParser(prog="python -m studies.catalogue_latency")
    parser.add_argument("pattern", nargs="?", help="only these networks, such as 'vgg*'")
    parser.add_argument("--csv", type=Path, default=Path("reports/catalogue_latency.csv"))
    parser.add_argument("--store", type=Path, help="keep engines there; else none is kept")
    parser.add_argument("--build", action="store_true", help="make the engines in --store only")
    parser.add_argument(
        "--proof", type=Path, help="goes with the latencies; default catalogue.csv beside --csv"
    )
    parser.add_argument(
        "--join", action="store_true", help="bring what is measured into --proof only"
    )
    parser.add_argument("--time", type=float, default=7200.0, help="begin no network after, in s")
    options = parser.parse_args()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    store = None if options.store is None else Store(options.store)
    try:
        rows = read_rows(str(options.csv)) if options.csv.is_file() else []
        specs = missing(variants(options.pattern), rows, env.env_id())
        proof = options.proof or options.csv.with_name("catalogue.csv")
        if options.join:
            join(proof, options.csv)
            return 0
        if not options.build:
            failed = measure(specs, options.csv, store, options.time, say)
            if proof.is_file():
                join(proof, options.csv)
            return 4 if failed else 0
        if store is None:
            parser.error("--build needs --store")
        for spec in specs:
            say(spec.label)
            build(spec, store, say)
    except DeploykitError as error:
        say(f"deploykit: {error}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
