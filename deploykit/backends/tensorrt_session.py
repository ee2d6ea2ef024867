"""Running TensorRT engines on an NVIDIA device, through `deploykit.cuda`.

The compute is enqueued by itself, or as a CUDA graph that was captured beforehand. A run is enqueued when the last
one is done: trtexec enqueues one ahead, which hides the time of enqueueing.

Streams share an engine, each with an execution context, a CUDA stream and buffers of its own.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from deploykit import codec
from deploykit.backends.base import Bound, engine_inputs
from deploykit.backends.device_session import Buffers, DeviceSession
from deploykit.cuda import Device, DeviceMemoryExhausted, Graph, open_device
from deploykit.errors import BuildFailed, MissingDependency, OutputFailed, UsageError
from deploykit.lazy import np, onnx
from deploykit.spec import Engine, TensorSpec
from deploykit.text import folder_name
from deploykit.writing import write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds

#: TensorRT's element types by name, and ONNX's names of them; those that have no whole bytes can't be fed.
_ONNX_TYPES = {
    "FLOAT": "FLOAT",
    "HALF": "FLOAT16",
    "BF16": "BFLOAT16",
    "FP8": "FLOAT8E4M3FN",
    "INT8": "INT8",
    "UINT8": "UINT8",
    "INT32": "INT32",
    "INT64": "INT64",
    "BOOL": "BOOL",
}
#: What TensorRT for RTX finds wrong with an engine: bits of `EngineInvalidityDiagnostics`, most telling first.
_DIAGNOSTICS = {
    "MALFORMED_ENGINE": "it is cut or no engine: delete it, and build it again",
    "VERSION_MISMATCH": "another version of the package built it: build it with this one, or install that one",
    "OLD_CUDA_DRIVER": "the NVIDIA driver is too old for it: update the driver",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old for it: update the package",
    "INSUFFICIENT_GPU_MEMORY": "the device has too little memory for it: take a smaller batch",
    "CUDA_ERROR": "CUDA failed: see nvidia-smi",
}
#: How TensorRT says that the device has too little memory: "OutOfMemory (requested 64 bytes)", "out of memory".
_NO_ROOM = re.compile(r"out ?of ?memory", re.IGNORECASE)


def numpy_type(trt: Any, kind: Any, name: str) -> Any:
    """NumPy's type for the values of a tensor; bf16 and fp8 have those that come with ONNX.

    Raises:
        BuildFailed: the type has no whole bytes, or is not known.
    """
    for known, onnx_name in _ONNX_TYPES.items():
        if kind == getattr(trt.DataType, known):
            element = getattr(onnx.TensorProto, onnx_name)
            return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(element))
    raise BuildFailed(
        f"tensor {name} of the engine is {getattr(kind, 'name', kind)}, which can't be fed or read: cast it in the "
        "graph, to float16 say, and build again"
    )


class LoadedEngine:
    """An engine on a device, with all that its sessions share.

    Args:
        trt: the imported TensorRT module.
        engine: its file and manifest.
        log: a logger of that module that keeps errors.
        supported: compute capabilities that the package can build for; empty where that is the device's own.

    Raises:
        MissingDependency: no device, or one that the engine was not built for.
        BuildFailed: the engine does not load.
    """

    def __init__(self, trt: Any, engine: Engine, log: Any, supported: Sequence[str] = ()) -> None:
        self.trt, self.stored, self.log, self.supported = trt, engine, log, supported
        self.device: Device = open_device()
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        self.plan = self.stored.path.read_bytes()
        self.runtime = self.trt.Runtime(self.log)
        options = self.stored.manifest.get("options", {})
        if options.get("version_compatible"):  # such an engine brings code that runs on the host
            self.runtime.engine_host_code_allowed = True
        self._check_validity()
        self.engine = self.runtime.deserialize_cuda_engine(self.plan)
        del self.plan
        if self.engine is None:
            raise BuildFailed(f"{self.named} does not load: {self._not_loading()}")
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        is_input = self.trt.TensorIOMode.INPUT
        known = {spec.name: spec for spec in engine_inputs(self.stored)}
        known |= {spec.name: spec for spec in _outputs(self.stored)}
        specs = [self._spec(name, known.get(name)) for name in names]
        modes = {name: self.engine.get_tensor_mode(name) for name in names}
        self.inputs = tuple(spec for spec in specs if modes[spec.name] == is_input)
        self.outputs = tuple(spec for spec in specs if modes[spec.name] != is_input)
        on_host = self.trt.TensorLocation.HOST
        self.on_host = {name for name in names if self.engine.get_tensor_location(name) == on_host}
        self.runtime_cache: Any = None
        self.context_config = self._context_config()

    @property
    def named(self) -> str:
        """The engine, the package and the device in words."""
        facts = self.device.properties
        # What was built a moment ago lies in a folder that is gone when somebody reads this.
        what = self.stored.path if self._made_by else "the engine that was just built"
        return (
            f"{what} with {self.trt.__name__} {self.trt.__version__} on {facts.name} (compute capability "
            f"{facts.compute_capability})"
        )

    @property
    def _made_by(self) -> str | None:
        """The version that built the engine; None of one that is not in a store yet."""
        made_by: str | None = self.stored.manifest.get("builder_version")
        return made_by

    def _not_loading(self) -> str:
        """Why an engine does not load, and what to do about it."""
        said = self.log.last_error()
        if self._made_by is None:
            return (
                f"{said}; end what else is on the device, and if that does not help {self.report}"
            )
        if _NO_ROOM.search(said):
            return f"{said}; end what else is on the device, or take one with more memory"
        if self._made_by != self.trt.__version__:
            return f"version {self._made_by} built it, {said}; build it with this package for this device"
        return f"{said}; delete {self.stored.path.parent} and build it again for this device"

    @property
    def report(self) -> str:
        """What to do about a fault that is not the user's."""
        return f"report it with this version of {self.trt.__name__}"

    def refusal(self, text: str) -> BuildFailed:
        """The error of a call that TensorRT answers with false, though it built the engine for it."""
        return BuildFailed(
            f"{text}: {self.log.last_error()}; build the engine again, and if that does not help {self.report}"
        )

    def _check_validity(self) -> None:
        """Let TensorRT for RTX say why an engine can't run here; the other package only does not load it."""
        ask = getattr(self.runtime, "get_engine_validity", None)
        if ask is None:
            return
        validity, bits = ask(self.plan)
        if validity != self.trt.EngineValidity.INVALID:
            return
        known = self.trt.EngineInvalidityDiagnostics
        if int(bits) & int(known.UNSUPPORTED_CC):
            raise MissingDependency(self.foreign())
        for name, advice in _DIAGNOSTICS.items():
            if int(bits) & int(getattr(known, name)):
                raise BuildFailed(f"{self.named} does not load: {advice}")
        raise BuildFailed(f"{self.named} does not load: {self._not_loading()}")

    def foreign(self) -> str:
        """Why this device can't run the engine, and what to do."""
        here, wanted = (
            self.device.properties.compute_capability,
            self.stored.manifest.get("compute_capability", "default"),
        )
        if here in self.supported:
            built = "others" if wanted == "default" else f"compute capability {wanted}"
            return f"{self.named} does not load: it is built for {built}; build it with --compute-capability {here}"
        return (
            f"{self.named} does not load: the package supports compute capability {', '.join(self.supported)}; use "
            "--backend tensorrt on this device"
        )

    def _context_config(self) -> Any:
        """How contexts are made, where the package lets one say: TensorRT for RTX compiles kernels on the device.

        All kernels are compiled when a context is made, as lazy ones are swapped for better in the middle of a
        measurement, and kept in the store for the next process.
        """
        strategies = getattr(self.trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategies is None:
            return None
        config = self.engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        config.cuda_graph_strategy = self.trt.CudaGraphStrategy.DISABLED
        cache = config.create_runtime_cache()
        path = self._cache_path()
        if path.is_file():
            cache.deserialize(path.read_bytes())  # what it does not take is compiled again
        if config.set_runtime_cache(cache):
            self.runtime_cache = cache
        return config

    def _cache_path(self) -> Any:
        facts = self.device.properties
        name = f"runtime-{facts.name}-{facts.compute_capability}-{self.trt.__version__}"
        return self.stored.path.parent / folder_name(name, ".cache")

    def _spec(self, name: str, known: TensorSpec | None) -> TensorSpec:
        """A tensor as the graph describes it, or as the engine does where no graph is known."""
        dtype = numpy_type(self.trt, self.engine.get_tensor_dtype(name), name).name
        shape = tuple(int(size) for size in self.engine.get_tensor_shape(name))
        if known is not None and len(known.shape) == len(shape) and known.dtype == dtype:
            return known
        return TensorSpec(name, tuple("batch" if d == -1 else d for d in shape), dtype)

    def range_of(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The least and the largest shape of an input."""
        shape = tuple(int(size) for size in self.engine.get_tensor_shape(name))
        if -1 not in shape:
            return shape, shape
        low, _, high = self.engine.get_tensor_profile_shape(name, 0)
        return tuple(map(int, low)), tuple(map(int, high))

    def new_context(self) -> Any:
        """An execution context.

        Raises:
            DeviceMemoryExhausted: the device has no room for it.
        """
        arguments = () if self.context_config is None else (self.context_config,)
        context = self.engine.create_execution_context(*arguments)
        if context is None:
            raise DeviceMemoryExhausted(
                f"{self.named} has no room to run: {self.log.last_error()}; take a smaller batch or fewer streams, "
                "or end what else is on the device"
            )
        return context

    def keep_compiled(self) -> None:
        """Keep the kernels that were compiled, beside the engine; a store that can't be written is left alone."""
        if self.runtime_cache is None:
            return
        content = self.runtime_cache.serialize()
        if content is not None:
            with contextlib.suppress(OutputFailed):
                write_atomic(self._cache_path(), bytes(content), "runtime cache")

    def close(self) -> None:
        """Give back the engine and the device."""
        self.context_config = self.runtime_cache = self.engine = self.runtime = None
        self.device.close()


def _outputs(engine: Engine) -> tuple[TensorSpec, ...]:
    return codec.from_values(engine.manifest.get("outputs", ()), tuple[TensorSpec, ...])


class TensorRTSession(DeviceSession):
    """One engine on the first device that CUDA sees.

    Args:
        loaded: the engine.
        owner: whether closing the session gives the engine back, too.
    """

    def __init__(self, loaded: LoadedEngine, *, owner: bool = True) -> None:
        self._loaded, self._owner = loaded, owner
        self._graph_wanted = False
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.inputs, self.outputs = loaded.inputs, loaded.outputs
        super().__init__(loaded.device, loaded.close if owner else None)
        try:
            start_s = time.perf_counter()
            self._context = loaded.new_context()
            self._owned.callback(setattr, self, "_context", None)
            if loaded.context_config is not None:
                self.compile_s = time.perf_counter() - start_s
        except BaseException:
            self.close()
            raise

    def share(self) -> TensorRTSession:
        """A session on the same engine with a context, a stream and buffers of its own; see `SessionBase.share`."""
        other = TensorRTSession(self._loaded, owner=False)
        other.inputs, other.boundary = self.inputs, self.boundary
        other._graph_wanted = self._graph_wanted
        return other

    def measure_as(self, boundary: str | None, *, cuda_graph: bool) -> None:
        """See `SessionBase.measure_as`."""
        if cuda_graph and not self._loaded.device.graphs:
            raise UsageError(
                f"{self._loaded.device.binding} has no CUDA graphs: leave --cuda-graph out, or use cuda-bindings"
            )
        self.boundary, self._graph_wanted = boundary or self.boundary, cuda_graph

    def _is_read_on_host(self, name: str) -> bool:
        return name in self._loaded.on_host

    def _least_batch(self, spec: TensorSpec) -> int:
        assert spec.batch_axis is not None
        return self._loaded.range_of(spec.name)[0][spec.batch_axis]

    def _check_shapes(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Refuse feeds of shapes that the engine was not built for.

        Raises:
            UsageError: one is.
        """
        for name, array in feeds.items():
            low, high = self._loaded.range_of(name)
            if len(low) != array.ndim or any(
                not least <= size <= most
                for least, size, most in zip(low, array.shape, high, strict=True)
            ):
                taken = f"{list(low)} to {list(high)}" if low != high else f"{list(low)} only"
                raise UsageError(
                    f"the engine takes input {name} as {taken}, not {list(array.shape)}: build one for that "
                    "batch, or leave --min-batch and --max-batch out"
                )

    def _attach(self, buffers: Buffers) -> Mapping[str, tuple[tuple[int, ...], Any]]:
        self._point_to(buffers)
        try:
            missing = self._context.infer_shapes()
        except RuntimeError as error:  # as of a reshape that does not fit these sizes
            shapes = ", ".join(f"{name}={list(shape)}" for name, shape in buffers.shapes.items())
            raise BuildFailed(
                f"the engine can't tell its shapes at {shapes}: {self._loaded.log.last_error(error)}; give sizes "
                "that the network takes"
            ) from error
        if missing:
            raise BuildFailed(f"the engine can't tell its shapes without {', '.join(missing)}")
        attached = {}
        for spec in self.outputs:
            shape = tuple(int(size) for size in self._context.get_tensor_shape(spec.name))
            if -1 in shape:
                raise BuildFailed(
                    f"output {spec.name} of the engine has a size that depends on the data, which this "
                    "package does not run: cut the graph before it, or use another backend"
                )
            kind = self._loaded.engine.get_tensor_dtype(spec.name)
            attached[spec.name] = (shape, numpy_type(self._loaded.trt, kind, spec.name))
        return attached

    def _attach_outputs(self, buffers: Buffers) -> None:
        self._point_to(buffers)

    def _point_to(self, buffers: Buffers) -> None:
        """Set the context's shapes and addresses to buffers.

        Raises:
            BuildFailed: TensorRT refuses.
        """
        for name, shape in buffers.shapes.items():
            if self._shapes.get(name) == shape:
                continue
            if not self._context.set_input_shape(name, shape):
                self._shapes.pop(name, None)
                raise self._loaded.refusal(
                    f"the engine does not take input {name} as {list(shape)}"
                )
            self._shapes[name] = shape
        for name, pair in (*buffers.inputs.items(), *buffers.outputs.items()):
            if not self._context.set_tensor_address(name, pair.address):
                raise self._loaded.refusal(f"the engine does not take an address for tensor {name}")

    def _preparation(self, buffers: Buffers) -> Callable[[], object]:
        """A context keeps one set of addresses, and other buffers may have been run since."""
        return partial(self._point_to, buffers)

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._stream.pointer):
            raise self._loaded.refusal("TensorRT did not run the engine")

    def _capture(self) -> Graph:
        """A run as a CUDA graph.

        Raises:
            BuildFailed: the engine does what a graph can't have, as one with loops may.
        """
        advice = "leave out --cuda-graph"
        ask = getattr(self._context, "is_stream_capturable", None)  # of TensorRT for RTX alone
        if ask is not None and not ask(self._stream.pointer):
            raise BuildFailed(
                f"this engine can't be captured as a CUDA graph, as {self._loaded.trt.__name__} says; {advice}"
            )

        def enqueue() -> None:
            if not self._context.execute_async_v3(self._stream.pointer):
                raise BuildFailed(
                    f"this engine can't be captured as a CUDA graph: {self._loaded.log.last_error()}; {advice}"
                )

        return self._stream.capture(enqueue)

    def _launch(self, buffers: Buffers) -> None:
        if buffers.graph is None:
            self._execute()
        else:
            self._stream.launch(buffers.graph)

    def bind(self, feeds: Feeds) -> Bound:
        """See `DeviceSession.bind`; as a graph where asked for.

        The first run may compile or allocate, and a graph, which has its addresses in it, can be captured only
        after it.
        """
        start_s = time.perf_counter()
        bound = super().bind(feeds)
        if self.compile_s is not None and not self._bound:
            self.compile_s += time.perf_counter() - start_s
        if not self._graph_wanted:
            return bound
        buffers: Buffers = bound.argument
        try:
            buffers.graph = self._capture()
        except BaseException:
            buffers.release()
            raise
        return replace(bound, prepare=None)

    def layer_times(
        self, feeds: Sequence[Feeds], runs: int, limit_s: float | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Milliseconds of every layer of the engine in each of `runs` runs, by TensorRT's own profiler.

        After `limit_s` seconds no further run begins; the first one is always made.

        The profiler waits for every layer: what the whole run takes meanwhile says nothing.
        """
        base: Any = self._loaded.trt.IProfiler

        class Profiler(base):  # type: ignore[misc] # its base is only known when TensorRT is imported
            def __init__(self) -> None:
                base.__init__(self)
                self.times: list[tuple[str, float]] = []

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                self.times.append((layer_name, ms))

        profiler = Profiler()
        taken: dict[str, NDArray[np.float64]] = {}
        buffers = [self._allocated(self._checked(one)) for one in feeds]
        self._context.profiler = profiler
        done, start_s = 0, time.perf_counter()
        try:
            for i in range(runs):
                self._point_to(buffers[i % len(buffers)])
                profiler.times.clear()
                self._round_trip(buffers[i % len(buffers)])
                if not profiler.times:
                    raise BuildFailed("TensorRT reported no layer times for the engine")
                for (
                    name,
                    ms,
                ) in profiler.times:  # a layer in a loop is reported more than once a run
                    taken.setdefault(name, np.zeros(runs))[i] += ms
                done += 1
                if limit_s is not None and time.perf_counter() - start_s >= limit_s:
                    break
        finally:
            for one in buffers:
                one.release()
        return {name: of_runs[:done] for name, of_runs in taken.items()}

    def close(self) -> None:
        """Give back context, stream and buffers, and the engine where it is this session's own."""
        try:
            if self._owner and self._loaded.engine is not None:
                self._loaded.keep_compiled()
        finally:
            super().close()
