"""ONNX Runtime on the CPU: the embedded default.

An engine is the graph after all of ONNX Runtime's optimisations, saved as it will be executed: what is
read back from it is what runs, and loading it again repeats no optimisation. It is specific to the
instruction sets of the machine that built it, which are therefore part of its key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.errors import BuildFailed, MissingDependency, OutputFailed, one_line
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason, TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from deploykit.backends.protocol import Feeds

_PROVIDER = "CPUExecutionProvider"
#: How ONNX Runtime says that the optimised graph could not be written; it names no reason on a full disk.
_WRITE_FAILED = ("Protobuf serialization failed", "No space left", "Read-only file system")
_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            f'ONNX Runtime is not installed ({one_line(error, 80)}): pip install "deploykit[cpu]"'
        ) from error
    return onnxruntime


class OnnxRuntimeCpu:
    """Builds and runs engines with ONNX Runtime's CPU provider."""

    name = "onnxruntime"
    target = "cpu"
    filename = "engine.onnx"
    # x86 has no FP16 convolution kernels in ONNX Runtime: the graph is computed in FP32 and rounded.
    emulated: Mapping[str, str] = {"fp16": "fp32"}
    #: Part of every engine's key: raised when `build` makes something else of the same graph.
    revision = 2

    def available(self) -> Reason | None:
        """None where ONNX Runtime is installed."""
        if self._installed() is None:
            return Reason("ONNX Runtime is not installed", 'pip install "deploykit[cpu]"')
        return None

    def device(self) -> str | Reason:
        """The processor."""
        return env.device_name()

    def _installed(self) -> str | None:
        return next((v for name in _DISTRIBUTIONS if (v := env.package_version(name))), None)

    def version(self) -> str:
        """The installed version, from package metadata."""
        return self._installed() or "none"

    def host(self) -> str:
        """What an engine is specific to: the architecture and the instruction sets kernels are picked by."""
        facts = env.machine()
        return " ".join([facts["architecture"], *facts["features"]])

    def prepare(self) -> None:
        """Import the runtime, so that its own memory does not count as that of the first engine."""
        _import_runtime()

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Optimise the graph for this processor and save it as it will run; see `Backend.build`."""
        from deploykit.backends.onnxruntime_readback import (
            check_rounded,
            read_back,
            rewritten_names,
            with_half_rounding,
            without_initialiser_inputs,
        )

        runtime = _import_runtime()
        session_options = runtime.SessionOptions()
        session_options.log_severity_level = 3
        session_options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session_options.optimized_model_filepath = str(path)
        source = without_initialiser_inputs(model.path)
        rounded = with_half_rounding(source) if model.precision in self.emulated else None
        source = rounded or source
        try:
            session = runtime.InferenceSession(source, session_options, providers=[_PROVIDER])
        except Exception as error:
            message = one_line(error)
            if any(sign in message for sign in _WRITE_FAILED):
                raise OutputFailed(
                    f"can't write the engine {path.name}: {message}; free some space in the store, "
                    "or choose another with --store"
                ) from error
            raise BuildFailed(
                f"ONNX Runtime {self.version()} refuses {model.path.name}: {message}"
            ) from error
        providers = session.get_providers()
        if providers != [_PROVIDER]:
            raise BuildFailed(f"ONNX Runtime took {providers} instead of {_PROVIDER}; reinstall it")
        del session
        found = read_back(path, rewritten_names(source))
        if rounded is not None:
            check_rounded(path, model.recipe.get("kept", ()))
        return {"compute_types": found, "host": self.host(), "rounded": rounded is not None}

    def load(self, engine: Engine, threads: int | None = None) -> OnnxRuntimeSession:
        """A session on the saved graph, with no further optimisation; see `Backend.load`."""
        return OnnxRuntimeSession(engine.path, threads)


class OnnxRuntimeSession:
    """One loaded graph; inputs and outputs live in host memory and are bound once per set of feeds."""

    boundary = "end_to_end"

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        *,
        optimise: bool = False,
        profile: Path | None = None,
    ) -> None:
        runtime = _import_runtime()
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        self.threads = threads or max(1, int(env.usable_cores()))
        options.intra_op_num_threads = self.threads
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        if not optimise:
            level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.graph_optimization_level = level
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=[_PROVIDER])
        except Exception as error:
            raise BuildFailed(
                f"ONNX Runtime can't load {path}: {one_line(error)}; build it again"
            ) from error
        self._ortvalue = runtime.OrtValue
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())
        self._bound_for: Sequence[Feeds] | None = None
        self._bindings: list[Any] = []
        self._turn = 0

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name."""
        values = self._session.run(None, dict(feeds))
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def _bind(self, feeds: Sequence[Feeds]) -> None:
        self._bindings = []
        for one in feeds:
            outputs = self.run(
                one
            )  # their shapes at this batch, so that buffers are allocated only here
            binding = self._session.io_binding()
            for name, array in one.items():
                binding.bind_ortvalue_input(name, self._ortvalue.ortvalue_from_numpy(array))
            for name, array in outputs.items():
                binding.bind_ortvalue_output(name, self._ortvalue.ortvalue_from_numpy(array))
            self._bindings.append(binding)
        self._bound_for = feeds

    def sample(self, feeds: Sequence[Feeds], n: int) -> NDArray[np.int64]:
        """Nanoseconds of `n` runs over bound host buffers, the sets of `feeds` taking turns."""
        import numpy as np

        if feeds is not self._bound_for:
            self._bind(feeds)
        bindings, sets = self._bindings, len(self._bindings)
        samples_ns = np.zeros(n, dtype=np.int64)
        run, clock = self._session.run_with_iobinding, time.perf_counter_ns
        # Turns go on from call to call: a slow network, or an arriving request, is one run per call.
        first = self._turn
        for i in range(n):
            binding = bindings[(first + i) % sets]
            start_ns = clock()
            run(binding)
            samples_ns[i] = clock() - start_ns
        self._turn = (first + n) % sets
        return samples_ns

    def end_profile(self) -> Path:
        """Stop writing the profile that was asked for, and say where it is; later runs go without."""
        return Path(self._session.end_profiling())

    def close(self) -> None:
        """Drop the session and its buffers."""
        self._bindings, self._bound_for = [], None
        del self._session


def _spec(value: Any) -> TensorSpec:
    """ONNX Runtime's description of an input or output in our words."""
    dtype = {"float": "float32", "double": "float64"}.get(kind := value.type[7:-1], kind)
    return TensorSpec(value.name, tuple(value.shape), dtype)
