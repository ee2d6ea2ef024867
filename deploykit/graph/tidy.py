"""Cleaning a freshly traced graph: simpler nodes, readable names, nothing of the machine it came from.

Batch normalisation stays a node of its own and no weight is merged or dropped, so that the graph holds
exactly the module's parameters; whoever wants them folded does so later (`deploykit.graph.fold`).
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from deploykit.graph.buffers import FOLDED_FROM, INPUT_KIND, LEARNED_FROM, sources_of
from deploykit.lazy import ir

#: Operators that bring a weight into another form, its values unchanged.
_REARRANGING = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Identity"})

#: How the exporter calls what a module learns; all else that a program is given is none of its parameters.
_LEARNED = "PARAMETER"

#: The only metadata that stays on each node: the modules that it lies in, outermost first.
SCOPES_KEY = "pkg.torch.onnx.name_scopes"


def simplify(model: ir.Model) -> None:
    """Fold constants, drop dead and empty nodes, and join what torch takes apart; in place."""
    from onnx_ir.passes import common as passes
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules import common as rules

    wanted = [
        rules.dropout_inference_rule,
        rules.dropout_zero_rule,
        rules.add_0_rule,
        rules.sub_0_rule,
        rules.mul_by_1_rule,
        rules.div_by_1_rule,
        rules.no_op_cast_rule,
        rules.no_op_expand_rule,
        rules.no_op_transpose_rule,
        rules.transpose_transpose_rule,
        rules.reshape_reshape_rule,
        rules.materialize_reshape_shape_rule,
        rules.normalize_pad_format_conv_rule,
        rules.fuse_pad_into_conv_rule,
    ]
    own = set(model.graph.initializers)
    learned = {
        name: value.const_value.size
        for name, value in model.graph.initializers.items()
        if value.metadata_props.get(INPUT_KIND) == _LEARNED and value.const_value is not None
    }
    stated = all(INPUT_KIND in value.metadata_props for value in model.graph.initializers.values())
    share_work_on_weights(model)
    # What one round removes lets the next fold more; two are enough for networks of convolutions.
    for _ in range(2):
        optimizer.fold_constants_ir(model)
        rewriter.rewrite(model, wanted)
        passes.IdentityEliminationPass()(model)
    drop_made_up_biases(model, own)
    join_local_response_norm(model)
    join_global_average_pool(model)
    passes.RemoveUnusedNodesPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.OutputFixPass()(model)
    _mark_folded(model, learned, stated=stated)


def _mark_folded(model: ir.Model, learned: dict[str, int], *, stated: bool) -> None:
    """Write on what was folded that it is made of nothing learned, or of which parameters.

    Of one parameter alone it is another form of it, of as many values; which one need be said only where the
    parameter itself, or a second form of it, is in the graph too.

    Args:
        model: whose constants were folded.
        learned: how many values each parameter has that the graph was traced with.
        stated: whether the exporter said of each tensor that it gave the graph what it is.
    """
    uses = Counter(
        name
        for place, value in model.graph.initializers.items()
        for name in {place, *sources_of(value.metadata_props.get(FOLDED_FROM, "[]"))}
    )
    for place, value in model.graph.initializers.items():
        folded_from = value.metadata_props.get(FOLDED_FROM)
        sources = sources_of(folded_from) if folded_from is not None else []
        if stated and sources and not any(name in learned for name in sources):
            value.metadata_props[INPUT_KIND] = "BUFFER"
        parts = {name: learned[name] for name in sources if name in learned}
        if place in learned:
            parts = {place: learned[place]}
        shared = any(uses[name] > 1 for name in parts)
        if len(parts) > 1 or (parts and (shared or _divides(value))):
            value.metadata_props[LEARNED_FROM] = repr(parts)


def share_work_on_weights(model: ir.Model) -> None:
    """Let nodes that do the same with the same weights be one, in place.

    A recurrent layer that is written out step by step transposes its weight in each, and folding would leave as
    many copies of it. Weights that are merely equal, as those of copied layers are, stay apart.
    """
    fixed = {id(value) for value in model.graph.initializers.values()}
    made: dict[tuple[Any, ...], ir.Node] = {}
    for node in list(model.graph):
        values = [value for value in node.inputs if value is not None]
        if not values or not all(id(value) in fixed for value in values):
            continue
        if node.op_type not in _REARRANGING:
            continue
        key = (
            node.op_type,
            node.domain,
            tuple(id(value) for value in node.inputs),
            tuple(sorted((name, str(entry.value)) for name, entry in node.attributes.items())),
        )
        first = made.setdefault(key, node)
        if first is not node:
            for one, other in zip(node.outputs, first.outputs, strict=True):
                ir.convenience.replace_all_uses_with(one, other)
            model.graph.remove(node, safe=True)
        else:
            fixed.update(id(output) for output in node.outputs)


def _divides(value: ir.Value) -> bool:
    """Whether a tensor is a divisor or an exponent, where a fixed tensor mostly is no parameter."""
    return any(use.node.op_type in ("Div", "Pow") and use.idx == 1 for use in value.uses())


def _constant(value: ir.Value | None) -> list[float] | None:
    """Read the values of a constant; None where the value is computed, or there is none."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return None if tensor is None else [float(item) for item in tensor.numpy().reshape(-1)]


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == op_type else None


def _replace(old: ir.Node, new: ir.Node) -> None:
    """Put `new` where `old` is, with its output, name of output and metadata."""
    graph = old.graph
    assert graph is not None
    new.metadata_props.update(old.metadata_props)
    new.outputs[0].name = old.outputs[0].name
    new.outputs[0].shape = old.outputs[0].shape
    new.outputs[0].type = old.outputs[0].type
    ir.convenience.replace_nodes_and_values(graph, old, [old], [new], old.outputs, new.outputs)


def drop_made_up_biases(model: ir.Model, own: set[str]) -> None:
    """Take away the zeros that the exporter adds to a convolution without a bias.

    A bias of the module's own, named in `own`, stays even while it is zero: it is a parameter.
    """
    for node in model.graph:
        if node.op_type not in ("Conv", "ConvTranspose") or len(node.inputs) < 3:
            continue
        bias = node.inputs[2]
        values = _constant(bias) if bias is not None and bias.name not in own else None
        if values is not None and not any(values):
            node.replace_input_with(2, None)


def _keeps_dims(node: ir.Node) -> bool:
    keeps = node.attributes.get("keepdims")
    return keeps is None or keeps.as_int() == 1


def join_global_average_pool(model: ir.Model) -> None:
    """Turn means over both spatial axes into GlobalAveragePool, which runtimes and recipes know."""
    for node in list(model.graph):
        data = node.inputs[0] if node.op_type == "ReduceMean" else None
        if data is None or data.shape is None or len(data.shape) != 4 or len(node.inputs) < 2:
            continue
        axes = _constant(node.inputs[1]) or []
        if {int(axis) % 4 for axis in axes} == {2, 3} and _keeps_dims(node):
            _replace(node, ir.node("GlobalAveragePool", [data]))


def _averaged_squares(value: ir.Value | None) -> tuple[ir.Value, int] | None:
    """Match an average of squares over neighbouring channels; give what is squared and how many."""
    squeeze = _producer(value, "Squeeze") or _producer(value, "Reshape")
    pool = _producer(squeeze.inputs[0], "AveragePool") if squeeze else None
    pad = _producer(pool.inputs[0], "Pad") if pool else None
    expand = (
        (_producer(pad.inputs[0], "Reshape") or _producer(pad.inputs[0], "Unsqueeze"))
        if pad
        else None
    )
    square = _producer(expand.inputs[0], "Mul") if expand else None
    if not (pool and pad and expand and square and square.inputs[0] is square.inputs[1]):
        return None
    size, *others = pool.attributes.get_ints("kernel_shape", [])
    shape = expand.outputs[0].shape
    pads = _constant(pad.inputs[1])
    # An even window has no middle: torch's leans to one side and ONNX's to the other. Its pads differ
    # at both ends, which is not what is looked for below.
    if (
        shape is None
        or len(shape) != 5
        or shape[1] != 1
        or any(other != 1 for other in others)
        or any(stride != 1 for stride in pool.attributes.get_ints("strides", [1, 1, 1]))
        or any(pool.attributes.get_ints("pads", []))
        or pads != [0, 0, size // 2, 0, 0, 0, 0, size // 2, 0, 0]
        or square.inputs[0] is None
    ):
        return None
    return square.inputs[0], int(size)


def join_local_response_norm(model: ir.Model) -> None:
    """Turn the eight nodes that torch makes of a local response normalisation into one LRN.

    Both are x / (bias + alpha * mean of squares over `size` channels) ** beta with zeros beyond the
    first and last channel.
    """
    for node in list(model.graph):
        power = _producer(node.inputs[1], "Pow") if node.op_type == "Div" else None
        total = _producer(power.inputs[0], "Add") if power else None
        scaled = _producer(total.inputs[0], "Mul") if total else None
        match = _averaged_squares(scaled.inputs[0]) if scaled else None
        if not (power and total and scaled and match) or match[0] is not node.inputs[0]:
            continue
        beta, bias, alpha = (_constant(n.inputs[1]) for n in (power, total, scaled))
        if not (beta and bias and alpha) or len(beta + bias + alpha) != 3:
            continue
        attributes = {"alpha": alpha[0], "beta": beta[0], "bias": bias[0], "size": match[1]}
        _replace(node, ir.node("LRN", [match[0]], attributes=attributes))


def _scopes(node: ir.Node) -> Sequence[str]:
    """Read the names of the modules that a node lies in, from the outermost, without the node's own."""
    try:
        scopes = ast.literal_eval(node.metadata_props.get(SCOPES_KEY, "[]"))
    except (SyntaxError, ValueError):
        scopes = []
    return [str(scope) for scope in scopes][:-1]


def name_nodes(model: ir.Model) -> None:
    """Name nodes after module and operator, "features.3.squeeze/Conv"; leave only that as metadata."""
    used: Counter[str] = Counter()
    for node in model.graph:
        scopes = [scope for scope in _scopes(node) if not scope.startswith("_empty_nn_module")]
        name = f"{scopes[-1]}/{node.op_type}" if scopes and scopes[-1] else node.op_type
        used[name] += 1
        node.name = name if used[name] == 1 else f"{name}_{used[name] - 1}"
        node.metadata_props.clear()
        node.metadata_props[SCOPES_KEY] = repr([*scopes, node.name])
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            value.doc_string = None


def clean(model: ir.Model) -> None:
    """Take out traces of the machine and of the tracing; what is left is the same on every machine."""
    name_nodes(model)
    graph = model.graph
    for value in [*graph.inputs, *graph.outputs, *graph.initializers.values()]:
        source = value.metadata_props.get(FOLDED_FROM)
        kind = value.metadata_props.get(INPUT_KIND, _LEARNED)
        parts = value.metadata_props.get(LEARNED_FROM)
        value.metadata_props.clear()
        if parts is not None:
            value.metadata_props[LEARNED_FROM] = parts
        if kind != _LEARNED and _may_scale(value):
            value.metadata_props[INPUT_KIND] = kind
        if source is not None and _is_fresh(value):
            value.metadata_props[FOLDED_FROM] = source
        value.doc_string = None
    graph.metadata_props.clear()
    model.metadata_props.clear()
    graph.doc_string = model.doc_string = None


def _may_scale(value: ir.Value) -> bool:
    """Whether a tensor of several floats is read elsewhere than by a normalisation as its running statistics."""
    tensor = value.const_value
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size <= 1:
        return False
    return any(use.node.op_type != "BatchNormalization" for use in value.uses())


def _is_fresh(value: ir.Value) -> bool:
    """Whether a tensor holds ones alone, or zeros alone: a scale or offset before training, or one that is none.

    What it was computed from tells which; the values and the exporter's name for it do not.
    """
    tensor = value.const_value
    if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size == 0:
        return False
    values = tensor.numpy()
    return bool(values.min() == values.max() in (0, 1))


def weight_bytes(model: ir.Model) -> int:
    """Sum the bytes of all stored tensors."""
    tensors = [value.const_value for value in model.graph.initializers.values()]
    return sum(math.ceil(tensor.nbytes) for tensor in tensors if tensor is not None)
