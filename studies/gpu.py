"""A GPU box on trial: `make gpu` (`python -m studies.gpu`), at most ten minutes.

Each step is ok, failed or skipped with the reason, and a box that has only some of the packages proves those. It
writes gpu.json, gpu.csv and gpu.md into reports/, anew after each step, so that a trial that is killed leaves what
it has seen, and beside them what logs and inspectors said of the layers of engines. A step has the time that is
left and no more; one that hangs in a library, where nothing can stop it, fails with the trial. It ends with 1 where
a step failed, and with 3, and nothing written, where there is no GPU. A simulated device is refused: its figures
are no measurements.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploykit import backends, env
from deploykit.backends.tensorrt import LISTINGS, OF_INSPECTOR, OF_LOG
from deploykit.backends.tensorrt_layers import FLOAT_OR_QUANTISED, compute_types, parse_layers
from deploykit.bench.channel import run_child, serve
from deploykit.bench.feeds import synthetic
from deploykit.bench.scenario import Policy, Scenario
from deploykit.bench.worker import open_engine
from deploykit.columns import NAMES
from deploykit.cuda import devices, open_device
from deploykit.errors import DeploykitError, MissingDependency, one_line
from deploykit.report import SIMULATED
from deploykit.report.csv import to_csv
from deploykit.row import Row
from deploykit.spec import DEVICE, END_TO_END, ModelSpec, Reason
from deploykit.store import EngineManifest, Entry, Store
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations
from deploykit.workflow.profile import Profiler
from deploykit.writing import output_errors, write_atomic

#: All steps together; a step that would begin later is skipped, and one that is not done by then is ended.
BUDGET_S = 600.0
#: What is left, of the budget, for writing the reports.
WRITING_S = 10.0
#: The longest that a single engine may take to be loaded and run a few times, or by trtexec.
LOADING_S, TRTEXEC_S = 120.0, 60.0
NETWORKS, PRECISIONS, BATCHES, STREAMS = (
    ("lenet5", "mobilenet"),
    ("fp32", "fp16", "bf16", "int8"),
    (1, 128),
    (1, 2, 4),
)
#: What loading `LOADS` times can take, compiling included; with less left it is not begun.
SHORTEST_LOADING_S = 45.0
#: A row whose host takes this share of its latency to enqueue the run tells of the host, and is not compared.
ENQUEUED = 0.8
#: Relative differences that are noise, by what is compared.
CLOCKS, LATENCY, THROUGHPUT, TRTEXEC = 0.05, 0.05, 0.05, 0.05
#: Signal-to-noise ratio that an engine has at least, by precision; below, something is computed wrongly.
LEAST_SNR_DB = {"fp32": 80.0, "fp16": 30.0, "bf16": 15.0, "int8": 10.0}
MEMORY_MIB, MEMORY_GAP_MIB = 256, 16
#: A measured row: so long, at least.
ROW_S = 0.25
#: Copies of `MEMORY_MIB` between the marks that the clocks are compared with.
COPIES = 40
#: Times that an engine is loaded, to see whether its memory comes back.
LOADS = 3
_MIB = 2**20
#: How tests that need a device are marked.
_MARK = "pytest.mark.gpu"


@dataclass(frozen=True)
class Step:
    """What a step came to: `state` is "ok", "failed" or "skipped"."""

    name: str
    state: str
    text: str
    seconds: float = 0.0

    @property
    def shown(self) -> str:
        """As the tables have it."""
        return f"skipped: {self.text}" if self.state == "skipped" else self.state


class Skipped(Exception):
    """A step can't be done here; its text says why."""


class Failed(Exception):
    """A step showed a fault; its text says which."""


@dataclass
class Trial:
    """One run of the trial.

    Attributes:
        store: for its engines.
        folder: for listings of layers; made when there is one.
        budget_s: for all steps.
        rows: that were measured.
        until_s: when the present backend's share of the budget ends, on the performance counter.
        running: name of the step that is being done.
        unmeasured: rows of this step that its share of the time did not last for.
        done: called after each step, with the trial.
        backends: that are tried; None is every one that is here.
    """

    store: Store
    folder: Path
    budget_s: float = BUDGET_S
    say: Callable[[str], None] = print
    networks: Sequence[str] = NETWORKS
    policy: Policy = field(
        default_factory=lambda: Policy(min_s=ROW_S, max_s=4 * ROW_S, warmup_s=0.1)
    )
    rows: list[Row] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    begun_s: float = field(default_factory=time.perf_counter)
    until_s: float = float("inf")
    running: str = ""
    unmeasured: int = 0
    done: Callable[[Trial], None] | None = None
    backends: Sequence[str] | None = None

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return self.budget_s - (time.perf_counter() - self.begun_s)

    @property
    def is_over(self) -> bool:
        """Whether the present backend's share of the budget, or all of it, is used up."""
        return min(self.left_s, self.until_s - time.perf_counter()) <= 0

    def cut_short(self) -> str:
        """How many rows of this step were left out, in words."""
        if not self.unmeasured:
            return ""
        return f", {self.unmeasured} more left out: the time that the step may take was over"

    def within_s(self, most_s: float) -> float:
        """So long, or what is left if that is less.

        Raises:
            Skipped: nothing is left.
        """
        if self.left_s <= 0:
            raise Skipped(f"the {self.budget_s:g} s of the trial are over")
        return min(most_s, self.left_s)

    def step(self, name: str, work: Callable[[], str]) -> Step:
        """Do one step and note what it came to; nothing that it raises gets out, Ctrl-C excepted."""
        start_s = time.perf_counter()
        self.running, self.unmeasured = name, 0
        try:
            self.within_s(self.budget_s)
            state, text = "ok", work()
        except Skipped as reason:
            state, text = "skipped", str(reason)
        except MissingDependency as reason:
            state, text = "skipped", str(reason)
        except Exception as error:  # a fault of whatever kind is this step's, and others go on
            state, text = "failed", one_line(f"{error}" or type(error).__name__, 400)
        step = Step(name, state, text, round(time.perf_counter() - start_s, 1))
        self.steps.append(step)
        self.running = ""
        self.say(f"{step.name}: {step.state}, {step.text}")
        if self.done is not None:
            self.done(self)
        return step


# ---- steps


def describe_box() -> str:
    """The device and the packages, in one line."""
    found = devices.find()
    if not found.gpus:
        raise Skipped(str(found.problem or devices.NO_DEVICE))
    packages = env.capture()["packages"]
    known = ", ".join(f"{name} {version}" for name, version in packages.items())
    return f"{found.gpus[0].name}, {found.describe(found.gpus[0])}; {known}"


def check_cuda(trial: Trial) -> str:
    """The self-test of CUDA, in a process of its own: each row would find a context of this one on the device."""
    answer = run_child("studies.gpu", ChildRequest(), ChildAnswer, trial.within_s(LOADING_S))
    if answer.fault:
        raise Failed(answer.fault)
    return answer.facts


def self_test(mib: int | None = None, copies: int = COPIES) -> str:
    """Round trips through page-locked memory, the device's clock against the host's, and what memory it counts.

    Raises:
        MissingDependency: no binding of CUDA is installed.
        Failed: values came back changed, the clocks differ, or memory was not counted.
    """
    import numpy as np

    mib = mib or MEMORY_MIB
    nbytes = mib * _MIB
    with open_device() as device:
        stream = device.stream()
        source, back = device.pinned((nbytes,), "uint8"), device.pinned((nbytes,), "uint8")
        source.array[...] = np.random.default_rng(0).integers(0, 256, nbytes, dtype=np.uint8)
        back.array[...] = 0
        before = device.memory()
        there = device.buffer(nbytes)
        grown_mib = (before.free_bytes - device.memory().free_bytes) / _MIB
        stream.copy(there, source)
        stream.copy(back, there)
        stream.synchronise()
        if not np.array_equal(source.array, back.array):
            raise Failed(f"{mib} MiB came back changed from the device")
        start, end = device.event(), device.event()
        host_ms, device_ms = [], []
        for _ in range(3):
            stream.synchronise()
            begun = time.perf_counter()
            stream.record(start)
            for _ in range(copies):
                stream.copy(there, source)
            stream.record(end)
            end.synchronise()
            host_ms.append((time.perf_counter() - begun) * 1e3)
            device_ms.append(end.ms_since(start))
        there.close()
        left_mib = (before.free_bytes - device.memory().free_bytes) / _MIB
    gap = min(abs(d / h - 1.0) for d, h in zip(device_ms, host_ms, strict=True))
    facts = (
        f"{mib} MiB there and back unchanged, events {device_ms[-1]:.1f} ms, host {host_ms[-1]:.1f} ms, "
        f"memory grew by {grown_mib:.0f} MiB and {left_mib:.0f} MiB of it stayed"
    )
    if gap > CLOCKS:
        raise Failed(f"the clocks differ by {gap:.0%}: {facts}")
    if abs(grown_mib - mib) > MEMORY_GAP_MIB or left_mib > MEMORY_GAP_MIB:
        raise Failed(f"the device's memory is not counted as expected: {facts}")
    return facts


def run_tests(timeout_s: float) -> str:
    """The tests that need a device.

    Raises:
        Skipped: there is no pytest, or no folder of tests here, or each test was skipped.
        Failed: one failed.
    """
    tests = Path(__file__).parents[1] / "tests"
    if not tests.is_dir() or env.package_version("pytest") is None:
        raise Skipped("pytest or the folder of tests is not here")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        # Only files that speak of the mark: collecting thousands of other tests takes longer than these do.
        *(
            str(path)
            for path in sorted(tests.rglob("test_*.py"))
            if _MARK in path.read_text("utf-8")
        ),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"the tests took longer than {timeout_s:.0f} s") from error
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()])[-1]
    if done.returncode:
        raise Failed(f"pytest -m gpu ended with {done.returncode}: {last}")
    if not re.search(r"\b\d+ passed\b", last):
        raise Skipped(f"no test that needs a device ran: {last}")
    return last


def present() -> Iterator[tuple[str, Reason | None]]:
    """The backends that run on a GPU, and why each of them can't here."""
    for backend in backends.builtin():
        if not backend.on_gpu():
            continue
        try:
            reason = backend.available()
            device = backend.device() if reason is None else reason
        except DeploykitError as error:
            device = Reason(str(error), "")
        yield backend.name, device if isinstance(device, Reason) else None


def measure(
    trial: Trial,
    name: str,
    scenarios: Sequence[Scenario],
    batches: Sequence[int],
    networks: Sequence[str] | None = None,
) -> list[Row]:
    """Rows of one backend in each of `PRECISIONS` that it has, of all networks of the trial or of these."""
    backend = backends.get(name)
    options = ProfileOptions(
        precisions=[one for one in PRECISIONS if one in backend.offered()],
        backends=(name,),
        batches=batches,
        scenarios=scenarios,
        policy=trial.policy,
        calibration=CalibrationChoice(synthetic=True),
        timeout_s=max(1.0, trial.left_s),
        roofline=False,
    )
    wanted = enumerate_configurations(
        [ModelSpec(one) for one in (trial.networks if networks is None else networks)], options
    )
    # Every network and precision once, before any of them at another batch: time may not last for all.
    wanted = sorted(wanted, key=lambda one: one.batch)
    rows: list[Row] = []
    profiler = Profiler(trial.store, options)
    for configuration in wanted:
        if trial.is_over:
            trial.unmeasured += 1  # others have their share of the time, too
            continue
        (row,) = profiler.rows([configuration])
        rows.append(row)
        trial.rows.append(row)  # at once: a trial that is ended keeps what it has
    return rows


def check_backend(trial: Trial, name: str) -> str:
    """Networks, precisions and batches on one backend, and what must hold between their rows.

    Every network is measured in every precision. Only the largest, which shows most, is at the other batches and
    boundary and as a CUDA graph: all backends share ten minutes, and a row takes 3 to 18 s.
    """
    backend = backends.get(name)
    rows = measure(trial, name, [Scenario(boundary=END_TO_END)], BATCHES[:1])
    largest = trial.networks[-1:]
    others = [(Scenario(boundary=DEVICE), BATCHES[:1])]
    if backend.cuda_graphs:
        others.append((Scenario(boundary=DEVICE, cuda_graph=True), BATCHES[:1]))
    if BATCHES[1:]:
        others.append((Scenario(boundary=END_TO_END), BATCHES[1:]))
    for scenario, batches in others:
        rows += measure(trial, name, [scenario], batches, largest)
    if rows and all(row["status"] == "skipped" for row in rows):
        raise Skipped("; ".join(map(str, rows[0].noted("failed"))))
    faults = faults_of(rows)
    if faults:
        raise Failed(
            f"{len(faults)} of {len(rows)} rows and what holds between them: " + "; ".join(faults)
        )
    refused = sum(map(_refused_graph, rows))
    without = f", {refused} of them refused as CUDA graphs" if refused else ""
    return f"{len(rows)} rows{without}{trial.cut_short()}"


def _refused_graph(row: Row) -> bool:
    """Whether the runtime can't capture this network: a limit of its own, said with the way out."""
    told = " ".join(map(str, row.noted("failed")))
    return row["status"] == "failed" and row.get("cuda_graph") == "yes" and "--cuda-graph" in told


def _tells_of_the_host(row: Row) -> bool:
    """Whether the host was busy enqueueing for nearly all of a run, which other work there disturbs."""
    return float(row.get("enqueue_ms") or 0.0) > ENQUEUED * float(row["latency_p50_ms"])


def faults_of(rows: Sequence[Row]) -> list[str]:
    """What is wrong with rows of one backend: each by itself, and those that only differ in one thing.

    Rows that can't be judged by something (no drift, no interval) are not held against it.
    """
    faults = []
    for row in rows:
        named = f"{row['model']} {row['precision']} batch {row['batch']}"
        if row["status"] == "skipped" or _refused_graph(row):
            continue
        if row["status"] != "ok":
            faults.append(f"{named} {row['status']}: {'; '.join(map(str, row.noted('failed')))}")
            continue
        actual = str(row.get("precision_actual"))
        if row["precision"] not in actual.split("+") and not row.noted("emulated"):
            faults.append(f"{named} computes in {actual}")
        snr_db, least = row.get("drift_snr_db"), LEAST_SNR_DB[str(row["precision"])]
        if snr_db is not None and snr_db < least:
            faults.append(f"{named} has {snr_db:.0f} dB, less than {least:g}")
        if row.get("device_peak_mib") is None:
            faults.append(f"{named} has no device_peak_mib")
    ok = [row for row in rows if row["status"] == "ok"]

    def pairs(name: str, low: Any, high: Any) -> Iterator[tuple[Row, Row]]:
        """Rows that are alike but for one column, in which they have these two values."""
        columns = [
            n for n in ("model", "precision", "batch", "boundary", "cuda_graph") if n != name
        ]
        for one, other in itertools.product(ok, ok):
            alike = all(one.get(column) == other.get(column) for column in columns)
            if alike and one.get(name) == low and other.get(name) == high:
                yield one, other

    for column, low, high in (("boundary", DEVICE, END_TO_END), ("cuda_graph", "yes", "no")):
        for one, other in pairs(column, low, high):
            if _tells_of_the_host(one):
                continue
            quick, slow = one["latency_min_ms"], other["latency_min_ms"]
            if quick > slow * (1 + LATENCY):
                what = f"{one['model']} {one['precision']} batch {one['batch']}"
                faults.append(f"{what}: {column} {low} takes {quick:.3g} ms, {high} {slow:.3g} ms")
    for one, other in pairs("batch", BATCHES[0], BATCHES[-1]):
        if other["throughput_ips"] < one["throughput_ips"] * (1 - THROUGHPUT):
            faults.append(
                f"{one['model']} {one['precision']}: {other['throughput_ips']:.0f} images/s at batch "
                f"{BATCHES[-1]}, {one['throughput_ips']:.0f} at {BATCHES[0]}"
            )
    return faults


def check_streams(trial: Trial, name: str) -> str:
    """Several streams at once; more of them serve no fewer images than one."""
    scenarios = [Scenario(streams=n) for n in STREAMS]
    rows = measure(trial, name, scenarios, BATCHES[:1], trial.networks[-1:])
    faults = [
        f"{r['precision']} {r['streams']}: {r.noted('failed')}" for r in rows if r["status"] != "ok"
    ]
    rates = {
        (r["precision"], r["streams"]): r["throughput_ips"] for r in rows if r["status"] == "ok"
    }
    for (precision, streams), rate in rates.items():
        alone = rates.get((precision, 1))
        if alone is not None and rate < alone * 0.8:
            faults.append(
                f"{precision}: {rate:.0f} images/s by {streams} streams, {alone:.0f} by one"
            )
    if faults:
        raise Failed("; ".join(faults))
    told = ", ".join(f"{precision} {n}: {rate:.0f}/s" for (precision, n), rate in rates.items())
    return told + trial.cut_short()


@dataclass(frozen=True)
class ChildRequest:
    """An engine that a process is to load, run and close several times; without one, the self-test of CUDA."""

    engine: Path | None = None
    backend: str = ""
    times: int = 0


@dataclass(frozen=True)
class ChildAnswer:
    """MiB in use on the device after each time, or what the self-test saw and the fault it found."""

    used_mib: tuple[float, ...] = ()
    facts: str = ""
    fault: str = ""


def look_at(request: ChildRequest) -> ChildAnswer:
    """Do what is asked, in this process."""
    if request.engine is None:
        try:
            return ChildAnswer(facts=self_test())
        except Failed as fault:
            return ChildAnswer(fault=str(fault))
    engine, backend = open_engine(request.engine), backends.get(request.backend)
    used = []
    with open_device() as device:
        for _ in range(request.times):
            with backend.load(engine) as session:
                session.sample(synthetic(session.inputs, 1), 2)
            device.synchronise()
            used.append(device.memory().used_mib)
    return ChildAnswer(tuple(used))


def check_memory_returns(trial: Trial, name: str) -> str:
    """Load an engine more than once: what it took comes back.

    Raises:
        Skipped: the store has no engine of the backend.
        Failed: memory stays.
    """
    found = [e for e in trial.store.entries(EngineManifest) if e.manifest.builder == name]
    single = [e for e in found if e.values.get("options", {}).get("batch_min", 1) == 1]
    if not single:
        raise Skipped(f"no engine of {name} was built")
    request = ChildRequest(single[0].folder, name, LOADS)
    limit_s = trial.within_s(LOADING_S)
    if limit_s < SHORTEST_LOADING_S:
        raise Skipped(
            f"{limit_s:.0f} s of the trial were left, less than loading {LOADS} times takes"
        )
    used = run_child("studies.gpu", request, ChildAnswer, limit_s).used_mib
    # The first time libraries allocate for themselves; from then on nothing may grow.
    grown = used[-1] - used[1]
    if grown > MEMORY_GAP_MIB:
        raise Failed(
            f"each load keeps memory: {', '.join(f'{u:.0f}' for u in used)} MiB in use after each"
        )
    return f"{', '.join(f'{u:.0f}' for u in used)} MiB in use after each of {len(used)} loads"


def comparable(rows: Sequence[Row]) -> tuple[list[float], bool]:
    """Compute times that trtexec's can be held against, and whether they are of CUDA graphs.

    Trtexec enqueues a run while the last one computes. Ours is enqueued when that is done, so that its compute time
    is the host's where the host is slower; a graph takes the host out of both.
    """
    graphs = [r["compute_ms"] for r in rows if r.get("cuda_graph") == "yes"]
    without = [
        r["compute_ms"]
        for r in rows
        if float(r.get("enqueue_ms") or 0.0) <= ENQUEUED * float(r["compute_ms"])
    ]
    return graphs or without, bool(graphs)


def check_trtexec(trial: Trial) -> str:
    """Trtexec on the same engines: its compute time and ours.

    Raises:
        Skipped: there is no trtexec, or no engine of TensorRT whose time can be compared.
        Failed: they differ.
    """
    program = shutil.which("trtexec")
    if program is None:
        raise Skipped("trtexec is not on the PATH")
    compared, faults, of_host = [], [], 0
    for entry in trial.store.entries(EngineManifest):
        if entry.manifest.builder != "tensorrt" or entry.manifest.options.batch_opt != 1:
            continue
        rows = [
            r
            for r in trial.rows
            if r["backend"] == "tensorrt"
            and r["model"] == entry.manifest.model.name
            and r["precision"] == entry.manifest.precision
            and r["batch"] == 1
            and r.get("compute_ms")
        ]
        ours, as_graph = comparable(rows)
        if not ours:
            of_host += bool(rows)
            continue
        command = [program, f"--loadEngine={entry.path}", "--duration=2", "--warmUp=200"]
        if as_graph:
            command.append("--useCudaGraph")
        limit_s, name = trial.within_s(TRTEXEC_S), entry.folder.name
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            faults.append(f"trtexec was not done with {name} after {limit_s:.0f} s")
            continue
        theirs = compute_ms_of(done.stdout)
        if done.returncode or theirs is None:
            said = (done.stdout + done.stderr).strip().splitlines()
            why = next((line for line in said if "[E]" in line), (said or ["nothing"])[-1])
            faults.append(f"trtexec ended with {done.returncode} for {name}: {one_line(why, 160)}")
            continue
        compared.append(
            f"{entry.manifest.model.name} {entry.manifest.precision} {min(ours):.3g} and {theirs:.3g} ms"
        )
        if abs(min(ours) / theirs - 1) > TRTEXEC:
            faults.append(compared[-1])
    if faults:
        raise Failed("; ".join(faults))
    if not compared and of_host:
        raise Skipped(
            f"of {of_host}, the host takes as long to enqueue as the device to compute, which trtexec hides"
        )
    if not compared:
        raise Skipped("no engine of TensorRT was measured at batch 1")
    return "; ".join(compared)


#: A number as a stream of C++ writes it.
_NUMBER = r"\d+(?:\.\d+)?(?:e[-+]\d+)?"


def compute_ms_of(text: str) -> float | None:
    """The median of the compute time that trtexec prints; None where it prints none."""
    found = re.search(rf"GPU Compute Time: min = .*?\bmedian = ({_NUMBER}) ms", text)
    return float(found[1]) if found else None


def tensorrt_engines(trial: Trial) -> Iterator[tuple[Entry[EngineManifest], dict[str, str]]]:
    """Each engine of TensorRT with what was said of its layers, by the name of the text."""
    for entry in trial.store.entries(EngineManifest):
        if entry.manifest.builder in ("tensorrt", "tensorrt-rtx"):
            folder = entry.folder / LISTINGS
            paths = [folder / OF_LOG, folder / OF_INSPECTOR]
            yield entry, {p.name: p.read_text("utf-8", "replace") for p in paths if p.exists()}


def check_read_back(trial: Trial) -> str:
    """Hold what the log of each build says of the types of its products against what the engine's inspector says.

    Raises:
        Skipped: no engine of TensorRT was built of which both speak.
        Failed: they differ, or have no product in common.
    """
    engines, nodes, faults = 0, 0, []
    for entry, texts in tensorrt_engines(trial):
        if len(texts) < 2:
            continue
        products = [node for of_type in entry.manifest.compute_types.values() for node in of_type]
        kinds = []
        for name in (OF_LOG, OF_INSPECTOR):
            found = compute_types(parse_layers(texts[name]), products)
            kinds.append({node: kind for kind in found for node in found[kind]})
        told = [n for n in products if all(one[n] in FLOAT_OR_QUANTISED for one in kinds)]
        differ = [n for n in told if kinds[0][n] != kinds[1][n]]
        engines, nodes = engines + 1, nodes + len(told)
        if products and not told:
            faults.append(f"{entry.folder.name}: no product of which both tell the type")
        if differ:
            node = differ[0]
            faults.append(
                f"{entry.folder.name}: {len(differ)} of {len(told)} products differ, {node} is {kinds[0][node]} "
                f"by the log and {kinds[1][node]} by the inspector"
            )
    if faults:
        raise Failed("; ".join(faults))
    if not engines:
        raise Skipped("no engine of TensorRT was built of which both log and inspector speak")
    return f"the same types for {nodes} products of {engines} engines"


def keep_listings(trial: Trial) -> str:
    """What logs and inspectors say of the layers of TensorRT's engines, for the corpus of listings that tests hold.

    Raises:
        Skipped: TensorRT built nothing.
    """
    kept = 0
    for entry, texts in tensorrt_engines(trial):
        for name, text in texts.items():
            with output_errors("layer listings"):
                trial.folder.mkdir(parents=True, exist_ok=True)
            path = trial.folder / f"{entry.folder.name}-{name}"
            write_atomic(path, text.encode(), "layer listing")
            kept += 1
    if not kept:
        raise Skipped("no engine of TensorRT was built")
    return f"{kept} listings in {trial.folder}"


# ---- the trial


def run_trial(trial: Trial) -> None:
    """All steps, in their order; what one backend lacks does not stop another."""
    trial.step("device and packages", describe_box)
    trial.step("CUDA self-test", lambda: check_cuda(trial))
    trial.step("pytest -m gpu", lambda: run_tests(trial.within_s(180.0)))
    able = []
    for name, reason in present():
        if trial.backends is not None and name not in trial.backends:
            trial.step(name, _skipping("not asked for"))
        elif reason is None:
            able.append(name)
        else:
            trial.step(name, _skipping(str(reason)))
    for place, name in enumerate(able):
        # A quarter of what is left stays for the steps that follow.
        trial.until_s = time.perf_counter() + 0.75 * trial.left_s / (len(able) - place)
        trial.step(name, lambda name=name: check_backend(trial, name))  # type: ignore[misc]
    for name in able:
        trial.until_s = time.perf_counter() + max(5.0, trial.left_s / (len(able) + 1))
        trial.step(f"{name}, streams", lambda name=name: check_streams(trial, name))  # type: ignore[misc]
        trial.step(f"{name}, loaded again", lambda name=name: check_memory_returns(trial, name))  # type: ignore[misc]
    trial.step("log equals inspector", lambda: check_read_back(trial))
    trial.step("trtexec", lambda: check_trtexec(trial))
    trial.step("listings of layers", lambda: keep_listings(trial))


def _skipping(reason: str) -> Callable[[], str]:
    def work() -> str:
        raise Skipped(reason)

    return work


def write(trial: Trial, folder: Path) -> None:
    """Write gpu.json, gpu.csv and gpu.md.

    Raises:
        UsageError: a row is of a simulated device.
        OutputFailed: the folder can't be written.
    """
    with output_errors("reports"):
        folder.mkdir(parents=True, exist_ok=True)
    table = to_csv(trial.rows, NAMES)  # refuses a simulated device, before anything is written
    facts = {
        "machine": env.capture(),
        "steps": [asdict(step) for step in trial.steps],
        "seconds": round(time.perf_counter() - trial.begun_s, 1),
    }
    write_atomic(
        folder / "gpu.json", (json.dumps(facts, indent=2, default=str) + "\n").encode(), "report"
    )
    write_atomic(folder / "gpu.csv", table.encode(), "report")
    write_atomic(folder / "gpu.md", markdown(trial).encode(), "report")


def markdown(trial: Trial) -> str:
    """The steps as a table."""
    lines = [
        "# A GPU box on trial",
        "",
        "| step | result | seconds | what was seen |",
        "|---|---|---|---|",
    ]
    for step in trial.steps:
        seen = "" if step.state == "skipped" else step.text.replace("|", "\\|")
        lines.append(
            f"| {step.name} | {step.shown.replace('|', '/')} | {step.seconds:g} | {seen} |"
        )
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial: 0 where nothing failed, 1 where something did, 3 without a GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reports", type=Path, default=Path("reports"), help="folder to write to")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds for all steps")
    parser.add_argument(
        "--backend",
        type=lambda text: text.split(","),
        help="only these, such as torch-cuda,onnxruntime-cuda",
    )
    options = parser.parse_args(arguments)
    found = devices.find()
    if not found.gpus:
        print(f"not run: no GPU ({found.problem or devices.NO_DEVICE})")
        return MissingDependency.exit_code
    if SIMULATED in found.gpus[0].name:
        print("not run: the device is simulated, and what it shows is no measurement")
        return MissingDependency.exit_code
    with tempfile.TemporaryDirectory(prefix="deploykit-gpu-") as folder:
        trial = Trial(
            Store(Path(folder) / "engines"),
            options.reports / "gpu-listings",
            max(0.0, options.budget - WRITING_S),
            done=lambda trial: write(trial, options.reports),
            backends=options.backend,
        )
        with ending(trial, options.reports, options.budget):
            run_trial(trial)
    return int(any(step.state == "failed" for step in trial.steps))


@contextlib.contextmanager
def ending(
    trial: Trial, folder: Path, limit_s: float, end: Callable[[int], object] = os._exit
) -> Iterator[None]:
    """End the process after so long, with 1 and the step that was being done as failed, whatever hangs in it."""

    def over() -> None:
        text = f"not done when the {limit_s:g} s of the trial were over"
        trial.steps.append(Step(trial.running or "the trial", "failed", text))
        try:
            trial.say(f"{trial.steps[-1].name}: failed, {text}")
            write(trial, folder)
        finally:
            end(1)

    watch = threading.Timer(limit_s, over)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].isdigit():  # a child of this program's own
        serve(ChildRequest, look_at)
    sys.exit(main())
