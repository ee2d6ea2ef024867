from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_models import make_model, tensor
from onnx import TensorProto, helper, numpy_helper

from deploykit.errors import UsageError
from deploykit.graph.count import count_graph
from deploykit.graph.read_write import read_model
from deploykit.graph.shapes import element_types

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
CONTRIBUTED = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]

#: Batch normalisation of DenseNet-121: 41,824 channels, each with a scale and an offset. Caffe
#: writes them as a layer of their own behind the normalisation, whose own two stay in the file.
DENSENET_SCALE_LAYERS = 2 * 41_824


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("bvlc_alexnet", 60_965_224, None),
        ("densenet121", 7_978_856 + DENSENET_SCALE_LAYERS, 2_834_161_664),
        ("inception_v1", 6_998_552, None),
        ("resnet50", 25_557_032, 4_089_184_256),
        ("shufflenet", None, None),
        ("squeezenet", 1_235_496, 349_151_936),
        ("vgg19", 143_667_240, 19_632_062_464),
    ],
)
def test_third_party_networks_have_their_published_figures(
    name: str, parameters: int | None, macs: int | None
) -> None:
    counts = count_graph(LIGHT / f"light_{name}.onnx")
    if parameters is not None:
        assert counts.parameters == parameters
    if macs is not None:
        assert counts.macs == macs
    assert counts.uncounted == {}
    assert counts.weight_bytes < 20_000, "the file holds shapes of weights, not weights"


def test_operators_add_up_to_the_totals() -> None:
    counts = count_graph(LIGHT / "light_densenet121.onnx")
    by_operator = counts.by_operator.values()
    assert sum(one.parameters for one in by_operator) == counts.parameters
    assert sum(one.macs for one in by_operator) == counts.macs
    assert sum(one.activation_bytes for one in by_operator) == counts.activation_bytes
    assert counts.by_operator["Conv"].nodes == 121


def test_a_convolution_by_hand(convolution: onnx.ModelProto) -> None:
    counts = count_graph(convolution)
    assert counts.parameters == 16 * 3 * 3 * 3 + 16
    assert counts.macs == 8 * 8 * 16 * 3 * 3 * 3
    assert counts.activation_bytes == 2 * 16 * 8 * 8 * 4
    assert counts.weight_bytes == 4 * 448
    assert counts.by_operator["Relu"].macs == 0


@pytest.mark.parametrize(
    ("weight", "attributes", "macs"),
    [
        ((6, 1, 3, 3), {"group": 3}, 36 * 6 * 9),
        ((3, 1, 3, 3), {"group": 3}, 36 * 3 * 9),
        ((4, 3, 3, 3), {"dilations": [2, 2]}, 16 * 4 * 27),
        ((4, 3, 3, 3), {"strides": [2, 2]}, 9 * 4 * 27),
        ((4, 3, 1, 5), {"auto_pad": "SAME_UPPER"}, 64 * 4 * 15),
    ],
    ids=["grouped", "depthwise", "dilated", "strided", "same"],
)
def test_convolutions_cost_a_filter_per_output(
    weight: tuple[int, ...], attributes: dict[str, object], macs: int
) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    counts = count_graph(make_model([node], [tensor("w", *weight)]))
    assert counts.macs == macs
    assert counts.parameters == np.prod(weight)


def test_a_transposed_convolution_costs_a_filter_per_input() -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    assert count_graph(make_model([node], [tensor("w", 3, 5, 2, 2)])).macs == 64 * 3 * 5 * 4


@pytest.mark.parametrize(("transposed", "shape"), [(0, (8, 4)), (1, (4, 8))])
def test_a_gemm_costs_its_shared_dimension_per_output(
    transposed: int, shape: tuple[int, int]
) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=transposed)
    model = make_model([node], [tensor("w", *shape), tensor("b", 4)], shape=("batch", 8))
    counts = count_graph(model)
    assert (counts.macs, counts.parameters) == (32, 36)


def test_a_product_of_activations_is_counted_and_has_no_parameters() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    counts = count_graph(make_model(nodes, shape=("batch", 3, 5, 8)))
    assert (counts.macs, counts.parameters) == (3 * 5 * 5 * 8, 0)


def as_constant(model: onnx.ModelProto) -> onnx.ModelProto:
    stored = list(model.graph.initializer)
    del model.graph.initializer[:]
    for weight in stored:
        model.graph.node.insert(0, helper.make_node("Constant", [], [weight.name], value=weight))
    return model


def as_filled(model: onnx.ModelProto) -> onnx.ModelProto:
    stored = list(model.graph.initializer)
    del model.graph.initializer[:]
    for weight in stored:
        shape = numpy_helper.from_array(np.array(weight.dims, np.int64), weight.name + "_shape")
        model.graph.initializer.append(shape)
        model.graph.node.insert(0, helper.make_node("ConstantOfShape", [shape.name], [weight.name]))
    return model


@pytest.mark.parametrize("rewrite", [as_constant, as_filled])
def test_it_does_not_matter_how_weights_are_stored(
    rewrite: object, convolution: onnx.ModelProto
) -> None:
    wanted = count_graph(convolution)
    found = count_graph(rewrite(convolution))  # type: ignore[operator]
    assert found.parameters == wanted.parameters
    assert found.macs == wanted.macs
    assert found.activation_bytes == wanted.activation_bytes


def test_huge_filled_weights_take_no_memory() -> None:
    shape = numpy_helper.from_array(np.array([10**6, 10**7], np.int64), "shape")
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    counts = count_graph(make_model(nodes, [shape], shape=("batch", 10**6)))
    assert counts.parameters == counts.macs == 10**13


def test_running_statistics_are_stored_but_no_parameters() -> None:
    weights = [tensor(name, 3) for name in ("scale", "bias", "mean", "var")]
    node = helper.make_node("BatchNormalization", ["x", "scale", "bias", "mean", "var"], ["y"])
    counts = count_graph(make_model([node], weights))
    assert counts.parameters == 6
    assert counts.weight_bytes == 4 * 12


def test_constants_of_formulas_are_no_parameters() -> None:
    integers = {"shape": [-1, 192], "axes": [2, 3], "pads": [0, 0, 1, 1, 0, 0, 1, 1]}
    floats = {"low": 0.0, "high": 6.0, "half": 0.5}
    weights = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in integers.items()]
    weights += [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in floats.items()]
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["p"]),
        helper.make_node("Clip", ["p", "low", "high"], ["c"]),
        helper.make_node("Mul", ["c", "half"], ["m"]),
        helper.make_node("ReduceMean", ["m", "axes"], ["r"]),
        helper.make_node("Add", ["x", "r"], ["a"]),
        helper.make_node("Reshape", ["a", "shape"], ["y"]),
    ]
    counts = count_graph(make_model(nodes, weights, output=("batch", 192)))
    assert (counts.parameters, counts.macs, counts.uncounted) == (0, 0, {})


def test_scales_written_as_arithmetic_are_parameters() -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["scale", "axes"], ["wide"]),
        helper.make_node("Mul", ["x", "wide"], ["m"]),
        helper.make_node("Add", ["m", "offset"], ["y"]),
    ]
    axes = numpy_helper.from_array(np.array([1, 2], np.int64), "axes")
    counts = count_graph(make_model(nodes, [tensor("scale", 3), tensor("offset", 3, 1, 1), axes]))
    assert counts.parameters == 6
    assert counts.activation_bytes == 2 * 3 * 64 * 4, "what is made of constants is no activation"


def test_a_weight_used_twice_counts_once() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["y"]),
    ]
    counts = count_graph(make_model(nodes, [tensor("w", 8, 8)], shape=("batch", 8)))
    assert (counts.parameters, counts.macs) == (64, 128)


class Batches:
    """Three images for ONNX Runtime's own quantiser."""

    def __init__(self) -> None:
        self._left = [{"x": np.full((1, 3, 8, 8), v, np.float32)} for v in (-1, 0, 1)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop() if self._left else None


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_quantised_graphs_count_as_their_originals(
    form: str, convolution: onnx.ModelProto, tmp_path: Path
) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    graph = convolution.graph
    graph.initializer.extend([tensor("m", 16, 10), tensor("n", 10)])
    graph.node[1].output[0] = "r"
    graph.node.extend(
        [
            helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
            helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
            helper.make_node("Gemm", ["f", "m", "n"], ["y"], name="gemm"),
        ]
    )
    graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 10)))
    onnx.save(convolution, tmp_path / "fp32.onnx")
    quantization.quantize_static(
        tmp_path / "fp32.onnx",
        tmp_path / "int8.onnx",
        Batches(),
        quant_format=quantization.QuantFormat[form],
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
    )
    wanted, found = count_graph(convolution), count_graph(tmp_path / "int8.onnx")
    assert found.parameters == wanted.parameters
    assert found.macs == wanted.macs
    assert found.uncounted == {}
    assert found.weight_bytes < wanted.weight_bytes


def test_dynamically_quantised_products_are_counted() -> None:
    weight = helper.make_tensor("w", TensorProto.INT8, (8, 4), [1] * 32)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["i"]),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    counts = count_graph(make_model(nodes, [weight], shape=("batch", 8)))
    assert (counts.parameters, counts.macs) == (32, 32)


def test_fused_convolutions_of_onnx_runtime_are_counted() -> None:
    nodes = [
        helper.make_node("FusedConv", ["x", "w"], ["c"], domain="com.microsoft", activation="Relu"),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    counts = count_graph(make_model(nodes, [tensor("w", 4, 3, 3, 3)], opsets=CONTRIBUTED))
    assert counts.macs == 36 * 4 * 27
    assert counts.activation_bytes == 2 * 4 * 36 * 4
    assert counts.uncounted == {}


@pytest.mark.parametrize(
    ("node", "name"),
    [
        (helper.make_node("DFT", ["x"], ["y"]), "DFT"),
        (
            helper.make_node("FusedMagic", ["x"], ["y"], domain="com.microsoft"),
            "com.microsoft.FusedMagic",
        ),
    ],
)
def test_operators_without_a_rule_are_listed(node: onnx.NodeProto, name: str) -> None:
    model = make_model([node], shape=(1, 8, 8, 2), opsets=CONTRIBUTED)
    assert count_graph(model).uncounted == {name: 1}


def test_a_product_of_unknown_shape_is_listed() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["w", "f"], ["y"]),
    ]
    uncounted = count_graph(make_model(nodes, [tensor("w", 8, 4)], output=(8, "n"))).uncounted
    assert uncounted["MatMul"] == 1


def conditional(op_type: str) -> onnx.ModelProto:
    inputs = ["x", "w"] if op_type == "Conv" else ["x"]
    body = helper.make_graph(
        [helper.make_node(op_type, inputs, ["inner"])],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, (1, 3, 8, 8))],
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["condition"], to=TensorProto.BOOL),
        helper.make_node("If", ["condition"], ["y"], then_branch=body, else_branch=body),
    ]
    return make_model(nodes, [tensor("w", 3, 3, 1, 1)] if op_type == "Conv" else [])


def test_work_in_branches_is_counted_once_and_so_are_its_parameters() -> None:
    counts = count_graph(conditional("Conv"))
    assert (counts.macs, counts.uncounted) == (64 * 9, {})
    assert counts.parameters == 9, "both branches read the same weight"


def test_a_branch_of_a_fixed_condition_works_on_what_it_reads_around_it() -> None:
    model = conditional("Conv")
    always = helper.make_node("Constant", [], ["condition"], value_int=1)
    cast = helper.make_node("Cast", ["condition"], ["always"], to=TensorProto.BOOL)
    branch = model.graph.node[-1]
    branch.input[0] = "always"
    del model.graph.node[:]
    model.graph.node.extend([always, cast, branch])
    counts = count_graph(model)
    assert (counts.macs, counts.uncounted, counts.parameters) == (64 * 9, {}, 9)


def test_an_operator_that_is_not_known_may_multiply_though_its_body_does_not() -> None:
    """As FlexAttention does: its body changes the scores of an attention."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["score"], ["changed"])],
        "body",
        [value("score", TensorProto.FLOAT, [])],
        [value("changed", TensorProto.FLOAT, [])],
    )
    own = "ai.onnx.preview"
    node = helper.make_node("FlexAttention", ["x", "x", "x"], ["y"], domain=own, score_mod=body)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(own, 1)]
    counts = count_graph(make_model([node], shape=("batch", 2, 5, 8), opsets=opsets))
    assert (counts.macs, counts.uncounted) == (0, {"ai.onnx.preview.FlexAttention": 1})


def test_branches_without_work_are_counted() -> None:
    assert count_graph(conditional("Relu")).uncounted == {}


def test_functions_of_the_model_are_counted_as_what_they_hold() -> None:
    model = make_model(
        [helper.make_node("Block", ["x", "w"], ["y"], domain="own")],
        [tensor("w", 4, 3, 3, 3)],
        opsets=[helper.make_opsetid("", 20), helper.make_opsetid("own", 1)],
        functions=[
            helper.make_function(
                "own",
                "Block",
                ["a", "k"],
                ["c"],
                [
                    helper.make_node("Conv", ["a", "k"], ["b"]),
                    helper.make_node("Relu", ["b"], ["c"]),
                ],
                [helper.make_opsetid("", 20)],
            )
        ],
    )
    counts = count_graph(model)
    assert (counts.macs, counts.parameters) == (36 * 4 * 27, 108)
    assert counts.uncounted == {}


@pytest.mark.parametrize("batch", ["batch", "N", None, 1, 4])
def test_counts_are_those_of_one_image(batch: int | str | None, convolution: object) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    counts = count_graph(
        make_model(
            [node],
            [tensor("w", 4, 3, 3, 3)],
            shape=(batch, 3, 8, 8),
            output=(batch, 4, 6, 6),
        )
    )
    assert counts.macs == 36 * 4 * 27
    assert counts.activation_bytes == 4 * 36 * 4


def test_a_batch_on_another_axis_leaves_the_first_its_size() -> None:
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = [tensor("w", 8, 5)]
    model = make_model([product], weights, shape=(12, "N", 8), output=(12, "N", 5))
    assert count_graph(model).macs == 12 * 8 * 5
    sized = make_model([product], weights, shape=(4, "steps", 8), output=(4, "steps", 5))
    assert count_graph(sized, {"steps": 3}).macs == 3 * 8 * 5  # of one of four


def test_other_symbolic_dimensions_are_asked_for() -> None:
    model = make_model(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        [tensor("w", 4, 3, 3, 3)],
        shape=("batch", 3, "height", "width"),
    )
    with pytest.raises(UsageError, match=r"beside the batch: height, width; "):
        count_graph(model)
    assert count_graph(model, dims={"height": 8, "width": 6}).macs == 6 * 4 * 4 * 27


def test_shapes_computed_in_the_graph_are_followed() -> None:
    first = numpy_helper.from_array(np.array([0], np.int64), "first")
    rest = numpy_helper.from_array(np.array([192], np.int64), "rest")
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "first"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    model = make_model(nodes, [first, rest, tensor("w", 192, 10)], output=("batch", 10))
    counts = count_graph(model)
    assert (counts.macs, counts.uncounted) == (1920, {})
    assert counts.parameters == 1920


@pytest.mark.parametrize(
    ("node", "domain"),
    [("DFT", ""), ("STFT", ""), ("SparseAttention", "com.microsoft")],
)
def test_transforms_and_attention_without_a_rule_make_a_lower_bound(node: str, domain: str) -> None:
    value = helper.make_tensor_value_info
    names = ["x", "s"] if node == "STFT" else ["x", "", "s"]
    graph = helper.make_graph(
        [helper.make_node(node, names, ["y"], domain=domain)],
        "g",
        [value("x", TensorProto.FLOAT, [1, 64, 1]), value("s", TensorProto.INT64, [])],
        [value("y", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    counts = count_graph(helper.make_model(graph, opset_imports=opsets, ir_version=9))
    name = f"{domain}.{node}" if domain else node
    assert (counts.is_lower_bound, counts.uncounted) == (True, {name: 1})
    why = "there is no rule for it"
    if not domain:
        why = "how many products it takes depends on the algorithm of the runtime"
    assert counts.remarks == (f"{name}: {why}",)


def mapped(split: int | None) -> onnx.ModelProto:
    """A product of every tensor of a sequence that an input is split to."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["e", "w"], ["p"])],
        "body",
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("SplitToSequence", ["x", "split"] if split else ["x"], ["s"], axis=1),
        helper.make_node("SequenceMap", ["s"], ["m"], body=body),
        helper.make_node("ConcatFromSequence", ["m"], ["y"], axis=1),
    ]
    stored = [tensor("w", 16, 8)]
    if split:
        stored.append(numpy_helper.from_array(np.array(split), "split"))
    return make_model(nodes, stored, (1, 6, 16), (1, None, 8))


@pytest.mark.parametrize("split", [3, 2, None])
def test_what_is_mapped_over_a_sequence_runs_for_each_of_its_tensors(split: int | None) -> None:
    counts = count_graph(mapped(split))
    assert (counts.macs, counts.parameters) == (6 * 16 * 8, 128)


@pytest.mark.parametrize(
    ("nodes", "runs"),
    [
        ([("SequenceConstruct", ["x", "x", "x"], "s")], 3),
        ([("SequenceConstruct", ["x", "x"], "t"), ("SequenceInsert", ["t", "x"], "s")], 3),
        ([("SequenceConstruct", ["x", "x"], "t"), ("SequenceErase", ["t"], "s")], 1),
    ],
)
def test_the_length_of_a_sequence_is_followed(
    nodes: list[tuple[str, list[str], str]], runs: int
) -> None:
    model = mapped(None)
    made = [helper.make_node(name, inputs, [output]) for name, inputs, output in nodes]
    kept = list(model.graph.node)[1:]
    del model.graph.node[:]
    model.graph.node.extend([*made, *kept])
    assert count_graph(model).macs == runs * 6 * 16 * 8


def test_a_sequence_of_unknown_length_makes_a_lower_bound() -> None:
    model = mapped(None)
    model.graph.input.append(helper.make_tensor_value_info("n", TensorProto.INT64, []))
    model.graph.node[0].input.append("n")
    counts = count_graph(model)
    assert set(counts.uncounted) == {"MatMul", "SequenceMap"}
    assert any("depends on values" in remark for remark in counts.remarks)


def test_scaling_and_trees_of_classic_machine_learning_hold_no_products() -> None:
    scaler = helper.make_node(
        "Scaler", ["x"], ["a"], domain="ai.onnx.ml", offset=[0.5], scale=[2.0]
    )
    model = make_model(
        [scaler, helper.make_node("MatMul", ["a", "w"], ["y"])], [tensor("w", 16, 8)], ("batch", 16),
        opsets=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )  # fmt: skip
    counts = count_graph(model)
    assert (counts.macs, counts.uncounted) == (128, {})
    assert element_types(model)["a"] == TensorProto.FLOAT


def test_the_norm_that_onnx_runtime_keeps_in_the_domain_of_onnx_is_taken(tmp_path: Path) -> None:
    norm = helper.make_node("SimplifiedLayerNormalization", ["a", "g"], ["b"], axis=-1)
    model = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["a"]), norm, helper.make_node("MatMul", ["b", "w"], ["y"])],
        [tensor("w", 16, 16), tensor("g", 16)], ("batch", 16), opsets=[helper.make_opsetid("", 17)],
    )  # fmt: skip
    onnx.save(model, tmp_path / "a.onnx")
    counts = count_graph(read_model(tmp_path / "a.onnx"))
    assert (counts.macs, counts.parameters, counts.uncounted) == (512, 272, {})
