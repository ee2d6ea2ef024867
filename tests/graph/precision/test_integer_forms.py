"""Products that runtimes have no integer kernel for as they stand are written in a form that has one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from small_graphs import N, data, graph, quantised, random, run, snr_db

from deploykit.backends import get
from deploykit.errors import PrecisionMismatch
from deploykit.graph.precision import KeepRules
from deploykit.graph.precision.integer_forms import write_integer_forms
from deploykit.spec import BuildOptions

WORDS, IMAGE = ["N", 3, 8, 16], ["N", 8, 9, 11]
#: Columns of very different size, of which one scale for all would leave nothing.
UNEVEN = random(3, 16, 5) * np.geomspace(1e-3, 1, 15, dtype=np.float32).reshape(3, 1, 5)


def product(op_type: str, shape: list[int | str], *inputs: str, **more: object) -> onnx.ModelProto:
    """One node "p" from "x"; arrays among the keywords are its operands, the rest its attributes."""
    weights = {k: v for k, v in more.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in more.items() if k not in weights}
    return graph([N(op_type, list(inputs), ["y"], name="p", **rest)], shape, weights)


def transposed(
    shape: list[int | str], weight: np.ndarray, bias: bool = False, **more: object
) -> onnx.ModelProto:
    channels = int(weight.shape[1]) * int(more.get("group", 1))  # type: ignore[call-overload]
    inputs = ("x", "w", "b") if bias else ("x", "w")
    rest = {"b": random(channels, seed=2)} if bias else {}
    return product("ConvTranspose", shape, *inputs, w=weight, **rest, **more)


FORMS: dict[str, onnx.ModelProto] = {
    "a batch of matrices": product("MatMul", WORDS, "x", "w", w=random(3, 16, 5)),
    "matrices of uneven columns": product("MatMul", WORDS, "x", "w", w=UNEVEN),
    "a batch of one matrix": product("MatMul", WORDS, "x", "w", w=random(1, 1, 16, 5)),
    "more axes than the data has": product("MatMul", [8, 16], "x", "w", w=random(2, 3, 16, 5)),
    "a vector": product("MatMul", WORDS, "x", "w", w=random(16)),
    "a constant before the activation": product("MatMul", WORDS, "w", "x", w=random(5, 8)),
    "constants before the activation": product("MatMul", WORDS, "w", "x", w=random(3, 5, 8)),
    "Gemm with factors": product(
        "Gemm", ["N", 16], "x", "w", "b", w=random(16, 5), b=random(5), alpha=0.25, beta=-3.0
    ),
    "Gemm without a bias, with factors": product(
        "Gemm", ["N", 16], "x", "w", w=random(5, 16), transB=1, alpha=2.0, beta=0.5
    ),
    "Gemm with beta 0": product("Gemm", ["N", 16], "x", "w", "b", w=random(16, 5), b=random(5), beta=0.0),
    "Gemm of a transposed activation": product(
        "Gemm", [16, 8], "x", "w", "b", w=random(16, 5), b=random(1, 5), transA=1
    ),
    "Gemm with a bias per row": product(
        "Gemm", [8, 16], "x", "w", "b", w=random(16, 5), b=random(8, 1), beta=0.5
    ),
    "Gemm with the activation last": product(
        "Gemm", [16, 8], "w", "x", "b", w=random(5, 16), b=random(5, 1), alpha=0.5
    ),
    "Gemm with both the other way round": product(
        "Gemm", [8, 16], "w", "x", "b", w=random(16, 5), b=random(8), transA=1, transB=1
    ),
    "Gemm with an activation added": graph(
        [N("Relu", ["x"], ["r"]), N("Gemm", ["x", "w", "r"], ["y"], name="p", beta=0.5)],
        ["N", 16], {"w": random(16, 16)},
    ),
    "Einsum with a matrix": product("Einsum", WORDS, "x", "w", w=random(16, 5), equation="...k,kn->...n"),
    "Einsum with named axes": product(
        "Einsum", WORDS, "x", "w", w=random(16, 5), equation="a b i k, k n -> a b i n"
    ),
    "Einsum with a matrix transposed": product(
        "Einsum", WORDS, "x", "w", w=random(5, 16), equation="abik,nk->abin"
    ),
    "Einsum with the axes in another order": product(
        "Einsum", WORDS, "x", "w", w=random(16, 5), equation="abik,kn->ibna"
    ),
    "Einsum that parts what it makes into heads": product(
        "Einsum", WORDS, "x", "w", w=random(16, 2, 5), equation="abik,khe->abhie"
    ),
    "Einsum that joins heads": product(
        "Einsum", WORDS, "x", "w", w=random(3, 16, 5), equation="ahie,hed->aid"
    ),
    "Einsum with the constant first, of any further axes": product(
        "Einsum", WORDS, "w", "x", w=random(5, 8), equation="nk,...kj->j...n"
    ),
    "Conv with a bias that is computed": graph(
        [N("ReduceMean", ["x"], ["b"], axes=[0, 2, 3], keepdims=0),
         N("Conv", ["x", "w", "b"], ["y"], name="p", group=2, strides=[1, 2], pads=[1, 1, 2, 0])],
        IMAGE, {"w": random(8, 4, 3, 3)},
    ),
    "ConvTranspose 1-D": transposed(["N", 8, 11], random(8, 4, 4), strides=[2], pads=[1, 1]),
    "ConvTranspose 2-D": transposed(IMAGE, random(8, 4, 2, 2), True, strides=[2, 2]),
    "ConvTranspose 3-D": transposed(
        ["N", 4, 3, 5, 4], random(4, 3, 3, 3, 3), strides=[2, 2, 2], pads=[1] * 6, output_padding=[1] * 3
    ),
    "ConvTranspose in groups": transposed(IMAGE, random(8, 3, 3, 3), True, group=4, strides=[2, 2]),
    "ConvTranspose of stride 1": transposed(IMAGE, random(8, 4, 3, 3), True, pads=[1, 0, 2, 1]),
    "ConvTranspose of uneven strides": transposed(
        IMAGE, random(8, 4, 3, 5), True, strides=[2, 3], pads=[1, 2, 0, 1], output_padding=[1, 2]
    ),
    "ConvTranspose of a stride above the kernel": transposed(
        IMAGE, random(8, 4, 2, 3), strides=[3, 4], pads=[0, 1, 1, 0]
    ),
    "ConvTranspose with dilations": transposed(
        IMAGE, random(8, 4, 3, 2), True, dilations=[2, 3], pads=[1, 0, 2, 1]
    ),
    "ConvTranspose with strides and dilations": transposed(
        IMAGE, random(8, 4, 3, 3), strides=[2, 3], dilations=[2, 1], pads=[1, 1, 0, 2]
    ),
    "ConvTranspose that pads to the same size, more above": transposed(
        IMAGE, random(8, 4, 5, 3), True, strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    "ConvTranspose that pads to the same size, more below": transposed(
        IMAGE, random(8, 4, 5, 4), strides=[2, 3], auto_pad="SAME_LOWER"
    ),
    "ConvTranspose that pads to the same size, dilated": transposed(
        IMAGE, random(8, 4, 3, 3), auto_pad="SAME_UPPER", dilations=[2, 2]
    ),
    "ConvTranspose with an output shape": transposed(
        IMAGE, random(8, 4, 4, 3), True, strides=[2, 2], output_shape=[17, 22]
    ),
    "ConvTranspose with an output shape, more above": transposed(
        IMAGE, random(8, 4, 4, 4), strides=[2, 2], output_shape=[17, 21], auto_pad="SAME_UPPER"
    ),
    "ConvTranspose that pads a stride away": transposed(
        IMAGE, random(8, 4, 5, 5), strides=[2, 2], pads=[3, 2, 4, 3]
    ),
    "ConvTranspose and ReLU": graph(
        [N("ConvTranspose", ["x", "w"], ["t"], name="p", strides=[2, 2]), N("Relu", ["t"], ["y"])],
        IMAGE, {"w": random(8, 4, 4, 4)},
    ),
}  # fmt: skip


def sample(model: onnx.ModelProto) -> np.ndarray:
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return data(tuple(dims[1:]), count=dims[0] or 8)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_the_form_gives_the_same_values(form: str) -> None:
    model = FORMS[form]
    written = onnx.ModelProto()
    written.CopyFrom(model)
    assert write_integer_forms(written, KeepRules()) == 1
    onnx.checker.check_model(written, full_check=True)
    assert [node.name for node in written.graph.node].count("p") == 1
    x = sample(model)
    exact = run(model, x)
    assert run(written, x).shape == exact.shape
    assert snr_db(exact, run(written, x)) > 120


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_runtimes_compute_it_in_integers_under_its_own_name(
    form: str, name: str, tmp_path: Path
) -> None:
    backend = get(name)
    if backend.available() is not None:
        pytest.skip(f"{name} is not installed")
    made = quantised(FORMS[form], tmp_path)
    assert made.recipe["products_quantised"] == made.recipe["products_rewritten"] == 1
    facts = backend.build(made, BuildOptions(), tmp_path / backend.filename)
    assert facts["compute_types"] == {"int8": ["p"]}


@pytest.mark.skipif(
    get("tensorrt-rtx").available() is not None, reason="tensorrt-rtx is not installed"
)
@pytest.mark.parametrize(
    "form",
    [
        "a batch of matrices",
        "Gemm with factors",
        "ConvTranspose in groups",
        "ConvTranspose 1-D",
        "Einsum that parts what it makes into heads",
        "Einsum that joins heads",
    ],
)
def test_tensorrt_builds_it_in_eight_bits(form: str, tmp_path: Path) -> None:
    made = quantised(FORMS[form], tmp_path, target="tensorrt-rtx")
    facts = get("tensorrt-rtx").build(made, BuildOptions(), tmp_path / "engine")
    assert facts["compute_types"] == {"int8": ["p"]}


@pytest.mark.parametrize(
    ("node", "shape", "weight"),
    [
        (N("Gemm", ["x", "w"], ["t"], name="p", alpha=0.5), ["N", 16], random(16, 5)),
        (N("MatMul", ["w", "x"], ["t"], name="p"), [16, 8], random(5, 16)),
    ],
)
def test_products_in_bodies_are_rewritten_too(
    node: onnx.NodeProto, shape: list[int | str], weight: np.ndarray
) -> None:
    body = onnx.helper.make_graph(
        [node], "then", [], [onnx.helper.make_tensor_value_info("t", onnx.TensorProto.FLOAT, None)]
    )
    nodes = [N("If", ["c"], ["y"], then_branch=body, else_branch=body)]
    model = graph(nodes, shape, {"w": weight, "c": np.asarray(True)})
    written = onnx.ModelProto()
    written.CopyFrom(model)
    assert write_integer_forms(written, KeepRules()) == 2
    x = sample(model)
    assert snr_db(run(model, x), run(written, x)) > 120


@pytest.mark.parametrize(
    ("equation", "weight"),
    [
        ("abik,bkn->abin", random(3, 16, 5)),  # with a matrix for each place
        ("abik,jkn->abin", random(2, 16, 5)),  # with an axis that is summed alone
        ("abkk,kn->abn", random(16, 5)),  # of a diagonal
        ("abik,ik->abi", random(8, 16)),  # with an axis that is not summed
        ("abik,kn->abin", random(16, 5)),  # of sizes that are repeated
    ],
)
def test_an_einsum_that_is_no_product_with_a_matrix_stays(
    equation: str, weight: np.ndarray
) -> None:
    sizes: list[int | str] = ["N", 3, 8, 1 if equation == "abik,kn->abin" else 16]
    node = N("Einsum", ["x", "w"], ["y"], name="p", equation=equation)
    model = graph([node], sizes, {"w": weight})
    assert write_integer_forms(model, KeepRules()) == 0
    assert [one.op_type for one in model.graph.node] == ["Einsum"]


ALONE: dict[str, tuple[onnx.ModelProto, str]] = {
    "two activations": (
        graph(
            [N("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]), N("MatMul", ["x", "t"], ["y"], name="p")],
            WORDS, {},
        ),
        "MatMul 'p' multiplies two activations",
    ),
    "a widely dilated ConvTranspose": (
        transposed(IMAGE, random(8, 4, 3, 3), strides=[2, 2], dilations=[3, 3]),
        "ConvTranspose 'p' has no integer kernel, and with these strides, dilations and sizes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(ALONE))
@pytest.mark.parametrize("target", ["cpu", "tensorrt-rtx"])
def test_a_network_of_which_nothing_would_be_in_int8_is_refused_with_the_operator(
    kind: str, target: str, tmp_path: Path
) -> None:
    model, reason = ALONE[kind]
    with pytest.raises(PrecisionMismatch) as caught:
        quantised(model, tmp_path, target=target)
    assert reason in str(caught.value)
    assert not (tmp_path / "int8.onnx").exists()
    # What was asked for is no fault.
    assert quantised(model, tmp_path, KeepRules(nodes=("p",)), target).recipe["kept"] == ["p"]
