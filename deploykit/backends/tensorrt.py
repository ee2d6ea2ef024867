"""TensorRT and TensorRT for RTX: engines for NVIDIA devices, built from strongly typed networks.

Both share one Python interface. `tensorrt-rtx` builds with no GPU; `tensorrt` needs one to build. The types
in the graph decide what an engine computes in; no builder flag raises or lowers them (TensorRT 11 has none,
and TF32, which would round FP32 products to 10 bits of mantissa, is switched off where the flag exists).

What an engine computes in is read from the build log, as deserialising an engine needs a GPU: see
`deploykit.backends.tensorrt_layers`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploykit import env
from deploykit.backends.base import BackendBase, SessionBase
from deploykit.backends.tensorrt_layers import FLOAT_OR_QUANTISED, compute_types, parse_layers
from deploykit.errors import BuildFailed, MissingDependency, UsageError, one_line
from deploykit.graph.element_types import typed_products
from deploykit.graph.normalise import inline_functions
from deploykit.graph.operators import Trait, has
from deploykit.graph.view import GraphView
from deploykit.lazy import install_line, onnx
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason

_NO_DEVICE = Reason(
    "no NVIDIA GPU here", "run the engine on a machine with one and its driver", missing="device"
)


class TensorRTBackend(BackendBase):
    """A builder of engines with one of the two TensorRT packages.

    Args:
        name: of the backend and of its target.
        module: to import.
        distribution: whose metadata has the version.
        remedy: the line that installs it.
        builds_without_device: whether the builder works where there is no GPU.
    """

    filename = "engine.plan"

    def __init__(
        self, name: str, module: str, distribution: str, remedy: str, *, builds_without_device: bool
    ) -> None:
        self.name = self.target = name
        self._module, self._distribution, self._remedy = module, distribution, remedy
        self._builds_without_device = builds_without_device

    def available(self) -> Reason | None:
        """None where engines can be built here; see `BackendBase.available`."""
        if env.package_version(self._distribution) is None:
            return Reason(f"{self._distribution} is not installed", self._remedy)
        if not self._builds_without_device and not env.gpu_names():
            return _NO_DEVICE
        return None

    def device(self) -> str | Reason:
        """The first NVIDIA device, or why engines can't run here."""
        names = env.gpu_names()
        return names[0] if names else _NO_DEVICE

    def version(self) -> str:
        """The installed version, from package metadata."""
        return env.package_version(self._distribution) or "none"

    def _import(self) -> Any:
        reason = self.available()
        if reason is not None:
            raise MissingDependency(str(reason))
        try:
            return importlib.import_module(self._module)
        except ImportError as error:
            raise MissingDependency(
                f"{self._distribution} does not import ({one_line(error, 80)}): {self._remedy}"
            ) from error

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Parse the graph, build and save a serialised engine; see `BackendBase.build`."""
        trt = self._import()
        log = _make_log(trt)
        builder = trt.Builder(log)
        network = builder.create_network(_network_flags(trt))
        parser = trt.OnnxParser(network, log)
        source, products = named_model(model.path)
        if not parser.parse(source):
            raise BuildFailed(
                f"{self.name} {self.version()} refuses {model.spec.label}: {_parser_errors(parser, log)}"
            )
        del source
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if hasattr(trt.BuilderFlag, "TF32"):
            config.clear_flag(trt.BuilderFlag.TF32)
        _set_shapes(builder, config, network, options)
        self._set_compute_capability(trt, config, options)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BuildFailed(
                f"{self.name} {self.version()} can't build {model.spec.label}: {log.last_error()}"
            )
        path.write_bytes(plan)
        layers = parse_layers(log.layer_listing)
        if not layers:
            raise BuildFailed(
                f"{self.name} {self.version()} gave no layer listing for {model.spec.label}, so the "
                "precision of the engine can't be read back; report this version of TensorRT"
            )
        types = compute_types(layers, products)
        # Recurrent layers and what lies in bodies: counted where the listing names them.
        for kind, nodes in compute_types(layers, other_products(model.path)).items():
            if kind in FLOAT_OR_QUANTISED:
                types.setdefault(kind, []).extend(nodes)
        return {
            "compute_types": types,
            "layers": len(layers),
            "compute_capability": options.compute_capability or "default",
        }

    def _set_compute_capability(self, trt: Any, config: Any, options: BuildOptions) -> None:
        wanted = options.compute_capability
        if wanted is None:
            return
        known = (
            {
                f"{name[2:-1]}.{name[-1]}": value
                for name, value in getattr(trt.ComputeCapability, "__members__", {}).items()
                if name.startswith("SM") and name[2:].isdigit()
            }
            if hasattr(trt, "ComputeCapability")
            else {}
        )
        if wanted not in known:
            raise UsageError(
                f"{self.name} {self.version()} can't build for compute capability {wanted}: "
                f"choose from {', '.join(sorted(known, key=float)) or 'none (it builds for its own GPU)'}"
            )
        config.num_compute_capabilities = 1
        config.set_compute_capability(known[wanted], 0)

    def largest_batch(self, engine: Engine) -> int | None:
        """The end of the range of batches that the engine's profile covers."""
        options = engine.manifest.get("options")
        if not isinstance(options, Mapping) or "batch_max" not in options:
            return None
        return int(options["batch_max"])

    def open(self, engine: Engine, threads: int | None, run_pass: str) -> SessionBase:
        """A session on the first NVIDIA device; `threads` has no meaning there."""
        device = self.device()
        if isinstance(device, Reason):
            raise MissingDependency(str(device))
        from deploykit.backends.tensorrt_session import TensorRTSession

        return TensorRTSession(self._import(), engine.path)


def _network_flags(trt: Any) -> int:
    """Strong typing: by flag where there is one, else it is the only kind of network there is."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _make_log(trt: Any) -> Any:
    """A logger that keeps errors and the layer listing; everything else would be megabytes."""

    class Log(trt.ILogger):  # type: ignore[misc] # its base is only known when TensorRT is imported
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.layer_listing = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)
            elif message.startswith("Layers:"):
                self.layer_listing = message

        def last_error(self) -> str:
            return one_line(self.errors[-1]) if self.errors else "it gave no reason"

    return Log()


def _parser_errors(parser: Any, log: Any) -> str:
    if parser.num_errors == 0:
        return str(log.last_error())
    error = parser.get_error(0)
    place = f"node {error.node_name()} ({error.node_operator()}): " if error.node_name() else ""
    return place + one_line(error.desc())


def _set_shapes(builder: Any, config: Any, network: Any, options: BuildOptions) -> None:
    """Give every input with a symbolic batch the range 1 … batch_max."""
    profile, dynamic = builder.create_optimization_profile(), False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tuple(tensor.shape)
        if -1 not in shape:
            continue
        if shape.count(-1) > 1:
            raise UsageError(
                f"input {tensor.name} has symbolic dimensions beyond the batch {shape}: "
                "give them sizes with --shape or --dim"
            )
        low, best, high = (
            tuple(n if size == -1 else size for size in shape)  # the batch, on whichever axis
            for n in (1, options.batch_opt, options.batch_max)
        )
        profile.set_shape(tensor.name, low, best, high)
        dynamic = True
    if dynamic:
        config.add_optimization_profile(profile)


def named_model(path: Path) -> tuple[bytes, list[str]]:
    """The graph's bytes, functions written out and every node named, and the names of the nodes that multiply.

    The listing can only tell which layer came from which node if the nodes have names. Products of constants
    alone are not among those that multiply: the builder computes them, not the engine.
    """
    model = onnx.load(str(path))
    renamed = inline_functions(model) > 0
    for index, node in enumerate(model.graph.node):
        if not node.name:
            node.name, renamed = f"{node.op_type}_{index}", True
    view = GraphView(model)
    products = [n.name for n in view.nodes if has(n, Trait.PRODUCT) and not view.all_fixed(n)]
    return (bytes(model.SerializeToString()) if renamed else path.read_bytes()), products


def other_products(path: Path) -> list[str]:
    """Names of the nodes that multiply beside the products of the main graph: recurrent ones, those in bodies."""
    view = GraphView(onnx.load(str(path), load_external_data=False))
    return [
        node.name
        for node, _, depth in typed_products(view)
        if node.name and (depth or not has(node, Trait.PRODUCT))
    ]


def tensorrt_rtx() -> TensorRTBackend:
    """TensorRT for RTX: a plain wheel, builds for RTX devices with no GPU."""
    return TensorRTBackend(
        "tensorrt-rtx",
        "tensorrt_rtx",
        "tensorrt-rtx",
        install_line("rtx"),
        builds_without_device=True,
    )


def tensorrt() -> TensorRTBackend:
    """TensorRT for data centres: needs NVIDIA's package index and a GPU."""
    return TensorRTBackend(
        "tensorrt",
        "tensorrt",
        "tensorrt",
        install_line("gpu"),
        builds_without_device=False,
    )
