"""Writing a graph in a 16-bit float type: the mechanism that fp16 and bf16 share.

A node is rewritten when ONNX's own definition of its operator, at the model's opset, allows the type for
it, and the type can hold its values (`half_fit`); inputs that the definition fixes to float32 stay so. Every
other node keeps float32 between casts. Inputs and outputs of each graph keep float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deploykit.errors import DriftFailed
from deploykit.graph.edit import GraphEditor
from deploykit.graph.element_types import ElementType
from deploykit.graph.nodes import attribute_graphs, is_standard, node_name, opset
from deploykit.graph.operators import Kind, Trait, has, kind_of
from deploykit.graph.precision.half_fit import Unfit, unfit_nodes
from deploykit.graph.precision.recipe import KeepRules
from deploykit.lazy import np, onnx

#: Attributes by which an operator names the type it makes.
_TYPE_ATTRIBUTES = ("to", "dtype", "output_datatype")
#: By operator, the attribute that it makes float32 without.
_UNTYPED: dict[str, str] = {
    **dict.fromkeys(("RandomNormal", "RandomUniform", "EyeLike"), "dtype"),
    **dict.fromkeys(
        ("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix"), "output_datatype"
    ),
}

_NAMES: dict[int, str] = {ElementType.FLOAT16: "float16", ElementType.BFLOAT16: "bfloat16"}
_SMALLEST_NORMAL: dict[int, float] = {
    ElementType.FLOAT16: 2.0**-14,
    ElementType.BFLOAT16: 2.0**-126,
}

#: ONNX lets them compute in 16 bits, but coordinates, indices and long sums need more digits than these have,
#: and ONNX Runtime has no kernels for it.
_WIDE = frozenset({"Resize", "Upsample", "Range", "CumSum", "GridSample", "RoiAlign", "AffineGrid"})

#: What TensorRT's parser refuses in a type, or fails on rather than choosing another one; found by building each.
_NOT_FOR_TENSORRT: dict[int, frozenset[str]] = {
    ElementType.FLOAT16: frozenset({"MeanVarianceNormalization"}),
    ElementType.BFLOAT16: frozenset(
        """ConvTranspose GlobalLpPool HardSwish LpNormalization LpPool MeanVarianceNormalization
        Mish""".split()
    ),
}

#: Their constants are bounds, or what lies around an image.
_READ_BOUNDS = frozenset({"Clip", "Max", "Min", "Pad"})

#: Why a node that has no float tensor is left as it is.
_NOT_FLOAT = "nothing in float32"

#: Values looked at in one go when losses are counted.
_PIECE = 1 << 18


@dataclass
class Losses:
    """What rounding the constants to 16 bits cost: counts of values."""

    converted: int = 0
    overflowed: int = 0
    subnormal: int = 0
    flushed_to_zero: int = 0
    largest: float = 0.0

    def add(self, before: np.ndarray, after: np.ndarray, smallest_normal: float) -> None:
        """Count one tensor."""
        wide, narrow = before.reshape(-1), after.reshape(-1)
        # Piece by piece, so that the work stays in the cache and needs no arrays of the weights' size.
        for start in range(0, wide.size, _PIECE):
            size = np.abs(wide[start : start + _PIECE])
            small = np.abs(narrow[start : start + _PIECE].astype(np.float32))
            self.subnormal += int(
                np.count_nonzero(size < smallest_normal) - np.count_nonzero(size == 0)
            )
            self.flushed_to_zero += int(np.count_nonzero(small == 0) - np.count_nonzero(size == 0))
            self.overflowed += int(
                np.count_nonzero(small == np.inf) - np.count_nonzero(size == np.inf)
            )
            peak = float(size.max())
            if not math.isfinite(peak):
                peak = float(np.max(size, initial=0.0, where=np.isfinite(size)))
            self.largest = max(self.largest, peak)
        self.converted += wide.size


def to_half(
    model: onnx.ModelProto,
    data_type: int,
    keep: KeepRules,
    peaks: Mapping[str, float] | None = None,
    *,
    for_tensorrt: bool = False,
) -> dict[str, Any]:
    """Rewrite the model, which is changed, in `data_type` (ElementType.FLOAT16 or BFLOAT16).

    Bodies (of If, Loop, Scan) are rewritten too; what goes in and out of them keeps float32. `peaks` are the
    largest magnitudes of activations, by tensor, as far as they were measured. `for_tensorrt` keeps in
    float32 what TensorRT takes in that alone.

    Returns:
        Facts for the recipe: counts of constants converted, overflowed, made subnormal or zero, the nodes
        that stay in float32 and why; "kept_by_value" has those whose values the type can't hold.

    Raises:
        DriftFailed: there are such nodes, and `keep` is strict.
    """
    return _Rewriter(model, data_type, keep, peaks=peaks or {}, for_tensorrt=for_tensorrt).run()


class _Rewriter:
    """Rewrites one graph: the main one, or a body with the rewriter of the graph around it as `outer`."""

    def __init__(
        self,
        model: onnx.ModelProto,
        data_type: int,
        keep: KeepRules,
        *,
        graph: onnx.GraphProto | None = None,
        outer: _Rewriter | None = None,
        peaks: Mapping[str, float] | None = None,
        for_tensorrt: bool = False,
    ) -> None:
        self.model, self.data_type, self.keep = model, data_type, keep
        self.for_tensorrt: bool = outer.for_tensorrt if outer else for_tensorrt
        self.type_name = _NAMES[data_type]
        self.opset = opset(model)
        self.outer = outer
        self.editor: GraphEditor = GraphEditor(
            model, graph=graph, outer=outer.editor if outer else None
        )
        self.before = self.editor.types
        self.now: dict[str, int] = dict(self.before)
        self.casts: dict[tuple[str, int], str] = {}
        self.losses: Losses = outer.losses if outer else Losses()
        self.kept: dict[str, str] = outer.kept if outer else {}
        self.by_value: dict[str, str] = outer.by_value if outer else {}
        self.products: set[str] = outer.products if outer else set()
        self.peaks: Mapping[str, float] = outer.peaks if outer else peaks or {}
        large = outer.unfit.large if outer else ()
        self.unfit: Unfit = unfit_nodes(self.editor, self.before, data_type, large, self.peaks)
        self.local = {v.name for v in self.editor.graph.input} | {
            t.name for t in self.editor.stored
        }
        self.local.update(name for node in self.editor.nodes for name in node.output)

    def run(self) -> dict[str, Any]:
        self._rewrite_graph()
        if self.by_value and self.keep.strict:
            raise DriftFailed(self._refusal())
        facts: dict[str, Any] = {
            "constants_converted": self.losses.converted,
            "constants_overflowed": self.losses.overflowed,
            "constants_subnormal": self.losses.subnormal,
            "constants_flushed_to_zero": self.losses.flushed_to_zero,
            "constants_largest": self.losses.largest,
        }
        if self.kept:
            facts["float32_because"] = dict(sorted(self.kept.items()))
        if self.by_value:
            facts["kept_by_value"] = dict(self.by_value)
        if self.products & self.kept.keys():
            facts["kept"] = sorted(self.products & self.kept.keys())
        return facts

    def _refusal(self) -> str:
        first = [f"{name} ({reason})" for name, reason in list(self.by_value.items())[:3]]
        return (
            f"{self.type_name} can't hold the values of {len(self.by_value)} nodes: {', '.join(first)}; "
            "without --strict they stay in float32, or name them with --keep"
        )

    def _rewrite_graph(self) -> None:
        nodes = list(self.editor.live_nodes())
        self.products.update(node_name(n) for n in nodes if has(n, Trait.PRODUCT))
        for node in nodes:
            if node.op_type == "Constant" and is_standard(node):
                continue  # converted where it is read, as initialisers are
            bodies = list(attribute_graphs(node))
            if bodies:
                self._isolate(node)
                for body in bodies:
                    inner = _Rewriter(self.model, self.data_type, self.keep, graph=body, outer=self)
                    inner._rewrite_graph()
                continue
            reason = self._obstacle(node)
            if reason is None:
                self._rewrite(node)
            else:
                if reason != _NOT_FLOAT:
                    self.kept[node_name(node)] = reason
                self._isolate(node)
        self._restore_outputs()
        self.editor.finish()

    # ---- what may be rewritten

    def _obstacle(self, node: onnx.NodeProto) -> str | None:
        """Why a node keeps float32, or None where it can be rewritten."""
        names = [name for name in [*node.input, *node.output] if name]
        if any(name not in self.before for name in names):
            return "types unknown"
        makes = [n for n in node.output if n and self.before[n] == ElementType.FLOAT]
        reads = [n for n in node.input if n and self.before[n] == ElementType.FLOAT]
        if not makes and not reads:
            return _NOT_FLOAT
        if self.keep.keeps(node):
            return "asked for"
        if id(node) in self.unfit.by_value:
            self.by_value[node_name(node)] = self.unfit.by_value[id(node)]
        reason = self.unfit.reason(node)
        if reason is not None:
            return reason
        if self.for_tensorrt and is_standard(node):
            if kind_of(node) is Kind.RECURRENT and any(node.input[4:5]):
                return "TensorRT takes lengths of sequences with float32 alone"
            if node.op_type in _NOT_FOR_TENSORRT[self.data_type]:
                return f"TensorRT has no {node.op_type} in {self.type_name}"
        if node.op_type in _WIDE:
            return f"{node.op_type} has no {self.type_name} kernel in ONNX Runtime"
        if not is_standard(node):
            return f"operator of domain {node.domain}"
        try:
            schema = onnx.defs.get_schema(node.op_type, self.opset)
        except onnx.defs.SchemaError:
            return f"{node.op_type} is no operator of opset {self.opset}"
        wanted = f"tensor({self.type_name})"
        allowed = {c.type_param_str: wanted in c.allowed_type_strs for c in schema.type_constraints}
        variables = [
            kind
            for name, kind in [
                *self._typed(node.input, schema.inputs),
                *self._typed(node.output, schema.outputs),
            ]
            if self.before[name] == ElementType.FLOAT and kind in allowed
        ]
        if not variables:
            return _NOT_FLOAT
        if all(allowed[kind] for kind in variables):
            return None
        return f"{node.op_type} has no {self.type_name} form in opset {self.opset}"

    def _typed(self, names: Iterable[str], formal: Any) -> list[tuple[str, str]]:
        """Each named tensor with the schema's type for its place; the last place may repeat."""
        return [
            (name, formal[min(place, len(formal) - 1)].type_str)
            for place, name in enumerate(names)
            if name
        ]

    # ---- rewriting

    def _rewrite(self, node: onnx.NodeProto) -> None:
        schema = onnx.defs.get_schema(node.op_type, self.opset)
        for slot, name in enumerate(list(node.input)):
            if not name or self.before[name] != ElementType.FLOAT:
                continue
            formal = schema.inputs[min(slot, len(schema.inputs) - 1)]
            target = ElementType.FLOAT if formal.type_str == "tensor(float)" else self.data_type
            bound = node.op_type in _READ_BOUNDS
            self.editor.set_input(node, slot, self._as(name, target, bound=bound))
        self._retype_attributes(node)
        for place, name in enumerate(node.output):
            if name and self.before[name] == ElementType.FLOAT:
                formal = schema.outputs[min(place, len(schema.outputs) - 1)]
                fixed = formal.type_str == "tensor(float)"
                self.now[name] = ElementType.FLOAT if fixed else self.data_type

    def _retype_attributes(self, node: onnx.NodeProto) -> None:
        if not any(n and self.before[n] == ElementType.FLOAT for n in node.output):
            return
        if node.op_type == "ConstantOfShape":
            self._retype_fill(node)
            return
        retyped = False
        for entry in node.attribute:
            if entry.name in _TYPE_ATTRIBUTES and entry.i == ElementType.FLOAT:
                entry.i = self.data_type
                retyped = True
        if not retyped and (name := _UNTYPED.get(node.op_type)):
            node.attribute.append(onnx.helper.make_attribute(name, self.data_type))

    def _retype_fill(self, node: onnx.NodeProto) -> None:
        fill = np.zeros(1, np.float32)
        for entry in node.attribute:
            if entry.name == "value":
                fill = np.asarray(onnx.numpy_helper.to_array(entry.t))
        del node.attribute[:]
        narrow = self._narrow(fill)
        tensor = onnx.helper.make_tensor(
            "value", self.data_type, fill.shape, narrow.tobytes(), raw=True
        )
        node.attribute.append(onnx.helper.make_attribute("value", tensor))

    def _isolate(self, node: onnx.NodeProto) -> None:
        """Let a node that stays as it is read float32 where it did."""
        for slot, name in enumerate(list(node.input)):
            if name and self.before.get(name) == ElementType.FLOAT:
                self.editor.set_input(node, slot, self._as(name, ElementType.FLOAT))

    def _as(self, name: str, target: int, *, bound: bool = False) -> str:
        """The tensor in the type `target`: itself, a converted constant, or through a Cast.

        A bound, which may become infinite as well, is no weight of which something is lost.
        """
        if self.outer is not None and name not in self.local:
            return self.outer._as(name, target, bound=bound)
        if self.now[name] == target:
            return name
        key = (name, target)
        if key not in self.casts:
            value = self._stored(name)
            if value is not None:
                narrow = self._narrow(value, counted=not bound)
                self.casts[key] = self.editor.add_initializer(
                    f"{name}_{self.type_name}", narrow, self.data_type
                )
            else:
                suffix = "float32" if target == ElementType.FLOAT else self.type_name
                self.casts[key] = self.editor.add_node(
                    "Cast", [name], f"{name}_{suffix}", to=target
                )
            self.now[self.casts[key]] = target
        return self.casts[key]

    def _stored(self, name: str) -> np.ndarray | None:
        producer = self.editor.producer(name)
        if self.editor.initializer(name) is None and (
            producer is None or producer.op_type != "Constant" or not is_standard(producer)
        ):
            return None
        return self.editor.constant(name)

    def _narrow(self, value: np.ndarray, *, counted: bool = True) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            narrow = value.astype(onnx.helper.tensor_dtype_to_np_dtype(self.data_type))
        if counted:
            self.losses.add(value, narrow, _SMALLEST_NORMAL[self.data_type])
        return narrow

    def _restore_outputs(self) -> None:
        for value in self.editor.graph.output:
            name = value.name
            if self.outer is not None and name not in self.local:  # a tensor of a graph around
                if self.before.get(name) == ElementType.FLOAT:
                    value.name = self.outer._as(name, ElementType.FLOAT)
                continue
            if self.before.get(name) != ElementType.FLOAT or self.now[name] == ElementType.FLOAT:
                continue
            producer = self.editor.producer(name)
            if producer is None:
                continue
            inner = self.editor.rename_output(producer, name, f"{name}_{self.type_name}")
            self.editor.redirect(name, inner)
            self.editor.redirect_in_bodies(name, inner)
            self.editor.add_node("Cast", [inner], name, exact_output=True, to=ElementType.FLOAT)
