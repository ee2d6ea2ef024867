"""Kinds of networks that people have, one small graph each: converted, run, and near to what they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_graphs import N, data, engine, graph, quantised, random, run, snr_db

from deploykit.backends import get
from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.backends.tensorrt import tensorrt_rtx
from deploykit.graph.names import part_names
from deploykit.graph.precision import convert
from deploykit.graph.read_write import open_model
from deploykit.spec import BuildOptions, ModelFile
from deploykit.store import Store
from deploykit.workflow.network import obtain_network

IMAGE, WORDS = ["N", 8, 16, 16], ["N", 16, 16]
MASK = np.triu(np.full((16, 16), -1e9, np.float32), 1)
A, B = random(8, 8, 3, 3), random(4, 8, 3, 3, seed=1)


def conv(
    source: str, weight: str, output: str, name: str | None = None, **more: object
) -> onnx.NodeProto:
    return N("Conv", [source, weight], [output], name=output if name is None else name, **more)


def between(*nodes: onnx.NodeProto, **weights: np.ndarray) -> onnx.ModelProto:
    """Nodes from "c" to "d" between two convolutions."""
    opset = 20 if any(node.op_type == "Gelu" for node in nodes) else 17
    ends = (conv("x", "a", "c"), conv("d", "b", "y"))
    return graph([ends[0], *nodes, ends[1]], IMAGE, {"a": A, "b": B} | weights, opset=opset)


def named(first: str, second: str) -> onnx.ModelProto:
    nodes = [
        conv("x", "w e/ß", "t 1/é", first),
        N("Relu", ["t 1/é"], ["r:0"]),
        conv("r:0", "w", "y", second),
    ]
    return graph(nodes, IMAGE, {"w e/ß": A, "w": B})


def block(opset: int) -> onnx.ModelProto:
    """A residual block with a classifier, in an opset."""
    nodes = [
        conv("x", "a", "c", pads=[1] * 4), N("BatchNormalization", ["c", "s", "h", "m", "v"], ["n"]),
        N("Relu", ["n"], ["r"]), conv("r", "a", "d", pads=[1] * 4), N("Add", ["d", "r"], ["e"]),
        N("AveragePool", ["e"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        N("MaxPool", ["p"], ["q"], kernel_shape=[2, 2], strides=[2, 2]),
        N("GlobalAveragePool", ["q"], ["g"]), N("Flatten", ["g"], ["f"]),
        N("Gemm", ["f", "w", "k"], ["z"], transB=1), N("Softmax", ["z"], ["y"], axis=1),
    ]  # fmt: skip
    some = {name: random(8, seed=i) for i, name in enumerate("shm")}
    rest = {"v": np.abs(random(8, seed=5)) + 0.5, "w": random(10, 8), "k": random(10)}
    model = graph(nodes, IMAGE, {"a": A} | some | rest, opset=opset)
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)
    return model


def of_functions() -> onnx.ModelProto:
    """Two convolutions that functions hold, one of which calls the other, and a third beside them."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    held = N("Conv", ["a", "w"], ["c"], name="conv")
    held.attribute.append(
        onnx.AttributeProto(name="pads", type=onnx.AttributeProto.INTS, ref_attr_name="pads")
    )
    block = helper.make_function(
        "own", "Block", ["a", "w"], ["r"], [held, N("Relu", ["c"], ["r"], name="relu")], opsets[:1], ["pads"]
    )  # fmt: skip
    twice = helper.make_function(
        "own", "Twice", ["a", "w"], ["b"],
        [N("Block", ["a", "w"], ["m"], name="first", domain="own", pads=[1] * 4),
         N("Block", ["m", "w"], ["b"], name="second", domain="own", pads=[0] * 4)],
        opsets,
    )  # fmt: skip
    call = N("Twice", ["x", "a"], ["t"], name="twice", domain="own")
    return graph([call, conv("t", "b", "y")], IMAGE, {"a": A, "b": B}, (block, twice), opset=17)


KINDS: dict[str, onnx.ModelProto] = {
    "functions": of_functions(),
    "conv 1-D": graph(
        [conv("x", "a", "c", pads=[1, 1]), N("Relu", ["c"], ["r"]), conv("r", "b", "y", group=8)],
        ["N", 8, 64], {"a": random(8, 8, 3), "b": random(8, 1, 3, seed=1)},
    ),
    "conv 3-D": graph(
        [conv("x", "a", "c", pads=[1] * 6), N("Relu", ["c"], ["r"]), conv("r", "b", "y")],
        ["N", 4, 6, 8, 8], {"a": random(8, 4, 3, 3, 3), "b": random(4, 8, 3, 3, 3, seed=1)},
    ),
    "grouped ConvTranspose": graph(
        [conv("x", "a", "c"), N("Relu", ["c"], ["r"]),
         N("ConvTranspose", ["r", "t"], ["y"], name="t", group=4, strides=[2, 2])],
        IMAGE, {"a": A, "t": random(8, 2, 3, 3, seed=1)},
    ),
    **{f"opset {opset}": block(opset) for opset in range(7, 25)},
    "one weight three times": graph(
        [conv("x", "a", "c"), N("Relu", ["c"], ["r"]), conv("r", "a", "d"), N("Relu", ["d"], ["s"]),
         conv("s", "a", "y")],
        IMAGE, {"a": A},
    ),
    "a weight that is added too": graph(
        [conv("x", "a", "c"), N("MatMul", ["c", "k"], ["m"]), N("Add", ["m", "k"], ["y"])],
        IMAGE, {"a": random(8, 8, 1, 1), "k": random(16, 16)},
    ),
    "slashes": named("/a/b", "/a/b/c"),
    "spaces": named("a b", " c"),
    "other scripts": named("схема", "层/卷积"),
    "no names": named("", ""),
    "long names": named("n" * 300, "m" * 300),
    "Clip with min above max": between(
        N("Clip", ["c", "lo", "hi"], ["k"]), N("Add", ["k", "c"], ["d"]), lo=np.float32(1), hi=np.float32(-0.5)
    ),
    "Clip from zero to less": between(
        N("Clip", ["c", "lo", "hi"], ["k"]), N("Add", ["k", "c"], ["d"]), lo=np.float32(0), hi=np.float32(-2)
    ),
    "weights of 1e-6": graph(
        [conv("x", "a", "c"), N("Mul", ["c", "big"], ["d"]), conv("d", "b", "y")],
        IMAGE, {"a": A * np.float32(1e-6), "b": B, "big": np.float32(1e6)},
    ),
    "a mask on scores": graph(
        [N("MatMul", ["x", "q"], ["s"], name="q"), N("Add", ["s", "mask"], ["t"]),
         N("Softmax", ["t"], ["p"], axis=-1), N("MatMul", ["p", "w"], ["y"], name="w")],
        WORDS, {"q": random(16, 16), "w": random(16, 32, seed=2), "mask": MASK},
    ),
    "a norm by hand": between(
        N("ReduceL2", ["c"], ["n"], axes=[1], keepdims=1), N("Add", ["n", "eps"], ["e"]),
        N("Div", ["c", "e"], ["d"]), eps=np.float32(1e-12),
    ),
    "an RMS norm of large values": between(
        N("Mul", ["c", "h"], ["l"]), N("Mul", ["l", "l"], ["q"]),
        N("ReduceMean", ["q"], ["n"], axes=[1], keepdims=1),
        N("Add", ["n", "eps"], ["e"]), N("Sqrt", ["e"], ["r"]), N("Div", ["l", "r"], ["d"]),
        eps=np.float32(1e-12), h=np.float32(300),
    ),
    "a sequence between products": graph(
        [conv("x", "a", "c"), N("SplitToSequence", ["c", "four"], ["s"], axis=1),
         N("SequenceAt", ["s", "first"], ["e"]), conv("e", "w", "f"), N("SequenceInsert", ["s", "f"], ["l"]),
         N("ConcatFromSequence", ["l"], ["y"], axis=1)],
        IMAGE, {"a": A, "w": random(4, 4, 1, 1), "four": np.int64(4), "first": np.int64(0)},
    ),
    "operators of ONNX Runtime between products": graph(
        [conv("x", "a", "c"), N("Gelu", ["c"], ["g"], domain="com.microsoft"),
         N("QuickGelu", ["g"], ["q"], domain="com.microsoft", alpha=1.7), conv("q", "b", "y")],
        IMAGE, {"a": A, "b": B},
    ),
    "weights that nodes compute": graph(
        [N("ReduceL2", ["v"], ["n"], axes=[1, 2, 3]), N("Div", ["v", "n"], ["u"]), N("Mul", ["u", "g"], ["a"]),
         N("Slice", ["s", "zero", "eight"], ["k"]), N("Conv", ["x", "a", "k"], ["c"], name="c"),
         N("Relu", ["c"], ["r"]), conv("r", "b", "y")],
        IMAGE, {"v": A, "g": random(8, 1, 1, 1), "s": random(9), "b": B,
                "zero": np.array([0]), "eight": np.array([8])},
    ),
    "an average that counts the padding and cuts its last window": between(
        N("AveragePool", ["c"], ["d"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1)
    ),
    "GELU and SiLU": between(
        N("Sigmoid", ["c"], ["s"]), N("Mul", ["c", "s"], ["m"]), N("Gelu", ["m"], ["d"])
    ),
}  # fmt: skip


def test_convolutions_of_functions_are_in_the_precision_that_is_asked_for(tmp_path: Path) -> None:
    made = quantised(of_functions(), tmp_path)
    operators = [node.op_type for node in engine(Path(made.path)).graph.node]
    assert (operators.count("QLinearConv"), operators.count("Conv")) == (3, 0)
    half = convert(open_model(tmp_path / "fp32.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    held = onnx.shape_inference.infer_shapes(onnx.load(half.path)).graph
    types = {tensor.name: tensor.data_type for tensor in held.initializer}
    types |= {value.name: value.type.tensor_type.elem_type for value in held.value_info}
    products = [node for node in held.node if node.op_type == "Conv"]
    assert [[types[name] for name in node.input] for node in products] == [
        [TensorProto.FLOAT16] * 2
    ] * 3


def truth(model: onnx.ModelProto) -> tuple[np.ndarray, np.ndarray]:
    shape = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)[1:]
    x = data(shape, count=4, seed=5)
    return x, run(model, x)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_int8_and_fp16_are_near_to_the_network(kind: str, tmp_path: Path) -> None:
    model = KINDS[kind]
    x, exact = truth(model)
    made = quantised(model, tmp_path)
    assert made.recipe["products_quantised"] > 0
    assert snr_db(exact, run(made.path, x)) > 28
    half = convert(open_model(tmp_path / "fp32.onnx"), "fp16", "cpu", tmp_path / "h.onnx")
    assert snr_db(exact, run(half.path, x)) > 50
    if kind == "operators of ONNX Runtime between products":
        assert "kept" not in half.recipe


#: A mask of -1e9 on attention's scores, from products with weights and from those of two activations.
ATTENTION = graph(
    [N("MatMul", ["x", "q"], ["a"], name="q"), N("MatMul", ["x", "k"], ["b"], name="k"),
     N("MatMul", ["x", "v"], ["c"], name="v"), N("Transpose", ["b"], ["bt"], perm=[0, 2, 1]),
     N("MatMul", ["a", "bt"], ["s"], name="scores"), N("Add", ["s", "mask"], ["t"]),
     N("Softmax", ["t"], ["p"], axis=-1), N("MatMul", ["p", "c"], ["o"], name="mixed"),
     N("MatMul", ["o", "w"], ["y"], name="out")],
    WORDS, {"q": random(16, 16), "k": random(16, 16, seed=1), "v": random(16, 16, seed=3),
            "w": random(16, 32, seed=2), "mask": MASK},
)  # fmt: skip


#: OpenVINO has neither.
_ONNXRUNTIMES = {"a sequence between products", "operators of ONNX Runtime between products"}


@pytest.mark.skipif(get("openvino").available() is not None, reason="openvino is not installed")
@pytest.mark.parametrize("kind", [*sorted(KINDS.keys() - _ONNXRUNTIMES), "masked attention"])
def test_openvino_computes_them_in_int8_under_their_names(kind: str, tmp_path: Path) -> None:
    backend = get("openvino")
    made = quantised(KINDS.get(kind, ATTENTION), tmp_path)
    types = backend.build(made, BuildOptions(), tmp_path / backend.filename)["compute_types"]
    kept = set(made.recipe.get("kept", ()))
    assert len(types["int8"]) == made.recipe["products_quantised"]
    assert {name for kind, names in types.items() if kind != "int8" for name in names} <= kept
    assert kept == ({"scores", "mixed"} if kind == "masked attention" else set())


@pytest.mark.skipif(tensorrt_rtx().available() is not None, reason="tensorrt-rtx is not installed")
@pytest.mark.parametrize(
    "kind", ["conv 1-D", "conv 3-D", "grouped ConvTranspose", "opset 7", "other scripts"]
)
def test_tensorrt_builds_them_in_int8(kind: str, tmp_path: Path) -> None:
    made = quantised(KINDS[kind], tmp_path, target="tensorrt-rtx")
    facts = tensorrt_rtx().build(made, BuildOptions(), tmp_path / "engine")
    assert len(facts["compute_types"]["int8"]) == made.recipe["products_quantised"]


def test_nodes_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    model = named("same", "same")
    onnx.save(model, tmp_path / "twice.onnx")
    network = obtain_network(ModelFile(tmp_path / "twice.onnx"), Store(tmp_path / "store"))
    assert [n.name for n in onnx.load(network.model.path).graph.node if n.op_type == "Conv"] == [
        "same",
        "same_1",
    ]
    assert any("the name of another" in note.text for note in network.notes)
    assert part_names(named("a", "b")) == 0


def sparse(places: int) -> onnx.ModelProto:
    """A network whose convolution has a sparse weight stored, and whose classifier one that a node holds.

    Args:
        places: axes of the stored indices: 1 counts through the tensor, 2 has one index for each axis.
    """
    values, dims = random(40, seed=1), (8, 8, 3, 3)
    flat = np.sort(np.random.default_rng(0).choice(np.prod(dims), 40, replace=False))
    stored = flat if places == 1 else np.stack(np.unravel_index(flat, dims), axis=1)
    held = helper.make_sparse_tensor(
        onnx.numpy_helper.from_array(random(20), "held"),
        onnx.numpy_helper.from_array(np.arange(0, 80, 4), "held places"), [8, 10],
    )  # fmt: skip
    holds = N("Constant", [], ["w"], name="holds")
    holds.attribute.append(
        onnx.AttributeProto(
            name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR, sparse_tensor=held
        )
    )
    nodes = [
        holds, conv("x", "a", "c"), N("GlobalAveragePool", ["c"], ["g"]), N("Flatten", ["g"], ["f"]),
        N("Gemm", ["f", "w"], ["y"], name="product"),
    ]  # fmt: skip
    model = graph(nodes, IMAGE, {"a": A}, opset=17)
    del model.graph.initializer[:]
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            onnx.numpy_helper.from_array(values, "a"),
            onnx.numpy_helper.from_array(stored.astype(np.int64), "places"),
            list(dims),
        )
    )
    return model


@pytest.mark.parametrize("places", [1, 2])
def test_sparse_weights_are_converted_as_dense_ones(places: int, tmp_path: Path) -> None:
    model, x = sparse(places), data((8, 16, 16))
    made = quantised(model, tmp_path)
    assert made.recipe["products_quantised"] == 2
    assert 25 < snr_db(run(model, x), run(made.path, x)) < 80
    half = convert(open_model(tmp_path / "fp32.onnx"), "fp16", "cpu", tmp_path / "half.onnx")
    assert "kept" not in half.recipe
    assert 50 < snr_db(run(model, x), run(half.path, x)) < 90


def test_a_weight_cast_to_the_type_of_an_activation_is_converted(tmp_path: Path) -> None:
    nodes = [N("CastLike", ["w", "x"], ["v"]), N("MatMul", ["x", "v"], ["y"], name="product")]
    model = graph(nodes, ["N", 16], {"w": random(16, 8).astype(np.float64)}, opset=17)
    made = quantised(model, tmp_path)
    assert made.recipe["products_quantised"] == 1
    assert snr_db(run(model, data((16,))), run(made.path, data((16,)))) > 30


def test_what_the_runtime_rewrites_into_what_it_refuses_is_built_at_a_lower_level(
    tmp_path: Path,
) -> None:
    """ONNX Runtime puts channels last behind integer convolutions, where it has no cubic Resize that shrinks."""
    scales = np.asarray([1, 1, 0.5, 0.5], np.float32)
    model = between(N("Resize", ["c", "", "scales"], ["d"], mode="cubic"), scales=scales)
    made = quantised(model, tmp_path)
    facts = get("onnxruntime").build(made, BuildOptions(), tmp_path / "engine.onnx")
    assert facts["optimisation"] == "extended"
    assert facts["compute_types"] == {"int8": ["c", "y"]}
    x = data((8, 16, 16))
    with OnnxRuntimeSession(tmp_path / "engine.onnx", 1) as session:
        assert snr_db(run(model, x), session.run({"x": x})["y"]) > 25
