"""ONNX Runtime on NVIDIA devices: its CUDA provider, and TensorRT and TensorRT for RTX as providers within it.

An engine is the graph in the precision of its target, as the provider gets it. What the provider makes of it is
kept beside it (TensorRT's engines, compiled kernels) or in the store (times of kernels), so that loading it again
compiles nothing. TensorRT's providers build strongly typed networks as long as no option asks for a precision:
the types in the graph decide, and none of these options is set.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import codec, env
from deploykit.backends import usage
from deploykit.backends.base import BackendBase, SessionBase, engine_inputs
from deploykit.backends.onnxruntime import without_initialiser_inputs, without_weights
from deploykit.backends.onnxruntime_gpu_session import (
    COMPILED,
    OnnxRuntimeGpuSession,
    products_of,
)
from deploykit.backends.onnxruntime_types import read_back
from deploykit.cuda import devices
from deploykit.errors import MissingDependency, OutputFailed, one_line
from deploykit.graph.element_types import typed_products
from deploykit.graph.nodes import node_name
from deploykit.graph.precision import AS_IS, find_recipe
from deploykit.graph.read_write import copy_files
from deploykit.graph.recipes import PrecisionRecipe
from deploykit.graph.values import make_values
from deploykit.graph.view import GraphView
from deploykit.lazy import install_line, np, onnx, ort
from deploykit.ort_session import PROVIDER as PROCESSOR
from deploykit.ort_session import open_on_device
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason, RunOptions, TensorSpec

if TYPE_CHECKING:
    from deploykit.backends.base import Feeds

CUDA, TENSORRT, RTX = (
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
    "NvTensorRTRTXExecutionProvider",
)
#: Wheels that bring the module `onnxruntime`, of which only one can be installed.
_WITH_CUDA, _PLAIN = "onnxruntime-gpu", "onnxruntime"
#: Wheels that bring the provider of TensorRT for RTX, and their module.
_RTX_WHEELS = ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12")
_RTX_MODULE = "onnxruntime_ep_nv_tensorrt_rtx"
_LIBRARIES = {
    CUDA: "libonnxruntime_providers_cuda.so",
    TENSORRT: "libonnxruntime_providers_tensorrt.so",
}
#: The libraries of TensorRT that its provider's library names as those it is linked with.
_OF_TENSORRT = re.compile(rb"libnv(?:infer|onnxparser)\.so\.\d+")


def both_installed(install: str) -> Reason | None:
    """Why ONNX Runtime can't be relied on where both of its wheels are installed; None where one is, or none.

    Whichever came second is half overwritten, and stays so when the other one is removed.

    Args:
        install: the line that installs the wanted one.
    """
    if env.package_version(_PLAIN) is None or env.package_version(_WITH_CUDA) is None:
        return None
    text = f"{_PLAIN} and {_WITH_CUDA} are both installed and overwrite each other"
    return Reason(text, f"pip uninstall -y {_PLAIN} {_WITH_CUDA} && {install}")


def library_of(provider: str) -> Path | None:
    """The library of a provider that came with ONNX Runtime; None where there is none."""
    found = importlib.util.find_spec("onnxruntime")
    if not found or not found.origin or provider not in _LIBRARIES:
        return None
    library = Path(found.origin).parent / "capi" / _LIBRARIES[provider]
    return library if library.is_file() else None


class OnnxRuntimeCuda(BackendBase):
    """Runs graphs with ONNX Runtime's CUDA provider, operator by operator.

    It has no 8-bit convolutions: those between Q/DQ pairs are computed in float32, on values that the pairs round.
    """

    name = "onnxruntime-cuda"
    target = "cuda"
    filename = "engine.onnx"
    emulated: Mapping[str, str] = {"int8": "fp32"}
    precisions: tuple[str, ...] | None = ("fp32", "fp16", "int8", AS_IS)
    boundaries = ("end_to_end", "device")
    cuda_graphs = True
    provider = CUDA
    #: Providers that are asked for the nodes that it does not take, before the processor is.
    behind: tuple[str, ...] = ()
    #: The wheel of ONNX Runtime that has it.
    distribution = _WITH_CUDA
    #: The option that lets it capture runs, that of a run which names the graph, and the name of none.
    graph_option, graph_id, no_graph = "enable_cuda_graph", "gpu_graph_id", "-1"
    #: Whether it compiles graphs, into what is kept beside the engine.
    compiles = False
    #: Why the types that its engines compute in are not read back; empty where they are.
    types_not_read_back = ""

    def recipes(self) -> Sequence[PrecisionRecipe]:
        """Those of TensorRT: symmetric Q/DQ pairs are the form that it and its providers take."""
        return [find_recipe(name, "tensorrt") for name in self.precisions or ()]

    def on_gpu(self) -> bool:
        """Always."""
        return True

    def available(self) -> Reason | None:
        """None where the provider can be used here, else what is missing; ONNX Runtime is imported last."""
        reason = both_installed(self.install) or self._missing()
        if reason is not None:
            return reason
        device = self.device()
        if isinstance(device, Reason):
            return device
        self.prepare()
        return self._not_offered()

    @property
    def install(self) -> str:
        """The line that installs what it needs."""
        return install_line("ort-gpu")

    def _missing(self) -> Reason | None:
        if env.package_version(_WITH_CUDA) is None:
            other = (
                env.package_version(_PLAIN) is not None
            )  # both in one place overwrite each other
            first = f"pip uninstall -y {_PLAIN} && " if other else ""
            return Reason(f"{_WITH_CUDA} is not installed", first + self.install)
        if env.package_version("cuda-bindings") is None:
            return Reason("cuda-bindings is not installed", install_line("cuda"))
        return None

    def _not_offered(self) -> Reason | None:
        """Why ONNX Runtime as it is installed does not have the provider."""
        offered = ort.get_available_providers()
        if self.provider in offered:
            return None
        text = f"ONNX Runtime {self.version()} is built without {self.provider}"
        return Reason(text, f"pip uninstall -y {_WITH_CUDA} && {self.install}")

    def device(self) -> str | Reason:
        """The first NVIDIA device that CUDA shows, or why there is none."""
        found = devices.find()
        if not found.gpus:
            return found.problem or devices.NO_DEVICE
        major = int((env.package_version("cuda-bindings") or "0").partition(".")[0])
        return found.too_old(major) or found.gpus[0].name

    def version(self) -> str:
        """The version of ONNX Runtime, from package metadata."""
        return env.package_version(self.distribution) or "none"

    def host(self) -> str | None:
        """The device: its kernels are chosen, and graphs compiled, for it."""
        gpus = devices.find().gpus
        return f"{gpus[0].name} {gpus[0].compute_capability}" if gpus else None

    def prepare(self) -> None:
        """Import the runtime, and load the CUDA libraries that wheels of NVIDIA's bring."""
        load = getattr(ort, "preload_dlls", None)
        if load is not None:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
                load()

    def largest_batch(self, engine: Engine) -> int | None:
        """The end of the range of batches that it was compiled for."""
        if "batch_max" not in self.build_options:
            return None
        options = engine.manifest.get("options", {})
        return int(options["batch_max"]) if "batch_max" in options else None

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Store the graph, let the provider compile it and run it once; see `BackendBase.build`.

        Raises:
            MissingDependency: the provider does not load.
        """
        source = without_initialiser_inputs(model.path)
        try:
            if isinstance(source, bytes):
                path.write_bytes(source)
            else:
                copy_files(Path(source), path)
            (path.parent / COMPILED).mkdir()
        except OSError as error:
            raise OutputFailed(f"can't write the engine {path.name}: {error}") from error
        graph = GraphView(onnx.load(str(path), load_external_data=False))
        manifest: dict[str, Any] = {
            "inputs": codec.to_values(model.inputs),
            "outputs": codec.to_values(model.outputs),
            "options": codec.to_values(options),
            "precision": model.precision,
            "model": {"label": model.spec.label},
            "products": products_of(graph),
        }
        optimised = path.parent / "optimised.onnx"
        engine = Engine(path, "", manifest)
        with self._session(engine, optimised, timing=options.timing_cache) as session:
            session.run(_probe(model.inputs, options.batch_opt))
            placed = session.placement
        elsewhere = placed.elsewhere(self.provider, manifest["products"]) if placed else {}
        types = self._compute_types(graph, optimised, elsewhere)
        optimised.unlink(missing_ok=True)
        return {
            "compute_types": types,
            "types_not_read_back": self.types_not_read_back,
            # Those who run it before it is stored need to know them, too.
            "options": manifest["options"],
            "precision": model.precision,
            "host": self.host(),
            "providers": dict(placed.nodes) if placed else {},
            "products": manifest["products"],
            "rounded": model.precision in self.emulated,
            "tf32": False,
        }

    def _compute_types(
        self, graph: GraphView, optimised: Path, elsewhere: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """What the products compute in, read from the graph as the provider runs it.

        Args:
            graph: that was built.
            optimised: as the provider runs it, where it can be written.
            elsewhere: products that another provider computed, with its name.
        """
        return read_back(optimised, without_weights(bytes(graph.model.SerializeToString())))

    def usage(self, model: OnnxModel, options: BuildOptions) -> str | None:
        """See `BackendBase.usage`; what a provider compiles lies beside the graph and is made anew elsewhere."""
        if self.provider != CUDA:
            return None
        return usage.onnxruntime_gpu(self.filename, model.inputs, options.batch_opt, self.provider)

    def open(
        self, engine: Engine, threads: int | None, run_pass: str, options: RunOptions = ()
    ) -> SessionBase:
        """A session on the first NVIDIA device; `threads` has no meaning there."""
        reason = self.available()
        if reason is not None:
            raise MissingDependency(str(reason))
        return self._session(engine)

    def _session(
        self, engine: Engine, optimised: Path | None = None, *, timing: bool = False
    ) -> OnnxRuntimeGpuSession:
        self.prepare()
        return OnnxRuntimeGpuSession(self, engine, optimised, timing=timing)

    def provider_options(
        self, engine: Engine, stream: int, graph: bool, timing: bool
    ) -> dict[str, str]:
        """Options of the provider: FP32 means FP32, and work goes into the session's stream."""
        return {
            "device_id": "0",
            "use_tf32": "0",
            "user_compute_stream": str(stream),
            self.graph_option: str(int(graph)),
        }

    def providers(self, engine: Engine, stream: int, graph: bool, timing: bool) -> list[Any]:
        """The providers to ask, in their order, each with its options."""
        own = (self.provider, self.provider_options(engine, stream, graph, timing))
        others = [
            (name, {"device_id": "0", "use_tf32": "0", "user_compute_stream": str(stream)})
            for name in self.behind
        ]
        return [own, *others, PROCESSOR]

    def make_session(self, path: Path, options: Any, providers: list[Any]) -> Any:
        """An ONNX Runtime session; one that fails is an error, not a session on the processor."""
        return open_on_device(path, options, providers)

    def why_not_loaded(self) -> str:
        """What the system says of the provider's library; empty where it says nothing."""
        for provider in (*self.behind, self.provider):
            library = library_of(provider)
            if library is None:
                continue
            try:
                shared = library.with_name("libonnxruntime_providers_shared.so")
                ctypes.CDLL(str(shared), ctypes.RTLD_GLOBAL)
                ctypes.CDLL(str(library))
            except OSError as error:
                return one_line(error, 160)
        return ""

    def not_loaded(self, reason: str = "") -> MissingDependency:
        """The error of a provider that does not load."""
        said = reason or self.why_not_loaded()
        return MissingDependency(
            f"ONNX Runtime does not load {self.provider} and would run on the processor"
            f"{f' ({said})' if said else ''}: {self.load_remedy}"
        )

    @property
    def load_remedy(self) -> str:
        """What brings the libraries that the provider needs."""
        return f'pip install "{_WITH_CUDA}[cuda,cudnn]"'


def _probe(inputs: Sequence[TensorSpec], batch: int) -> Feeds:
    """One set of inputs for the run that shows where nodes are computed."""
    generator = np.random.default_rng(0)
    return {spec.name: make_values(spec, batch, generator) for spec in inputs}


#: The packages that bring TensorRT's libraries, or say which they belong to.
_TENSORRT_PACKAGES = (
    "tensorrt",
    *(f"tensorrt-cu{major}{part}" for major in (13, 12) for part in ("", "-bindings")),
)


class OnnxRuntimeTensorRT(OnnxRuntimeCuda):
    """Runs graphs with ONNX Runtime's TensorRT provider; what TensorRT does not take goes to the CUDA provider."""

    name = target = "onnxruntime-tensorrt"
    emulated: Mapping[str, str] = {}
    precisions = ("fp32", "fp16", "bf16", "int8", AS_IS)
    build_options: tuple[str, ...] = (
        "batch_min",
        "batch_opt",
        "batch_max",
        "optimization_level",
        "workspace_mib",
        "sparse",
        "timing_cache",
    )
    provider = TENSORRT
    behind: tuple[str, ...] = (CUDA,)
    graph_option = "trt_cuda_graph_enable"
    compiles = True
    types_not_read_back = (
        "the provider builds engines that list no types of layers, and no option changes that"
    )

    def version(self) -> str:
        """The versions of ONNX Runtime and of TensorRT, which compiles the engines, from package metadata."""
        found = (version for name in _TENSORRT_PACKAGES if (version := env.package_version(name)))
        return f"{super().version()} (TensorRT {next(found, 'none')})"

    def prepare(self) -> None:
        """Import the runtime, load CUDA's libraries and TensorRT's, and switch TF32 off, which no option does."""
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        super().prepare()
        with contextlib.suppress(
            ImportError
        ):  # its wheel loads the libraries that the provider asks for
            importlib.import_module("tensorrt")

    def _not_offered(self) -> Reason | None:
        """ONNX Runtime offers the provider wherever it was built with it, whether TensorRT is there or not."""
        library = library_of(self.provider)
        if library is not None:
            for name in sorted(set(_OF_TENSORRT.findall(library.read_bytes()))):
                try:
                    ctypes.CDLL(name.decode())
                except OSError as error:
                    text = f"{self.provider} needs TensorRT's libraries: {one_line(error, 160)}"
                    return Reason(text, install_line("tensorrt"))
        return super()._not_offered()

    def provider_options(
        self, engine: Engine, stream: int, graph: bool, timing: bool
    ) -> dict[str, str]:
        """Options of the provider, with the range of shapes to build for and where engines are kept."""
        asked = codec.from_values(engine.manifest.get("options", {}), BuildOptions)
        options = {
            "device_id": "0",
            "user_compute_stream": str(stream),
            self.graph_option: str(int(graph)),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(engine.path.parent / COMPILED),
            **shape_options(engine_inputs(engine), asked, "trt_profile_{}_shapes"),
        }
        if asked.optimization_level is not None:
            options["trt_builder_optimization_level"] = str(asked.optimization_level)
        if asked.workspace_mib is not None:
            options["trt_max_workspace_size"] = str(asked.workspace_mib * 2**20)
        if asked.sparse:
            options["trt_sparsity_enable"] = "1"
        if timing and self.caches is not None:
            options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(self.caches)}
        return options

    def _compute_types(
        self, graph: GraphView, optimised: Path, elsewhere: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """The types in the graph, which a strongly typed network computes in; the provider lists no layers.

        Of what fell back to another provider it is known better: none of them has 8-bit products between Q/DQ
        pairs, and the processor none of 16 bits.
        """
        by_type: dict[str, list[str]] = {}
        for node, kind, _ in typed_products(graph):
            name = node_name(node)
            at = elsewhere.get(name)
            if at is not None and (kind in ("int8", "fp8") or at == PROCESSOR):
                kind = "fp32"
            by_type.setdefault(kind, []).append(name)
        return by_type

    @property
    def load_remedy(self) -> str:
        """What brings the libraries that the provider needs."""
        return f"{super().load_remedy} && {install_line('tensorrt')}"


class OnnxRuntimeRtx(OnnxRuntimeTensorRT):
    """Runs graphs with the provider of TensorRT for RTX, a wheel of its own beside the plain ONNX Runtime."""

    name = target = "onnxruntime-rtx"
    build_options = ("batch_min", "batch_opt", "batch_max", "workspace_mib")
    provider = RTX
    behind = ()
    distribution = _PLAIN
    graph_option, graph_id, no_graph = "enable_cuda_graph", "cuda_graph_annotation_id", ""

    @property
    def install(self) -> str:
        """The line that installs what it needs."""
        return f"pip install {_PLAIN} {_RTX_WHEELS[0]} cuda-bindings nvidia-ml-py"

    def _missing(self) -> Reason | None:
        wanted = _RTX_WHEELS[0]
        if env.package_version(_PLAIN) is None and env.package_version(_WITH_CUDA) is not None:
            text = f"{wanted} needs the plain {_PLAIN}, and {_WITH_CUDA} is installed"
            return Reason(text, f"pip uninstall -y {_WITH_CUDA} && {self.install}")
        if all(env.package_version(name) is None for name in _RTX_WHEELS):
            return Reason(f"{wanted} is not installed", self.install)
        if env.package_version(_PLAIN) is None:
            return Reason(f"{_PLAIN} is not installed", self.install)
        if env.package_version("cuda-bindings") is None:
            return Reason("cuda-bindings is not installed", install_line("cuda"))
        return None

    def _not_offered(self) -> Reason | None:
        try:
            self._plugin_devices()
        except MissingDependency as error:
            text, _, remedy = str(error).rpartition(": ")
            return Reason(text, remedy)
        return None

    def prepare(self) -> None:
        """Import the runtime, and switch TF32 off, which no option does."""
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
        _ = ort.__version__

    def version(self) -> str:
        """The versions of the provider and of ONNX Runtime, from package metadata."""
        own = next((v for name in _RTX_WHEELS if (v := env.package_version(name))), "none")
        return f"{own} (onnxruntime {env.package_version(_PLAIN) or 'none'})"

    def provider_options(
        self, engine: Engine, stream: int, graph: bool, timing: bool
    ) -> dict[str, str]:
        """Options of the provider, with the range of shapes to build for and where kernels are kept."""
        asked = codec.from_values(engine.manifest.get("options", {}), BuildOptions)
        options = {
            "has_user_compute_stream": "1",
            "user_compute_stream": str(stream),
            self.graph_option: str(int(graph)),
            "nv_runtime_cache_path": str(engine.path.parent / COMPILED),
            **shape_options(engine_inputs(engine), asked, "nv_profile_{}_shapes"),
        }
        if asked.workspace_mib is not None:
            options["nv_max_workspace_size"] = str(asked.workspace_mib * 2**20)
        return options

    def _plugin_devices(self) -> list[Any]:
        """The devices that the provider offers, once its library is registered.

        Raises:
            MissingDependency: it does not load, or has none.
        """
        try:
            plugin = importlib.import_module(_RTX_MODULE)
            ort.register_execution_provider_library(self.provider, plugin.get_library_path())
        except (
            Exception
        ) as error:  # the runtime has an error class per status code, without a common base
            if "already registered" not in str(error):
                raise self.not_loaded(one_line(error, 160)) from error
        found = [one for one in ort.get_ep_devices() if one.ep_name == self.provider]
        if not found:
            raise self.not_loaded("it offers no device")
        return found

    def make_session(self, path: Path, options: Any, providers: list[Any]) -> Any:
        """An ONNX Runtime session on the first device that the provider offers."""
        options.add_provider_for_devices(self._plugin_devices()[:1], providers[0][1])
        return open_on_device(path, options)

    @property
    def load_remedy(self) -> str:
        """What brings the provider, and what it can't do without."""
        return f"pip install {_RTX_WHEELS[0]}, on a machine with an RTX GPU and its driver"


def shape_options(inputs: Sequence[TensorSpec], options: BuildOptions, name: str) -> dict[str, str]:
    """The ranges of inputs whose batch is open, as both TensorRT providers take them.

    Args:
        inputs: of the graph.
        options: with the least batch, the one to tune for and the largest.
        name: of the option, with a place for "min", "opt" and "max".
    """
    open_inputs = [spec for spec in inputs if spec.dynamic_batch]
    if not open_inputs:
        return {}

    def text(batch: int) -> str:
        sizes = (f"{one.name}:{'x'.join(map(str, one.with_batch(batch)))}" for one in open_inputs)
        return ",".join(sizes)

    batches = {"min": options.batch_min, "opt": options.batch_opt, "max": options.batch_max}
    return {name.format(which): text(batch) for which, batch in batches.items()}
