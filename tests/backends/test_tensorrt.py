"""Real engines: TensorRT for RTX builds without a GPU."""

from __future__ import annotations

import dataclasses
import re
import sys

import numpy as np
import onnx
import pytest
from backend_models import tiny_network
from computing_models import branches, recurrent
from onnx import TensorProto, helper, numpy_helper

from deploykit import env
from deploykit.backends import get
from deploykit.backends.building import build_engine
from deploykit.backends.tensorrt import TensorRTBackend
from deploykit.errors import BuildFailed, MissingDependency, UsageError
from deploykit.graph.calibrate.synthetic import synthetic_feeds
from deploykit.graph.precision import convert
from deploykit.graph.read_write import open_model
from deploykit.lazy import install_line
from deploykit.spec import BuildOptions, Engine, Reason
from deploykit.store import Store
from deploykit.workflow.choices import EngineChoice, shape_ranges


@pytest.fixture
def rtx() -> TensorRTBackend:
    backend = get("tensorrt-rtx")
    assert isinstance(backend, TensorRTBackend)
    return backend


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "bf16", "fp8"])
def test_every_product_computes_in_the_precision_of_the_graph(
    rtx, in_precision, tmp_path, precision
):
    model = in_precision(precision, "tensorrt-rtx")
    engine, _ = build_engine(model, rtx, BuildOptions(), Store(tmp_path))
    assert engine.precision_actual == precision
    assert engine.manifest["compute_types"] == {precision: ["first", "second", "product"]}
    assert engine.manifest["emulated"] is False
    assert engine.manifest["layers"] >= 3
    placed = [node for _, _, *nodes in engine.manifest["layer_nodes"] for node in nodes]
    assert [placed.count(node) for node in ("first", "second", "product")] == [1, 1, 1]


def test_the_engine_is_one_that_its_runtime_takes_for_whole(rtx, tiny, tmp_path):
    import tensorrt_rtx

    path = tmp_path / "engine.plan"
    rtx.build(tiny, BuildOptions(), path)
    runtime = tensorrt_rtx.Runtime(tensorrt_rtx.Logger(tensorrt_rtx.Logger.ERROR))
    malformed = 1 << 32
    _, diagnostics = runtime.get_engine_validity(path.read_bytes())
    assert not int(diagnostics) & malformed


def test_operators_that_tensorrt_does_not_know_are_all_named(rtx, tmp_path):
    graph = onnx.parser.parse_graph(
        "dynamic (float[1,8] x) => (int32[1,4] y)\n"
        "<int8[8,4] w = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}>\n"
        "{ q, s, z = DynamicQuantizeLinear(x)\n y = MatMulInteger(q, w, z) }"
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "dynamic.onnx")
    opened = open_model(tmp_path / "dynamic.onnx")
    with pytest.raises(
        BuildFailed, match=r"refuses dynamic: it has no DynamicQuantizeLinear nor MatMulInteger$"
    ):
        rtx.build(opened, BuildOptions(), tmp_path / "engine.plan")


def test_the_recipe_for_the_cpu_is_refused_in_one_line(rtx, in_precision, tmp_path):
    model = in_precision("int8", "cpu")
    with pytest.raises(BuildFailed, match=r"tensorrt-rtx .* refuses tiny") as error:
        build_engine(model, rtx, BuildOptions(), Store(tmp_path))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_nodes_without_names_are_read_back_too(rtx, save, tmp_path):
    model = save(tiny_network(names=False))
    facts = rtx.build(model, BuildOptions(), tmp_path / "engine.plan")
    assert {kind: len(nodes) for kind, nodes in facts["compute_types"].items()} == {"fp32": 3}


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_products_that_take_the_inputs_cast_into_their_layer_are_in_the_precision(
    rtx, save, tmp_path, precision
):
    # at a fixed batch of one, TensorRT computes products in pointwise layers, the first with the cast of the input
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(size=(96, 32)).astype(np.float32),
        "w2": rng.normal(size=(32, 4)).astype(np.float32),
        "c": rng.normal(size=(1, 96)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["c", "w1"], ["cw"], name="of_constants"),
        helper.make_node("MatMul", ["x", "w1"], ["a"], name="first"),
        helper.make_node("Add", ["a", "cw"], ["s"], name="add"),
        helper.make_node("MatMul", ["s", "w2"], ["y"], name="last"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = convert(save(proto), precision, "tensorrt-rtx", tmp_path / "half.onnx")
    facts = rtx.build(model, BuildOptions(), tmp_path / "engine.plan")
    # the product of constants is computed by the builder, and counts for nothing
    assert facts["compute_types"] == {precision: ["first", "last"]}


def test_a_fixed_batch_needs_no_range(rtx, save, tmp_path):
    facts = rtx.build(save(tiny_network(batch=2)), BuildOptions(), tmp_path / "engine.plan")
    assert set(facts["compute_types"]) == {"fp32"}


def test_symbolic_sizes_beyond_the_batch_are_refused(rtx, save, tmp_path):
    proto = tiny_network()
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(UsageError, match="symbolic dimensions beyond the batch"):
        rtx.build(save(proto), BuildOptions(), tmp_path / "engine.plan")


def profile_of(backend, model, options, tmp_path, monkeypatch):
    """Build for real, and note which ranges the optimisation profile was given, by input."""
    import tensorrt_rtx

    given = {}
    real = tensorrt_rtx.Builder.create_optimization_profile

    class Profile:
        """The real profile, which can't be subclassed, behind one that notes."""

        def __init__(self, builder):
            self.real = real(builder)

        def set_shape(self, name, *shapes):
            given[name] = shapes
            self.real.set_shape(name, *shapes)

    add = tensorrt_rtx.IBuilderConfig.add_optimization_profile
    monkeypatch.setattr(tensorrt_rtx.Builder, "create_optimization_profile", lambda b: Profile(b))
    monkeypatch.setattr(
        tensorrt_rtx.IBuilderConfig, "add_optimization_profile", lambda c, p: add(c, p.real)
    )
    facts = backend.build(model, options, tmp_path / "engine.plan")
    return given, facts


def test_the_engine_takes_the_batches_that_it_is_built_for(rtx, tiny, tmp_path, monkeypatch):
    options = EngineChoice().at_batch(16)
    given, _ = profile_of(rtx, tiny, options, tmp_path, monkeypatch)
    assert given == {"image": ((16, 3, 16, 16),) * 3}
    options = EngineChoice(batch_max=8).at_batch(4)
    monkeypatch.undo()
    given, _ = profile_of(rtx, tiny, options, tmp_path, monkeypatch)
    assert given == {"image": ((1, 3, 16, 16), (8, 3, 16, 16), (8, 3, 16, 16))}


@pytest.mark.parametrize(
    ("choice", "batches"),
    [
        (EngineChoice(), (4, 4, 4)),
        (EngineChoice(batch_opt=2), (1, 2, 4)),
        (EngineChoice(batch_min=2), (2, 4, 4)),
        (EngineChoice(batch_max=8), (1, 8, 8)),
        (EngineChoice(2, 3, 8), (2, 3, 8)),
    ],
)
def test_of_the_three_batches_those_not_given_follow_from_what_is_measured(choice, batches):
    options = choice.at_batch(4)
    assert (options.batch_min, options.batch_opt, options.batch_max) == batches


def test_a_batch_beyond_the_engine_s_is_refused():
    EngineChoice(batch_max=8).at_batch(8).check_batch(8)
    with pytest.raises(UsageError, match="batches 1 to 8 don't take batch 16"):
        EngineChoice(batch_max=8).at_batch(16).check_batch(16)


def convolution(tmp_path):
    """A convolution and a global pool, which take images of any size; written for 32x32."""
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["a"], ["y"], "pool"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 1, 1])],
        [weight],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8),
        tmp_path / "c.onnx",
    )
    return open_model(tmp_path / "c.onnx")


def test_sizes_beyond_the_batch_can_have_a_range_around_those_measured(rtx, tmp_path, monkeypatch):
    shapes = shape_ranges(["image=1x3x16x32"], ["image=1x3x48x?"], ["image=1x3x64x48"])
    model, options = convolution(tmp_path), EngineChoice(batch_max=2)
    options = dataclasses.replace(options.at_batch(1), shapes=shapes)
    given, facts = profile_of(rtx, model, options, tmp_path, monkeypatch)
    assert given == {"image": ((1, 3, 16, 32), (2, 3, 48, 32), (2, 3, 64, 48))}
    assert facts["compute_types"] == {"fp32": ["conv"]}


@pytest.mark.parametrize(
    ("least", "best", "most", "said"),
    [
        (
            "image=1x3x40x32",
            "image=1x3x48x32",
            "image=1x3x64x64",
            "dimension 2 is 32, which is not within 40 to 64",
        ),
        (
            "image=1x3x16x16",
            "image=1x3x32x80",
            "image=1x3x64x64",
            "dimension 3 is to be tuned for 80, which is not within 16 to 64",
        ),
        (
            "other=1x3x16x16",
            "other=1x3x32x32",
            "other=1x3x64x64",
            "no input 'other' to give a range: the inputs are image",
        ),
        (
            "image=1x3x16",
            "image=1x3x32x32",
            "image=1x3x64",
            "input image has 4 dimensions, its range 3",
        ),
    ],
)
def test_ranges_that_do_not_fit_the_graph_are_refused(rtx, tmp_path, least, best, most, said):
    options = BuildOptions(shapes=shape_ranges([least], [best], [most]))
    with pytest.raises(UsageError, match=said):
        rtx.build(convolution(tmp_path), options, tmp_path / "engine.plan")
    assert not (tmp_path / "engine.plan").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version_compatible": True}, "does not take --version-compatible"),
        ({"hardware_compatibility": "ampere+"}, r"does not take --hardware-compatibility ampere\+"),
        (
            {"tactic_sources": ("cublas",)},
            "no tactic source CUBLAS: choose from .*JIT_CONVOLUTIONS",
        ),
    ],
)
def test_options_that_a_builder_does_not_have_are_errors_though_it_takes_them(
    rtx, tiny, tmp_path, options, said
):
    with pytest.raises(UsageError, match=said) as error:
        rtx.build(tiny, BuildOptions(**options), tmp_path / "engine.plan")
    assert "\n" not in str(error.value)


def test_options_reach_the_builder(rtx, tiny, tmp_path, monkeypatch):
    import tensorrt_rtx

    configs = []
    real = tensorrt_rtx.Builder.create_builder_config
    monkeypatch.setattr(
        tensorrt_rtx.Builder,
        "create_builder_config",
        lambda builder: configs.append(real(builder)) or configs[-1],
    )
    options = BuildOptions(
        optimization_level=1, workspace_mib=512, sparse=True, tactic_sources=("jit_convolutions",)
    )
    rtx.build(tiny, options, tmp_path / "engine.plan")
    (config,) = configs
    assert config.builder_optimization_level == 1
    assert config.get_memory_pool_limit(tensorrt_rtx.MemoryPoolType.WORKSPACE) == 512 * 2**20
    assert config.get_flag(tensorrt_rtx.BuilderFlag.SPARSE_WEIGHTS)
    assert config.get_tactic_sources() == 1 << int(tensorrt_rtx.TacticSource.JIT_CONVOLUTIONS)


def test_what_the_builder_lacks_room_for_is_told_by_its_own_log(rtx, tiny, tmp_path):
    with pytest.raises(BuildFailed, match=r"can't build tiny: .*workspace"):
        rtx.build(tiny, BuildOptions(workspace_mib=1), tmp_path / "engine.plan")


def test_a_batch_may_stand_on_any_axis(rtx, save, tmp_path):
    made = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "time_major",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, "N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, "N", 4])],
        [helper.make_tensor("w", TensorProto.FLOAT, [8, 4], [1.0] * 32)],
    )
    proto = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    facts = rtx.build(save(proto), BuildOptions(), tmp_path / "engine.plan")
    assert set(facts["compute_types"]) == {"fp32"}


def test_an_operator_that_tensorrt_lacks_is_named(rtx, save, tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"], "determinant")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    model = save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    with pytest.raises(BuildFailed, match="Det") as error:
        rtx.build(model, BuildOptions(), tmp_path / "engine.plan")
    assert "\n" not in str(error.value)


def test_an_engine_can_be_built_for_a_device_that_is_not_here(rtx, tiny, tmp_path):
    options = BuildOptions(compute_capability="8.6")
    facts = rtx.build(tiny, options, tmp_path / "engine.plan")
    assert facts["compute_capability"] == "8.6"


@pytest.mark.parametrize("capability", ["1.0", "nonsense", ""])
def test_an_unknown_compute_capability_is_refused_with_those_there_are(
    rtx, tiny, tmp_path, capability
):
    with pytest.raises(UsageError, match=r"choose from .*8\.6"):
        rtx.build(tiny, BuildOptions(compute_capability=capability), tmp_path / "engine.plan")
    assert not (tmp_path / "engine.plan").exists()


def test_without_a_gpu_engines_can_be_built_but_not_run(rtx, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(env, "gpu_names", list)
    assert rtx.available() is None
    reason = rtx.device()
    assert isinstance(reason, Reason)
    assert reason.missing == "device"
    with pytest.raises(MissingDependency, match="no NVIDIA GPU here; run the engine on") as error:
        rtx.load(Engine(tmp_path / "engine.plan", "", {}))
    assert error.value.exit_code == 3


def test_with_a_gpu_the_device_is_its_name(rtx, monkeypatch):
    monkeypatch.setattr(env, "gpu_names", lambda: ["NVIDIA L4", "NVIDIA T4"])
    assert rtx.device() == "NVIDIA L4"


def test_the_data_centre_builder_needs_a_gpu_to_build(monkeypatch):
    backend = get("tensorrt")
    monkeypatch.setattr(env, "has_module", lambda name: True)
    monkeypatch.setattr(env, "gpu_names", list)
    reason = backend.available()
    assert reason is not None
    assert reason.missing == "device"
    monkeypatch.setattr(env, "gpu_names", lambda: ["NVIDIA L4"])
    assert backend.available() is None


@pytest.mark.parametrize(("name", "extra"), [("tensorrt-rtx", "rtx"), ("tensorrt", "tensorrt")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, tiny, tmp_path, name, extra):
    monkeypatch.setattr(env, "has_module", lambda name: False)
    line = re.escape(install_line(extra))
    with pytest.raises(MissingDependency, match=rf"^{name} is not installed; {line}$"):
        get(name).build(tiny, BuildOptions(), tmp_path / "engine.plan")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a module that can't be imported where Python finds it, with the metadata of a distribution."""

    def put(module, distribution):
        (tmp_path / "site" / module).mkdir(parents=True)
        code = "raise ImportError('not to be imported')"
        (tmp_path / "site" / module / "__init__.py").write_text(code)
        if distribution:
            name, _, version = distribution.partition("-")
            folder = tmp_path / "site" / f"{distribution}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
            (folder / "top_level.txt").write_text(module)
        monkeypatch.syspath_prepend(tmp_path / "site")

    return put


@pytest.mark.parametrize(
    ("distribution", "version"),
    [
        ("tensorrt-11.4.0.106", "11.4.0.106"),
        ("tensorrt_cu13-11.4.0.106", "11.4.0.106"),
        ("tensorrt_cu12-10.12.0.36", "10.12.0.36"),
        ("nvidia_tensorrt-8.0", "8.0"),
        ("", "unknown"),
    ],
)
def test_tensorrt_is_found_by_its_module_whatever_brought_it(
    install, monkeypatch, distribution, version
):
    install("tensorrt", distribution)
    monkeypatch.setattr(env, "gpu_names", lambda: ["NVIDIA L4"])
    backend = get("tensorrt")
    assert backend.available() is None
    assert backend.version() == version


def test_a_folder_that_an_uninstalled_tensorrt_left_behind_is_none(tmp_path, monkeypatch):
    (tmp_path / "tensorrt" / "__pycache__").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    backend = get("tensorrt")
    assert str(backend.available()).startswith("tensorrt is not installed")
    assert backend.version() == "none"


def test_a_package_that_does_not_import_is_named_with_its_extra(
    rtx, tiny, tmp_path, monkeypatch, install
):
    install("tensorrt_rtx", "tensorrt_rtx-1.7")
    monkeypatch.delitem(sys.modules, "tensorrt_rtx", raising=False)
    line = re.escape(install_line("rtx"))
    with pytest.raises(MissingDependency, match=rf"does not import \(not to be imported\); {line}"):
        rtx.build(tiny, BuildOptions(), tmp_path / "engine.plan")


def test_a_package_that_does_not_import_where_a_gpu_is_seen_is_the_reason(
    cuda, rtx, monkeypatch, install
):
    install("tensorrt_rtx", "tensorrt_rtx-1.7")
    monkeypatch.delitem(sys.modules, "tensorrt_rtx", raising=False)
    reason = rtx.device()
    assert isinstance(reason, Reason)
    assert str(reason).startswith("tensorrt_rtx does not import (not to be imported)")


def test_running_needs_cuda_bindings_and_says_so(rtx, tmp_path, monkeypatch):
    monkeypatch.setattr(env, "gpu_names", lambda: ["NVIDIA L4"])
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingDependency, match=r"cuda-bindings is not installed .*pip install"):
        rtx.load(Engine(tmp_path / "engine.plan", "", {}))


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (recurrent("LSTM", 8, 8), {"layer"}),
        (recurrent("GRU", 8, 8), {"layer"}),  # none of its layers bears its name
        (branches(), {"product_then", "product_else"}),
    ],
)
def test_recurrent_layers_and_products_in_branches_are_seen(network, names, tmp_path):
    onnx.save(network, tmp_path / "m.onnx")
    model = open_model(tmp_path / "m.onnx")
    types = get("tensorrt-rtx").build(model, BuildOptions(), tmp_path / "engine")["compute_types"]
    assert {kind: set(found) for kind, found in types.items()} == {"fp32": names}


@pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
def test_a_recurrent_layer_before_a_quantised_product_is_in_float(rtx, operator, tmp_path):
    """What it makes is rounded to 8 bits in its last layer, which is no product in 8 bits."""
    network = recurrent(operator, 8, 8)
    network.graph.output[0].name = "z"
    network.graph.node.append(helper.make_node("MatMul", ["y", "p"], ["z"], name="product"))
    weight = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    network.graph.initializer.append(numpy_helper.from_array(weight, "p"))
    onnx.save(network, tmp_path / "m.onnx")
    model = open_model(tmp_path / "m.onnx")
    inputs = synthetic_feeds(model.inputs, count=2, batch_size=1)
    made = convert(model, "int8", "tensorrt-rtx", tmp_path / "int8.onnx", inputs)
    types = rtx.build(made, BuildOptions(), tmp_path / "engine")["compute_types"]
    assert types == {"int8": ["product"], "fp32": ["layer"]}


def test_a_recurrent_layer_that_is_told_lengths_stays_in_float(rtx, tmp_path):
    network = recurrent("GRU", 8, 8)
    network.graph.node[0].input.extend(["", "lengths"])
    lengths = helper.make_tensor_value_info("lengths", TensorProto.INT32, ["N"])
    network.graph.input.append(lengths)
    network.graph.output[0].name = "z"
    network.graph.node.append(helper.make_node("MatMul", ["y", "p"], ["z"], name="product"))
    network.graph.initializer.append(numpy_helper.from_array(np.eye(8, dtype=np.float32), "p"))
    onnx.save(network, tmp_path / "m.onnx")
    model = open_model(tmp_path / "m.onnx")
    made = convert(model, "fp16", "tensorrt-rtx", tmp_path / "half.onnx")
    assert made.recipe["float32_because"] == {
        "layer": "TensorRT takes lengths of sequences with float32 alone"
    }
    types = rtx.build(made, BuildOptions(), tmp_path / "engine")["compute_types"]
    assert types == {"fp16": ["product"], "fp32": ["layer"]}
