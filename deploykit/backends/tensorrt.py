"""TensorRT and TensorRT for RTX: engines for NVIDIA devices, built from strongly typed networks.

Both share one Python interface. `tensorrt-rtx` builds with no GPU; `tensorrt` needs one to build. The types
in the graph decide what an engine computes in; no builder flag raises or lowers them (TensorRT 11 has none,
and TF32, which would round FP32 products to 10 bits of mantissa, is switched off where the flag exists).

What an engine computes in is read from the engine's inspector where it loads, which needs a GPU, else from the log
of its build: see `deploykit.backends.tensorrt_layers`. Both texts are kept beside the engine, in `LISTINGS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from deploykit import env
from deploykit.backends import usage
from deploykit.backends.base import BackendBase, SessionBase, TimedParts
from deploykit.backends.tensorrt_layers import (
    FLOAT_OR_QUANTISED,
    parse_layers,
    placed_nodes,
    told_by,
    unnamed_type,
)
from deploykit.cuda import devices
from deploykit.errors import BuildFailed, MissingDependency, UsageError, one_line
from deploykit.graph.element_types import typed_products
from deploykit.graph.inputs import dims_of, is_free
from deploykit.graph.nodes import graph_inputs
from deploykit.graph.normalise import inline_functions, write_out_decided
from deploykit.graph.operators import Kind, Trait, has, kind_of
from deploykit.graph.view import GraphView
from deploykit.lazy import install_line, metadata, onnx
from deploykit.ort_session import native_name
from deploykit.spec import BOUNDARIES, BuildOptions, Engine, OnnxModel, Reason, RunOptions
from deploykit.text import folder_name
from deploykit.writing import write_atomic

if TYPE_CHECKING:
    from tensorrt import Builder, IBuilderConfig, IHostMemory, Module, OnnxParser

#: What a factory of TensorRT's makes.
Made = TypeVar("Made")
#: `hardware_compatibility` of `BuildOptions`, by the names of TensorRT's enumeration.
HARDWARE_COMPATIBILITY = {
    "ampere+": "AMPERE_PLUS",
    "same-compute-capability": "SAME_COMPUTE_CAPABILITY",
}


#: Folder beside an engine, with what the log of its build says of its layers and, where it loads, its inspector.
LISTINGS, OF_LOG, OF_INSPECTOR = "listings", "log.txt", "inspector.json"
#: Without a request engines of TensorRT for RTX are for compute capabilities from this one on: Ampere and later.
_RTX_DEFAULT = 8.0


class TensorRTBackend(BackendBase):
    """A builder of engines with one of the two TensorRT packages.

    Args:
        name: of the backend and of its target.
        module: to import.
        distributions: that bring the module, each under a name of its own; the version is of whichever is there.
        extra: of deploykit that brings one of them.
        builds_without_device: whether the builder works where there is no GPU.
    """

    filename = "engine.plan"
    boundaries = BOUNDARIES
    cuda_graphs = True
    timed_parts: TimedParts | None = "layers"

    def __init__(
        self,
        name: str,
        module: str,
        distributions: Sequence[str],
        extra: str,
        *,
        builds_without_device: bool,
    ) -> None:
        self.name = self.target = name
        self._module, self._distributions, self._extra = module, distributions, extra
        self._builds_without_device = builds_without_device
        # A builder that needs no device measures no kernels: a cache of their times would force one.
        left_out = {"channels_last", "compile_mode"}  # PyTorch's
        left_out |= {"timing_cache"} if builds_without_device else set()
        self.build_options = tuple(f.name for f in fields(BuildOptions) if f.name not in left_out)

    def available(self) -> Reason | None:
        """None where engines can be built here; see `BackendBase.available`."""
        if not env.has_module(self._module):
            return Reason(f"{self._distributions[0]} is not installed", install_line(self._extra))
        device = self.device()
        if not self._builds_without_device and isinstance(device, Reason):
            return device
        return None

    def device(self) -> str | Reason:
        """The first NVIDIA device, or why engines can't run here."""
        names = env.gpu_names()
        if not names:
            return devices.find().problem or devices.NO_DEVICE
        return devices.find().too_old(self._cuda_major()) or self._unsupported() or names[0]

    def _unsupported(self) -> Reason | None:
        """Why the package has no code for this device, where it names those that it has; None where it may have."""
        gpu = devices.selected()
        if gpu is None or not self._builds_without_device or not env.has_module(self._module):
            return None
        try:
            supported = compute_capabilities(importlib.import_module(self._module))
        except (ImportError, OSError) as error:
            return self._not_importing(error)
        if gpu.compute_capability in supported:
            return None
        return Reason(
            f"{gpu.name} has compute capability {gpu.compute_capability}, and {self._named} supports "
            f"{', '.join(supported)}",
            "use --backend tensorrt on it",
            missing="device",
        )

    def host(self) -> str | None:
        """The device and CUDA that an engine is built for, where the builder builds for its own."""
        gpu = None if self._builds_without_device else devices.selected()
        if gpu is None:
            return None
        return f"{gpu.name}, compute capability {gpu.compute_capability}, CUDA {self._cuda_major()}"

    def foreign(self, engine: Engine) -> Reason | None:
        """Why an engine that was built for another device can't run on this one."""
        gpu = devices.selected()
        if gpu is None:
            return None
        here, manifest = gpu.compute_capability, engine.manifest
        built = manifest.get("compute_capability", "default")
        only_by_request = self._builds_without_device and float(here) < _RTX_DEFAULT
        if built not in ("default", here) or (built == "default" and only_by_request):
            wanted = f"compute capability {built}" if built != "default" else "Ampere and later"
            return Reason(
                f"the engine is built for {wanted}, and {gpu.name} has compute capability {here}",
                f"build it with --compute-capability {here}",
                missing="device",
            )
        host, compatible = manifest.get("host"), manifest.get("options", {})
        if host in (None, self.host()) or compatible.get("hardware_compatibility"):
            return None
        return Reason(
            f"the engine is built for {host}, and this is {self.host()}",
            "build it here",
            missing="device",
        )

    def on_gpu(self) -> bool:
        """Always."""
        return True

    def _cuda_major(self) -> int:
        """The major version of CUDA that its bindings are made for; 0 where they are not installed."""
        return int((env.package_version("cuda-bindings") or "0").partition(".")[0])

    def version(self) -> str:
        """The installed version, from the metadata of whichever distribution is there."""
        if not env.has_module(self._module):
            return "none"
        versions = (env.package_version(name) for name in self._distributions)
        known = next((version for version in versions if version), None)
        if known is None:  # brought by a distribution of another name
            others = metadata.packages_distributions().get(self._module, [])
            known = next((env.package_version(name) for name in others), None)
        return known or "unknown"

    def _import(self) -> Module:
        reason = self.available()
        if reason is not None:
            raise MissingDependency(str(reason))
        try:
            return cast("Module", importlib.import_module(self._module))
        except (ImportError, OSError) as error:
            raise MissingDependency(str(self._not_importing(error))) from error

    def _not_importing(self, error: Exception) -> Reason:
        text = f"{self._module} does not import ({one_line(error, 80)})"
        return Reason(text, install_line(self._extra))

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Parse the graph, build and save a serialised engine; see `BackendBase.build`."""
        trt = self._import()
        log = make_log(trt)
        register_plugins(trt, log)
        label = model.spec.label
        builder = self._made(lambda: trt.Builder(log), log)
        network = self._made(lambda: builder.create_network(_network_flags(trt)), log)
        parser = self._made(lambda: trt.OnnxParser(network, log), log)
        parsed = parsed_model(model.path, options)
        # Beside the path are the weights of a graph of more than 2 GB.
        if not parser.parse(parsed.source, native_name(model.path) or ""):
            raise BuildFailed(f"{self._named} refuses {label}: {_parser_errors(parser, log)}")
        config = self._made(builder.create_builder_config, log)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if hasattr(trt.BuilderFlag, "TF32"):
            config.clear_flag(trt.BuilderFlag.TF32)
        self._set_shapes(builder, config, parsed, log)
        self._set_options(trt, config, options, log)
        self._set_compute_capability(trt, config, options)
        keeps = options.timing_cache and not self._builds_without_device
        cache = self._timing_cache(config, log) if keeps else None
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BuildFailed(f"{self._named} can't build {label}: {log.last_error()}")
        path.write_bytes(plan)
        times = config.get_timing_cache() if cache is not None else None
        if cache is not None and times is not None:
            write_atomic(cache, bytes(times.serialize()), "timing cache")
        built = {"compute_capability": options.compute_capability or "default"}
        loads = self.foreign(Engine(path, "", built)) is None
        inspected = self._inspected(trt, log, plan, options, parsed) if loads else ""
        _keep_listings(path.parent, {OF_LOG: log.layer_listing, OF_INSPECTOR: inspected})
        listings = [
            found for text in (inspected, log.layer_listing) if (found := parse_layers(text))
        ]
        if not listings:
            raise BuildFailed(
                f"{self._named} gave no layer listing for {label}, so the precision of the engine can't be read "
                "back; report this version of TensorRT"
            )
        layers, types = listings[0], told_by(listings, parsed.products)
        # Recurrent layers and what lies in bodies: counted where the listing names them.
        others = told_by(listings, parsed.others)
        if (kind := next(filter(None, map(unnamed_type, listings)), None)) is not None:
            missing = [node for node in others.pop("unknown", ()) if node in parsed.recurrent]
            others.setdefault(kind, []).extend(missing)
        for kind, nodes in others.items():
            if kind in FLOAT_OR_QUANTISED and nodes:
                types.setdefault(kind, []).extend(nodes)
        return {
            "compute_types": types,
            "layers": len(layers),
            "layer_nodes": placed_nodes(layers, [*parsed.products, *parsed.others]),
            **built,
            "timing_cache": None if cache is None else cache.name,
        }

    @property
    def _named(self) -> str:
        return f"{self.name} {self.version()}"

    def _made(self, make: Callable[[], Made | None], log: Any) -> Made:
        """What `make` gives; TensorRT answers None, or the bindings raise, where it can't be had."""
        try:
            made = make()
        except (RuntimeError, TypeError) as error:  # "factory function returned nullptr"
            raise BuildFailed(f"{self._named} can't start: {log.last_error(error)}") from error
        if made is None:
            raise BuildFailed(f"{self._named} can't start: {log.last_error()}")
        return made

    def _set_shapes(
        self, builder: Builder, config: IBuilderConfig, parsed: Parsed, log: Any
    ) -> None:
        """Give every input that leaves sizes open its range."""
        if not parsed.ranges:
            return
        profile = self._made(builder.create_optimization_profile, log)
        try:
            for name, shapes in parsed.ranges.items():
                profile.set_shape(name, *shapes)
            taken = config.add_optimization_profile(profile) >= 0
        except (ValueError, RuntimeError, TypeError) as error:
            raise UsageError(f"{self._named} refuses a range: {log.last_error(error)}") from error
        if not taken:
            raise UsageError(f"{self._named} refuses the ranges of shapes: {log.last_error()}")

    def _set_options(
        self, trt: Module, config: IBuilderConfig, options: BuildOptions, log: Any
    ) -> None:
        """Set what the user asked of the builder, and read it back: what a builder lacks, it does not refuse.

        Raises:
            UsageError: it has no such option, or takes another value.
        """

        def check(option: str, wanted: Any, found: Any) -> None:
            if found != wanted:
                said = f" ({log.last_error()})" if log.errors else ""
                other = ", or use --target tensorrt" if self._builds_without_device else ""
                raise UsageError(f"{self._named} does not take {option}{said}: leave it out{other}")

        level = options.optimization_level
        if level is not None:
            config.builder_optimization_level = level
            check(f"--optimization-level {level}", level, config.builder_optimization_level)
        if options.workspace_mib is not None:
            pool, limit = trt.MemoryPoolType.WORKSPACE, options.workspace_mib * 2**20
            config.set_memory_pool_limit(pool, limit)
            check(f"--workspace {options.workspace_mib}", limit, config.get_memory_pool_limit(pool))
        if options.version_compatible:
            check(
                "--version-compatible", self._builds_without_device, False
            )  # RTX lacks the library for it
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.sparse:
            config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
        if options.hardware_compatibility is not None:
            name = HARDWARE_COMPATIBILITY[options.hardware_compatibility]
            wanted = getattr(trt.HardwareCompatibilityLevel, name)
            config.hardware_compatibility_level = wanted
            option = f"--hardware-compatibility {options.hardware_compatibility}"
            check(option, wanted, config.hardware_compatibility_level)
        if options.tactic_sources is not None:
            self._set_tactic_sources(trt, config, options.tactic_sources, log)

    def _set_tactic_sources(
        self, trt: Module, config: IBuilderConfig, names: Sequence[str], log: Any
    ) -> None:
        known = trt.TacticSource.__members__
        wanted = [name.upper().replace("-", "_") for name in names]
        for name in wanted:
            if name not in known:
                raise UsageError(
                    f"{self._named} has no tactic source {name}: choose from {', '.join(known)}"
                )
        if not config.set_tactic_sources(sum(1 << int(known[name]) for name in set(wanted))):
            raise UsageError(
                f"{self._named} does not take --tactic-sources {','.join(names)}: {log.last_error()}"
            )

    def _inspected(
        self, trt: Module, log: Any, plan: IHostMemory, options: BuildOptions, parsed: Parsed
    ) -> str:
        """What the inspector of the engine says of its layers; empty where the engine does not load here."""
        if isinstance(self.device(), Reason):
            return ""
        try:
            runtime = trt.Runtime(log)
            if options.version_compatible:  # such an engine brings code that runs on the host
                runtime.engine_host_code_allowed = True
            engine = runtime.deserialize_cuda_engine(plan)
        except (RuntimeError, TypeError):  # "factory function returned nullptr"
            return ""
        if engine is None:
            return ""
        inspector = engine.create_engine_inspector()
        if inspector is None:
            return ""
        told = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
        types = told_by([parse_layers(told)], parsed.products)
        # TensorRT for RTX tells types without shapes, and would compile for a context.
        if set(types) <= FLOAT_OR_QUANTISED or not parsed.ranges or self._builds_without_device:
            return told
        context = engine.create_execution_context()
        if context is None or not all(
            context.set_input_shape(name, best) for name, (_, best, _) in parsed.ranges.items()
        ):
            return told
        inspector.execution_context = context
        return inspector.get_engine_information(trt.LayerInformationFormat.JSON)

    def _set_compute_capability(self, trt: Module, config: Any, options: BuildOptions) -> None:
        wanted = options.compute_capability
        if wanted is None:
            return
        known = compute_capabilities(trt)
        if wanted not in known:
            raise UsageError(
                f"{self._named} can't build for compute capability {wanted}: "
                f"choose from {', '.join(known) or 'none (it builds for its own GPU)'}"
            )
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(known[wanted], 0):
            raise UsageError(f"{self._named} does not take compute capability {wanted} here")

    def _timing_cache(self, config: IBuilderConfig, log: Any) -> Path | None:
        """Let the builder use the times of kernels that earlier builds measured; the file they are kept in."""
        if self.caches is None:
            return None
        name = f"timing-{self._module}-{self.version()}-{self.host()}"
        path = self.caches / folder_name(name, ".cache")
        known = path.read_bytes() if path.is_file() else b""
        # What another version or device measured is not taken, nor what is damaged: it begins anew.
        for content in (known, b""):
            cache = config.create_timing_cache(content)
            if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
                return path
        raise BuildFailed(f"{self._named} does not take a timing cache: {log.last_error()}")

    def largest_batch(self, engine: Engine) -> int | None:
        """The end of the range of batches that the engine's profile covers."""
        options = engine.manifest.get("options")
        if not isinstance(options, Mapping) or "batch_max" not in options:
            return None
        return int(options["batch_max"])

    def usage(self, model: OnnxModel, options: BuildOptions) -> str:
        """See `BackendBase.usage`."""
        return usage.tensorrt(
            self.filename,
            model.inputs,
            options.batch_opt,
            self._module,
            host_code=options.version_compatible,
        )

    def open(
        self, engine: Engine, threads: int | None, run_pass: str, options: RunOptions = ()
    ) -> SessionBase:
        """A session on the first NVIDIA device; `threads` has no meaning there."""
        device = self.device()
        if isinstance(device, Reason):
            raise MissingDependency(str(device))
        builder = engine.manifest.get("builder", self.name)
        if builder != self.name:
            raise UsageError(f"{engine.path} was built by {builder}: use --backend {builder}")
        foreign = self.foreign(engine)
        if foreign is not None:
            raise MissingDependency(str(foreign))
        from deploykit.backends.tensorrt_session import LoadedEngine, TensorRTSession

        trt = self._import()
        log = make_log(trt)
        register_plugins(trt, log)
        supported = list(compute_capabilities(trt))
        return TensorRTSession(LoadedEngine(trt, engine, log, supported))


def _network_flags(trt: Module) -> int:
    """Strong typing: by flag where there is one, else it is the only kind of network there is."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def compute_capabilities(trt: Module) -> dict[str, Any]:
    """What a package can be told to build for: its enumeration's members by names such as "8.6", least first.

    Empty where it builds for the GPU that it runs on.
    """
    members = getattr(getattr(trt, "ComputeCapability", None), "__members__", {})
    found = {
        f"{name[2:-1]}.{name[-1]}": value
        for name, value in members.items()
        if name.startswith("SM") and name[2:].isdigit()
    }
    return dict(sorted(found.items(), key=lambda one: float(one[0])))


def make_log(trt: Module) -> Any:
    """A logger that keeps errors and the layer listing; everything else would be megabytes."""

    class Log(trt.ILogger):  # type: ignore[name-defined, misc] # its base is only known when TensorRT is imported
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.layer_listing = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)
            elif message.startswith("Layers:"):
                self.layer_listing = message

        def last_error(self, otherwise: object = "it gave no reason") -> str:
            return one_line(self.errors[-1] if self.errors else otherwise)

    return Log()


#: Loggers that were given to TensorRT's library of plugins, which keeps the last one's address.
_OF_PLUGINS: list[Any] = []


def register_plugins(trt: Module, log: Any) -> None:
    """Let parser and runtime find TensorRT's own plugins: its parser puts them where a graph has RoiAlign, say.

    TensorRT for RTX, which can be told a compute capability, has no library of them.
    """
    if not compute_capabilities(trt):
        _OF_PLUGINS.append(log)
        trt.init_libnvinfer_plugins(log, "")


def _keep_listings(folder: Path, texts: Mapping[str, str]) -> None:
    """Keep what is said of an engine's layers; its manifest has what was read from it."""
    for name, text in texts.items():
        if text:
            (folder / LISTINGS).mkdir(exist_ok=True)
            (folder / LISTINGS / name).write_bytes(text.encode(errors="surrogateescape"))


def _parser_errors(parser: OnnxParser, log: Any) -> str:
    if parser.num_errors == 0:
        return str(log.last_error())
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    # Of an operator that it does not know, the parser says "false".
    unknown = sorted({e.node_operator() for e in errors if e.desc().strip() == "false"} - {""})
    if unknown:
        return f"it has no {' nor '.join(unknown)}"
    error = errors[0]
    place = f"node {error.node_name()} ({error.node_operator()}): " if error.node_name() else ""
    return place + one_line(error.desc())


@dataclass(frozen=True)
class Parsed:
    """A graph as TensorRT's parser gets it.

    Attributes:
        source: its bytes: functions and branches that sizes decide are written out, every node is named, dimensions
            that are to have a range are open.
        products: names of the nodes that multiply. The listing can only tell which layer came from which node if
            the nodes have names. Products of constants alone are not among them: the builder computes those.
        others: names of what multiplies beside them: recurrent nodes, and those in bodies.
        recurrent: names of the recurrent nodes of the main graph.
        ranges: of every input with open dimensions, the least shape, the one to tune for and the largest.
    """

    source: bytes
    products: list[str]
    others: list[str]
    recurrent: list[str]
    ranges: Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]


def parsed_model(path: Path, options: BuildOptions) -> Parsed:
    """Read a graph for TensorRT's parser.

    Raises:
        UsageError: a range is said of an input that is not there, or does not fit it.
    """
    model = onnx.load(str(path), load_external_data=False)
    changed = inline_functions(model) > 0
    if not options.shapes:
        batch = options.batch_opt if options.batch_min == options.batch_max else None
        changed = write_out_decided(model, batch) > 0 or changed
    for index, node in enumerate(model.graph.node):
        if not node.name:
            node.name, changed = f"{node.op_type}_{index}", True
    view = GraphView(model)
    products = [n.name for n in view.nodes if has(n, Trait.PRODUCT) and not view.all_fixed(n)]
    others = other_products(view)
    recurrent = [n.name for n in view.nodes if kind_of(n) is Kind.RECURRENT]
    ranges = _ranges(model, options)
    changed = changed or bool(options.shapes)
    source = bytes(model.SerializeToString()) if changed else path.read_bytes()
    return Parsed(source, products, others, recurrent, ranges)


def _ranges(
    model: onnx.ModelProto, options: BuildOptions
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """The ranges of inputs with open dimensions; dimensions that `shapes` gives a range are opened in place."""
    inputs = {value.name: dims_of(value) for value in graph_inputs(model.graph)}
    given: dict[str, Sequence[tuple[int | None, ...]]] = {}
    for said, *of_input in options.shapes:
        name = next(iter(inputs)) if not said and len(inputs) == 1 else said
        if name not in inputs:
            raise UsageError(
                f"no input {name!r} to give a range: the inputs are {', '.join(inputs)}"
            )
        given[name] = of_input
    found: dict[str, Any] = {}
    for name, dims in inputs.items():
        shapes = given.get(name, ((), (), ()))
        for shape in shapes:
            if shape and len(shape) != len(dims):
                raise UsageError(f"input {name} has {len(dims)} dimensions, its range {len(shape)}")
        if len({dim.dim_param or axis for axis, dim in enumerate(dims) if is_free(dim)}) > 1:
            raise UsageError(
                f"input {name} has symbolic dimensions beyond the batch: give them sizes with --shape or --dim"
            )
        parts = []
        for axis, dim in enumerate(dims):
            if is_free(dim):
                parts.append((options.batch_min, options.batch_opt, options.batch_max))
                continue
            size = int(dim.dim_value)
            low, best, high = ((shape[axis] if shape else None) or size for shape in shapes)
            for what, one in (("is", size), ("is to be tuned for", best)):
                if not low <= one <= high:
                    raise UsageError(
                        f"input {name}: dimension {axis} {what} {one}, which is not within {low} to {high}: give a "
                        "range around the size that it is measured at and the one that it is tuned for"
                    )
            part = (low, best, high)
            if part[0] < part[2]:
                dim.Clear()
                dim.dim_param = f"{name}_{axis}"
            parts.append(part)
        if any(is_free(dim) for dim in dims):
            found[name] = tuple(zip(*parts, strict=True))
    if given:  # what was inferred for one size does not hold for others
        del model.graph.value_info[:]
        for value in model.graph.output:
            for dim in dims_of(value):
                dim.Clear()
    return found


def other_products(view: GraphView) -> list[str]:
    """Names of the nodes that multiply beside the products of the main graph: recurrent ones, those in bodies."""
    return [
        node.name
        for node, _, depth in typed_products(view)
        if node.name and (depth or not has(node, Trait.PRODUCT))
    ]


def _distributions(package: str) -> list[str]:
    """What brings a module of TensorRT: the package, that of one major version of CUDA, or their bindings alone."""
    made_for = [package, f"{package}-cu13", f"{package}-cu12"]
    return [*made_for, *(f"{name}-bindings" for name in made_for[1:])]


def tensorrt_rtx() -> TensorRTBackend:
    """TensorRT for RTX: a plain wheel, builds for RTX devices with no GPU."""
    return TensorRTBackend(
        "tensorrt-rtx",
        "tensorrt_rtx",
        _distributions("tensorrt-rtx"),
        "rtx",
        builds_without_device=True,
    )


def tensorrt() -> TensorRTBackend:
    """TensorRT for data centres: needs NVIDIA's package index and a GPU."""
    return TensorRTBackend(
        "tensorrt",
        "tensorrt",
        _distributions("tensorrt"),
        "tensorrt",
        builds_without_device=False,
    )
