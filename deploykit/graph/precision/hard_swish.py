"""Hard swish, x * Clip(x + 3, 0, 6) / 6: found where it is written out, and computed in integers.

ONNX Runtime has no integer kernel of it: between two integer convolutions it would dequantise, compute two
passes in float and quantise again, which in small networks takes as long as the convolutions.
"""

from __future__ import annotations

from deploykit.graph.edit import GraphEditor
from deploykit.graph.nodes import attribute, is_standard, node_name
from deploykit.graph.precision.qdq import QdqWriter, asymmetric_u8
from deploykit.graph.precision.recipe import KeepRules, body_editors
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: HardSwish is an operator since this opset.
OPSET_HARD_SWISH = 14


def join_hard_swishes(editor: GraphEditor, keep: KeepRules) -> None:
    """A hard swish that is written out, x * Clip(x + 3, 0, 6) / 6 in either order, is the one operator.

    Where it stays in float, each of its nodes would be a pass over the values, two of which dequantise them.
    """
    for node in editor.live_nodes():
        if node.op_type != "Mul" or not is_standard(node) or len(node.input) != 2:
            continue
        for source, gate in (tuple(node.input), tuple(reversed(node.input))):
            chain = _gate(editor, source, gate)
            if chain is None:
                continue
            last, scale = node, chain[-1][1]
            readers = editor.readers(node.output[0])
            if abs(scale - 6.0) < 1e-4 and len(readers) == 1:  # the division by 6 comes last
                factor = _factor(editor, readers[0], node.output[0])
                if factor is not None and editor.read_only_by(node.output[0], readers[0]):
                    last, scale = readers[0], scale * factor
            kept = any(keep.keeps(n) for n in (node, last, *(n for n, _ in chain)))
            if abs(scale - 1.0) < 1e-4 and not kept:
                name = last.name or last.output[0]
                if last is not node:
                    editor.remove(node)
                made = onnx.helper.make_node("HardSwish", [source], [last.output[0]], name=name)
                editor.replace(last, made)
            break


def _gate(view: GraphView, source: str, gate: str) -> list[tuple[onnx.NodeProto, float]] | None:
    """The nodes that make `gate` of `source` as Clip(x + 3, 0, 6), each with the gate's largest value behind it."""
    node = view.producer(gate)
    if node is None or not is_standard(node) or not node.input:
        return None
    if node.op_type == "HardSigmoid":
        slope, middle = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
        right = node.input[0] == source and abs(slope - 1 / 6) < 1e-5 and abs(middle - 0.5) < 1e-5
        return [(node, 1.0)] if right else None
    if node.op_type == "Clip" and len(node.input) == 3:
        bounds = [_number(view, name) for name in node.input[1:]]
        addition = view.producer(node.input[0])
        if bounds != [0.0, 6.0] or addition is None or addition.op_type != "Add":
            return None
        others = [name for name in addition.input if name != source]
        if len(others) == 1 and _number(view, others[0]) == 3.0:
            return [(addition, 6.0), (node, 6.0)]
        return None
    factor = _factor(view, node, node.input[0])
    inner = None if factor is None else _gate(view, source, node.input[0])
    return None if inner is None or factor is None else [*inner, (node, inner[-1][1] * factor)]


def _factor(view: GraphView, node: onnx.NodeProto, source: str) -> float | None:
    """What a Mul or Div by a number multiplies `source` by."""
    if node.op_type not in ("Mul", "Div") or node.input[0] != source:
        return None
    number = _number(view, node.input[1])
    if not number:
        return None
    return number if node.op_type == "Mul" else 1.0 / number


def _number(view: GraphView, name: str) -> float | None:
    value = view.constant(name) if name and view.is_constant(name) else None
    single = value is not None and value.size == 1
    return float(value.reshape(-1)[0]) if single and value is not None else None


# ---- in integers


def hard_swishes_in_integers(model: onnx.ModelProto) -> int:
    """Write each HardSwish between DequantizeLinear and QuantizeLinear as what has integer kernels, in place.

    An addition makes Clip(x + 3, 0, 6), as what lies outside of its quantised range saturates, and a
    multiplication reads it as a sixth of that. The result is within one step of what it was.

    Returns:
        How many were written, in bodies too.
    """
    editor = GraphEditor(model)
    written = 0
    for _, body in body_editors(editor):
        written += _in_integers(body)
        body.finish()
    written += _in_integers(editor)
    editor.finish()
    return written


def _in_integers(editor: GraphEditor) -> int:
    writer = QdqWriter(editor)
    written = 0
    for node in editor.live_nodes():
        if node.op_type != "HardSwish" or not is_standard(node) or not _between(editor, node):
            continue
        source, result, name = node.input[0], node.output[0], node_name(node)
        three = writer.constant(
            f"{name}_three", np.asarray(3.0, np.float32), asymmetric_u8(0.0, 3.0)
        )
        moved = editor.add_node("Add", [source, three], f"{result}_moved", name=f"{name}_gate")
        gate = asymmetric_u8(0.0, 6.0)
        scale, zero = writer.parameters(f"{name}_gate", gate.scale, 0, gate.data_type)
        sixth, _ = writer.parameters(f"{name}_sixth", gate.scale / 6.0, 0, gate.data_type)
        stored = editor.add_node("QuantizeLinear", [moved, scale, zero], f"{result}_stored")
        read = editor.add_node("DequantizeLinear", [stored, sixth, zero], f"{result}_gate")
        editor.replace(node, onnx.helper.make_node("Mul", [source, read], [result], name=name))
        written += 1
    return written


def _between(view: GraphView, node: onnx.NodeProto) -> bool:
    """Whether a node reads bytes, dequantised, and all that reads it quantises it to bytes."""
    result = node.output[0]
    readers = view.readers(result)
    return (
        view.read_only_by(result, *readers)
        and _of_bytes(view, view.producer(node.input[0]), "DequantizeLinear")
        and all(_of_bytes(view, reader, "QuantizeLinear") for reader in readers)
    )


def _of_bytes(view: GraphView, node: onnx.NodeProto | None, op_type: str) -> bool:
    if node is None or node.op_type != op_type or len(node.input) != 3:
        return False
    zero = view.constant(node.input[2]) if view.is_constant(node.input[2]) else None
    return zero is not None and zero.size == 1 and zero.dtype == np.uint8
