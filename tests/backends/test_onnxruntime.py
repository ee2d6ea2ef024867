from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test.data
import onnxruntime
import pytest
from backend_models import tiny_network
from onnx import TensorProto, helper

from deploykit import env
from deploykit.backends.building import build_engine
from deploykit.backends.onnxruntime import (
    OnnxRuntimeCpu,
    OnnxRuntimeSession,
    without_initialiser_inputs,
)
from deploykit.backends.onnxruntime_types import read_back
from deploykit.bench import contain
from deploykit.errors import BuildFailed, MissingDependency, OutputFailed, UsageError
from deploykit.lazy import install_line
from deploykit.spec import BuildOptions, Engine, ModelSpec
from deploykit.store import Store

BACKEND = OnnxRuntimeCpu()


@pytest.fixture
def built(tmp_path):
    def build(model):
        return build_engine(model, BACKEND, BuildOptions(), Store(tmp_path / "engines"))[0]

    return build


def reference(model, images):
    """What the graph computes with no optimisation at all."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(model.path), options, ["CPUExecutionProvider"])
    return session.run(None, images)[0]


def test_the_engine_is_the_optimised_graph_and_computes_the_same(tiny, built, images):
    engine = built(tiny)
    operators = [node.op_type for node in onnx.load(engine.path).graph.node]
    assert "Relu" not in operators
    session = BACKEND.load(engine, threads=1)
    found = session.run(images)
    assert list(found) == ["logits"]
    np.testing.assert_allclose(found["logits"], reference(tiny, images), atol=1e-5)


def built_at(model, level, folder):
    options = BuildOptions(optimization_level=level)
    return build_engine(model, BACKEND, options, Store(folder))[0]


def test_the_graph_is_rewritten_as_far_as_is_asked_for(tiny, tmp_path):
    engines = [built_at(tiny, level, tmp_path) for level in (None, 0, 1, 2, 3)]
    operators = [[node.op_type for node in onnx.load(e.path).graph.node] for e in engines]
    default, none, basic, extended, everything = operators
    assert none == [node.op_type for node in onnx.load(tiny.path).graph.node]
    assert "Relu" in basic
    assert "FusedConv" in extended
    assert everything == default
    assert len({engine.path for engine in engines}) == 5
    assert engines[1].manifest["options"]["optimization_level"] == 0


def test_a_level_that_onnxruntime_has_not_is_refused(tiny, tmp_path):
    with pytest.raises(UsageError, match=r"levels 0 to 3.* not 4"):
        built_at(tiny, 4, tmp_path)


def test_a_write_that_fails_without_a_reason_says_so(tiny, built, monkeypatch):
    def failing(source, options, refused):
        raise refused("[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Protobuf serialization failed.")

    monkeypatch.setattr("deploykit.backends.onnxruntime.open_session", failing)
    with contain.in_place(), pytest.raises(OutputFailed, match="tells no reason, most likely"):
        built(tiny)


def test_loading_optimises_no_further(tiny, built, tmp_path, monkeypatch):
    engine = built(tiny)
    seen = []
    make = onnxruntime.InferenceSession

    def record(path, options, providers):
        seen.append((options.graph_optimization_level, providers))
        return make(path, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    BACKEND.load(engine)
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert seen == [(level, ["CPUExecutionProvider"])]


@pytest.mark.parametrize(
    ("precision", "actual", "emulated"),
    [("fp32", "fp32", False), ("fp16", "fp32", True), ("int8", "int8", False)],
)
def test_the_precision_is_read_back_from_what_was_built(
    in_precision, built, images, precision, actual, emulated
):
    model = in_precision(precision, "cpu")
    engine = built(model)
    assert engine.precision_actual == actual
    assert engine.manifest["emulated"] is emulated
    assert sum(len(nodes) for nodes in engine.manifest["compute_types"].values()) == 3
    found = BACKEND.load(engine, threads=1).run(images)["logits"]
    # what came out is close to fp32, as a precision that was really converted is, and int8 is not it
    exact = reference(in_precision("fp32", "cpu"), images)
    error = float(np.abs(found - exact).max() / np.abs(exact).max())
    assert error < {"fp32": 1e-5, "fp16": 0.01, "int8": 0.1}[precision]
    assert (error > 1e-6) == (precision != "fp32")


def test_a_convolution_between_dequantised_values_counts_as_floating_point(tmp_path):
    # Quantised on paper, computed in fp32: this is what a silent fallback looks like.
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1]),
        helper.make_tensor("zero", TensorProto.INT8, [], [0]),
        helper.make_tensor("w", TensorProto.INT8, [1, 1, 1, 1], [3]),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["wd"]),
        helper.make_node("Conv", ["d", "wd"], ["y"], "conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4, 4])],
        constants,
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    assert read_back(tmp_path / "m.onnx") == {"fp32": ["conv"]}


def test_weights_listed_as_inputs_are_constants_again(save, images):
    proto = tiny_network()
    for tensor in proto.graph.initializer:
        proto.graph.input.append(
            helper.make_tensor_value_info(tensor.name, TensorProto.FLOAT, tensor.dims)
        )
    proto.ir_version = 3
    model = save(proto)
    source = without_initialiser_inputs(model.path)
    assert isinstance(source, bytes)
    assert [v.name for v in onnx.load_from_string(source).graph.input] == ["image"]
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, images)[0], reference(model, images), atol=1e-5)


def test_a_graph_that_the_runtime_refuses_is_one_line(tiny, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Nonsense", ["x"], ["y"], domain="some.where")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("some.where", 1)]
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    model = dataclasses.replace(tiny, path=path, spec=ModelSpec("odd", weights="file"))
    with pytest.raises(BuildFailed, match=r"refuses odd: .*Nonsense") as error:
        BACKEND.build(model, BuildOptions(), tmp_path / "engine.onnx")
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 4


def test_a_damaged_engine_is_one_line(tmp_path):
    path = tmp_path / "engine.onnx"
    path.write_bytes(b"damaged")
    with pytest.raises(BuildFailed, match="build it again"):
        BACKEND.load(Engine(path, "", {}))


class CountedFeeds(dict):
    """Inputs that count how often they are gone through."""

    bound = 0

    def items(self):
        self.bound += 1
        return super().items()


def test_sampling_binds_each_set_once_and_lets_them_take_turns(tiny, built, images):
    session = BACKEND.load(built(tiny), threads=1)
    feeds = [CountedFeeds(image=images["image"] * k) for k in (1, 2, 3)]
    used = []
    real = session._session

    class Spy:
        def run_with_iobinding(self, binding):
            used.append(binding)
            real.run_with_iobinding(binding)

        def __getattr__(self, name):
            return getattr(real, name)

    session._session = Spy()
    samples = session.sample(feeds, 7)
    session.sample(feeds, 2)
    # The turn goes on from one call to the next, or calls of one run would all take the first set.
    first = used[:3]
    assert len({id(binding) for binding in first}) == 3
    assert [first.index(binding) for binding in used] == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert [one.bound for one in feeds] == [1, 1, 1]
    assert samples.dtype == np.int64
    assert samples.shape == (7,)
    assert (samples > 0).all()
    session.sample(list(feeds), 1)
    assert [one.bound for one in feeds] == [2, 2, 2]


def test_each_set_is_computed_into_buffers_of_its_own(tiny, built, images):
    session = BACKEND.load(built(tiny), threads=1)
    feeds = [{"image": images["image"] * k} for k in (1, 2)]
    session.sample(feeds, 2)
    for one in feeds:
        bound = session.bind(one)
        bound.run(bound.argument)
        (output,) = bound.argument.copy_outputs_to_cpu()
        np.testing.assert_array_equal(output, session.run(one)["logits"])


def test_a_session_tells_its_inputs_outputs_threads_and_boundary(tiny, built):
    session = OnnxRuntimeSession(built(tiny).path, threads=1)
    (image,), (logits,) = session.inputs, session.outputs
    assert (image.name, image.dtype, image.with_batch(4)) == ("image", "float32", (4, 3, 16, 16))
    assert image.dynamic_batch
    assert logits.with_batch(4) == (4, 10)
    assert session.boundary == "end_to_end"
    assert session.threads == 1
    session.close()


def test_it_runs_here_and_says_on_what():
    assert BACKEND.available() is None
    assert BACKEND.device() == env.device_name()
    assert BACKEND.version() == onnxruntime.__version__


def test_without_the_runtime_the_extra_is_named(monkeypatch, tiny, tmp_path):
    monkeypatch.setattr(env, "package_version", lambda name: None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    reason = BACKEND.available()
    assert reason is not None
    assert install_line("cpu") in str(reason)
    with pytest.raises(MissingDependency, match=r"\[cpu\]") as error:
        BACKEND.build(tiny, BuildOptions(), tmp_path / "engine.onnx")
    assert error.value.exit_code == 3


def test_what_stands_for_a_normalisation_is_no_convolution(tmp_path):
    from deploykit.graph.read_write import open_model

    folder = Path(next(iter(onnx.backend.test.data.__path__)))
    model = open_model(folder / "light" / "light_densenet121.onnx")
    facts = OnnxRuntimeCpu().build(model, BuildOptions(), tmp_path / "engine.onnx")
    convolutions = sum(n.op_type in ("Conv", "Gemm") for n in onnx.load(model.path).graph.node)
    assert {kind: len(nodes) for kind, nodes in facts["compute_types"].items()} == {
        "fp32": convolutions
    }


def test_what_it_saves_but_cant_load_again_is_saved_at_a_lower_level(save, tmp_path, monkeypatch):
    from deploykit.backends import onnxruntime as backend

    tried = []

    def loads(path):
        tried.append(path.read_bytes())
        return len(tried) == 3

    monkeypatch.setattr(backend, "_loads", loads)
    monkeypatch.setattr(backend, "has_subgraphs", lambda head: True)
    facts = backend.OnnxRuntimeCpu().build(
        save(tiny_network()), BuildOptions(), tmp_path / "engine.onnx"
    )
    assert facts["optimisation"] == "basic"
    assert tried[-1] == (tmp_path / "engine.onnx").read_bytes()
    assert tried[0] != tried[-1]


def test_what_a_session_is_told_is_what_the_runtime_has(tiny, built):
    told = (
        ("ort.allow_spinning", "0"),
        ("ort.denormal_as_zero", "1"),
        ("ort.dynamic_block_base", "4"),
        ("ort.execution_mode", "parallel"),
    )
    assert {name for name, _ in told} == {option.name for option in BACKEND.run_options}
    engine = built(tiny)
    with BACKEND.load(engine, 2, options=told) as session:
        has = session._session.get_session_options()
        assert has.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
        assert (has.intra_op_num_threads, has.inter_op_num_threads) == (2, 2)
        assert has.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert has.get_session_config_entry("session.set_denormal_as_zero") == "1"
        assert has.get_session_config_entry("session.dynamic_block_base") == "4"
    with BACKEND.load(engine, 2, options=(("ort.execution_mode", "sequential"),)) as session:
        plain = session._session.get_session_options()
        assert plain.execution_mode == onnxruntime.ExecutionMode.ORT_SEQUENTIAL


#: A sum of two numbers too small for float32's full precision, by the first session of a process: that one decides
#: for the thread that makes it, and those that a session starts follow their own.
_DENORMAL = """
import sys, numpy as np
from pathlib import Path
from deploykit.backends.onnxruntime import OnnxRuntimeSession
told = (("ort.denormal_as_zero", "1"),) if sys.argv[2] == "told" else ()
with OnnxRuntimeSession(Path(sys.argv[1]), 1, told=told) as session:
    print(session.run({"x": np.full((1, 4), 1e-40, np.float32)})["y"].max() > 0)
"""


def test_denormals_are_zero_where_the_runtime_is_told(save):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    opsets = [helper.make_opsetid("", 17)]
    model = save(helper.make_model(graph, opset_imports=opsets, ir_version=8))

    def stays(told: str) -> str:
        command = [sys.executable, "-c", _DENORMAL, str(model.path), told]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        return done.stdout.strip()

    assert stays("not told") == "True"
    assert stays("told") == "False"


@pytest.mark.parametrize(("precision", "operator"), [("int8", "Conv"), ("as-is", "QLinearConv")])
def test_weights_that_a_recipe_left_in_float_stay_so(save, tmp_path, precision, operator):
    """A mix of precisions was refused: the runtime had quantised the depthwise convolutions that it kept."""
    scale, zero = (
        helper.make_tensor(n, k, [], [v])
        for n, k, v in (("scale", TensorProto.FLOAT, 0.05), ("zero", TensorProto.UINT8, 128))
    )
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 1, 3, 3], np.linspace(-1, 1, 36))
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["c"], "kept", group=4),
        helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["p"]),
        helper.make_node("DequantizeLinear", ["p", "scale", "zero"], ["y"]),
    ]  # fmt: skip
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, side, side])
        for name, side in (("x", 8), ("y", 6))
    )
    graph = helper.make_graph(nodes, "g", [x], [y], [scale, zero, weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "engine.onnx"
    BACKEND.build(dataclasses.replace(save(model), precision=precision), BuildOptions(), path)
    assert operator in [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.BFLOAT16])
def test_outputs_that_numpy_has_no_type_for_are_refused_in_one_line(tmp_path, kind):
    if kind == TensorProto.STRING:
        last = helper.make_node(
            "LabelEncoder", ["p"], ["y"], domain="ai.onnx.ml", keys_int64s=[0], values_strings=["a"]
        )
    else:
        last = helper.make_node("Cast", ["x"], ["y"], to=kind)
    nodes = [helper.make_node("ArgMax", ["x"], ["p"], axis=1, keepdims=0), last]
    shape = ["N"] if kind == TensorProto.STRING else ["N", 3]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "a.onnx")
    with (
        OnnxRuntimeSession(tmp_path / "a.onnx", threads=1) as session,
        pytest.raises(BuildFailed, match=r"output 'y' is of type .*: leave it out"),
    ):
        session.bind({"x": np.ones((1, 3), np.float32)})


@pytest.mark.parametrize("kind", [TensorProto.FLOAT8E4M3FN, TensorProto.BFLOAT16])
def test_an_output_of_a_type_that_numpy_has_not_is_named(tmp_path, kind):
    path = tmp_path / "m.onnx"
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["y"], to=kind)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", kind, [1, 4])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), path
    )
    with (
        OnnxRuntimeSession(path, 1) as session,
        pytest.raises(BuildFailed, match=r"output 'y' is of type \w+, which is neither bound"),
    ):
        session.run({"x": np.zeros((1, 4), np.float32)})
