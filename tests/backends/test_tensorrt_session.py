"""TensorRT's sessions on a simulated device: doubles of four releases, whose engines compute with ONNX Runtime."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from cuda_double import DeviceFacts, Settings
from cuda_double import tensorrt as tensorrt_double
from onnx import TensorProto, helper, numpy_helper

from deploykit.backends import get
from deploykit.backends.building import build_engine
from deploykit.backends.tensorrt import LISTINGS, OF_INSPECTOR, OF_LOG
from deploykit.errors import BuildFailed, DeploykitError, MissingDependency, UsageError
from deploykit.graph.read_write import open_model
from deploykit.spec import BuildOptions, Engine
from deploykit.store import Store

RELEASES = ("tensorrt-10.12", "tensorrt-10.16", "tensorrt-11.4", "tensorrt-rtx-1.7")
MATRIX = np.arange(16, dtype=np.float32).reshape(4, 4) / 8


def product(batch="n") -> onnx.ModelProto:
    """x [n, 4] by a matrix, and the signs of what comes out."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "product"),
        helper.make_node("Relu", ["a"], ["y"], "relu"),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [batch, 4]) for n in "xy"]
    graph = helper.make_graph(
        nodes, "g", ports[:1], ports[1:], [numpy_helper.from_array(MATRIX, "w")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def copy_of(kind: int) -> onnx.ModelProto:
    """The input itself, in an element type."""
    ports = [helper.make_tensor_value_info(n, kind, ["n", 4]) for n in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"], "copy")
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def feeds(*values, batch=3):
    return [{"x": np.full((batch, 4), value, np.float32)} for value in values]


def expected(one):
    return np.maximum(one["x"] @ MATRIX, 0)


@pytest.fixture
def built(tensorrt, tmp_path):
    """Build a graph with a release, and give its backend, the engine and the double."""

    def make(surface="tensorrt-11.4", proto=None, **options):
        module = tensorrt(surface)
        onnx.save(proto or product(), tmp_path / "net.onnx")
        backend = get(module.__name__.replace("_", "-"))
        batches = {"batch_max": 8, **options}
        model = open_model(tmp_path / "net.onnx")
        engine, _ = build_engine(model, backend, BuildOptions(**batches), Store(tmp_path / "store"))
        return backend, engine, module

    return make


@pytest.fixture
def opened(built):
    """A session, with its double; closed at the end."""
    sessions = []

    def make(surface="tensorrt-11.4", boundary="end_to_end", cuda_graph=False, **options):
        backend, engine, module = built(surface, **options)
        sessions.append(backend.load(engine))
        sessions[-1].measure_as(boundary, cuda_graph=cuda_graph)
        return sessions[-1], module

    yield make
    for session in sessions:
        session.close()
    gc.collect()


@pytest.mark.parametrize("surface", RELEASES)
@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("boundary", ["end_to_end", "device"])
def test_all_releases_compute_and_are_timed(opened, cuda, surface, boundary, cuda_graph):
    session, _ = opened(surface, boundary, cuda_graph)
    (one,) = feeds(2)
    np.testing.assert_allclose(session.run(one)["y"], expected(one))
    samples = session.sample(feeds(1, 2, 3), 5)
    assert (samples > 0).all()
    np.testing.assert_allclose(
        session.run(one)["y"], expected(one)
    )  # whatever was bound in between
    assert session.boundary == boundary
    assert ("cudaGraphLaunch" in cuda.calls) == cuda_graph


@pytest.mark.parametrize("surface", RELEASES)
def test_plugins_of_tensorrt_are_known_before_it_parses_a_graph_and_loads_an_engine(built, surface):
    """Its parser makes RoiAlign, DeformConv and ScatterElements of them; TensorRT for RTX has none."""
    backend, engine, module = built(surface)
    with backend.load(engine):
        pass
    gc.collect()
    own = [] if module.rtx else ["init_libnvinfer_plugins"]
    loads = "deserialize_cuda_engine"
    seen = [one for one in module.failures.calls if one in ("parse", loads, *own)]
    # the builder loads what it built, for the inspector
    assert seen == [*own, "parse", loads, *own, loads]


def test_a_sample_spans_both_copies_and_the_compute(opened, cuda):
    session, _ = opened()
    sets = feeds(1, 2)
    session.sample(sets, 1)
    cuda.calls.clear()
    session.sample(sets, 2)
    once = ["cudaMemcpyAsync", "execute_async_v3", "cudaMemcpyAsync", "cudaStreamSynchronize"]
    assert cuda.calls == once * 2


def test_on_the_device_a_sample_is_the_time_between_its_events(opened, cuda):
    session, _ = opened(boundary="device", cuda_graph=True)
    sets = feeds(1)
    session.sample(sets, 1)
    cuda.calls.clear()
    session.sample(sets, 1)
    timed = ["cudaEventRecord", "cudaGraphLaunch", "cudaEventRecord", "cudaEventSynchronize"]
    assert cuda.calls == [*timed, "cudaEventElapsedTime"]


def test_the_parts_of_a_run_are_told_apart(opened):
    session, _ = opened()
    parts = session.phases(feeds(1, 2), 4)
    assert list(parts) == ["h2d_ms", "compute_ms", "d2h_ms", "enqueue_ms"]
    assert all(values.shape == (4,) and (values >= 0).all() for values in parts.values())
    assert (parts["compute_ms"] > 0).all()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_sets_of_inputs_take_turns_from_call_to_call(opened, cuda, cuda_graph):
    session, _ = opened(cuda_graph=cuda_graph)
    sets = feeds(1, 2)
    seen = []
    for _ in range(3):
        session.sample(sets, 1)
        seen.append([bound.argument.outputs["y"].host.array.max() for bound in session._bound])
    assert seen[0] == seen[1] == seen[2] == [expected(one).max() for one in sets]
    turns = []
    for bound in session._bound:
        bound.argument.outputs["y"].host.array[...] = 0
    for _ in range(3):
        session.sample(sets, 1)
        turns.append(
            [bool(bound.argument.outputs["y"].host.array.any()) for bound in session._bound]
        )
    assert turns == [[False, True], [True, True], [True, True]]


def test_buffers_are_used_again_and_nothing_stays(opened, cuda):
    session, _ = opened()
    idle = len(cuda.leaks())
    session.run(feeds(1)[0])
    session.run(feeds(2)[0])
    assert len(cuda.leaks()) == idle + 4
    session.run(feeds(2, batch=1)[0])
    assert len(cuda.leaks()) == idle + 4
    session.sample(feeds(1, 2), 1)
    assert len(cuda.leaks()) == idle + 4 + 8
    session.unbind()
    assert len(cuda.leaks()) == idle + 4
    session.close()
    gc.collect()
    assert cuda.leaks() == []


def test_a_batch_that_the_engine_was_not_built_for_is_refused_and_never_run(opened, cuda):
    session, _ = opened(batch_max=8)
    session.run(feeds(1, batch=8)[0])
    before = cuda.calls.count("execute_async_v3")
    for attempt in (session.run, session.bind):
        with pytest.raises(UsageError, match=r"input x as \[1, 4\] to \[8, 4\], not \[16, 4\]"):
            attempt(feeds(1, batch=16)[0])
    assert cuda.calls.count("execute_async_v3") == before


def image_sums() -> onnx.ModelProto:
    """Images of one size, and the sums over each channel's rows: outputs follow the size of the image."""
    axes = numpy_helper.from_array(np.array([2]), "axes")
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], "conv"),
        helper.make_node("ReduceSum", ["a", "axes"], ["y"], "sums"),
    ]
    weight = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1) / 8
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 32, 32])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 1, 32])
    graph = helper.make_graph(
        nodes, "g", [image], [y], [numpy_helper.from_array(weight, "w"), axes]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


RANGE = (("image", (1, 3, 16, 24), (1, 3, 48, 32), (1, 3, 64, 40)),)


@pytest.mark.parametrize("surface", RELEASES)
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_sizes_within_the_range_are_run_and_timed_each_as_it_is_and_others_never(
    opened, cuda, surface, cuda_graph
):
    session, _ = opened(
        surface, cuda_graph=cuda_graph, proto=image_sums(), batch_max=2, shapes=RANGE
    )
    random = np.random.default_rng(0)
    weight = np.arange(6, dtype=np.float32).reshape(2, 3) / 8
    sizes = [(1, 16, 24), (2, 64, 40), (2, 32, 32), (1, 48, 30), (1, 16, 24)]
    for batch, height, width in sizes:
        image = random.standard_normal((batch, 3, height, width)).astype(np.float32)
        wanted = np.einsum("oc,nchw->now", weight, image)[:, :, None]
        sets = [{"image": image}, {"image": image + 1}]
        found = session.run(sets[0])["y"]
        assert found.shape == (batch, 2, 1, width)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
        assert (session.sample(sets, 3) > 0).all()
        timed = session._bound[0].argument.outputs["y"].host.array
        np.testing.assert_allclose(timed, wanted, rtol=1e-4, atol=1e-4)
    before = cuda.calls.count("execute_async_v3")
    for shape in ((1, 3, 65, 32), (1, 3, 32, 23), (3, 3, 32, 32)):
        taken = r"image as \[1, 3, 16, 24\] to \[2, 3, 64, 40\], not"
        with pytest.raises(UsageError, match=taken):
            session.run({"image": np.zeros(shape, np.float32)})
    assert cuda.calls.count("execute_async_v3") == before


def test_fewer_than_the_engine_takes_are_filled_up_where_they_are_judged_and_refused_where_timed(
    opened,
):
    session, _ = opened(batch_min=4, batch_opt=4, batch_max=4)
    (few,) = feeds(2)
    np.testing.assert_allclose(session.run(few)["y"], expected(few))
    with pytest.raises(UsageError, match=r"\[4, 4\] only, not \[3, 4\]"):
        session.sample([few], 1)


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        ("set_input_shape", r"does not take input x as \[3, 4\]: Static dimension mismatch"),
        ("set_tensor_address", "does not take an address for tensor x"),
        ("execute_async_v3", "did not run the engine: enqueueV3: Error Code 3"),
    ],
)
def test_what_tensorrt_answers_with_false_is_an_error_with_its_own_reason(opened, refused, says):
    session, module = opened()
    module.failures.refused.add(refused)
    with pytest.raises(BuildFailed, match=says) as error:
        session.run(feeds(1)[0])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("surface", "refused", "says"),
    [
        ("tensorrt-10.16", "capture", "operation not permitted when stream is capturing"),
        ("tensorrt-rtx-1.7", "capture", "operation not permitted when stream is capturing"),
        ("tensorrt-rtx-1.7", "is_stream_capturable", "as tensorrt_rtx says"),
    ],
)
def test_an_engine_that_is_no_cuda_graph_says_so_and_runs_without(
    opened, cuda, surface, refused, says
):
    session, module = opened(surface, cuda_graph=True)
    module.failures.refused.add(refused)
    idle = cuda.leaks()
    with pytest.raises(BuildFailed, match=r"can't be captured as a CUDA graph") as error:
        session.sample(feeds(1), 1)
    assert says in str(error.value)
    assert str(error.value).endswith("; leave out --cuda-graph")
    assert cuda.leaks() == idle
    session.measure_as("end_to_end", cuda_graph=False)
    assert (session.sample(feeds(1), 2) > 0).all()


def test_sizes_that_the_network_cannot_take_are_named_with_tensorrt_s_reason(opened):
    session, module = opened()
    module.failures.refused.add("infer_shapes")
    with pytest.raises(BuildFailed, match=r"its shapes at x=\[3, 4\]: reshape would change volume"):
        session.run(feeds(1)[0])


@pytest.mark.parametrize("surface", ["tensorrt-11.4", "tensorrt-rtx-1.7"])
def test_streams_share_an_engine_and_have_a_context_each(built, cuda, surface):
    backend, engine, _ = built(surface)
    with backend.load(engine) as first, first.share() as second:
        second.inputs = first.inputs
        sets = feeds(1), feeds(2)
        for session, one in zip((first, second), sets, strict=True):
            session.sample(one, 2)
        results = [s._bound[0].argument.outputs["y"].host.array for s in (first, second)]
        np.testing.assert_allclose(results[0], expected(sets[0][0]))
        np.testing.assert_allclose(results[1], expected(sets[1][0]))
        assert first._context is not second._context
        assert first._stream.pointer != second._stream.pointer
        assert first._loaded is second._loaded
    gc.collect()
    assert cuda.leaks() == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TensorProto.BFLOAT16, "bfloat16"),
        (TensorProto.FLOAT8E4M3FN, "float8_e4m3fn"),
        (TensorProto.INT64, "int64"),
        (TensorProto.BOOL, "bool"),
        (TensorProto.FLOAT16, "float16"),
    ],
)
def test_tensors_of_other_types_are_named_and_come_back_as_they_went(opened, kind, name):
    session, _ = opened(proto=copy_of(kind))
    assert session.inputs[0].dtype == session.outputs[0].dtype == name
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    values = np.array([[0, 1, 1, 0], [1, 0, 0, 1]]).astype(dtype)
    found = session.run({"x": values})["y"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)
    with pytest.raises(UsageError, match=f"input x takes {name}, not uint16"):
        session.run({"x": values.astype(np.uint16)})


def test_a_type_without_whole_bytes_is_an_error_that_names_the_tensor(built):
    backend, engine, module = built()
    module.ICudaEngine.get_tensor_dtype = lambda self, name: module.DataType.FP4
    with pytest.raises(BuildFailed, match="tensor x of the engine is FP4, which can't be fed"):
        backend.load(engine)


def test_an_output_whose_size_depends_on_the_data_is_an_error(opened):
    session, module = opened()
    module.IExecutionContext.get_tensor_shape = lambda self, name: (-1, 4)
    with pytest.raises(BuildFailed, match="output y of the engine has a size that depends on"):
        session.run(feeds(1)[0])


def damaged(engine: Engine, change) -> Engine:
    engine.path.write_bytes(change(engine.path.read_bytes()))
    return engine


@pytest.mark.parametrize(
    ("surface", "change", "says"),
    [
        ("tensorrt-11.4", lambda plan: plan[:-9], "does not load: IRuntime.*plan->header.size"),
        ("tensorrt-11.4", lambda plan: plan.replace(b"11.4.0", b"11.3.9"), "Version tag does not"),
        ("tensorrt-rtx-1.7", lambda plan: plan[:-9], "it is cut or no engine: delete it"),
        ("tensorrt-rtx-1.7", lambda plan: plan.replace(b"1.7.1", b"1.6.9"), "another version of"),
    ],
)
def test_a_plan_that_is_cut_or_of_another_version_is_one_line(built, surface, change, says):
    backend, engine, _ = built(surface)
    with pytest.raises(BuildFailed, match=says) as error:
        backend.load(damaged(engine, change))
    assert "\n" not in str(error.value)
    assert "CUDA double" in str(error.value)


def test_the_engine_of_another_package_is_refused_by_name(built):
    backend, engine, _ = built("tensorrt-rtx-1.7")
    engine = Engine(engine.path, engine.key, {**engine.manifest, "builder": "tensorrt"})
    with pytest.raises(UsageError, match="was built by tensorrt: use --backend tensorrt"):
        backend.load(engine)


def test_an_engine_for_another_device_is_not_loaded_and_says_what_would_be(built, cuda):
    backend, engine, _ = built("tensorrt-rtx-1.7", compute_capability="8.6")
    foreign = backend.foreign(engine)
    assert "built for compute capability 8.6" in foreign.text
    assert foreign.remedy == "build it with --compute-capability 8.9"
    with pytest.raises(MissingDependency, match=r"capability 8\.6, and CUDA double"):
        backend.load(engine)
    assert cuda.calls == []


def test_a_device_that_tensorrt_for_rtx_does_not_support_is_told_before_anything_runs(built, cuda):
    backend, engine, _ = built("tensorrt-rtx-1.7")
    cuda.show(Settings([DeviceFacts(compute_capability="9.0")]))
    reason = str(backend.device())
    assert "has compute capability 9.0, and tensorrt-rtx 1.7" in reason
    assert "supports 7.5, 8.0, 8.6, 8.9, 12.0, 12.1; use --backend tensorrt" in reason
    with pytest.raises(MissingDependency, match=r"compute capability 9\.0"):
        backend.load(engine)
    cuda.show(Settings([DeviceFacts(compute_capability="7.5")]))
    assert backend.foreign(engine).remedy == "build it with --compute-capability 7.5"


def test_the_runtime_itself_tells_of_a_device_that_the_manifest_does_not(built, cuda, monkeypatch):
    backend, engine, _ = built("tensorrt-rtx-1.7", compute_capability="8.6")
    monkeypatch.setattr(type(backend), "foreign", lambda self, engine: None)
    with pytest.raises(MissingDependency, match=r"8\.6; build it with --compute-capability 8\.9"):
        backend.load(engine)


def test_the_device_that_tensorrt_builds_for_is_in_the_key_and_engines_of_another_are_foreign(
    built, cuda
):
    backend, engine, _ = built("tensorrt-11.4")
    assert "compute capability 8.9, CUDA 1" in engine.manifest["host"]
    cuda.show(Settings([DeviceFacts(compute_capability="12.0")]))
    assert "is built for CUDA double" in backend.foreign(engine).text
    assert backend.host() != engine.manifest["host"]


def test_a_device_without_room_is_an_error_that_says_so(built, cuda):
    backend, engine, _ = built()
    cuda.show(Settings([DeviceFacts(memory_mib=166)]))
    with pytest.raises(DeploykitError, match=r"no room to run: Error Code 2: OutOfMemory") as error:
        backend.load(engine)
    assert error.value.exit_code == 4
    gc.collect()


def test_a_device_without_room_for_an_engine_is_no_reason_to_build_it_again(built):
    backend, engine, module = built()
    module.failures.refused.add("deserialize_cuda_engine")
    with pytest.raises(
        BuildFailed, match=r"out of memory; end what else is on the device"
    ) as error:
        backend.load(engine)
    assert "build it again" not in str(error.value)


def test_a_batch_without_room_leaves_the_session_usable(opened, cuda):
    session, _ = opened(batch_max=2**22)
    idle = cuda.leaks()
    cuda.show(
        Settings([DeviceFacts(memory_mib=250)])
    )  # 168 are in use, the input takes 64, the output as many
    with pytest.raises(DeploykitError, match="the device is out of memory; take a smaller batch"):
        session.run({"x": np.zeros((2**22, 4), np.float32)})
    assert cuda.leaks() == idle
    (one,) = feeds(1)
    np.testing.assert_allclose(session.run(one)["y"], expected(one))


def test_tensorrt_for_rtx_compiles_before_it_is_timed_and_keeps_what_it_compiled(built, cuda):
    backend, engine, _ = built("tensorrt-rtx-1.7")
    with backend.load(engine) as session:
        assert session.compile_s > 0
        session.sample(feeds(1), 2)
    (cache,) = engine.path.parent.glob("runtime-*.cache")
    assert cache.read_bytes() == b"compiled"
    with backend.load(engine) as session:
        assert session._loaded.runtime_cache._content == b"compiled" * 2  # what was there, and more
    gc.collect()


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_tensorrt_for_rtx_compiles_all_kernels_before_the_first_run_and_none_in_between(
    built, cuda, cuda_graph
):
    backend, engine, trt = built("tensorrt-rtx-1.7")
    compiled = []
    trt.failures.compiling = lambda: compiled.append(len(cuda.calls))
    with backend.load(engine) as session:
        session.measure_as("device", cuda_graph=cuda_graph)
        assert len(compiled) == 1
        config = session._loaded.context_config
        strategies = trt.DynamicShapesKernelSpecializationStrategy
        assert config.dynamic_shapes_kernel_specialization_strategy is strategies.EAGER
        assert config.cuda_graph_strategy is trt.CudaGraphStrategy.DISABLED  # graphs are ours
        session.sample(feeds(1, 2), 4)
        assert len(compiled) == 1
    gc.collect()


def test_what_tensorrt_for_rtx_takes_to_compile_is_in_compile_s_and_in_no_sample(
    built, cuda, monkeypatch
):
    backend, engine, trt = built("tensorrt-rtx-1.7")
    clock = [100.0]
    trt.failures.compiling = lambda: clock.__setitem__(0, clock[0] + 7.0)
    stopped = SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr("deploykit.backends.tensorrt_session.time", stopped)
    with backend.load(engine) as session:
        assert session.compile_s == 7.0
        session.sample(feeds(1), 2)
        assert session.compile_s == 7.0
        with session.share() as other:  # a context of its own, compiled for itself
            assert other.compile_s == 7.0
    gc.collect()


def test_an_engine_of_tensorrt_compiles_nothing_when_it_is_loaded(opened):
    session, _ = opened("tensorrt-11.4")
    assert session.compile_s is None


def test_an_engine_that_later_versions_can_load_is_let_run_code_on_the_host(opened):
    session, _ = opened("tensorrt-11.4", version_compatible=True)
    (one,) = feeds(1)
    np.testing.assert_allclose(session.run(one)["y"], expected(one))


def test_the_times_of_kernels_are_kept_for_the_next_build(built, tmp_path):
    built("tensorrt-11.4")
    (cache,) = (tmp_path / "store").glob("timing-tensorrt-11.4*.cache")
    assert cache.read_bytes() == b"timing measured"


@pytest.mark.parametrize(
    ("kept", "after"), [(b"timing 1 ", b"timing 1 measured"), (b"cut", b"timing measured")]
)
def test_a_timing_cache_that_is_there_is_gone_on_from_and_one_that_is_damaged_is_not(
    built, tmp_path, kept, after
):
    backend, _, _ = built("tensorrt-11.4")
    (cache,) = (tmp_path / "store").glob("timing-*.cache")
    cache.write_bytes(kept)
    model = open_model(tmp_path / "net.onnx")
    store = Store(tmp_path / "store")
    build_engine(model, backend, BuildOptions(batch_max=9), store)
    assert cache.read_bytes() == after
    build_engine(model, backend, BuildOptions(batch_max=10, timing_cache=False), store)
    assert cache.read_bytes() == after


@pytest.mark.parametrize(
    ("refused", "says"),
    [
        ("Builder", "can't start: CUDA initialization failure with error: 35"),
        ("build_serialized_network", "can't build net: no tactics to implement"),
    ],
)
def test_a_builder_that_fails_is_told_by_its_own_log(tensorrt, tmp_path, refused, says):
    tensorrt("tensorrt-11.4").failures.refused.add(refused)
    onnx.save(product(), tmp_path / "net.onnx")
    with pytest.raises(BuildFailed, match=says):
        build_engine(
            open_model(tmp_path / "net.onnx"),
            get("tensorrt"),
            BuildOptions(),
            Store(tmp_path / "s"),
        )
    assert list((tmp_path / "s").glob("*")) == []


@pytest.mark.parametrize("surface", ["tensorrt-10.12", "tensorrt-11.4"])
def test_an_engine_with_a_free_batch_tells_its_types_with_a_context_that_has_all_shapes(
    built, cuda, monkeypatch, surface
):
    monkeypatch.setenv(tensorrt_double.INSPECTOR, "1")
    monkeypatch.setattr(
        tensorrt_double, "_listing", lambda model: "Layers:\n"
    )  # the log tells nothing
    backend, engine, _ = built(surface, batch_min=2, batch_opt=3)
    assert engine.manifest["compute_types"] == {"fp32": ["product"]}
    kept = (engine.path.parent / LISTINGS / OF_INSPECTOR).read_text()
    assert tensorrt_double.HIDDEN not in kept
    monkeypatch.setenv(tensorrt_double.REFUSE, "set_input_shape")
    (path := engine.path.parent / "again").mkdir()
    facts = backend.build(
        open_model(engine.path.parents[2] / "net.onnx"), BuildOptions(batch_max=8), path / "engine"
    )
    assert facts["compute_types"] == {"unknown": ["product"]}
    assert tensorrt_double.HIDDEN in (path / LISTINGS / OF_INSPECTOR).read_text()
    gc.collect()


def test_the_log_tells_what_the_inspector_hides(built, cuda, monkeypatch):
    monkeypatch.setenv(tensorrt_double.INSPECTOR, "1")
    monkeypatch.setenv(tensorrt_double.REFUSE, "set_input_shape")
    _, engine, _ = built("tensorrt-10.16")
    assert engine.manifest["compute_types"] == {"fp32": ["product"]}
    listings = engine.path.parent / LISTINGS
    assert tensorrt_double.HIDDEN in (listings / OF_INSPECTOR).read_text()
    assert (listings / OF_LOG).read_text().startswith("Layers:")
    gc.collect()


def test_layers_are_timed_by_tensorrt_s_own_profiler(opened):
    session, _ = opened()
    times = session.layer_times(feeds(1, 2), 3)
    assert {name: list(ms) for name, ms in times.items()} == {
        "product_myl0_0": [0.5, 0.5, 0.5],
        "relu_myl0_1": [1.5, 1.5, 1.5],
    }
