"""OpenVINO on the processor.

An engine is the graph in the precision it was written in; OpenVINO chooses its kernels when the graph is loaded
and a batch is known. It could save what it compiled, but only with the batch left open, which was seen to double
the latency of LeNet-5; compiling takes less than a second for most networks, and is no part of any sample.

OpenVINO takes lower precisions for a matter of the machine: where there are bfloat16 instructions it computes FP32
graphs in bfloat16 unless told otherwise. Here the graph alone decides: one in bfloat16 or float16 is computed so
where the processor has such instructions, and else in FP32, which the row says; what was chosen is read back.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.backends import usage
from deploykit.backends.base import (
    HARDWARE_THREADS,
    THREADS,
    BackendBase,
    Bound,
    RunOption,
    SessionBase,
    TimedParts,
)
from deploykit.errors import BuildFailed, DeploykitError, one_line
from deploykit.graph.element_types import typed_products
from deploykit.graph.nodes import attribute, is_standard, node_name
from deploykit.graph.normalise import declare_ranks
from deploykit.graph.operators import operator_of
from deploykit.graph.precision import find_recipe
from deploykit.graph.precision.floats import to_bf16
from deploykit.graph.read_write import copy_files
from deploykit.graph.recipes import PrecisionRecipe
from deploykit.graph.transposed import write_out_padding
from deploykit.graph.view import GraphView, views_below
from deploykit.lazy import install_line, np, onnx, openvino
from deploykit.ort_session import native_name
from deploykit.row import Note
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason, RunOptions, TensorSpec
from deploykit.writing import output_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds


#: Kinds of layers that multiply, as the CPU plugin calls them.
_MULTIPLYING = frozenset(
    "Convolution Deconvolution FullyConnected MatMul RNNSeq RNNCell ScaledDotProductAttention".split()
)
#: What it calls a layer that it wrote code for, of several nodes.
_GENERATED = "Subgraph"
#: What OpenVINO may compute floats in, by the precision of the graph, where the processor has one of the units.
_HINTS = {"bf16": "bf16", "fp16": "f16"}
_UNITS = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "fp16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
}
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}
#: What those are before compilation, as operators of a model.
_PRODUCTS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
_SUFFIX = re.compile(r"(/WithoutBiases|/Dequantization\w+)+$")
#: What it appends to the name of a product whose dequantisation comes behind it as a layer of its own.
_APART = "_original"
#: How it calls recurrent layers, which have no name of the graph's.
_RECURRENT = re.compile(r"(LSTM|GRU|RNN)(Sequence|Cell)_\d+")
#: How it calls the products that an Einsum is made of.
_PART = re.compile(r"MatMul_\d+")
#: What it runs step by step where a layer is told the lengths of sequences.
_STEPWISE = "TensorIterator"
#: Nodes that are looked through at most from what was merged behind a product back to it.
_MERGED_BEHIND = 6
_RECURRENT_OPERATORS = frozenset({"LSTM", "GRU", "RNN"})


#: Run options by the properties of the CPU plugin that they set.
_PROPERTIES: Mapping[str, str] = {
    "ov.denormal_as_zero": "CPU_DENORMALS_OPTIMIZATION",
    "ov.hint": "PERFORMANCE_HINT",
    "ov.hyper_threading": "ENABLE_HYPER_THREADING",
    "ov.partitioner": "TBB_PARTITIONER",
    "ov.pinning": "ENABLE_CPU_PINNING",
    "ov.streams": "NUM_STREAMS",
}


@cache
def _core() -> Any:
    return openvino.Core()


def read(path: Path) -> Any:
    """The graph in a file, as OpenVINO's model.

    Raises:
        BuildFailed: OpenVINO can't read it.
    """
    version = openvino.__version__
    try:
        return _core().read_model(native_name(path) or path.read_bytes())
    except Exception as error:
        reason = f"OpenVINO {version} refuses {path.name}: {one_line(error, 200)}"
        raise BuildFailed(f"{reason}; take another backend, such as onnxruntime") from error


def _put(source: Path, path: Path) -> tuple[Any, onnx.ModelProto]:
    """Copy a graph with what OpenVINO reads otherwise than ONNX Runtime, or can't, written out.

    Returns:
        The copy as OpenVINO's model, and as ONNX's without its large weights.
    """
    try:
        graph = onnx.load(str(source), load_external_data=False)
    except Exception:  # of protobuf's, where the file is damaged
        read(source)  # which says so
        raise
    changed = 0
    with contextlib.suppress(DeploykitError):  # sizes that contradict each other
        changed += write_out_padding(graph)
        changed += declare_ranks(graph)
    changed += _name_inputs(graph)
    with output_errors("engine", path):
        copy_files(source, path)
        if changed:
            path.write_bytes(graph.SerializeToString())
    return read(path), graph


def _name_inputs(graph: onnx.ModelProto) -> int:
    """Write nodes that pass on their only operand as Identity: OpenVINO calls an input by what others make of it.

    Returns:
        How many were changed.
    """
    changed = 0
    for node in graph.graph.node:
        alone = node.op_type in ("Max", "Min", "Sum", "Mean") and len(node.input) == 1
        drops = node.op_type == "Dropout" and not any(node.output[1:]) and not any(node.input[2:])
        if is_standard(node) and (alone or drops):
            node.op_type, changed = "Identity", changed + 1
            del node.input[1:], node.output[1:], node.attribute[:]
    return changed


def computed_here() -> frozenset[str]:
    """The 16-bit precisions that this processor has arithmetic for."""
    features = set(env.machine()["features"])
    return frozenset(name for name, units in _UNITS.items() if units & features)


def compile_for(
    model: Any,
    shapes: Mapping[str, Sequence[int]],
    threads: int,
    floats: str = "f32",
    told: RunOptions = (),
    *,
    counted: bool = False,
) -> Any:
    """What OpenVINO makes of a model for inputs of these shapes, to answer one request at a time.

    Args:
        model: as `read` gives it; it is reshaped.
        shapes: of the inputs, by name.
        threads: to compute with.
        floats: what floats may be computed in at least, by OpenVINO's names.
        told: run options that are not at their defaults.
        counted: whether it counts what each layer takes, which costs time itself.

    Raises:
        BuildFailed: the model does not take these shapes, or has an operator that OpenVINO lacks.
    """
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": floats,
        "INFERENCE_NUM_THREADS": threads,
        # Two processes or streams that pin their threads pin them to the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if counted:
        options["PERF_COUNT"] = True
    options |= {_PROPERTIES[name]: _property_value(name, value) for name, value in told}
    try:
        model.reshape({name: list(shape) for name, shape in shapes.items()})
        return _core().compile_model(model, "CPU", options)
    except Exception as error:
        raise BuildFailed(
            f"OpenVINO {openvino.__version__} can't compile the graph for {dict(shapes)}: "
            f"{one_line(error)}; try another batch or backend"
        ) from error


def _property_value(name: str, value: str) -> bool | str:
    """A run option's value as the plugin takes it."""
    if name in ("ov.hint", "ov.partitioner", "ov.streams"):
        return value.upper()
    return value == "1"


def set_otherwise(compiled: Any, told: RunOptions) -> list[str]:
    """Run options that what was compiled has at another value than it was told, in words."""
    found = []
    for name, value in told:
        actual = str(compiled.get_property(_PROPERTIES[name])).rpartition(".")[2]
        if actual.lower() != str(_property_value(name, value)).lower():
            shown = {"True": "1", "False": "0"}.get(actual, actual.lower())
            found.append(f"{name} is {shown}, though {value} was asked for")
    return found


def product_names(model: Any) -> frozenset[str]:
    """What the convolutions and products of a model are called, as it was read."""
    return frozenset(
        op.get_friendly_name() for op in model.get_ops() if op.get_type_name() in _PRODUCTS
    )


def compute_types(
    runtime_model: Any, products: Collection[str], quantised: Collection[str] = ()
) -> dict[str, list[str]]:
    """The layers that multiply, by the type they take their data in.

    Args:
        runtime_model: of what was compiled.
        products: of the graph; a layer is called by the first of them that went into it, and one that the plugin
            wrote code for stands for all of them.
        quantised: those that the graph writes in integers. What code was written for has the type of its first
            input stated, which may be a mask: without integers in the graph it computes in FP32, as was asked for.
    """
    by_type: dict[str, list[str]] = {}
    layers = runtime_model.get_ops()
    # A product in integers, whose steps are multiplied in afterwards, hands its name to the code for that.
    apart = {
        name.removesuffix(_APART)
        for layer in layers
        if (name := layer.get_friendly_name()).endswith(_APART)
        and layer.get_rt_info()["layerType"].astype(str) in _MULTIPLYING
    }
    for layer in layers:
        facts = layer.get_rt_info()
        layer_type = facts["layerType"].astype(str)
        raw = facts["runtimePrecision"].astype(str).lower()
        origins = facts["originalLayersNames"].astype(str).split(",")
        within = [origin for origin in origins if origin in products]
        called = layer.get_friendly_name()
        if layer_type == _GENERATED:
            names = [name for name in within if name not in apart]
        elif layer_type in _MULTIPLYING or (
            layer_type == _STEPWISE and _RECURRENT.fullmatch(called)
        ):
            names = (within or [called.removesuffix(_APART)])[:1]
        else:
            continue
        for name in names:
            floats = layer_type == _GENERATED and name not in quantised
            kind = _NAMES.get(raw, raw)
            if floats and kind not in _HINTS:
                kind = "fp32"
            by_type.setdefault(kind, []).append(_SUFFIX.sub("", name))
    return by_type


def with_graph_names(
    types: Mapping[str, Sequence[str]], graph: onnx.ModelProto
) -> dict[str, list[str]]:
    """The same with layers called by the products of the graph.

    OpenVINO calls a layer by what was merged behind it, the last one by the output, and recurrent ones by numbers
    in the order in which they run.
    """
    view = GraphView(graph)
    types = _with_einsums(types, view)
    found = [name for names in types.values() for name in names if _RECURRENT.match(name)]
    layers = [node for node in view.nodes if node.op_type in _RECURRENT_OPERATORS]
    wanted = [node_name(node) for node in layers]
    if len(found) != len(wanted):  # it parts what runs in both directions
        wanted = [node_name(node) for node in layers for _ in range(2 if _is_double(node) else 1)]
    called = dict(zip(found, wanted, strict=True)) if len(found) == len(wanted) else {}
    by_type: dict[str, list[str]] = {}
    for kind, names in types.items():
        listed = by_type.setdefault(kind, [])
        for name in names:
            layer = called.get(name)
            if layer is None:
                listed.append(_product_before(name, view) or name)
            elif layer not in listed:
                listed.append(layer)
    return by_type


def _with_einsums(
    types: Mapping[str, Sequence[str]], view: GraphView
) -> Mapping[str, Sequence[str]]:
    """The same with the Einsums of a graph for the products that they are made of, if these compute in one type.

    Such products have numbers for names.
    """
    came_from = {
        name: _product_before(name, view) or "" for names in types.values() for name in names
    }
    parts = {name for name, node in came_from.items() if not node and _PART.fullmatch(name)}
    einsums = [node_name(node) for node in view.nodes if node.op_type == "Einsum"]
    missing = [name for name in einsums if name not in came_from.values()]
    kinds = [kind for kind, names in types.items() if parts & set(names)]
    if not missing or len(kinds) != 1:
        return types
    (kind,) = kinds
    others = [name for name in types[kind] if name not in parts]
    return {**types, kind: [*others, *missing]}


def _is_double(node: onnx.NodeProto) -> bool:
    return bool(attribute(node, "direction", b"forward") == b"bidirectional")


def _product_before(name: str, view: GraphView) -> str | None:
    """The product that a node or tensor of that name is or comes from, a few nodes back."""
    node = view.by_name.get(name) or view.producer(name)
    for _ in range(_MERGED_BEHIND):
        if node is None:
            return None
        operator = operator_of(node)
        if operator is not None and operator.multiplies:
            return node_name(node)
        makers = [view.producer(n) for n in node.input if n and not view.is_fixed(n)]
        node = makers[0] if len(makers) == 1 else None
    return None


def _quantised(graph: onnx.ModelProto) -> frozenset[str]:
    """Names of the products, and of what they make, that a graph writes in integers."""
    products = (node for node, kind, _ in typed_products(GraphView(graph)) if kind == "int8")
    return frozenset(name for node in products for name in (node_name(node), node.output[0]))


#: What the products of a graph can be written in that are computed in the type that was asked for.
_FLOATS = ("fp32", "fp16", "bf16")


def in_bodies(graph: onnx.ModelProto, quantised: Mapping[str, str]) -> dict[str, list[str]]:
    """The products in bodies of If, Loop and Scan, which the compiled model does not list, by type.

    Args:
        graph: that was built.
        quantised: types of those that were read of their bodies, by name; see `types_of_bodies`. Floats of any
            width are computed in FP32, as was asked for; other products that are missing are "unknown".
    """
    by_type: dict[str, list[str]] = {}
    for node, kind, depth in typed_products(GraphView(graph)):
        if depth:
            found = "fp32" if kind in _FLOATS else quantised.get(node_name(node), "unknown")
            by_type.setdefault(found, []).append(node_name(node))
    return by_type


def types_of_bodies(model: Any, graph: onnx.ModelProto, floats: str) -> dict[str, str]:
    """What the products in bodies compute in, by name, as far as their bodies can be compiled by themselves.

    The plugin makes the same of a body by itself as within its model, which oneDNN's own listing of the kernels
    that ran (`ONEDNN_VERBOSE=1`) was seen to agree with.

    Args:
        model: as it was read and reshaped.
        graph: the same in ONNX.
        floats: see `compile_for`.
    """
    view = GraphView(graph)
    if all(kind in _FLOATS for _, kind, depth in typed_products(view) if depth):
        return {}  # they need no reading, and compiling takes long
    quantised = _quantised(graph)
    inner = [body for body in views_below(view) if body is not view]
    types: dict[str, str] = {}
    for body in _bodies(model):
        try:
            options = {"INFERENCE_PRECISION_HINT": floats, "PERFORMANCE_HINT": "LATENCY"}
            compiled = _core().compile_model(body.clone(), "CPU", options)
        except Exception:  # by itself it lacks a type or a rank: what becomes of it is not known
            continue
        listed = compute_types(compiled.get_runtime_model(), product_names(body), quantised)
        for kind, names in listed.items():
            for name in names:
                found = filter(None, (_product_before(name, one) for one in inner))
                types[next(found, name)] = kind
    return types


def _bodies(model: Any) -> Iterator[Any]:
    """The models within the If, Loop and Scan of a model, those in them too."""
    for op in model.get_ops():
        kind = op.get_type_name()
        inner = (op.get_function(0), op.get_function(1)) if kind == "If" else ()
        for body in inner or ([op.get_function()] if kind in ("Loop", "TensorIterator") else []):
            yield body
            yield from _bodies(body)


class OpenVinoCpu(BackendBase):
    """Builds and runs engines with OpenVINO's CPU plugin; its graphs follow the `cpu` recipes."""

    name = "openvino"
    target = "cpu"
    filename = "engine.onnx"
    timed_parts: TimedParts | None = "operators"
    run_options = (
        RunOption(
            "ov.pinning",
            ("0", "1"),
            "0",
            "whether threads stay on cores; two processes that pin theirs pin them to the same",
        ),
        RunOption(
            "ov.partitioner",
            ("static", "auto"),
            "static",
            "how a node's work is handed to threads: in equal shares, or in pieces as they get done",
            needs=THREADS,
        ),
        RunOption(
            "ov.hint",
            ("latency", "throughput"),
            "latency",
            "what OpenVINO chooses its threads and streams for",
        ),
        RunOption(
            "ov.streams",
            ("auto", "1", "2", "4", "8"),
            "auto",
            "requests that the cores are shared out to; a session sends one at a time, which has its share alone",
            tuned=False,
        ),
        RunOption(
            "ov.hyper_threading",
            ("auto", "0", "1"),
            "auto",
            "whether a core's second hardware thread is used",
            needs=HARDWARE_THREADS,
        ),
        RunOption(
            "ov.denormal_as_zero",
            ("0", "1"),
            "0",
            "whether numbers too small for float32's full precision count as zero",
        ),
    )

    @property
    def emulated(self) -> Mapping[str, str]:
        """16-bit floats that this processor has no arithmetic for: computed in FP32, weights widened once."""
        return {name: "fp32" for name in _UNITS if name not in computed_here()}

    def recipes(self) -> Sequence[PrecisionRecipe]:
        """The one that its target lacks: ONNX Runtime has no bfloat16 arithmetic on processors."""
        summary = "bfloat16 with BatchNorm folded; for OpenVINO and PyTorch, ONNX Runtime has none"
        known = find_recipe("bf16", "tensorrt")
        return [replace(known, targets=("cpu",), summary=summary, transform=to_bf16)]

    def available(self) -> Reason | None:
        """None where OpenVINO is installed."""
        if env.package_version("openvino") is None:
            return Reason("OpenVINO is not installed", install_line("openvino"))
        return None

    def device(self) -> str | Reason:
        """The processor."""
        return env.device_name()

    def version(self) -> str:
        """The installed version, from package metadata."""
        return env.package_version("openvino") or "none"

    def host(self) -> str:
        """What the precision read back belongs to: the architecture and its instruction sets."""
        facts = env.machine()
        return " ".join([facts["architecture"], *facts["features"]])

    def prepare(self) -> None:
        """Import the runtime, so that its own memory does not count as that of the first engine."""
        _core()

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Compile the graph for the usual batch, read back what it computes in; see `BackendBase.build`."""
        read_model, graph = _put(model.path, path)
        products = product_names(read_model)
        shapes = {spec.name: spec.with_batch(options.batch_opt) for spec in model.inputs}
        threads = max(1, int(env.usable_cores()))
        compiled = compile_for(read_model, shapes, threads, self._floats(model.precision))
        types = with_graph_names(
            compute_types(compiled.get_runtime_model(), products, _quantised(graph)), graph
        )
        inside = types_of_bodies(read_model, graph, self._floats(model.precision))
        for kind, names in in_bodies(graph, inside).items():
            types.setdefault(kind, []).extend(names)
        return {"compute_types": types, "host": self.host()}

    def usage(self, model: OnnxModel, options: BuildOptions) -> str:
        """See `BackendBase.usage`."""
        floats = self._floats(model.precision)
        return usage.openvino(self.filename, model.inputs, options.batch_opt, floats)

    def open(
        self, engine: Engine, threads: int | None, run_pass: str, options: RunOptions = ()
    ) -> OpenVinoSession:
        """A session on the graph, compiled for a batch when one is first given."""
        floats = self._floats(str(engine.manifest.get("precision")))
        return OpenVinoSession(engine.path, threads, floats, options)

    def _floats(self, precision: str) -> str:
        """What floats may be computed in, of a graph in a precision."""
        return _HINTS[precision] if precision in computed_here() else "f32"


class OpenVinoSession(SessionBase):
    """One graph, compiled once for each shape of its inputs; inputs and outputs live in host memory.

    Args:
        path: of the graph.
        threads: to compute with; None is one per usable core.
        floats: what floats may be computed in at least; see `compile_for`.
        told: run options that are not at their defaults.
    """

    threads: int

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        floats: str = "f32",
        told: RunOptions = (),
    ) -> None:
        self.threads = threads or max(1, int(env.usable_cores()))
        self._model, self._floats = read(path), floats
        self.inputs = tuple(_spec(port) for port in self._model.inputs)
        self.outputs = tuple(_spec(port) for port in self._model.outputs)
        self._compiled: dict[tuple[tuple[int, ...], ...], Any] = {}
        self._told = told

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the plugin has set otherwise than it was told, read from what was compiled last."""
        for compiled in reversed(self._compiled.values()):
            return tuple(Note("options", text) for text in set_otherwise(compiled, self._told))
        return ()

    def _request(self, feeds: Feeds) -> Any:
        """A request whose inputs are the arrays of `feeds` themselves."""
        arrays = {spec.name: np.asarray(feeds[spec.name], order="C") for spec in self.inputs}
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
        key = tuple(shapes.values())
        if key not in self._compiled:
            self._compiled[key] = compile_for(
                self._model, shapes, self.threads, self._floats, self._told
            )
        request = self._compiled[key].create_infer_request()
        for name, array in arrays.items():
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        return request

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name."""
        request = self._request(feeds)
        request.infer()
        return {spec.name: request.get_tensor(spec.name).data.copy() for spec in self.outputs}

    def bind(self, feeds: Feeds) -> Bound:
        """A request of its own over the host buffers."""
        return Bound(_infer, self._request(feeds))

    def operator_times(self, feeds: Sequence[Feeds], runs: int) -> Mapping[str, float]:
        """See `SessionBase.operator_times`; the plugin counts in whole microseconds for each layer."""
        arrays = {spec.name: np.asarray(feeds[0][spec.name], order="C") for spec in self.inputs}
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
        compiled = compile_for(
            self._model, shapes, self.threads, self._floats, self._told, counted=True
        )
        request = compiled.create_infer_request()
        for name, array in arrays.items():
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        for _ in range(runs):
            request.infer()
        taken: dict[str, float] = {}
        for layer in request.profiling_info:
            if layer.status == openvino.ProfilingInfo.Status.EXECUTED:
                ms = layer.real_time.total_seconds() * 1e3
                taken[layer.node_type] = taken.get(layer.node_type, 0.0) + ms
        return taken

    def close(self) -> None:
        """Drop what was compiled and its buffers."""
        super().close()
        self._compiled.clear()
        del self._model


def _infer(request: Any) -> object:
    return request.infer(share_outputs=True)  # else outputs would be copied once more


def _spec(port: Any) -> TensorSpec:
    """OpenVINO's description of an input or output in our words."""
    dims = list(port.get_partial_shape())
    shape = tuple(
        int(d.get_length()) if d.is_static else ("batch" if i == 0 else None)
        for i, d in enumerate(dims)
    )
    return TensorSpec(port.get_any_name(), shape, port.get_element_type().to_dtype().name)
