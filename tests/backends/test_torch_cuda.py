"""PyTorch on an NVIDIA device, with a stand-in for `torch.cuda` whose device is the processor.

Streams and events of the stand-in note what is done in them; a CUDA graph of it replays the very operators that
were captured, over the tensors that they had. No run here was on a device.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from weakref import WeakSet

import cuda_double
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deploykit.backends import get, torch_session
from deploykit.backends.base import FORWARD_BACKWARD
from deploykit.backends.building import build_engine
from deploykit.backends.pytorch import DTYPES, _OnGpu
from deploykit.backends.torch_session import (
    Cuda,
    TorchSession,
    compute_float32_exactly,
    float32_is_exact,
)
from deploykit.bench.feeds import synthetic
from deploykit.bench.layer_times import Hooks
from deploykit.errors import BuildFailed, DriftFailed, UsageError
from deploykit.spec import BuildOptions, Engine, ModelSpec, TensorSpec
from deploykit.workflow.network import obtain_network

INPUTS = (TensorSpec("x", ("n", 3, 8, 8), "float32"),)
OUTPUTS = (TensorSpec("y", ("n", 5), "float32"),)


@pytest.fixture(autouse=True)
def _float32_as_it_was():
    """What sessions make of TF32 holds for the process, and PyTorch's exporter stumbles over it."""
    yield
    backends = torch.backends
    for part in (
        backends,
        backends.cuda.matmul,
        backends.mkldnn.conv,
        backends.mkldnn.rnn,
        backends.mkldnn.matmul,
    ):
        part.fp32_precision = "none"
    torch.backends.cudnn.conv.fp32_precision = torch.backends.cudnn.rnn.fp32_precision = "tf32"


class Recorder(TorchDispatchMode):
    """Notes operators with their arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, result))
        return result


class Graph:
    """What was captured, done again over the same tensors."""

    def __init__(self) -> None:
        self.recorder = Recorder()

    def replay(self) -> None:
        for func, args, kwargs, result in self.recorder.steps:
            if isinstance(result, torch.Tensor) and not any(result is one for one in args):
                result.copy_(func(*args, **kwargs))


class FakeCuda:
    """As much of `torch.cuda` as is used, which the real one must have too."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.current: list[object] = []
        self._clock = itertools.count(1)
        made = itertools.count()
        api = self

        class Stream:
            def __init__(self, device):
                self.name = f"stream {next(made)}"

            def synchronize(self):
                api.log.append(f"synchronize {self.name}")

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self, stream):
                self.at = next(api._clock)
                api.log.append(f"event in {stream.name}")

            def synchronize(self):
                api.log.append("wait for event")

            def elapsed_time(self, end):
                return float(end.at - self.at)

        self.Stream, self.Event, self.CUDAGraph = Stream, Event, Graph
        self.refuses = False

    @contextlib.contextmanager
    def stream(self, stream):
        self.current.append(stream)
        yield
        self.current.pop()

    @contextlib.contextmanager
    def graph(self, graph, stream):
        if self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing")
        with graph.recorder:
            yield

    def empty_cache(self):
        self.log.append("cache emptied")

    def max_memory_allocated(self, device):
        return 3 * 2**20

    def max_memory_reserved(self, device):
        return 8 * 2**20


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 4, 3)
    return torch.nn.Sequential(
        conv, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 5)
    ).eval()


def session(api=None, dtype=torch.float32, **options):
    channels_last = options.pop("channels_last", False)
    where = Cuda(dtype, api=api or FakeCuda(), device="cpu", channels_last=channels_last)
    return TorchSession(network(), INPUTS, OUTPUTS, where=where, **options)


def test_the_stand_in_has_what_the_real_module_has():
    for name in ("Stream", "Event", "CUDAGraph", "stream", "graph", *vars(FakeCuda)):
        if not name.startswith("_"):
            assert hasattr(torch.cuda, name), name


@pytest.mark.parametrize("boundary", ["end_to_end", "device"])
@pytest.mark.parametrize("graph", [False, True])
def test_each_set_of_inputs_gives_its_own_outputs(boundary, graph):
    one = session()
    one.measure_as(boundary, cuda_graph=graph)
    feeds = synthetic(INPUTS, 2, sets=2)
    assert (one.sample(feeds, 4) > 0).all()
    module = network()
    for bound, inputs in zip(one._bound, feeds, strict=True):
        with one.sampling():
            one._place._round_trip(bound.argument)
        wanted = module(torch.from_numpy(inputs["x"])).detach()
        np.testing.assert_allclose(bound.argument.fetched, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one.run(inputs)["y"], wanted, rtol=1e-5, atol=1e-6)


def test_a_graph_follows_inputs_that_change_in_place():
    one = session()
    one.measure_as("end_to_end", cuda_graph=True)
    (feeds,) = synthetic(INPUTS, 1, sets=1)
    one.sample([feeds], 1)
    (bound,) = one._bound
    with one.sampling():
        bound.argument.host[0].zero_()
        bound.run(bound.argument)
    wanted = network()(torch.zeros(1, 3, 8, 8)).detach()
    np.testing.assert_allclose(bound.argument.fetched, wanted, rtol=1e-5)


def test_a_round_trip_waits_for_its_own_stream_and_a_compute_for_its_event():
    api = FakeCuda()
    one = session(api)
    feeds = synthetic(INPUTS, 1, sets=1)
    one.sample(feeds, 1)
    api.log.clear()
    one.sample(feeds, 1)
    assert api.log == ["synchronize stream 0"]
    one.unbind()
    one.measure_as("device", cuda_graph=False)
    one.sample(feeds, 1)
    api.log.clear()
    assert one.sample(feeds, 1)[0] == 1e6  # the next tick of the stand-in's clock
    assert api.log == ["event in stream 0", "event in stream 0", "wait for event"]


def test_streams_are_their_own_over_the_same_weights():
    api = FakeCuda()
    one = session(api)
    other = one.share()
    assert other.module is one.module
    feeds = synthetic(INPUTS, 1, sets=1)
    other.sample(feeds, 1)
    api.log.clear()
    other.sample(feeds, 1)
    assert api.log == ["synchronize stream 1"]
    with other.sampling():
        assert api.current[-1].name == "stream 1"


def test_the_parts_of_a_run_are_between_events():
    parts = session().phases(synthetic(INPUTS, 1, sets=2), 3)
    assert set(parts) == {"h2d_ms", "compute_ms", "d2h_ms", "enqueue_ms"}
    assert (parts["compute_ms"] == 1.0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.bfloat16, 5e-2)])
def test_lower_precisions_take_and_give_float32(dtype, tolerance):
    one = session(dtype=dtype)
    assert one.module[0].weight.dtype == dtype
    (feeds,) = synthetic(INPUTS, 2, sets=1)
    found = one.run(feeds)["y"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, session().run(feeds)["y"], atol=tolerance)


def test_channels_last_is_the_layout_of_weights_and_images_and_is_said():
    one = session(channels_last=True)
    assert one.module[0].weight.is_contiguous(memory_format=torch.channels_last)
    image = one._place._cast(torch.zeros(2, 3, 8, 8))
    assert image.is_contiguous(memory_format=torch.channels_last)
    texts = [note.text for note in one.notes]
    assert "images lie with their channels last" in texts
    assert any("TF32 is off" in text for text in texts)
    assert any("3 MiB of the device at most, of 8 MiB" in text for text in texts)
    assert torch.backends.fp32_precision == "ieee"


def test_what_has_no_cuda_graph_is_refused():
    with pytest.raises(UsageError, match="leave --cuda-graph out"):
        session(run_pass=FORWARD_BACKWARD).measure_as(None, cuda_graph=True)
    one = session(compiled=True, compile_mode="reduce-overhead")
    with pytest.raises(UsageError, match="captures CUDA graphs itself"):
        one.measure_as("device", cuda_graph=True)
    with pytest.raises(UsageError, match="use --backend torch-cuda"):
        TorchSession(network(), INPUTS, OUTPUTS).measure_as("device", cuda_graph=False)
    api = FakeCuda()
    api.refuses = True
    one = session(api)
    one.measure_as("device", cuda_graph=True)
    with pytest.raises(BuildFailed, match=r"can't capture the network.*leave --cuda-graph out"):
        one.sample(synthetic(INPUTS, 1, sets=1), 1)


def test_a_training_step_runs_on_the_device_too():
    one = session(run_pass=FORWARD_BACKWARD)
    assert (one.sample(synthetic(INPUTS, 2, sets=1), 2) > 0).all()
    assert one.phases(synthetic(INPUTS, 2, sets=1), 2) is None


def test_layers_are_timed_by_events_in_the_stream():
    api = FakeCuda()
    one = session(api)
    feeds = synthetic(INPUTS, 1, sets=1)
    one.sample(feeds, 1)
    with Hooks(one.module, one.mark, one.ns_between) as hooks:
        api.log.clear()
        one.sample(feeds, 1)
        spent = hooks.take()
    assert spent == {"0": 10**6, "1": 10**6, "2": 10**6, "3": 10**6}
    assert api.log.count("event in stream 0") == 8


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_what_an_engine_computes_in_is_read_from_the_module(precision, shared_store):
    backend = get("torch-cuda")
    model = obtain_network(ModelSpec("lenet5"), shared_store).model
    engine, _ = build_engine(
        replace(model, precision=precision), backend, BuildOptions(channels_last=True), shared_store
    )
    assert engine.precision_actual == precision
    assert engine.manifest["options"]["channels_last"] is True
    assert set(backend.offered()) == {"fp32", "fp16", "bf16"}


@pytest.fixture
def lenet5(shared_store):
    return obtain_network(ModelSpec("lenet5"), shared_store).model


@pytest.fixture
def on_the_stand_in(monkeypatch):
    """Let the device be there, and be played by the stand-in; `dtype` is what it then computes in."""

    def show(dtype=None):
        place = lambda self, engine: Cuda(  # noqa: E731
            dtype or getattr(torch, DTYPES[engine.manifest["precision"]]),
            api=FakeCuda(),
            device="cpu",
            channels_last=bool(engine.manifest["options"].get("channels_last")),
        )
        monkeypatch.setattr(_OnGpu, "place", place)
        monkeypatch.setattr(_OnGpu, "device", lambda self: "a device")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    return show


@pytest.mark.parametrize("backend", ["torch-cuda", "torch-compile-cuda"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_what_the_device_computes_is_compared_with_fp32_when_it_is_built(
    backend, precision, lenet5, on_the_stand_in, tmp_path
):
    on_the_stand_in()
    model, options = replace(lenet5, precision=precision), BuildOptions(channels_last=True)
    facts = get(backend).build(model, options, tmp_path / "engine.safetensors")
    assert facts["compared_with_fp32"] == "on the device"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_without_a_device_the_processor_compares(precision, lenet5, tmp_path):
    model = replace(lenet5, precision=precision)
    facts = get("torch-cuda").build(model, BuildOptions(), tmp_path / "engine.safetensors")
    assert facts["compared_with_fp32"] == "on the processor"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda output: -output, "on the device: the error of the outputs at batch 1 is larger"),
        (lambda output: output * float("nan"), "on the device: outputs are not finite at batch 1"),
        (lambda output: output[:, :5], r"on the device: outputs are of shape \(1, 5\) at batch 1"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_device_that_computes_something_else_is_refused(
    wrong, says, precision, lenet5, on_the_stand_in, monkeypatch, tmp_path
):
    on_the_stand_in()
    real = Cuda._compute
    monkeypatch.setattr(Cuda, "_compute", lambda *given: wrong(real(*given)))
    with pytest.raises(DriftFailed, match=f"lenet5 {precision} by torch-cuda {says}") as error:
        get("torch-cuda").build(
            replace(lenet5, precision=precision), BuildOptions(), tmp_path / "engine.safetensors"
        )
    assert "\n" not in str(error.value)


def test_weights_that_overflow_in_fp16_are_refused_when_it_is_built(lenet5, monkeypatch, tmp_path):
    from deploykit import zoo

    def huge(spec):
        module = create(spec)
        for parameter in module.parameters():
            parameter.data *= 1e7
        return module

    create = zoo.create
    monkeypatch.setattr(zoo, "create", huge)
    with pytest.raises(DriftFailed, match="on the processor: outputs are not finite"):
        get("torch-cuda").build(
            replace(lenet5, precision="fp16"), BuildOptions(), tmp_path / "engine.safetensors"
        )


def test_a_device_that_cannot_run_the_network_fails_the_build(
    lenet5, on_the_stand_in, monkeypatch, tmp_path
):
    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")

    on_the_stand_in()
    monkeypatch.setattr(Cuda, "_compute", fail)
    with pytest.raises(BuildFailed, match=r"can't run it: CUDA out of memory\. Tried") as error:
        get("torch-cuda").build(lenet5, BuildOptions(), tmp_path / "engine.safetensors")
    assert "\n" not in str(error.value)


def test_a_device_that_pytorch_cannot_use_is_one_line(cuda):
    cuda.show(cuda_double.Settings(devices=[]))
    assert get("torch-cuda").device().missing == "device"
    cuda.show(cuda_double.Settings())
    reason = get("torch-cuda").device()
    if "+cpu" in torch.__version__:
        assert "is built without CUDA" in reason.text
        assert reason.remedy == "pip uninstall -y torch && pip install torch"
        with pytest.raises(Exception, match="built without CUDA"):
            get("torch-cuda").place(Engine(None, "", {"precision": "fp32"}))
    assert get("torch").device() != cuda_double.DEVICE_NAME


class Apart:
    """PyTorch's settings of a release where what is set for all does not reach the parts."""

    def __init__(self, takes: bool = True) -> None:
        part = type(
            "Part",
            (),
            {"fp32_precision": "tf32" if takes else property(lambda _: "tf32", lambda *_: None)},
        )
        self.fp32_precision = "none"
        for library, names in (
            ("cudnn", ("conv", "rnn")),
            ("cuda", ("matmul",)),
            ("mkldnn", ("conv", "rnn", "matmul")),
        ):
            setattr(self, library, type("Library", (), {name: part() for name in names}))


def test_float32_is_set_where_all_does_not_reach_the_parts():
    """PyTorch 2.11 on an H200: convolutions of batch 128 were rounded to TF32 in rows that said it was off."""
    settings = Apart()
    compute_float32_exactly(settings)
    assert float32_is_exact(settings)
    assert settings.cudnn.conv.fp32_precision == settings.cudnn.rnn.fp32_precision == "ieee"
    assert settings.cuda.matmul.fp32_precision == settings.mkldnn.conv.fp32_precision == "ieee"


def test_a_release_that_does_not_take_it_is_not_called_exact(monkeypatch):
    deaf = Apart(takes=False)
    compute_float32_exactly(deaf)
    one = session()
    assert "TF32 is off: float32 products are those of float32" in [n.text for n in one.notes]
    told = float32_is_exact
    monkeypatch.setattr(torch_session, "float32_is_exact", lambda: told(deaf))
    assert any("may be rounded" in n.text for n in one.notes)
    assert not any("TF32 is off:" in n.text for n in one.notes)


def test_workspaces_come_back_with_the_last_session(monkeypatch):
    """On an H200 each session kept 34 MiB of the device, as cuBLAS has a workspace for each stream."""
    api, cleared = FakeCuda(), []
    monkeypatch.setattr(Cuda, "_open", WeakSet())
    monkeypatch.setattr(
        torch._C, "_cuda_clearCublasWorkspaces", lambda: cleared.append(1), raising=False
    )
    one, other = session(api), session(api)
    one.close()
    assert not cleared  # a graph that the other captured would write where nothing is its own
    other.close()
    assert cleared == [1]
    assert api.log[-1] == "cache emptied"
