"""The machine's measured ceilings, and how near to them a network comes.

Ceilings are what this machine was seen to do, not what its maker states: matrix products in ONNX Runtime
per precision, and copies between buffers of several sizes, as a small network's data stays in a cache that
is many times as fast as memory. They are measured in a process of their own,
`python -m deploykit.bench.roofline`, and stored.

Those of a GPU are measured by PyTorch, where it sees the device: matrix products in each type that it multiplies,
and copies on the device.

Model: Williams, Waterman, Patterson, "Roofline" (2009).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deploykit import codec, env
from deploykit.bench.channel import run_child, serve
from deploykit.bench.conditions import between, machine_findings, snapshot
from deploykit.cuda import devices
from deploykit.errors import BuildFailed, MissingDependency
from deploykit.lazy import np, onnx, torch
from deploykit.ort_session import installed_version, open_session, session_options
from deploykit.text import folder_name
from deploykit.writing import write_atomic

#: Of the square matrices that are multiplied; large enough to leave overheads behind.
MATRIX_SIZE = 768
#: Of the data that copies work on, from what fits a core's cache to what fits none.
COPY_BYTES = (2**18, 2**21, 2**23, 2**25, 2**27)
#: The same on a GPU.
GPU_MATRIX_SIZE, GPU_COPY_BYTES = 8192, (2**22, 2**25, 2**28, 2**30)
#: Time for each ceiling.
SPAN_S = 0.25
#: Bumped when ceilings are measured in another way, so that stored ones are measured anew.
VERSION = 1
TIMEOUT_S = 120.0
#: Seconds before ceilings that something disturbed are measured again.
RETRY_S = 3600.0


@dataclass(frozen=True)
class Ceilings:
    """What the machine was seen to do.

    Attributes:
        gflops: best rate of matrix products by precision ("fp32", "int8"), in 10^9 operations per
            second; one multiply-accumulate is two.
        copy_gb_s: bytes read and written per second, in 10^9, by the bytes that the copy works on.
        threads: with how many threads; 0 on a GPU.
        doubt: what the machine did besides, with the remedy; empty where nothing disturbed.
    """

    gflops: Mapping[str, float]
    copy_gb_s: Mapping[int, float]
    threads: int
    doubt: str = ""

    def __post_init__(self) -> None:
        if not self.copy_gb_s:
            raise ValueError("ceilings without a copy's rate")

    def bandwidth_gb_s(self, working_set_bytes: float) -> float:
        """The ceiling for data of that size: of the smallest copy that is no smaller, else the largest."""
        sizes = sorted(self.copy_gb_s)
        chosen = next((size for size in sizes if size >= working_set_bytes), sizes[-1])
        return self.copy_gb_s[chosen]


@dataclass(frozen=True)
class Bound:
    """Where a network stands under the roofline.

    Attributes:
        gflops: reached, in 10^9 operations per second.
        arithmetic_intensity: operations per byte of weights read and activations written.
        roofline_fraction: share of the ceiling for that intensity and precision that was reached; None
            without a ceiling.
        latency_ms: the lower bound of one run's latency that follows.
    """

    gflops: float
    arithmetic_intensity: float
    roofline_fraction: float | None
    latency_ms: float | None


def bound(
    macs: int,
    weight_bytes: int,
    activation_bytes: int,
    *,
    batch: int,
    images_per_s: float,
    precision: str,
    ceilings: Ceilings,
    working_set_bytes: float,
) -> Bound:
    """Compare what a network reached with the ceilings.

    Args:
        macs: multiply-accumulates for one image.
        weight_bytes: size of the engine's weights, which are read once per run.
        activation_bytes: size of all nodes' outputs for one image; each is written once and read once.
        batch: images per run.
        images_per_s: throughput that was reached.
        precision: as found in the engine ("fp32", "int8+fp32"); the first of a mix counts.
        ceilings: what this machine was seen to do.
        working_set_bytes: what is in use at a time, which decides whose bandwidth counts.
    """
    operations = 2.0 * macs
    moved_bytes = weight_bytes + 2.0 * activation_bytes * batch
    reached = operations * images_per_s / 1e9
    intensity = operations * batch / moved_bytes if moved_bytes else 0.0
    peak = ceilings.gflops.get(precision.split("+")[0])
    if peak is None or not operations or not moved_bytes:
        return Bound(reached, intensity, None, None)
    bandwidth = ceilings.bandwidth_gb_s(working_set_bytes)
    latency_s = max(operations * batch / (peak * 1e9), moved_bytes / (bandwidth * 1e9))
    return Bound(reached, intensity, latency_s * images_per_s / batch, latency_s * 1e3)


def ceilings(folder: Path, threads: int | None = None) -> Ceilings:
    """The ceilings of this machine: stored in `folder`, or measured now, which takes some seconds.

    Those that were measured while something disturbed are stored with their `doubt`, and measured once more
    after an hour at the earliest: the better of both stay, as a disturbance only takes away.

    Args:
        folder: an existing folder; the file's name holds machine, runtime version and threads.
        threads: threads of the runtime; None is one per usable core.

    Raises:
        WorkerFailure: they can't be measured.
        OutputFailed: they can't be stored.
    """
    count = threads or max(1, int(env.usable_cores()))
    path = folder / _name(str(count))
    stored = _read(path)
    if stored is not None and (not stored.doubt or not _old(path)):
        return stored
    measured = run_child(
        "deploykit.bench.roofline", CeilingRequest(count), Ceilings, TIMEOUT_S, threads
    )
    if stored is not None and measured.doubt:
        measured = _better(stored, measured)
    write_atomic(path, codec.to_json(measured) + b"\n", "ceilings")
    return measured


def doubt_text(folder: Path, machine: Ceilings) -> str:
    """Why ceilings are uncertain, since when they are stored, and how to renew them; "" where they are certain."""
    if not machine.doubt:
        return ""
    path = folder / _name(str(machine.threads))
    measured = (
        time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        if path.exists()
        else "now"
    )
    return (
        f"the machine's ceilings, measured {measured} and stored in {path}, were disturbed: {machine.doubt}; "
        f"they are measured anew {RETRY_S / 3600:g} h after that, or at once where that file is deleted"
    )


@dataclass(frozen=True)
class CeilingRequest:
    """Whose ceilings to measure: those of the processor with `threads`, or of the first GPU."""

    threads: int
    gpu: bool = False


def gpu_ceilings(folder: Path) -> Ceilings:
    """The ceilings of the first GPU that CUDA shows: stored in `folder`, or measured now by PyTorch.

    Raises:
        MissingDependency: no GPU, or no PyTorch that can use it.
        WorkerFailure: they can't be measured.
        OutputFailed: they can't be stored.
    """
    gpu, version = devices.selected(), env.package_version("torch")
    if gpu is None:
        raise MissingDependency(str(devices.NO_DEVICE))
    if version is None or "+cpu" in version:
        raise MissingDependency(
            "PyTorch built for CUDA measures the ceilings of a GPU, and is not installed: pip install torch"
        )
    path = folder / _gpu_name(gpu, version)
    stored = _read(path)
    if stored is not None:
        return stored
    measured = run_child(
        "deploykit.bench.roofline", CeilingRequest(0, gpu=True), Ceilings, TIMEOUT_S
    )
    write_atomic(path, codec.to_json(measured) + b"\n", "ceilings")
    return measured


def stored_ceilings(folder: Path) -> list[Ceilings]:
    """The ceilings of this processor that `folder` holds, by rising number of threads; measures nothing."""
    stored = [_read(path) for path in folder.glob(_name("*"))]
    return sorted((one for one in stored if one is not None), key=lambda one: one.threads)


def known_ceilings(folder: Path) -> list[Ceilings]:
    """What `folder` holds of this machine's processor and of the first GPU that CUDA shows; measures nothing."""
    gpu, version = devices.selected(), env.package_version("torch")
    stored = None if gpu is None or version is None else _read(folder / _gpu_name(gpu, version))
    return [*stored_ceilings(folder), *([] if stored is None else [stored])]


def _gpu_name(gpu: devices.Gpu, version: str) -> str:
    name = f"ceilings-{gpu.name}-{gpu.uuid}-torch-{version}-v{VERSION}"
    return folder_name(name, ".json")


def _name(threads: str) -> str:
    runtime = installed_version() or "none"
    return f"ceilings-{env.env_id()}-{runtime}-{threads}-v{VERSION}.json"


def _read(path: Path) -> Ceilings | None:
    return codec.read_stored(path, Ceilings)


def _old(path: Path) -> bool:
    """Whether a file is from more than an hour ago, or, by a clock that was set back, from the future."""
    return abs(time.time() - path.stat().st_mtime) > RETRY_S


def _better(one: Ceilings, other: Ceilings) -> Ceilings:
    rates = {name: max(rate, one.gflops.get(name, 0.0)) for name, rate in other.gflops.items()}
    copies = {
        size: max(rate, one.copy_gb_s.get(size, 0.0)) for size, rate in other.copy_gb_s.items()
    }
    return Ceilings(rates, copies, other.threads, other.doubt)


def measure_ceilings(threads: int, span_s: float = SPAN_S) -> Ceilings:
    """Measure in this process; the best of all repetitions counts, as interference only takes away."""
    before = snapshot()
    rates = {
        name: _matrix_gflops(integer, threads, span_s)
        for name, integer in (("fp32", False), ("int8", True))
    }
    copies = {size: _copy_gb_s(size, threads, span_s) for size in COPY_BYTES}
    doubts = machine_findings(between(before, snapshot()))
    return Ceilings(rates, copies, threads, " | ".join(str(doubt) for doubt in doubts))


def measure_gpu_ceilings(
    span_s: float = SPAN_S,
    *,
    device: str = "cuda",
    size: int = GPU_MATRIX_SIZE,
    copies: Sequence[int] = GPU_COPY_BYTES,
) -> Ceilings:
    """Measure in this process, by PyTorch; what the device does not multiply, or has no room for, is left out.

    Args:
        span_s: seconds for each ceiling.
        device: as PyTorch names it.
        size: of the square matrices.
        copies: bytes that each copy works on, half read and half written.

    Raises:
        BuildFailed: not even one copy could be made.
    """
    torch.backends.cuda.matmul.fp32_precision = "ieee"  # as the engines: no TF32
    wait: Any = torch.cuda.synchronize if device.startswith("cuda") else lambda: None

    def best_s(work: Callable[[], object]) -> float:
        """The best mean time of runs that follow each other for long enough to hide their start."""
        work()
        wait()
        begun = time.perf_counter()
        work()
        wait()
        repeats = max(1, int(0.01 / max(1e-6, time.perf_counter() - begun)))

        def several() -> None:
            for _ in range(repeats):
                work()
            wait()

        return _best_s(several, span_s) / repeats

    rates: dict[str, float] = {}
    for name in ("float32", "float16", "bfloat16", "int8"):
        kind = getattr(torch, name)
        with contextlib.suppress(RuntimeError):  # a type without products here, or no memory
            if name == "int8":
                left = torch.randint(-32, 32, (size, size), dtype=kind, device=device)
                right = left.t().contiguous().t()  # as its kernels want the second operand
                seconds = best_s(partial(torch._int_mm, left, right))
            else:
                left = torch.randn(size, size, device=device).to(kind)
                seconds = best_s(partial(torch.mm, left, left))
            rates[_TORCH_TYPES[name]] = 2.0 * size**3 / seconds / 1e9
    copied: dict[int, float] = {}
    for nbytes in copies:
        with contextlib.suppress(RuntimeError):  # no memory for it
            source = torch.zeros(nbytes // 2, dtype=torch.uint8, device=device)
            target = torch.empty_like(source)
            copied[nbytes] = nbytes / best_s(partial(target.copy_, source)) / 1e9
    if not copied:
        raise BuildFailed("the GPU has no room for a copy of 4 MiB; end what else is on it")
    return Ceilings(rates, copied, 0)


#: Names of precisions by those of PyTorch's types.
_TORCH_TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8": "int8"}


def _matrix_gflops(integer: bool, threads: int, span_s: float) -> float:
    """Rate of square matrix products, float32 or of unsigned with signed bytes."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    uint8, int32, float32 = (
        onnx.TensorProto.UINT8,
        onnx.TensorProto.INT32,
        onnx.TensorProto.FLOAT,
    )
    n = MATRIX_SIZE
    random = np.random.default_rng(0)
    left: Any
    right: Any
    if integer:
        operator, kind, result = "MatMulInteger", uint8, int32
        # Small values: some instruction sets add pairs of products in 16 bits.
        left = random.integers(0, 64, (n, n)).astype(np.uint8)
        right = random.integers(-32, 32, (n, n)).astype(np.int8)
    else:
        operator, kind, result = "MatMul", float32, float32
        left = random.standard_normal((n, n), dtype=np.float32)
        right = random.standard_normal((n, n), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", kind, [n, n])],
        [helper.make_tensor_value_info("c", result, [n, n])],
        # A constant, as weights are: the runtime packs it once.
        [numpy_helper.from_array(right, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = session_options(optimise=True, threads=threads)
    session = open_session(model.SerializeToString(), options, _no_product)
    binding = session.io_binding()
    binding.bind_cpu_input("a", left)
    binding.bind_output("c")
    return 2.0 * n**3 / _best_s(lambda: session.run_with_iobinding(binding), span_s) / 1e9


def _no_product(reason: str) -> BuildFailed:
    return BuildFailed(f"ONNX Runtime can't multiply matrices for the roofline: {reason}")


def _copy_gb_s(size_bytes: int, threads: int, span_s: float) -> float:
    """Bytes read and written per second by copies that work on `size_bytes` in all."""
    # Half is read and half is written; each thread has a part of its own.
    count = max(1, size_bytes // 2 // threads // 8)
    parts = [(np.ones(count), np.zeros(count)) for _ in range(threads)]
    # Several copies per look at the clock, so that small ones are timed at all.
    repeats = max(1, 2**22 // size_bytes)
    ready = threading.Barrier(threads)
    copyto = np.copyto
    rates = [0.0] * threads

    def work(index: int) -> None:
        source, target = parts[index]

        def copy() -> None:
            for _ in range(repeats):
                copyto(target, source)

        copy()
        ready.wait()
        rates[index] = 2.0 * source.nbytes * repeats / _best_s(copy, span_s)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(rates) / 1e9


def _best_s(work: Callable[[], object], span_s: float) -> float:
    """The shortest time that `work` took, repeated for `span_s` and at least three times."""
    best, count, start = float("inf"), 0, time.perf_counter()
    while count < 3 or time.perf_counter() - start < span_s:
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
        count += 1
    return best


def _measure(request: CeilingRequest) -> Ceilings:
    return measure_gpu_ceilings() if request.gpu else measure_ceilings(request.threads)


if __name__ == "__main__":
    serve(CeilingRequest, _measure)
