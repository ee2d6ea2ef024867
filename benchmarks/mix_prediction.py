"""How near the predicted time of a mix of int8 and fp32 is to the time of that mix once it is built.

    python -m benchmarks.mix_prediction [NETWORK[@ALPHA]]... [--time S] [--csv FILE] [--store FOLDER]

For each network both engines of ONNX Runtime are timed layer by layer, and two mixes are predicted, built and
measured beside int8 in turns: "best", the best of all by the table, where that is a mix, and "half", the first half
of the layers in fp32 and the rest in int8. The table did not choose that one: it tells what it is worth elsewhere.
The times of both precisions are exact for the two engines; what the prediction is off by is what changes cost, and
what layers take beside others than those that they were timed beside.

With --csv rows go into that file, where those of other networks stay, and a run goes on where it stopped: rows that
this state of the code made on this machine stay. After --time seconds no further network is begun.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.tune_search import source_of
from deploykit import env
from deploykit.code_digest import code_digest
from deploykit.errors import DeploykitError
from deploykit.report.csv import CsvReport, read_cells
from deploykit.store import Store
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.keep import name_as_rule
from deploykit.workflow.mix import Table
from deploykit.workflow.network import Network, obtain_network
from deploykit.workflow.what_if import WhatIf, try_mix, what_if

#: From the least work to the most.
NETWORKS = (
    "lenet5 mobilenet@0.25 mobilenet@0.5 squeezenet1_1 condensenet_g8 condensenet_g4 mobilenet efficientnet_b0 "
    "squeezenet1_0 alexnet nin googlenet condensenet_182 resnet18 bn_inception densenet121 resnet34 resnet50 "
    "resnext50_32x4d vgg11"
).split()
#: How far a prediction may be off, and on how many networks that is to hold.
MOST_OFF = 0.05
TIME_S = 150.0
STORE = Path("engines/mix_prediction")
#: Of the report. "off" is the prediction over what was measured, less one; times are those of int8 as it was timed,
#: times the ratios.
COLUMNS = (
    "network mix kept units fp32_ms int8_ms predicted_ms measured_ms off mix_over_int8 low high met note device "
    "env_id code timestamp"
).split()
_CODE = ("deploykit.workflow.what_if", "deploykit.workflow.mix", "deploykit.bench.layer_times")


def half(table: Table) -> frozenset[int]:
    """The units of the second half of a network that can be in int8, without those that follow one of the first."""
    chosen = {i for i in table.all_int8 if i >= len(table.units) // 2}
    while True:
        lost = {
            reader
            for value in table.passed
            for reader in value.readers
            if reader in chosen and table.units[reader].follows and value.maker not in chosen
        }
        if not lost:
            return frozenset(chosen)
        chosen -= lost


def mixes(found: WhatIf) -> Iterator[tuple[str, WhatIf]]:
    """The mixes to try, by name."""
    if found.is_mix:
        yield "best", found
    chosen = half(found.table)
    kept = tuple(name_as_rule(name) for name in found.table.kept(chosen))
    other = replace(found, in_int8=chosen, kept=kept, predicted_ms=found.table.predicted_ms(chosen))
    if other.is_mix and chosen != found.in_int8:
        yield "half", other


def rows_of(name: str, store: Store) -> Iterator[dict[str, str]]:
    """The rows of one network; what fails is one row with its note."""
    where = {
        "network": name,
        "device": env.device_name(),
        "env_id": env.env_id(),
        "code": code_digest(*_CODE)[:12],
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        network = obtain_network(source_of(name), store)
        found = what_if(network, store, CalibrationChoice(), say=_say)
        for mix, one in mixes(found):
            _say(f"build and measure the mix {mix}")
            yield where | {"mix": mix} | cells_of(network, store, one)
    except DeploykitError as error:
        yield where | {"met": "no", "note": str(error)}


def cells_of(network: Network, store: Store, found: WhatIf) -> dict[str, str]:
    """What is measured of one mix, beside what was predicted."""
    tried = try_mix(network, store, CalibrationChoice(), found)
    off = found.predicted_ms / tried.measured_ms - 1
    ratio = tried.to_int8
    # The interval of what was measured is part of what the two differ by.
    surely = found.predicted_ms / found.table.int8_ms
    certain = surely / ratio.high - 1 > MOST_OFF or surely / ratio.low - 1 < -MOST_OFF
    return {
        "kept": str(len(found.kept)),
        "units": str(len(found.table.units)),
        "fp32_ms": f"{found.table.fp32_ms:.4g}",
        "int8_ms": f"{found.table.int8_ms:.4g}",
        "predicted_ms": f"{found.predicted_ms:.4g}",
        "measured_ms": f"{tried.measured_ms:.4g}",
        "off": f"{off:+.3f}",
        "mix_over_int8": f"{ratio.ratio:.3f}",
        "low": f"{ratio.low:.3f}",
        "high": f"{ratio.high:.3f}",
        "met": "yes" if abs(off) <= MOST_OFF else "no" if certain else "open",
    }


def is_done(rows: list[dict[str, str]]) -> bool:
    """Whether the rows of a network were made by this state of the code on this machine."""
    digest = code_digest(*_CODE)[:12]
    return bool(rows) and all(
        row.get("env_id") == env.env_id() and row.get("code") == digest for row in rows
    )


def summary(rows: Mapping[str, list[dict[str, str]]]) -> str:
    """How many mixes are within what is allowed, in a sentence."""
    every = [row for of_network in rows.values() for row in of_network if row.get("off")]
    near = [row for row in every if abs(float(row["off"])) <= MOST_OFF]
    networks = {row["network"] for row in every}
    return f"{len(near)} of {len(every)} mixes of {len(networks)} networks were predicted within {MOST_OFF:.0%}."


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Predict and measure the networks that are named, or all, and keep the rows where that is asked for.

    Returns:
        1 where networks were not reached, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mix_prediction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", default=NETWORKS)
    parser.add_argument("--time", type=float, default=TIME_S, help="seconds; then run it again")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--store", type=Path, default=STORE)
    options = parser.parse_args()
    rows: dict[str, list[dict[str, str]]] = {}
    if options.csv and options.csv.exists():
        for row in read_cells(str(options.csv)):
            rows.setdefault(row["network"], []).append(dict(row))
    start_s, left = time.perf_counter(), []
    for name in options.names:
        if is_done(rows.get(name, [])):
            continue
        if time.perf_counter() - start_s >= options.time:
            left.append(name)
            continue
        print(name, file=sys.stderr, flush=True)
        rows[name] = list(rows_of(name, Store(options.store)))
        for row in rows[name]:
            print("  ".join(f"{key}={value}" for key, value in row.items()), flush=True)
        if options.csv:
            every = [row for of_network in rows.values() for row in of_network]
            CsvReport(str(options.csv), COLUMNS).replace(every)
    print(summary(rows))
    if left:
        print(f"{len(left)} networks were not reached: run it again to go on", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
