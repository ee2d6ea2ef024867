"""ONNX Runtime's providers for NVIDIA devices, on the double of CUDA: its CPU provider computes.

The names of options are those that the libraries in the wheels hold; no run here was on a device.
"""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from cuda_double import onnxruntime as double

from deploykit import backends, env
from deploykit.backends import onnxruntime_gpu
from deploykit.backends.building import build_engine
from deploykit.backends.onnxruntime_gpu_session import Placement
from deploykit.errors import BuildFailed, MissingDependency, UsageError
from deploykit.graph.view import GraphView
from deploykit.spec import BuildOptions
from deploykit.store import Store
from deploykit.workflow.rows import types_note

NAMES = ["onnxruntime-cuda", "onnxruntime-tensorrt"]


@pytest.fixture
def shows(cuda, monkeypatch):
    """Install the double with a behaviour."""
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")

    def show(**changed):
        return double.install(double.Behaviour(**changed), monkeypatch)

    return show


@pytest.fixture
def built(shows, in_precision, tmp_path):
    """An engine of the tiny network, with its backend and what the double shows."""

    def build(name="onnxruntime-cuda", precision="fp32", options=None, **changed):
        behaviour = shows(**changed)
        backend = backends.get(name)
        model = in_precision(precision, backend.target)
        store = Store(tmp_path / "store")
        engine, _ = build_engine(model, backend, options or BuildOptions(), store)
        return backend, engine, behaviour

    return build


def expected(in_precision, images):
    path = in_precision("fp32", "cpu").path
    return double.real_session(path, providers=[double.PROCESSOR]).run(None, images)[0]


@pytest.mark.parametrize(
    ("name", "graph", "boundary"),
    [
        ("onnxruntime-cuda", False, "end_to_end"),
        ("onnxruntime-cuda", True, "device"),
        ("onnxruntime-tensorrt", True, "end_to_end"),
    ],
)
def test_outputs_are_the_processor_s_through_device_memory(
    built, in_precision, images, name, graph, boundary
):
    wanted = expected(in_precision, images)
    backend, engine, _ = built(name)
    sets = [images, {"image": images["image"] * 2}]
    with backend.load(engine) as session:
        session.measure_as(boundary, cuda_graph=graph)
        np.testing.assert_allclose(session.run(images)["logits"], wanted, rtol=1e-5, atol=1e-6)
        assert (session.sample(sets, 5) > 0).all()
        # Each set has addresses of its own: a graph that was captured with others would answer with theirs.
        for bound, feeds in zip(session._bound, sets, strict=True):
            if bound.prepare is not None:
                bound.prepare()
            bound.run(bound.argument)
            host = bound.argument.outputs["logits"].host
            session._copy_out(bound.argument)
            session._stream.synchronise()
            np.testing.assert_allclose(
                host.array, session.run(feeds)["logits"], rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize(
    ("makes_outputs", "says"),
    [
        (True, "runs the CUDA graph of other inputs, which leaves output logits"),
        (False, "can't run tiny fp32 at .*Only OrtValues that are Tensors"),
    ],
)
def test_a_provider_that_runs_the_graph_of_other_inputs_is_refused_and_runs_without(
    built, images, cuda, makes_outputs, says
):
    """As that of TensorRT does: it answers with the first set of inputs for ever."""
    backend, engine, _ = built("onnxruntime-tensorrt", one_graph=True, makes_outputs=makes_outputs)
    sets = [images, {"image": images["image"] * 2}]
    with backend.load(engine) as session:
        session.measure_as("end_to_end", cuda_graph=True)
        with pytest.raises(BuildFailed, match=says) as error:
            session.sample(sets, 2)
        assert "leave --cuda-graph out, or use another" in str(error.value)
        session.measure_as("end_to_end", cuda_graph=False)
        assert (session.sample(sets, 2) > 0).all()


def test_the_parts_of_a_run_have_times_of_their_own(built, images):
    backend, engine, _ = built()
    with backend.load(engine) as session:
        parts = session.phases([images], 3)
    assert set(parts) == {"h2d_ms", "compute_ms", "d2h_ms", "enqueue_ms"}
    assert all((values >= 0).all() and values.size == 3 for values in parts.values())


def test_a_compute_is_only_enqueued(built, images, cuda):
    backend, engine, _ = built()
    with backend.load(engine) as session:
        sets = [images]
        session.sample(sets, 1)
        cuda.calls.clear()
        session.sample(sets, 1)
        once = ["cudaMemcpyAsync", "run_with_iobinding", "cudaMemcpyAsync", "cudaStreamSynchronize"]
        assert cuda.calls == once


@pytest.mark.parametrize(
    ("name", "precision", "computes", "emulated"),
    [
        ("onnxruntime-cuda", "fp32", "fp32", False),
        ("onnxruntime-cuda", "int8", "fp32", True),
        ("onnxruntime-tensorrt", "fp16", "fp16", False),
        ("onnxruntime-tensorrt", "int8", "int8", False),
    ],
)
def test_the_precision_is_that_of_the_graph(built, name, precision, computes, emulated):
    _, engine, _ = built(name, precision)
    assert engine.precision_actual == computes
    assert engine.manifest["emulated"] is emulated
    assert engine.manifest["providers"].keys() == {backends.get(name).provider}


def test_what_is_not_read_back_is_said_plainly(built):
    _, engine, _ = built("onnxruntime-tensorrt", "fp16")
    note = types_note(engine)
    assert note.text.startswith("precision_actual is not read back from the engine: the provider")
    assert note.remedy.startswith("--backend tensorrt")
    _, engine, _ = built("onnxruntime-cuda")
    assert types_note(engine) is None  # the graph as the provider runs it was read
    assert backends.get("onnxruntime-rtx").types_not_read_back


@pytest.mark.parametrize(
    ("precision", "provider", "becomes"),
    [
        ("int8", "CUDAExecutionProvider", "fp32"),
        ("int8", double.PROCESSOR, "fp32"),
        ("fp16", "CUDAExecutionProvider", "fp16"),
        ("fp16", double.PROCESSOR, "fp32"),
        ("fp32", double.PROCESSOR, "fp32"),
    ],
)
def test_a_product_that_fell_back_computes_as_its_provider_does(
    in_precision, precision, provider, becomes
):
    graph = GraphView(onnx.load(in_precision(precision, "onnxruntime-tensorrt").path))
    backend = backends.get("onnxruntime-tensorrt")
    plain = backend._compute_types(graph, None, {})
    (products,) = plain.values()
    placed = Placement({backend.provider: tuple(products[1:]), provider: (products[0], "other")})
    elsewhere = placed.elsewhere(backend.provider, {"macs": dict.fromkeys(products, 1)})
    assert elsewhere == {products[0]: provider}
    found = backend._compute_types(graph, None, elsewhere)
    assert products[0] in found[becomes]
    assert set(found) == {precision, becomes}


def test_a_session_that_fell_back_is_an_error_with_what_brings_the_provider(shows, built, images):
    backend, engine, _ = built()
    shows(loads=False)
    remedy = r"would run on the processor.*onnxruntime-gpu\[cuda,cudnn\]"
    with backend.load(engine) as session, pytest.raises(MissingDependency, match=remedy):
        session.run(images)


def test_nodes_that_fell_back_are_named(built, images):
    backend, engine, _ = built(left=["flat"])
    with backend.load(engine) as session:
        session.run(images)
        (note,) = [note for note in session.notes if "did not take" in note.text]
    assert "(0.0% of the MACs): flat" in note.text


def test_a_network_that_ran_on_the_processor_is_no_row_of_the_device(built):
    with pytest.raises(BuildFailed, match="took no node of tiny"):
        built(left=["*"])


def test_most_of_the_work_on_the_processor_is_an_error_that_names_it():
    placed = Placement({"CUDAExecutionProvider": ("small",), "CPUExecutionProvider": ("big",)})
    products = {"macs": {"big": 90, "small": 10}, "tensors": {}}
    with pytest.raises(BuildFailed, match=r"90% of the MACs of net ran on the processor.*big"):
        placed.notes("CUDAExecutionProvider", products, "net")
    placed = Placement({"CUDAExecutionProvider": ("big",), "CPUExecutionProvider": ("small",)})
    (note,) = placed.notes("CUDAExecutionProvider", products, "net")
    assert "10.0% of the MACs" in note.text


def test_merged_nodes_are_known_by_the_tensor_that_they_end_in():
    text = json.dumps(
        [
            {
                "cat": "Node",
                "name": "r_nchwc_kernel_time",
                "args": {"provider": "CPUExecutionProvider"},
            },
            {
                "cat": "Node",
                "name": "other_kernel_time",
                "args": {"provider": "CUDAExecutionProvider"},
            },
            {"cat": "Session", "name": "model_run", "args": {}},
        ]
    )
    placed = Placement.of_profile(text)
    products = {"macs": {"conv": 10, "other": 10}, "tensors": {"c": "conv", "r": "conv"}}
    (note,) = placed.notes("CUDAExecutionProvider", products, "net")
    assert "(50.0% of the MACs)" in note.text


def test_ranges_and_caches_go_to_the_provider(shows, in_precision, tmp_path, images):
    shows()
    backend = backends.get("onnxruntime-tensorrt")
    options = BuildOptions(2, 4, 8, optimization_level=2, workspace_mib=64, sparse=True)
    model, store = in_precision("fp32", backend.target), Store(tmp_path / "store")
    engine, _ = build_engine(model, backend, options, store)
    given = backend.provider_options(engine, 5, True, True)
    assert given["trt_profile_min_shapes"] == "image:2x3x16x16"
    assert given["trt_profile_max_shapes"] == "image:8x3x16x16"
    assert given["trt_max_workspace_size"] == str(64 * 2**20)
    assert given["trt_engine_cache_path"] == str(engine.path.parent / "compiled")
    assert given["trt_timing_cache_path"] == str(store.root)
    assert (engine.path.parent / "compiled" / "subgraph.engine").is_file()
    assert backend.largest_batch(engine) == 8
    with backend.load(engine) as session:
        # A batch below the least is filled up, and cut off again.
        one = {"image": images["image"][:1]}
        assert session.run(one)["logits"].shape == (1, 10)
        assert session.compile_s is None  # it was compiled when it was built
        with pytest.raises(UsageError, match="takes float32, not float64"):
            session.run({"image": images["image"].astype(np.float64)})


@pytest.mark.parametrize("name", [*NAMES, "onnxruntime-rtx"])
def test_every_option_is_one_that_the_provider_s_library_has(shows, in_precision, tmp_path, name):
    from deploykit.spec import Engine

    backend = backends.get(name)
    backend.caches = tmp_path
    options = {"batch_max": 4, "workspace_mib": 1, "optimization_level": 1, "sparse": True}
    inputs = [{"name": "x", "shape": ["n", 3], "dtype": "float32"}]
    engine = Engine(tmp_path / "engine.onnx", "", {"options": options, "inputs": inputs})
    providers = backend.providers(engine, 5, True, True)
    for provider, given in providers[:-1]:
        assert set(given) <= set(double.RECORDED["options"][provider])
    assert backend.graph_id in double.RECORDED["run"]
    assert len(providers[0][1]) > 3


def test_no_option_of_a_precision_is_given(shows, tmp_path):
    from deploykit.spec import Engine

    engine = Engine(tmp_path / "engine.onnx", "", {"options": {}, "inputs": []})
    for name in [*NAMES, "onnxruntime-rtx"]:
        for provider in backends.get(name).providers(engine, 5, False, False)[:-1]:
            assert not [
                key for key in provider[1] if "fp16" in key or "int8" in key or "bf16" in key
            ]
            assert provider[1].get("use_tf32", "0") == "0"


def test_both_wheels_at_once_are_told_with_the_line_that_repairs_it(shows):
    shows(installed={"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"})
    reason = backends.get("onnxruntime-cuda").available()
    assert "both installed and overwrite each other" in reason.text
    assert reason.remedy.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && pip install ")
    assert "ort-gpu" in reason.remedy
    rtx = backends.get("onnxruntime-rtx").available()
    assert "pip install onnxruntime onnxruntime-ep-nv-tensorrt-rtx-cu13" in rtx.remedy


def test_what_is_missing_is_one_line_each(shows, cuda):
    import cuda_double

    shows(installed={"onnxruntime": "1.31.1", "onnxruntime-gpu": None})
    reason = backends.get("onnxruntime-tensorrt").available()
    assert reason.text == "onnxruntime-gpu is not installed"
    assert reason.remedy.startswith("pip uninstall -y onnxruntime && pip install ")
    reason = backends.get("onnxruntime-rtx").available()
    assert reason.text == "onnxruntime-ep-nv-tensorrt-rtx-cu13 is not installed"
    shows(offered=["CPUExecutionProvider"])
    assert (
        "built without CUDAExecutionProvider" in backends.get("onnxruntime-cuda").available().text
    )
    cuda.show(cuda_double.Settings(devices=[]))
    assert backends.get("onnxruntime-cuda").available().missing == "device"


def test_the_plugin_of_tensorrt_for_rtx_is_registered_and_its_first_device_taken(
    shows, monkeypatch, tmp_path, in_precision, images, cuda
):
    import sys
    import types

    import onnxruntime as ort

    behaviour = shows(
        installed={"onnxruntime-gpu": None, "onnxruntime-ep-nv-tensorrt-rtx-cu13": "0.5.0"}
    )
    module = types.ModuleType("onnxruntime_ep_nv_tensorrt_rtx")
    module.get_library_path = lambda: "libonnxruntime_providers_nv_tensorrt_rtx.so"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    registered, real = [], ort.SessionOptions

    class Options(real):
        def add_provider_for_devices(self, devices, given):
            self.asked = [(devices[0].ep_name, given), double.PROCESSOR]

    def register(name, path):
        if registered:
            raise RuntimeError(f"{name} is already registered")
        registered.append(path)

    device = types.SimpleNamespace(ep_name="NvTensorRTRTXExecutionProvider")
    monkeypatch.setattr(ort, "SessionOptions", Options)
    monkeypatch.setattr(ort, "register_execution_provider_library", register)
    monkeypatch.setattr(ort, "get_ep_devices", lambda: [device, device])
    plain = double.real_session
    made = lambda path, options: double.Session(behaviour, plain, path, options, options.asked)  # noqa: E731
    monkeypatch.setattr(ort, "InferenceSession", made)
    backend = backends.get("onnxruntime-rtx")
    assert backend.available() is None
    assert backend.version() == f"0.5.0 (onnxruntime {ort.__version__})"
    engine, _ = build_engine(
        in_precision("fp16", backend.target), backend, BuildOptions(), Store(tmp_path / "store")
    )
    assert engine.precision_actual == "fp16"
    with backend.load(engine) as session:
        session.measure_as("device", cuda_graph=True)
        session.sample([images], 2)
        assert session.run(images)["logits"].shape == (2, 10)
    assert registered == ["libonnxruntime_providers_nv_tensorrt_rtx.so"]
    monkeypatch.setattr(ort, "get_ep_devices", list)
    assert "offers no device" in backend.available().text


def test_a_session_in_a_child_runs_on_the_double_too(built, monkeypatch):
    from deploykit.bench.request import WorkerRequest, run_worker
    from deploykit.bench.scenario import Policy

    backend, engine, _ = built()
    policy = Policy(min_s=0.05, max_s=1.0, warmup_s=0.02)
    result = run_worker(WorkerRequest(engine.path.parent, backend.name, 2, policy=policy), 120)
    assert result.columns["latency_min_ms"] > 0
    assert any("TF32 is off" in note.text for note in result.notes)


@pytest.mark.parametrize(
    ("named", "missing"),
    [
        (b"libnvinfer.so.987", "libnvinfer.so.987"),
        (b"libnvonnxparser.so.987", "987"),
        (b"libc.so.6", None),
    ],
)
def test_a_provider_without_tensorrt_is_not_called_ready(
    shows, monkeypatch, tmp_path, named, missing
):
    """ONNX Runtime lists the provider wherever it was built with it: doctor said ok on a box without TensorRT."""
    shows()
    library = tmp_path / "libonnxruntime_providers_tensorrt.so"
    library.write_bytes(b"\0libm.so.6\0" + named + b"\0")
    monkeypatch.setattr(onnxruntime_gpu, "library_of", lambda provider: library)
    reason = backends.get("onnxruntime-tensorrt").available()
    assert (reason is None) == (missing is None)
    if missing:
        assert missing in reason.text
        assert "pip install" in reason.remedy


def test_an_engine_that_tensorrt_compiles_is_of_its_version(monkeypatch):
    versions = {"tensorrt-cu13": "10.9.0"}
    real = env.package_version
    monkeypatch.setattr(env, "package_version", lambda name: versions.get(name) or real(name))
    assert "(TensorRT 10.9.0)" in backends.get("onnxruntime-tensorrt").version()
    assert "TensorRT" not in backends.get("onnxruntime-cuda").version()
