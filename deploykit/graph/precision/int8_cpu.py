"""int8 for ONNX Runtime's CPU provider: u8 activations, s8 weights per channel, int32 bias.

ONNX Runtime replaces DequantizeLinear, operator, QuantizeLinear by one integer operator where it knows
one. Each activation that enters or leaves such an operator gets a pair, so that whole stretches of the
network stay in integers. A ReLU or Clip right behind is part of the operator: the quantised range ends
where the activation does. Operators that only move values share their input's scale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploykit import env
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.bodies import BodyRanges, Place, collect_body_ranges
from deploykit.graph.calibrate.ranges import Range, collect_ranges
from deploykit.graph.edit import GraphEditor
from deploykit.graph.fold import (
    batchnorm_affine,
    compute_fixed_operands,
    fold_batchnorm,
    remove_passing_nodes,
)
from deploykit.graph.nodes import is_standard, node_name
from deploykit.graph.operators import Trait, has
from deploykit.graph.opsets import raise_opset
from deploykit.graph.precision.adaptive_rounding import round_weights
from deploykit.graph.precision.bias_correction import BiasedProduct, correct_biases
from deploykit.graph.precision.equalise import equalise
from deploykit.graph.precision.hard_swish import OPSET_HARD_SWISH, join_hard_swishes
from deploykit.graph.precision.int8_regions import WIDEST_ADDITION, IntegerRegions
from deploykit.graph.precision.integer_forms import write_integer_forms
from deploykit.graph.precision.layer_bias import correct_biases_alone
from deploykit.graph.precision.qdq import (
    QdqWriter,
    Quantiser,
    asymmetric_u8,
    channel_scales,
    scales_of_pairs,
    scales_with_room,
)
from deploykit.graph.precision.recipe import KeepRules, Product, body_editors, needs, range_facts
from deploykit.graph.precision.saturation import useful_range
from deploykit.graph.precision.small_ends import costly_ends, gain_at_outputs, small_among
from deploykit.graph.precision.weight_steps import quantise_in_pairs, scales_by_error
from deploykit.graph.shapes import tensor_shapes
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx

#: Activations that ONNX Runtime merges with a Gemm before it looks for integer forms, and so loses that one.
_MERGED_WITH_GEMM = frozenset(
    "Elu HardSigmoid LeakyRelu Relu Selu Sigmoid Softplus Softsign Tanh ThresholdedRelu".split()
)

#: DequantizeLinear has had scales per channel since this opset.
OPSET_PER_CHANNEL = 13

#: What the recipe can do beyond ranges, in the order in which it is done.
EQUALISE, WEIGHT_MSE, ROUNDING = "equalise", "weight-mse", "rounding"
BIAS, BIAS_FAST = "bias", "bias-fast"
STEPS = (EQUALISE, WEIGHT_MSE, ROUNDING, BIAS, BIAS_FAST)
DEFAULT_STEPS = (EQUALISE, BIAS)
#: Both correct the same biases.
ALTERNATIVES = (BIAS, BIAS_FAST)


def to_int8(
    model: onnx.ModelProto, keep: KeepRules, calibration: Calibration | None
) -> dict[str, Any]:
    """Quantise the model in place; returns the facts for its recipe.

    Raises:
        UsageError: no calibration was given, or it does not fit the network.
    """
    calibration = needs(calibration, "int8")
    steps = DEFAULT_STEPS if calibration.steps is None else calibration.steps
    gates = any(node.op_type in ("Clip", "HardSigmoid") for node in model.graph.node)
    facts = raise_opset(model, OPSET_HARD_SWISH if gates else OPSET_PER_CHANNEL, "int8")
    compute_fixed_operands(model)
    remove_passing_nodes(model)
    folded = fold_batchnorm(model, keep.leaves)
    replaced = batchnorm_to_depthwise(model, keep)
    if replaced:
        facts["batchnorm_as_depthwise"] = replaced
        folded += fold_batchnorm(model, keep.leaves)
    facts["nodes_folded"] = folded
    if rewritten := write_integer_forms(model, keep):
        facts["products_rewritten"] = rewritten
    if env.adds_pairs_in_int16():
        facts["pairs_in_int16"] = True
    editor = GraphEditor(model)
    join_hard_swishes(editor, keep)
    _sums_to_additions(editor, keep)
    _additions_to_bias(editor, keep)
    editor.finish()
    facts["int8_steps"] = list(steps)
    state = ""
    if EQUALISE in steps:
        equalised = equalise(model, calibration)
        facts |= equalised.facts()
        state = equalised.sha256
    editor = GraphEditor(model)
    # All that could be in integers is measured; what then is depends on the ranges.
    wanted = IntegerRegions(editor, keep)
    same = wanted.measured()
    seen = collect_ranges(
        model,
        sorted(set(same.values())),
        calibration,
        symmetric=False,
        infinite=wanted.optional(),
        state=state,
    )
    known = {name: seen[source] for name, source in same.items()}
    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    by_error = WEIGHT_MSE in steps
    products, ranges, written = _quantise(model, keep, calibration, known, by_error=by_error)
    plan = IntegerRegions(GraphView(exact), keep, known)
    costly = {} if keep.strict else costly_ends(exact, model, plan, calibration)
    left = frozenset(costly)
    if costly:
        model.CopyFrom(exact)
        products, ranges, written = _quantise(
            model, keep, calibration, known, left, by_error=by_error
        )
        named = {node.output[0]: node_name(node) for node in exact.graph.node}
        facts["kept_by_value"] = {
            named[end]: f"8 bits cost it {gain:.0f} dB" for end, gain in costly.items()
        }
    for tried in (written.swinging, written.small) if not keep.strict else ():
        # What a product in a body costs is measured where it counts: at the outputs.
        more = left | tried.keys()
        if more == left:
            continue
        apart = onnx.ModelProto()
        apart.CopyFrom(exact)
        otherwise = _quantise(apart, keep, calibration, known, more, by_error=by_error)
        gain = gain_at_outputs(exact, model, apart, calibration)
        if gain is None:
            continue
        facts.setdefault("kept_by_value", {}).update(
            (name, f"{why}8 bits cost the outputs {gain:.0f} dB") for name, why in tried.values()
        )
        left = more
        model.CopyFrom(apart)
        products, ranges, written = otherwise
    corrects = BIAS in steps or BIAS_FAST in steps
    if ROUNDING in steps:
        facts["outputs_rounded"] = round_weights(
            exact, model, written.biased, calibration, centred=corrects
        )
    if corrects:
        correct = correct_biases if BIAS in steps else correct_biases_alone
        facts["biases_corrected"] = correct(exact, model, written.biased, calibration)
    # A body can't be run product by product, as that takes.
    if written.uncorrected and corrects:
        facts["biases_uncorrected"] = written.uncorrected
    return facts | range_facts(calibration, ranges, products, model)


@dataclass(frozen=True)
class _Written:
    """What is told of a quantised graph.

    Attributes:
        biased: its products that have a bias.
        uncorrected: how many in bodies have one.
        swinging: products in loops that read or make values of very different size from step to step, by their
            results: what they are called and how different.
        small: products in bodies that are next to nothing of the network together, likewise.
    """

    biased: list[BiasedProduct]
    uncorrected: int
    swinging: Mapping[str, tuple[str, str]]
    small: Mapping[str, tuple[str, str]]


def _quantise(
    model: onnx.ModelProto,
    keep: KeepRules,
    calibration: Calibration,
    known: dict[str, Range],
    left: frozenset[str] = frozenset(),
    *,
    by_error: bool,
) -> tuple[list[Product], dict[str, Range], _Written]:
    """Write the pairs of a model and its bodies; its products and the ranges of what they read and make.

    Args:
        model: changed in place.
        keep: layers that stay in float.
        calibration: the images, for bodies.
        known: the range of every tensor that a plan may ask for.
        left: results of products, of bodies too, that stay in float as well.
        by_error: whether scales of weights come from the squared error that they leave.
    """
    editor = GraphEditor(model)
    regions = IntegerRegions(editor, keep, known, left)
    ranges = _ranges(editor, regions)
    quantisers = {root: asymmetric_u8(*bounds) for root, bounds in ranges.items()}
    inside, inner_ranges, swinging = _quantise_bodies(
        editor, keep, calibration, left, by_error=by_error
    )
    biased = _write(editor, regions, quantisers, by_error=by_error)
    _leave_float(editor, regions, keep)
    editor.finish()
    uncorrected = sum(product.node.op_type in ("Conv", "Gemm") for product in inside.values())
    small = small_among(editor.model, inside, regions.products) if inside else {}
    written = _Written(biased, uncorrected, swinging, small)
    return [*regions.products, *inside.values()], ranges | inner_ranges, written


def _ranges(view: GraphView, regions: IntegerRegions) -> dict[str, Range]:
    """The range of each tensor that decides a scale, cut to the part that matters where nothing shares it."""
    shared = Counter(regions.root(tensor) for tensor in regions.tensors)
    return {
        root: useful_range(view, root, regions.range_of(root))
        if shared[root] == 1
        else regions.range_of(root)
        for root in regions.roots()
    }


def _quantise_bodies(
    editor: GraphEditor,
    keep: KeepRules,
    calibration: Calibration,
    left: frozenset[str],
    *,
    by_error: bool,
) -> tuple[dict[str, Product], dict[str, Range], dict[str, tuple[str, str]]]:
    """Quantise the bodies of If, Loop and Scan that ran.

    Returns:
        Their products by what they make in the float graph, ranges and `_Written.swinging`.
    """
    editors = list(body_editors(editor))
    wanted: dict[Place, list[str]] = {}
    infinite: set[tuple[Place, str]] = set()
    for place, body in editors:
        plan = IntegerRegions(body, keep, left=left)
        if tensors := plan.measured():
            wanted[place] = sorted(set(tensors.values()))
            infinite |= {(place, name) for name in plan.optional()}
    seen = collect_body_ranges(
        editor.model, wanted, calibration, symmetric=False, infinite=infinite
    )
    products: dict[str, Product] = {}
    ranges: dict[str, Range] = {}
    swinging: dict[str, tuple[str, str]] = {}
    for place, body in editors:
        same = IntegerRegions(body, keep, left=left).measured()
        if same and all(source in seen.ranges[place] for source in same.values()):
            known = {name: seen.ranges[place][source] for name, source in same.items()}
            regions = IntegerRegions(body, keep, known, left)
            swinging |= _swinging(regions, same, seen)
            products |= {product.node.output[0]: product for product in regions.products}
            chosen = _ranges(body, regions)
            quantisers = {root: asymmetric_u8(*bounds) for root, bounds in chosen.items()}
            _write(body, regions, quantisers, by_error=by_error)
            _leave_float(body, regions, keep)
            ranges |= chosen
        body.finish()
    return products, ranges, swinging


def _swinging(
    regions: IntegerRegions, same: Mapping[str, str], seen: BodyRanges
) -> dict[str, tuple[str, str]]:
    """See `_Written.swinging`; `same` has the measured tensor that has the values of each."""
    found = {}
    for product in regions.products:
        result = regions.result(product.node)[0]
        swing = max(seen.swings.get(same[name], 1.0) for name in (product.activation, result))
        if swing > WIDEST_ADDITION:
            name = node_name(product.node)
            found[product.node.output[0]] = (name, f"its values differ {swing:.0f} times by step; ")
    return found


def _sums_to_additions(editor: GraphEditor, keep: KeepRules) -> None:
    """A Sum of two is an Add, for which ONNX Runtime has an integer form."""
    for node in editor.live_nodes():
        if node.op_type != "Sum" or not is_standard(node) or keep.keeps(node):
            continue
        if len(node.input) == 2:
            node.op_type = "Add"


def _additions_to_bias(editor: GraphEditor, keep: KeepRules) -> None:
    """A MatMul of matrices and the Add of a constant behind it, as Keras writes a dense layer, are a Gemm.

    ONNX Runtime makes that of them itself, but then with a bias in float, for which it has no integer form.
    The Gemm keeps the MatMul's name.
    """
    ranks: dict[str, int] | None = None
    for node in editor.live_nodes():
        if node.op_type != "MatMul" or not is_standard(node) or keep.keeps(node):
            continue
        readers = editor.consumers(node.output[0])
        weight = editor.initializer(node.input[1])
        if len(readers) != 1 or weight is None or len(weight.dims) != 2:
            continue
        addition, slot = readers[0]
        if addition.op_type != "Add" or not is_standard(addition) or keep.keeps(addition):
            continue
        bias = editor.constant(addition.input[1 - slot])
        if bias is None or bias.dtype != np.float32 or not np.isfinite(bias).all():
            continue
        if ranks is None:
            ranks = {name: len(shape) for name, shape in tensor_shapes(editor.model).items()}
        channels = int(weight.dims[1])
        if (
            ranks.get(node.input[0]) != 2
            or not editor.read_only_by(node.output[0], addition)
            or bias.size != channels
            or bias.ndim > 2
            or bias.shape[-1:] != (channels,)
        ):
            continue
        values = editor.add_initializer(f"{addition.input[1 - slot]}_bias", bias.reshape(-1))
        gemm = onnx.helper.make_node(
            "Gemm", [node.input[0], node.input[1], values], [addition.output[0]], name=node.name
        )
        editor.remove(node)
        editor.replace(addition, gemm)


def _leave_float(editor: GraphEditor, regions: IntegerRegions, keep: KeepRules) -> None:
    """Hinder ONNX Runtime from computing in integers what is not in the plan, and from losing what is.

    It takes any operator between DequantizeLinear and QuantizeLinear, a product of two activations even with
    a float output. A Sum of one operand, which it does not remove, stands between.
    """
    for node in editor.live_nodes():
        if not is_standard(node) or id(node) in regions.planned:
            continue
        if has(node, Trait.PRODUCT):
            if not keep.keeps(node):
                continue
        elif not (
            has(node, Trait.INTEGER_FORM) or node.op_type in ("Concat", "Softmax")
        ) or not _only_quantised(editor, node):
            continue
        makers = [editor.producer(name) for name in node.input if name]
        if all(maker is not None and maker.op_type == "DequantizeLinear" for maker in makers):
            _part(editor, node, 0)
    ranks: dict[str, int] | None = None
    for product in regions.products:
        result = product.node.output[0]
        readers = editor.consumers(result)
        if len(readers) != 1 or regions.made_in_integers(result):
            continue
        follower, slot = readers[0]
        if product.node.op_type == "MatMul" and follower.op_type == "Add":
            # Of two matrices, ONNX Runtime makes a Gemm in float whose bias is what is added.
            if ranks is None:
                ranks = {name: len(shape) for name, shape in tensor_shapes(editor.model).items()}
            # The rank of what a body reads is not known there.
            if product.weight.ndim == 2 and ranks.get(product.activation, 2) == 2:
                _part(editor, follower, slot)
            continue
        if product.node.op_type != "Gemm":
            continue
        quantised = regions.made_in_integers(follower.output[0]) and follower.op_type == "Relu"
        if follower.op_type in _MERGED_WITH_GEMM and not quantised:
            _part(editor, follower, slot)


def _only_quantised(view: GraphView, node: onnx.NodeProto) -> bool:
    """Whether all that reads what a node makes reads it quantised, past a Relu that this makes superfluous."""
    result = node.output[0]
    readers = view.readers(result)
    return (
        bool(readers)
        and result not in view.outputs
        and all(
            reader.op_type == "QuantizeLinear"
            or (reader.op_type in ("Relu", "Clip") and _only_quantised(view, reader))
            for reader in readers
        )
    )


def _part(editor: GraphEditor, node: onnx.NodeProto, slot: int) -> None:
    source = node.input[slot]
    passed = editor.add_node("Sum", [source], f"{source}_float32", name=f"{source}_Sum")
    editor.set_input(node, slot, passed)


def _write(
    editor: GraphEditor,
    regions: IntegerRegions,
    quantisers: dict[str, Quantiser],
    *,
    by_error: bool,
) -> list[BiasedProduct]:
    """Write the pairs; returns the products that have a bias now, in the order of the graph.

    `by_error` takes the weights' scales from the squared error that they leave, not from the largest weights.
    """
    in_pairs = env.adds_pairs_in_int16()
    writer = QdqWriter(editor)
    biased: list[BiasedProduct] = []
    for product in regions.products:
        node = product.node
        scale = quantisers[regions.root(product.activation)].scale
        scales = channel_scales(product.weight, product.channel_axis, 127.0)
        if in_pairs:
            scales = scales_of_pairs(scales, product.weight, product.channel_axis)
        axis, steps_of_weight = product.channel_axis, None
        if by_error and axis is not None:
            scales = scales_by_error(product.weight, scales, axis, pairs=in_pairs)
        scales = scales_with_room(scales, product.bias, scale)
        if by_error and axis is not None:
            steps_of_weight = quantise_in_pairs(product.weight, scales, axis, pairs=in_pairs)
        editor.set_input(
            node, 1, writer.weight(node.input[1], product.weight, axis, scales, steps_of_weight)
        )
        bias = product.bias
        if bias is None and node.op_type in ("Conv", "Gemm"):
            bias = np.zeros(product.channels, np.float32)  # to be corrected
        if bias is not None:
            steps = (scales.astype(np.float64) * scale).astype(np.float32)
            name = node.input[2] if product.has_bias else f"{node.output[0]}_bias"
            editor.set_input(node, 2, writer.bias(name, bias, steps))
            made = editor.producer(node.input[2])
            assert made is not None
            biased.append(BiasedProduct(node.output[0], node.input[2], made.input[0], steps))
    for node, slot, value in regions.constant_operands:
        quantiser = asymmetric_u8(float(value.min(initial=0)), float(value.max(initial=0)))
        editor.set_input(node, slot, writer.constant(node.input[slot], value, quantiser))
    for tensor in regions.tensors:
        readers = None if regions.made_in_integers(tensor) else regions.integer_readers(tensor)
        writer.pair(tensor, quantisers[regions.root(tensor)], readers)
    return biased


# ---- BatchNorm that no product takes in, as in DenseNet


def batchnorm_to_depthwise(model: onnx.ModelProto, keep: KeepRules) -> int:
    """Replace BatchNorm nodes on images (rank 4) by depthwise 1x1 convolutions; the model is changed.

    ONNX Runtime has no integer BatchNorm: each one would cost a way to float and back. As a convolution it
    runs in integers, and the ReLU behind it is part of it.

    The node keeps its name. Returns how many were replaced.
    """
    candidates = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not candidates:
        return 0
    shapes = tensor_shapes(model)
    editor = GraphEditor(model)
    replaced = 0
    for node in editor.live_nodes():
        if node.op_type != "BatchNormalization" or not is_standard(node) or keep.keeps(node):
            continue
        affine = batchnorm_affine(editor, node)
        if affine is None or len(shapes.get(node.input[0], ())) != 4:
            continue
        _replace(editor, node, affine.scale, affine.shift)
        replaced += 1
    editor.finish()
    return replaced


def _replace(
    editor: GraphEditor, node: onnx.NodeProto, scale: np.ndarray, shift: np.ndarray
) -> None:
    source, result, base = node.input[0], node.output[0], node.name or node.output[0]
    weight = editor.add_initializer(f"{base}_weight", scale.astype(np.float32).reshape(-1, 1, 1, 1))
    bias = editor.add_initializer(f"{base}_bias", shift.astype(np.float32))
    editor.replace(
        node,
        onnx.helper.make_node(
            "Conv", [source, weight, bias], [result], name=node.name,
            kernel_shape=[1, 1], group=int(scale.size),
        ),
    )  # fmt: skip
