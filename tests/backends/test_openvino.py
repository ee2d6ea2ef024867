"""OpenVINO as a backend: exact FP32, integers where the graph has them, buffers bound once."""

from __future__ import annotations

import dataclasses
import sys

import computing_models as models
import numpy as np
import onnx
import pytest
from backend_models import tiny_network
from computing_models import attention, branches, in_both_directions, loop, recurrent

pytest.importorskip("openvino", reason="the extra openvino is not installed")

from deploykit import env
from deploykit.backends import get
from deploykit.backends import openvino as module
from deploykit.backends.building import build_engine
from deploykit.backends.onnxruntime import OnnxRuntimeSession
from deploykit.backends.openvino import OpenVinoSession, set_otherwise
from deploykit.bench.layer_times import operator_times
from deploykit.errors import BuildFailed, MissingDependency, PrecisionMismatch
from deploykit.graph.calibrate import Calibration
from deploykit.graph.inputs import take_inputs
from deploykit.graph.precision import KeepRules, convert
from deploykit.graph.read_write import open_model
from deploykit.lazy import install_line
from deploykit.spec import BuildOptions, Engine, InputChoice
from deploykit.store import Store

BACKEND = get("openvino")


@pytest.fixture
def built(tmp_path):
    def build(model):
        return build_engine(model, BACKEND, BuildOptions(), Store(tmp_path / "engines"))[0]

    return build


def reference(model, images):
    return OnnxRuntimeSession(model.path, 1).run(images)["logits"]


@pytest.mark.parametrize(
    ("precision", "actual", "emulated"),
    [
        ("fp32", "fp32", False),
        ("fp16", "fp32", True),
        pytest.param(
            "bf16",
            "fp32",
            True,
            marks=pytest.mark.skipif(
                "bf16" in module.computed_here(),
                reason="bfloat16 can't be kept from being used here",
            ),
        ),
        ("int8", "int8", False),
    ],
)
def test_the_precision_is_read_back_and_outputs_are_of_that_precision(
    in_precision, built, images, monkeypatch, precision, actual, emulated
):
    monkeypatch.setattr(
        module, "computed_here", frozenset
    )  # as on a processor without 16-bit floats
    engine = built(in_precision(precision, "cpu"))
    assert engine.precision_actual == actual
    assert engine.manifest["emulated"] is emulated
    types = engine.manifest["compute_types"]
    assert {kind: len(found) for kind, found in types.items()} == {actual: 3}
    exact = reference(in_precision("fp32", "cpu"), images)
    found = BACKEND.load(engine, threads=1).run(images)["logits"]
    error = float(np.abs(found - exact).max() / np.abs(exact).max())
    # FP32 in bfloat16, which OpenVINO takes by itself where it can, would be off by a thousandth
    assert error < {"fp32": 1e-5, "fp16": 0.01, "bf16": 0.05, "int8": 0.1}[precision]
    assert (error > 1e-6) == (precision != "fp32")


def test_operators_are_timed_by_the_plugin_s_own_names(in_precision, built):
    """An int8 row that is slower than fp32 says by them what costs it."""
    found = {}
    for precision in ("fp32", "int8"):
        engine = built(in_precision(precision, "cpu"))
        found[precision] = operator_times(engine.path.parent, batch=64, threads=1, runs=20)
    for taken in found.values():
        assert "Convolution" in taken
        assert all(ms >= 0 for ms in taken.values())
        assert sum(taken.values()) > 0


@pytest.mark.skipif("bf16" not in module.computed_here(), reason="no bfloat16 on this processor")
def test_bfloat16_is_computed_in_bfloat16_where_the_processor_does_it(in_precision, built, images):
    model = in_precision("bf16", "cpu")
    engine = built(model)
    assert engine.precision_actual == "bf16"
    assert engine.manifest["emulated"] is False
    assert {kind: len(found) for kind, found in engine.manifest["compute_types"].items()} == {
        "bf16": 3
    }
    shapes = {spec.name: spec.with_batch(1) for spec in model.inputs}
    compiled = module.compile_for(module.read(engine.path), shapes, 1, "bf16")
    kernels = [
        facts["primitiveType"].astype(str)
        for facts in (op.get_rt_info() for op in compiled.get_runtime_model().get_ops())
        if facts["layerType"].astype(str) in ("Convolution", "FullyConnected")
    ]
    assert len(kernels) == 3
    assert all(kernel.endswith("bf16") for kernel in kernels)
    error = np.abs(
        BACKEND.load(engine, 1).run(images)["logits"]
        - reference(in_precision("fp32", "cpu"), images)
    )
    assert 1e-4 < error.max() / np.abs(reference(in_precision("fp32", "cpu"), images)).max() < 0.05


def test_bfloat16_keeps_nothing_in_float32_that_only_tensorrt_lacks(tmp_path, built):
    """The recipe is TensorRT's, and said of OpenVINO's engines that TensorRT has no such operator."""
    nodes = [
        models.NODE("Conv", ["x", "w"], ["c"], name="c"),
        models.NODE("HardSwish", ["c"], ["h"], name="h"),
        models.NODE("ConvTranspose", ["h", "v"], ["y"], name="y"),
    ]
    weights = [models.stored("w", 8, 3, 3, 3), models.stored("v", 8, 3, 3, 3)]
    ports = [models.value("x", ["N", 3, 8, 8])], [models.value("y", ["N", 3, 8, 8])]
    onnx.save(models.model(nodes, *ports, weights), tmp_path / "m.onnx")
    made = convert(open_model(tmp_path / "m.onnx"), "bf16", "cpu", tmp_path / "b.onnx")
    assert "float32_because" not in made.recipe
    if "bf16" in module.computed_here():
        found = built(made).manifest["compute_types"]
        assert {kind: set(names) for kind, names in found.items()} == {"bf16": {"c", "y"}}


def test_layers_are_called_by_the_nodes_they_come_from(tiny, built):
    assert set(built(tiny).manifest["compute_types"]["fp32"]) >= {"first", "second"}


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (loop(), {"first_conv", "inner_conv", "last_conv"}),
        (branches(), {"product_then", "product_else"}),
        (attention(), {"scores", "values"}),
        *((recurrent(operator), {"layer"}) for operator in ("LSTM", "GRU", "RNN")),
        (in_both_directions(), {"layer"}),  # two loops, one for each direction
    ],
)
def test_products_in_bodies_recurrent_layers_and_generated_code_are_found(
    network, names, tmp_path, built
):
    onnx.save(network, tmp_path / "m.onnx")
    types = built(open_model(tmp_path / "m.onnx")).manifest["compute_types"]
    assert {kind: set(found) for kind, found in types.items()} == {"fp32": names}


def einsums() -> onnx.ModelProto:
    """A convolution between two Einsums, of which OpenVINO makes products with numbers for names."""
    random = np.random.default_rng(0)
    weights = {"k": (8, 3, 3, 3), "w": (8, 16), "v": (16, 4)}
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["x", "k"], ["c"], name="conv", pads=[1] * 4),
            onnx.helper.make_node("Einsum", ["c", "w"], ["e"], "one", equation="nchw,cd->ndhw"),
            onnx.helper.make_node("Relu", ["e"], ["r"], name="relu"),
            onnx.helper.make_node("Einsum", ["r", "v"], ["y"], "two", equation="nchw,cd->nhwd"),
        ],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 8, 8])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 8, 8, 4])],
        [
            onnx.numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_the_products_of_an_einsum_are_called_by_it_and_its_work_is_known(tmp_path, built):
    onnx.save(einsums(), tmp_path / "m.onnx")
    manifest = built(open_model(tmp_path / "m.onnx")).manifest
    assert {kind: set(found) for kind, found in manifest["compute_types"].items()} == {
        "fp32": {"conv", "one", "two"}
    }
    assert manifest["compute_macs"] == {"fp32": 64 * (8 * 27 + 8 * 16 + 16 * 4)}


@pytest.mark.parametrize(
    ("network", "kept", "types"),
    [
        (loop(), (), {"int8": {"first_conv", "inner_conv", "last_conv"}}),
        (loop(), ("inner_conv",), {"int8": {"first_conv", "last_conv"}, "fp32": {"inner_conv"}}),
        # All work is in bodies: with nothing found of them the engine would be refused.
        (branches(), (), {"int8": {"product_then", "product_else"}}),
    ],
)
def test_products_in_bodies_are_found_in_integers_where_they_are(
    network, kept, types, tmp_path, built
):
    onnx.save(network, tmp_path / "m.onnx")
    random = np.random.default_rng(0)

    def feeds():
        for place in range(4):
            flags = {"c": np.asarray(place % 2 == 0)} if len(network.graph.input) > 1 else {}
            shape = [d.dim_value or 1 for d in network.graph.input[0].type.tensor_type.shape.dim]
            yield {"x": random.standard_normal(shape).astype(np.float32)} | flags

    fed = list(feeds())
    images = Calibration(lambda: fed, count=len(fed))
    made = convert(
        *(open_model(tmp_path / "m.onnx"), "int8", "cpu", tmp_path / "i.onnx", images),
        # Strict: whether 8 bits in a loop cost so much that it is kept depends on the drawn weights.
        KeepRules(kept, strict=True),
    )
    found = built(made).manifest["compute_types"]
    assert {kind: set(names) for kind, names in found.items()} == types


def test_what_is_computed_in_another_type_than_asked_for_is_refused(in_precision, built):
    # A graph that says int8 and is float: what a runtime without integer kernels would make of it.
    claimed = dataclasses.replace(in_precision("fp32", "cpu"), precision="int8", recipe={})
    with pytest.raises(PrecisionMismatch, match="as fp32 instead of int8"):
        built(claimed)


def test_fp32_is_asked_for_and_threads_are_not_pinned(tiny):
    model = module.read(tiny.path)
    compiled = module.compile_for(model, {"image": (2, 3, 16, 16)}, 1)
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


def test_each_shape_is_compiled_once_and_has_its_own_outputs(tiny, built, images, monkeypatch):
    compiled = []
    real = module.compile_for

    def note(model, shapes, threads, *rest):
        compiled.append(shapes["image"][0])
        return real(model, shapes, threads, *rest)

    monkeypatch.setattr(module, "compile_for", note)
    session = BACKEND.load(built(tiny), threads=1)
    compiled.clear()
    for batch in (1, 2, 1, 2):
        part = {"image": images["image"][:batch]}
        found = session.run(part)["logits"]
        np.testing.assert_allclose(found, reference(tiny, part), atol=1e-5)
    assert compiled == [1, 2]


def test_sets_are_bound_once_share_memory_and_take_turns(tiny, built, images):
    session = BACKEND.load(built(tiny), threads=1)
    feeds = [{"image": images["image"] * k} for k in (1, 2, 3)]
    samples = session.sample(feeds, 4)
    requests = [bound.argument for bound in session._bound]
    session.sample(feeds, 2)
    assert [bound.argument for bound in session._bound] == requests
    assert samples.dtype == np.int64
    assert samples.shape == (4,)
    assert (samples > 0).all()
    for request, one in zip(requests, feeds, strict=True):
        assert np.shares_memory(request.get_tensor("image").data, one["image"])
        expected = session.run(one)["logits"]
        np.testing.assert_array_equal(request.get_tensor("logits").data, expected)
    session.sample(list(feeds), 1)
    assert session._bound[0].argument is not requests[0]


def test_a_session_tells_its_inputs_outputs_threads_and_boundary(tiny, built):
    session = OpenVinoSession(built(tiny).path, threads=1)
    (image,), (logits,) = session.inputs, session.outputs
    assert (image.name, image.dtype, image.with_batch(4)) == ("image", "float32", (4, 3, 16, 16))
    assert image.dynamic_batch
    assert logits.name == "logits"
    assert (session.threads, session.boundary) == (1, "end_to_end")
    session.close()


def test_a_fixed_batch_stays_fixed(save, images):
    model = save(tiny_network(batch=2))
    session = OpenVinoSession(model.path, threads=1)
    assert session.inputs[0].shape == (2, 3, 16, 16)
    np.testing.assert_allclose(session.run(images)["logits"], reference(model, images), atol=1e-5)


def test_a_graph_that_others_made_runs(light_squeezenet, built):
    # The others' weights are constants so large that a softmax only shows how sums were rounded.
    model = open_model(light_squeezenet.with_name("light_densenet121.onnx"))
    engine = built(model)
    assert engine.precision_actual == "fp32"
    session = BACKEND.load(engine, threads=1)
    (spec,) = session.inputs
    image = np.random.default_rng(0).standard_normal(spec.with_batch(1)).astype(np.float32)
    (found,) = session.run({spec.name: image}).values()
    (expected,) = OnnxRuntimeSession(model.path, 1).run({spec.name: image}).values()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def loop_of_a_convolution() -> onnx.ModelProto:
    """Three runs of a convolution, whose body does not say how many dimensions it is given."""
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    kinds = onnx.TensorProto
    body = onnx.helper.make_graph(
        [node("Conv", ["s", "w"], ["m"], pads=[1] * 4), node("Relu", ["m"], ["r"]),
         node("Identity", ["go"], ["on"])],
        "body",
        [info("i", kinds.INT64, []), info("go", kinds.BOOL, []), info("s", kinds.FLOAT, None)],
        [info("on", kinds.BOOL, []), info("r", kinds.FLOAT, None)],
    )  # fmt: skip
    weight = np.random.default_rng(0).standard_normal((4, 4, 3, 3)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [node("Loop", ["n", "", "x"], ["y"], body=body)],
        "g",
        [info("x", kinds.FLOAT, ["N", 4, 8, 8])],
        [info("y", kinds.FLOAT, ["N", 4, 8, 8])],
        [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(np.array(3), "n")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_a_fixed_batch_behind_the_steps_is_known_of_a_session(tmp_path, built):
    info, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    ones = {"w": np.ones((1, 24, 6), np.float32), "r": np.ones((1, 24, 8), np.float32)}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=8)],
        "g",
        [info("x", kinds.FLOAT, [20, 4, 6])],
        [info("y", kinds.FLOAT, [20, 1, 4, 8])],
        [onnx.numpy_helper.from_array(values, name) for name, values in ones.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    take_inputs(model, InputChoice())
    onnx.save(model, tmp_path / "g.onnx")
    session = BACKEND.load(built(open_model(tmp_path / "g.onnx")), threads=1)
    assert [spec.image_axis for spec in session.inputs] == [1]


def test_a_body_that_leaves_out_how_many_dimensions_it_is_given_is_read(tmp_path, built):
    onnx.save(loop_of_a_convolution(), tmp_path / "loop.onnx")
    engine = built(open_model(tmp_path / "loop.onnx"))
    x = np.random.default_rng(1).standard_normal((1, 4, 8, 8)).astype(np.float32)
    exact = OnnxRuntimeSession(tmp_path / "loop.onnx", 1).run({"x": x})["y"]
    found = BACKEND.load(engine, threads=1).run({"x": x})["y"]
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-2)


def test_a_graph_that_it_refuses_is_one_line(tiny, tmp_path):
    path = tmp_path / "odd.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(BuildFailed, match=r"refuses odd\.onnx") as error:
        BACKEND.build(dataclasses.replace(tiny, path=path), BuildOptions(), tmp_path / "e.onnx")
    assert "\n" not in str(error.value)
    with pytest.raises(BuildFailed):
        BACKEND.load(Engine(path, "", {}))


def test_a_shape_that_does_not_fit_is_one_line(tiny):
    with pytest.raises(BuildFailed, match="can't compile the graph for") as error:
        module.compile_for(module.read(tiny.path), {"image": (1, 5, 16, 16)}, 1)
    assert "\n" not in str(error.value)


def test_without_openvino_the_extra_is_named(monkeypatch, tiny, tmp_path):
    monkeypatch.setattr(env, "package_version", lambda name: None)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert install_line("openvino") in str(BACKEND.available())
    with pytest.raises(MissingDependency, match=r"\[openvino\]") as error:
        BACKEND.build(tiny, BuildOptions(), tmp_path / "engine.onnx")
    assert error.value.exit_code == 3


def test_it_runs_here_and_says_on_what():
    assert BACKEND.available() is None
    assert BACKEND.device() == env.device_name()
    assert BACKEND.version() == env.package_version("openvino")


@pytest.mark.parametrize(
    ("features", "precision", "hint"),
    [
        (["avx2"], "bf16", "f32"),
        (["avx2", "avx512_bf16"], "bf16", "bf16"),
        (["amx_bf16"], "bf16", "bf16"),
        (["amx_bf16"], "fp16", "f32"),
        (["avx512_fp16"], "fp16", "f16"),
        (["avx512_bf16", "avx512_fp16"], "fp32", "f32"),
        (["avx512_bf16", "avx512_fp16"], "int8", "f32"),
    ],
)
def test_16_bit_floats_are_asked_for_where_the_processor_has_them(
    in_precision, monkeypatch, images, tmp_path, features, precision, hint
):
    asked = []
    real = module.openvino.Core().compile_model

    class Core:
        def read_model(self, source):
            return module.openvino.Core().read_model(source)

        def compile_model(self, model, device, options):
            asked.append(options["INFERENCE_PRECISION_HINT"])
            return real(model, device, options | {"INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(module, "_core", Core)
    monkeypatch.setattr(env, "machine", lambda: {"features": features, "architecture": "x"})
    graph = in_precision(precision, "cpu")
    facts = BACKEND.build(graph, BuildOptions(), tmp_path / "engine.onnx")
    assert asked == [hint]
    manifest = {"precision": precision, **facts}
    with BACKEND.open(Engine(tmp_path / "engine.onnx", "key", manifest), 1, "forward") as session:
        session.run(images)
    assert asked == [hint, hint]
    assert (precision in BACKEND.emulated) == (precision in ("bf16", "fp16") and hint == "f32")


def test_onnx_runtime_has_no_bfloat16_and_openvino_does():
    assert "bf16" not in get("onnxruntime").offered()
    assert "bf16" in BACKEND.offered()


@pytest.mark.usefixtures("flushes_small_numbers")
def test_every_option_is_a_property_that_the_plugin_has_as_it_was_told(tiny, built, images):
    engine = built(tiny)
    told = (
        ("ov.denormal_as_zero", "1"),
        ("ov.hint", "throughput"),
        ("ov.hyper_threading", "0"),
        ("ov.partitioner", "auto"),
        ("ov.pinning", "1"),
        ("ov.streams", "1"),
    )
    assert {name for name, _ in told} == {option.name for option in BACKEND.run_options}
    with BACKEND.load(engine, 2, options=told) as session:
        expected = session.run(images)["logits"]
        (compiled,) = session._compiled.values()
        assert set_otherwise(compiled, told) == []
        assert set_otherwise(compiled, (("ov.pinning", "0"), ("ov.hint", "latency"))) == [
            "ov.pinning is 1, though 0 was asked for",
            "ov.hint is throughput, though latency was asked for",
        ]
    with BACKEND.load(engine, 2) as session:
        assert session.notes == ()
        np.testing.assert_allclose(session.run(images)["logits"], expected, rtol=1e-3, atol=1e-4)


def test_defaults_are_what_the_plugin_has_where_nobody_says(tiny, built, images):
    with BACKEND.load(built(tiny), 2) as session:
        session.run(images)
        (compiled,) = session._compiled.values()
        stated = tuple((o.name, o.default) for o in BACKEND.run_options if o.default != "auto")
        assert set_otherwise(compiled, stated) == []


@pytest.mark.parametrize(
    ("operator", "opset"), [("Dropout", 11), ("Dropout", 17), ("Max", 13), ("Sum", 13)]
)
def test_an_input_keeps_its_name_where_a_node_only_passes_it_on(tmp_path, built, operator, opset):
    info, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node(operator, ["input"], ["same"]),
            onnx.helper.make_node("Relu", ["same"], ["y"]),
        ],
        "g",
        [info("input", kinds.FLOAT, ["N", 3])],
        [info("y", kinds.FLOAT, ["N", 3])],
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "g.onnx"
    )
    session = BACKEND.load(built(open_model(tmp_path / "g.onnx")), threads=1)
    x = np.array([[-1, 2, 3]], np.float32)
    np.testing.assert_array_equal(session.run({"input": x})["y"], np.maximum(x, 0))
