"""Lists of layers as releases of TensorRT write them; each file of layer_listings says where its form is from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploykit.backends.tensorrt_layers import (
    EngineLayer,
    compute_types,
    parse_layers,
    placed_nodes,
    told_by,
)

FOLDER = Path(__file__).parent / "layer_listings"


def listing_of(name):
    # as it is written: reading it as text in Python's way keeps the control characters
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("\n")
    return "\n".join(line for line in lines if not line.startswith("#"))


LISTING = listing_of("rtx-1.7-log")
PRODUCTS = ["first", "second", "product"]


#: What the products of each listing compute in.
EXPECTED = {
    "10.2-log": {"int8": ["first"], "fp16": ["second"], "fp32": ["product"]},
    "10.2-inspector": {"int8": ["first"], "fp16": ["second"], "fp32": ["product"]},
    "10.6-log": {"fp16": ["first", "product", "last"], "int8": ["second"], "fp32": ["wide"]},
    "10.6-inspector": {"fp16": ["first", "product", "last"], "int8": ["second"], "fp32": ["wide"]},
    "10-inspector-free-batch": {"int8": ["first"], "fp16": ["second"], "unknown": ["product"]},
    "11-inspector": {"int8": ["first"], "bf16": ["second"], "fp8": ["product"]},
    "rtx-1.7-log": {"int8": ["first", "second", "product"]},
    "rtx-1.7-kinds": {
        "fp32": [
            "transposed.tr", "conv3d.c3", "pools.conv", "resize.conv", "instancenorm.conv", "mixed_cast.last",
            "int8_residual.right", "mm_t", "mm_e", "dynamic.conv", "dynamic.fc", "einsum.es",
        ],
        "fp16": ["deconv_fp16.tr", "mixed_cast.conv"],
        "int8": ["int8_dw.conv", "int8_residual.left"],
    },
}  # fmt: skip
#: Every kind of layer that TensorRT for RTX was seen to list.
RTX_KINDS = set(
    "avgpool cjmp copy correlation deconv gemm jmp kgen maxpool memset runtime_function runtime_fusion"
    " shape_call".split()
)


def test_every_listing_of_the_corpus_is_read_and_says_where_its_form_is_from():
    files = list(FOLDER.glob("*.txt"))
    assert {file.stem for file in files} == set(EXPECTED)
    for file in files:
        assert file.read_text(encoding="utf-8").startswith("# "), file


@pytest.mark.parametrize("name", EXPECTED)
def test_products_are_found_in_the_type_that_each_release_writes(name):
    products = [node for nodes in EXPECTED[name].values() for node in nodes]
    assert compute_types(parse_layers(listing_of(name)), products) == EXPECTED[name]


@pytest.mark.parametrize("name", ["rtx-1.7-log", "rtx-1.7-kinds"])
def test_every_line_of_a_real_log_is_a_layer_whose_types_are_known(name):
    text = listing_of(name)
    layers = parse_layers(text)
    assert len(layers) == sum(line.startswith("Name: ") for line in text.split("\n"))
    assert {layer.kind for layer in layers} <= RTX_KINDS
    if name == "rtx-1.7-kinds":
        assert {layer.kind for layer in layers} == RTX_KINDS
    types = {kind for layer in layers for kind in (*layer.input_types, *layer.output_types)}
    assert types <= {"Float", "Half", "Int8", "Int32", "Int64", "Bool"}


@pytest.mark.parametrize("name", ["10.2", "10.6"])
def test_the_log_and_the_inspector_say_the_same(name):
    assert parse_layers(listing_of(f"{name}-log")) == parse_layers(listing_of(f"{name}-inspector"))


def test_what_one_listing_does_not_tell_another_does():
    free = parse_layers(listing_of("10-inspector-free-batch"))
    (log,) = [
        [layer("product", "gemm", ["Half"], "product"), layer("first", "gemm", ["Float"], "first")]
    ]
    expected = {"int8": ["first"], "fp16": ["second", "product"]}
    assert told_by([free, log], PRODUCTS) == expected
    assert told_by([free, []], PRODUCTS) == EXPECTED["10-inspector-free-batch"]
    assert told_by([], PRODUCTS) == {}


def test_nodes_of_fused_groups_are_all_found():
    # the control character between groups ends a line for str.splitlines
    (fused,) = [x for x in parse_layers(listing_of("10.2-log")) if "relu" in x.name]
    assert "\x1e" in listing_of("10.2-log")
    assert fused.nodes == ("w1_QuantizeLinear", "first", "relu")
    (both,) = [x for x in parse_layers(listing_of("11-inspector")) if x.name == "first_myl0_2"]
    assert both.nodes == ("first", "image_DequantizeLinear", "w1_DequantizeLinear")


@pytest.mark.parametrize(
    "kind",
    [
        "CaskConvolution",
        "CaskGemmConvolution",
        "CaskGemmMatrixMultiply",
        "CaskConvActPool",
        "CaskFlattenConvolution",
        "CaskJitConv",
        "CaskDeconvolutionV2",
        "correlation",
        "gemm",
        "runtime_fusion",
    ],
)
def test_kinds_that_multiply_decide(kind):
    layers = [layer("a", kind, ["Half"], "a"), layer("a", "Reformat", ["Float"], "a")]
    assert compute_types(layers, ["a"]) == {"fp16": ["a"]}


@pytest.mark.parametrize(
    "kind", ["CaskPooling", "CaskSoftMaxV2", "PointWiseV2", "NoOp", "Converter"]
)
def test_kinds_that_do_not_multiply_leave_it_to_those_that_do(kind):
    layers = [layer("a", "CaskConvolution", ["Int8"], "a"), layer("a", kind, ["Float"], "a")]
    assert compute_types(layers, ["a"]) == {"int8": ["a"]}


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("Row major linear FP32", "fp32"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Channel major FP32 format where channel % 4 == 0", "fp32"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Row major Int8 format", "int8"),
        ("Half", "fp16"),
        ("BFloat16", "bf16"),
        ("N/A due to dynamic shapes", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_type_is_read_however_releases_write_it(written, kind):
    """As listings in issues of NVIDIA/TensorRT have it, of 8.4 to 10.10."""
    tensor = {"Name": "t", "Dimensions": [1, 8], "Format/Datatype": written}
    listed = {"Name": "a", "LayerType": "CaskGemmMatrixMultiply", "Inputs": [tensor, tensor]}
    text = json.dumps({"Layers": [listed | {"Outputs": [tensor], "Metadata": "[ONNX Layer: a]"}]})
    assert compute_types(parse_layers(text), ["a"]) == {kind: ["a"]}


def test_attention_in_one_layer_has_both_of_its_products():
    """As 10.9 and 10.10 list it: products of one input, and whole attention, are single layers."""
    layers = [
        fused(
            "q/MatMul+k/MatMul+v/MatMul_myl0_9", ["Half"], [], ["Half"], "q", "k", "v", kind="gemm"
        ),
        fused(
            "_gemm_mha_v2_myl0_4", ["Int8", "Int8"], [], ["Int8"], "scores", "softmax", "context"
        ),
        fused("__myl_AddCastMeanSubMul_myl0_5", ["Int8"], [], ["Float"], "context", "norm"),
    ]
    found = compute_types(layers, ["q", "k", "v", "scores", "context"])
    assert found == {"fp16": ["q", "k", "v"], "int8": ["scores", "context"]}


def test_a_name_with_brackets_is_read_whole():
    line = (
        "Name: c, LayerType: gemm, Inputs: [ { Name: (Unnamed Layer* 3) [Shuffle]_output, Dimensions: [1,2], "
        "Format/Datatype: Half }], Outputs: [ { Name: y[0], Dimensions: [1,2], Format/Datatype: Float }], "
        "TacticName: t, Metadata: [ONNX Layer: layers[0].fc]\x1e[ONNX Layer: b]"
    )
    (found,) = parse_layers(line)
    assert found == EngineLayer("c", "gemm", ("Half",), ("layers[0].fc", "b"), (), ("Float",))


@pytest.mark.parametrize(
    "text",
    [
        '{"Layers": ["first", "second"], "Bindings": []}',  # of an engine without detailed verbosity
        '{"Layers": 3}',
        '{"Layers": [{"Name": 1, "LayerType": null, "Inputs": "x", "Outputs": [1], "Metadata": null}]}',
        "{",
        "{" * 100_000,
        "[]",
    ],
)
def test_what_an_inspector_should_not_say_gives_no_types(text):
    assert compute_types(parse_layers(text), ["first"]) == {"unknown": ["first"]}


def layer(name, kind, types, *nodes):
    return EngineLayer(name, kind, tuple(types), nodes)


def test_a_stored_listing_is_read_layer_by_layer():
    layers = parse_layers(LISTING)
    assert [x.kind for x in layers].count("correlation") == 2
    (product,) = [x for x in layers if x.kind == "gemm"]
    assert product.name == "product_myl0_6"
    assert product.input_types == ("Int8",)
    assert product.nodes == ("product", "f_DequantizeLinear", "w3_DequantizeLinear")


def test_the_types_of_a_stored_listing_are_those_of_the_multiplying_layers():
    # the layer that quantises the input names "first" too, and takes floats: it must not decide
    assert compute_types(parse_layers(LISTING), PRODUCTS) == {"int8": PRODUCTS}


def test_a_product_is_placed_at_the_layer_that_computes_it_and_at_none_around_it():
    """Layers that quantise its input and that scale what it makes name it, too, and take time of their own."""
    placed = placed_nodes(parse_layers(LISTING), PRODUCTS)
    assert [(name, kind) for name, kind, *_ in placed] == [
        (x.name, x.kind) for x in parse_layers(LISTING)
    ]
    at = [(node, kind) for _, kind, *nodes in placed for node in nodes if node in PRODUCTS]
    assert at == [("first", "correlation"), ("second", "correlation"), ("product", "gemm")]
    (relu,) = [nodes for _, _, *nodes in placed if "relu" in nodes]
    assert relu == ["r1_QuantizeLinear", "relu"]
    # of what no layer computes nothing is left out
    assert [nodes for _, _, *nodes in placed_nodes([layer("x", "kgen", [], "a")], ["a"])] == [["a"]]


def test_constants_that_the_compiler_named_are_no_data_where_they_are_listed_among_the_inputs():
    """As lists of before 11 have them, with the names that the log of TensorRT for RTX has under Constants."""
    constants = [
        ("__mye1416dconst", [1, 8, 1, 1], "Float"),
        ("__mye71_const", [1], "Float"),
        ("__mye2483_const-lit-in", [1], "Float"),
        ("__mye2100_dconst", [8, 4, 3, 3], "Int8"),
    ]
    tensors = [
        {"Name": name, "Dimensions": sizes, "Format/Datatype": kind}
        for name, sizes, kind in [*constants, ("__mye47constant_x.1_2", [1, 4, 16, 16], "Int8")]
    ]
    listed = {"Name": "c_myl0_1", "LayerType": "correlation", "Inputs": tensors}
    text = json.dumps({"Layers": [listed | {"Metadata": "[ONNX Layer: c]"}]})
    (found,) = parse_layers(text)
    assert found.input_types == ("Int8",)
    assert found.constant_types == ("Int8", "Float")
    assert compute_types([found], ["c"]) == {"int8": ["c"]}


@pytest.mark.parametrize("separator", ["\x1e", "\x1f"])
def test_an_inspector_that_does_not_escape_what_separates_metadata_is_read_all_the_same(separator):
    text = (
        '{"Layers": [{"Name": "a", "LayerType": "gemm", "Inputs": [{"Name": "x", "Dimensions": [1, 4], '
        f'"Datatype": "Half"}}], "Metadata": "[ONNX Layer: a]{separator}[ONNX Layer: b]"}}]}}'
    )
    assert compute_types(parse_layers(text), ["a", "b"]) == {"fp16": ["a", "b"]}


def test_a_node_that_no_layer_names_is_unknown():
    found = compute_types(parse_layers(LISTING), [*PRODUCTS, "folded"])
    assert found == {"int8": PRODUCTS, "unknown": ["folded"]}


def test_a_layer_that_only_prepares_does_not_decide():
    layers = [
        layer("cast", "kgen", ["Float"], "a"),
        layer("conv", "correlation", ["Half"], "a"),
        layer("bias", "kgen", ["Float"], "a"),
    ]
    assert compute_types(layers, ["a"]) == {"fp16": ["a"]}


def test_where_no_layer_is_known_to_multiply_the_last_one_decides():
    layers = [layer("x", "kgen", ["Float"], "a"), layer("y", "kgen", ["BFloat16"], "a")]
    assert compute_types(layers, ["a"]) == {"bf16": ["a"]}


def test_a_type_without_a_name_of_ours_stays_as_it_is():
    assert compute_types([layer("x", "gemm", ["Int64"], "a")], ["a"]) == {"int64": ["a"]}


def fused(name, inputs, constants, outputs, *nodes, kind="kgen"):
    return EngineLayer(name, kind, tuple(inputs), nodes, tuple(constants), tuple(outputs))


@pytest.mark.parametrize(
    ("layer_", "expected"),
    [
        # the cast of the input is in the layer: the weight tells
        (fused("CastMulSumAdd", ["Float"], ["Half"], ["Half"], "a"), "fp16"),
        # both casts are
        (fused("CastMulSumCast", ["Float"], ["Half"], ["Float"], "a"), "fp16"),
        (fused("MulRounCastMulSum", ["Float"], ["Int8", "Float"], ["Float"], "a"), "int8"),
        # a product of two activations with the cast of one
        (fused("CastMulSum", ["Float", "Half"], [], ["Half"], "a"), "fp16"),
        # a narrow weight alone, dequantised beside wide data, is no narrow product
        (fused("MulMulSum", ["Float"], ["Int8"], ["Float"], "a"), "fp32"),
        # whatever is made of the result behind it
        (fused("MulMulSumMulMinMaxRounCast", ["Float"], ["Int8"], ["Int8"], "a"), "fp32"),
        (fused("MulSumCast", ["Float", "Float"], [], ["Half"], "a"), "fp32"),
        # nor is narrow data that meets a wide weight
        (fused("MulMulSum", ["Int8"], ["Float"], ["Float"], "a"), "fp32"),
        # a bias or scales in float32 are not the weight
        (fused("gemm", ["Int8"], ["Int8", "Float"], ["Float"], "a", kind="gemm"), "int8"),
        # indices before the data
        (fused("WherMulSum", ["Bool", "Half"], ["Half"], ["Half"], "a"), "fp16"),
    ],
)
def test_a_fused_layer_counts_by_what_it_multiplies(layer_, expected):
    assert compute_types([layer_], ["a"]) == {expected: ["a"]}


def test_what_only_follows_a_product_in_a_pointwise_layer_does_not_decide():
    layers = [
        fused("CastReshMulSum", ["Float"], ["Half"], ["Half"], "a"),
        fused("AddSoftmaxCast", ["Float"], ["Float"], ["Float"], "a"),
    ]
    assert compute_types(layers, ["a"]) == {"fp16": ["a"]}


def test_constants_are_read_largest_first_and_single_values_not_at_all():
    (first,) = [x for x in parse_layers(LISTING) if x.name == "product_myl0_6"]
    assert first.constant_types[0] == "Int8"
    line = (
        "Name: a, LayerType: kgen, Inputs: [ { Name: x, Dimensions: [1,2], Datatype: Float, Format: f }], "
        "Constants: [ { Name: b, Dimensions: [1,8], Datatype: Float, Format: f }, { Name: s, Dimensions: [1], "
        "Datatype: Float, Format: f }, { Name: w, Dimensions: [2,8], Datatype: Half, Format: f }], "
        "Outputs: [ { Name: y, Dimensions: [1,8], Datatype: Half, Format: f }], TacticName: t, "
        "Metadata: [ONNX Layer: n]"
    )
    (found,) = parse_layers(line)
    assert found == EngineLayer("a", "kgen", ("Float",), ("n",), ("Half", "Float"), ("Half",))


@pytest.mark.parametrize("cut", range(0, len(LISTING), 997))
def test_a_listing_that_is_cut_short_gives_what_is_whole(cut):
    whole = parse_layers(LISTING)
    found = parse_layers(LISTING[:cut])
    assert found[:-1] == whole[: max(0, len(found) - 1)]


@given(st.text())
def test_malformed_text_gives_no_layers_and_no_error(text):
    assert compute_types(parse_layers(text), ["a"]) == {"unknown": ["a"]}


@given(st.lists(st.sampled_from(LISTING.replace("\n", " \n ").split(" ")), max_size=60))
def test_shuffled_pieces_of_a_listing_raise_nothing(pieces):
    compute_types(parse_layers(" ".join(pieces)), PRODUCTS)
