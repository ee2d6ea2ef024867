"""PyTorch as a backend: the network itself, compared with the graph it was exported to."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deploykit import env
from deploykit.backends import get
from deploykit.backends.building import build_engine, make_engine
from deploykit.backends.torch_modules import compute_types
from deploykit.backends.torch_session import TorchSession
from deploykit.bench.feeds import synthetic
from deploykit.errors import BuildFailed, DriftFailed, MissingDependency, UnknownName, UsageError
from deploykit.graph.precision import convert
from deploykit.lazy import install_line
from deploykit.spec import BuildOptions, Engine, ModelSpec, TensorSpec
from deploykit.workflow.network import obtain_network

EAGER = get("torch")
LENET = ModelSpec("lenet5", weights="trained")


@pytest.fixture(autouse=True)
def _float32_as_it_was():
    """What sessions make of float32 holds for the process."""
    parts = [torch.backends, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]
    yield
    for part, value in zip(parts, ("none", "tf32", "tf32"), strict=True):
        part.fp32_precision = value


@pytest.fixture(scope="module")
def network(shared_store):
    return obtain_network(LENET, shared_store)


@pytest.fixture(scope="module")
def engine(network, shared_store):
    return build_engine(network.model, EAGER, BuildOptions(), shared_store)[0]


@pytest.fixture
def expected(network):
    """What the graph computes for some inputs, by ONNX Runtime."""
    from deploykit.backends.onnxruntime import OnnxRuntimeSession

    session = OnnxRuntimeSession(network.model.path, 1)
    return lambda feeds: session.run(feeds)["logits"]


def test_the_module_made_again_computes_what_the_graph_does(engine, expected):
    session = EAGER.load(engine, threads=1)
    (feeds,) = synthetic(session.inputs, 3, sets=1)
    found = session.run(feeds)
    assert list(found) == ["logits"]
    np.testing.assert_allclose(found["logits"], expected(feeds), atol=1e-5)


def test_an_engine_brings_its_weights_and_needs_no_seed_to_draw_them(shared_store, monkeypatch):
    model = obtain_network(ModelSpec("lenet5", seed=5), shared_store).model
    made, _ = build_engine(model, EAGER, BuildOptions(), shared_store)
    session = EAGER.load(made, threads=1)
    (feeds,) = synthetic(session.inputs, 2, sets=1)
    once = session.run(feeds)["logits"]

    def refuse(*args, **kwargs):
        raise AssertionError("drew random weights to load an engine")

    monkeypatch.setattr("deploykit.zoo.creation.initialise", refuse)
    np.testing.assert_array_equal(EAGER.load(made, threads=1).run(feeds)["logits"], once)


def test_a_module_that_is_not_what_the_graph_came_from_is_refused(network, tmp_path):
    other = dataclasses.replace(network.model, spec=ModelSpec("lenet5", seed=9))
    with pytest.raises(DriftFailed, match="differs from torch"):
        EAGER.build(other, BuildOptions(), tmp_path / "engine.safetensors")
    assert not (tmp_path / "engine.safetensors").exists()


def test_a_file_of_the_users_own_is_refused_with_what_to_give_instead(tiny, tmp_path):
    with pytest.raises(UsageError, match="catalogue or module:factory") as error:
        EAGER.build(tiny, BuildOptions(), tmp_path / "engine.safetensors")
    assert "\n" not in str(error.value)


def test_a_factory_of_the_users_own_runs(tmp_path, monkeypatch, shared_store):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 5))\n"
        "    net.input_shape = (3, 8, 8)\n"
        "    return net\n"
    )
    monkeypatch.chdir(tmp_path)
    model = obtain_network(ModelSpec("mine:make", seed=2), shared_store).model
    made, _ = build_engine(model, EAGER, BuildOptions(), shared_store)
    assert made.precision_actual == "fp32"
    session = EAGER.load(made, threads=1)
    assert session.run(synthetic(session.inputs, 2, sets=1)[0])["logits"].shape == (2, 5)


def test_the_precision_is_that_of_the_operands_as_dispatched(engine):
    assert engine.precision_actual == "fp32"
    assert {kind: len(found) for kind, found in engine.manifest["compute_types"].items()} == {
        "fp32": 5
    }


@pytest.mark.parametrize(
    ("features", "actual", "emulated"),
    [(["avx2"], "fp32", True), (["avx512_bf16"], "bf16", False)],
)
def test_bfloat16_is_emulated_where_the_processor_has_none(
    in_bf16, shared_store, monkeypatch, features, actual, emulated
):
    monkeypatch.setattr(env, "machine", lambda: {"features": features, "architecture": "x"})
    backend = get("torch")
    facts = make_engine(
        in_bf16, backend, BuildOptions(), shared_store.root, in_bf16.path.with_name("b"), {}
    )
    assert (facts["precision_actual"], facts["emulated"]) == (actual, emulated)
    assert facts["rounded"] is emulated
    assert facts["compared_with_fp32"] == "on the processor"
    # An engine is of the instruction sets by which that was told: a store may serve several machines.
    assert backend.host() == f"x {features[0]}"


def test_bfloat16_computes_nearly_what_fp32_does_and_puts_out_float32(
    in_bf16, engine, expected, tmp_path
):
    backend = get("torch")
    facts = make_engine(in_bf16, backend, BuildOptions(), tmp_path, tmp_path / "b", {})
    manifest = {"precision": "bf16", **facts}
    feeds = synthetic(in_bf16.inputs, 2)
    with backend.open(Engine(tmp_path / "b", "key", manifest), 1, "forward") as session:
        (found,) = session.run(feeds[0]).values()
        taken = session.sample(feeds, 2)
    with get("torch").open(engine, 1, "forward") as session:
        (exact,) = session.run(feeds[0]).values()
    assert found.dtype == np.float32
    error = np.abs(found - exact).max() / np.abs(exact).max()
    assert 1e-5 < error < 0.05
    assert (taken > 0).all()


def test_an_operator_without_a_kernel_of_the_type_is_named(in_bf16, tmp_path, monkeypatch):
    linear = nn.functional.linear

    def not_in_bf16(given, *rest):
        if given.dtype == torch.bfloat16:
            raise NotImplementedError("\"fits_nothing\" not implemented for 'BFloat16'")
        return linear(given, *rest)

    monkeypatch.setattr("torch.nn.functional.linear", not_in_bf16)
    with pytest.raises(BuildFailed, match=r"fits_nothing.*; use another precision or backend"):
        make_engine(in_bf16, get("torch"), BuildOptions(), tmp_path, tmp_path / "b", {})


@pytest.fixture(scope="module")
def in_bf16(network, tmp_path_factory):
    """The network's graph in bfloat16, for the processor."""
    path = tmp_path_factory.mktemp("bf16") / "bf16.onnx"
    return convert(network.model, "bf16", "cpu", path)


def test_a_module_that_computes_in_another_type_is_found_out():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 3), nn.Linear(2, 2).to(torch.bfloat16)

        def forward(self, x):
            return self.second(self.first(x).mean((2, 3)).to(torch.bfloat16)) @ torch.eye(2).to(
                torch.bfloat16
            )

    found = compute_types(Mixed().eval(), (torch.zeros(1, 1, 5, 5),))
    assert found == {"fp32": ["first"], "bf16": ["second", "Mixed"]}


class Spy(TorchSession):
    """A session on a small module that keeps what it was called with."""

    def __init__(self, **options):
        module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
        shapes = TensorSpec("x", ("batch", 1, 4, 4), "float32"), TensorSpec("y", ("batch", 3), "f")
        super().__init__(module.eval(), shapes[:1], shapes[1:], threads=1, **options)
        self.calls, self.training, self.gradients = [], [], []
        self.module.register_forward_pre_hook(self._note)

    def _note(self, module, inputs):
        self.calls.append((inputs[0].data_ptr(), torch.is_inference_mode_enabled()))
        self.training.append(module.training)
        self.gradients.append([p.grad is not None for p in module.parameters()])


def feeds_of(session, sets=3, batch=2):
    return synthetic(session.inputs, batch, sets=sets)


def test_inputs_are_prepared_once_and_take_turns_without_autograd():
    session = Spy()
    feeds = feeds_of(session)
    samples = session.sample(feeds, 7)
    session.calls.clear()
    for _ in range(6):  # turns go on from call to call
        session.sample(feeds, 1)
    addresses = [address for address, _ in session.calls]
    assert addresses[:3] == addresses[3:]
    assert len(set(addresses)) == 3
    assert all(inference for _, inference in session.calls)
    assert samples.dtype == np.int64
    assert samples.shape == (7,)
    assert (samples > 0).all()
    assert not any(session.training)


def test_forward_and_backward_trains_the_module_from_fresh_gradients_each_time():
    session = Spy(run_pass="forward_backward")
    session.sample(feeds_of(session), 4)
    assert session.training == [True] * 5  # one of them to bind
    assert not any(map(any, session.gradients[2:]))
    assert all(p.grad is not None for p in session.module.parameters())
    assert not session.module.training


def test_forward_and_backward_leaves_outputs_as_they_were():
    session = Spy(run_pass="forward_backward")
    feeds = feeds_of(session)
    before = session.run(feeds[0])["y"]
    session.sample(feeds, 5)
    np.testing.assert_array_equal(session.run(feeds[0])["y"], before)


def test_the_gradients_are_those_of_the_loss_that_is_asked_for():
    session = Spy(run_pass="forward_backward", loss="l2")
    (feeds, *_) = feeds_of(session)
    session.sample([feeds], 1)
    with torch.no_grad():
        outputs = session.module.train()(torch.from_numpy(feeds["x"]))
    # of half the sum of squares, the gradient of a bias of the last layer is the sum of its outputs
    *_, bias = session.module.parameters()
    torch.testing.assert_close(bias.grad, outputs.sum(0))


def test_a_session_says_what_a_backward_pass_is():
    assert Spy().notes == ()
    (note,) = Spy(run_pass="forward_backward").notes
    assert note.kind == "runtime"
    assert "train mode, cross entropy with seeded labels" in note.text
    assert "outside the timed region" in note.text
    (note,) = Spy(run_pass="forward_backward", loss="l2").notes
    assert "train mode, half the sum of the squared outputs" in note.text


def test_a_batch_that_cannot_be_trained_on_is_one_line():
    session = TorchSession(
        nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval(),
        (TensorSpec("x", ("batch", 1, 2, 2), "float32"),),
        (TensorSpec("y", ("batch", 2), "float32"),),
        threads=1,
        run_pass="forward_backward",
    )
    with pytest.raises(BuildFailed, match=r"at batch 1: .*try another batch") as error:
        session.sample(feeds_of(session, batch=1), 1)
    assert "\n" not in str(error.value)


def test_a_pass_that_a_backend_lacks_is_refused_with_those_that_have_it():
    EAGER.check_pass("forward_backward")
    with pytest.raises(
        UsageError,
        match=r"onnxruntime has no forward_backward pass.*torch or torch-compile or torch-cuda",
    ):
        get("onnxruntime").check_pass("forward_backward")
    with pytest.raises(UnknownName, match="did you mean forward"):
        EAGER.check_pass("foward")


def test_threads_are_those_asked_for(engine):
    before = torch.get_num_threads()
    try:
        assert EAGER.load(engine, threads=1).threads == 1
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_fp32_means_fp32_whatever_was_set_before(engine):
    torch.backends.fp32_precision = "tf32"
    EAGER.load(engine, threads=1)
    assert torch.backends.fp32_precision == "ieee"


def test_the_module_is_there_for_hooks(engine):
    session = EAGER.load(engine, threads=1)
    seen = []
    session.module.features[0].register_forward_hook(lambda *_: seen.append(1))
    feeds = synthetic(session.inputs, 1)
    session.sample(feeds, 2)
    assert len(seen) == 3


@pytest.mark.parametrize("damage", [b"damaged", b""])
def test_a_damaged_engine_is_one_line(tmp_path, damage):
    path = tmp_path / "engine.safetensors"
    path.write_bytes(damage)
    with pytest.raises(BuildFailed, match="build it again"):
        EAGER.load(Engine(path, "", {"inputs": [], "outputs": []}))


def test_without_pytorch_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(env, "package_version", lambda name: None)
    assert install_line("export") in str(EAGER.available())
    assert install_line("export") in str(get("torch-compile").available())


def test_without_a_compiler_only_compiling_is_off_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr(env, "gpu_names", list)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert EAGER.available() is None
    assert "apt-get install g++" in str(get("torch-compile").available())


def test_it_runs_here_and_says_on_what():
    assert EAGER.available() is None
    if not torch.cuda.is_available():
        assert EAGER.device() == env.device_name()
    assert EAGER.version() == env.package_version("torch")


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
def test_what_is_compiled_computes_the_same_and_tells_how_long_compiling_took(shared_store):
    backend = get("torch-compile")
    model = obtain_network(ModelSpec("mlp"), shared_store).model
    made, _ = build_engine(model, backend, BuildOptions(), shared_store)
    session = backend.load(made, threads=1)
    assert session.compile_s == 0.0
    feeds = synthetic(session.inputs, 2, sets=2)
    session.sample(feeds, 1)
    taken_s = session.compile_s
    assert taken_s > 0
    session.sample(feeds, 3)
    assert session.compile_s == taken_s
    eager = EAGER.load(made, threads=1).run(feeds[0])
    np.testing.assert_allclose(session.run(feeds[0])["logits"], eager["logits"], atol=1e-5)
    assert isinstance(session.module, nn.Module)
    session.close()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA device")
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("boundary", ["end_to_end", "device"])
def test_on_a_device_outputs_agree_and_time_passes(engine, expected, boundary, graph):
    with get("torch-cuda").load(engine) as session:
        session.measure_as(boundary, cuda_graph=graph)
        feeds = synthetic(session.inputs, 2)
        assert (session.sample(feeds, 3) > 0).all()
        np.testing.assert_allclose(session.run(feeds[0])["logits"], expected(feeds[0]), atol=1e-3)
        assert (session.phases(feeds, 2)["compute_ms"] > 0).all()


def test_missing_pytorch_while_building_is_exit_code_3(monkeypatch, tiny, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match=r"\[export\]") as error:
        EAGER.build(tiny, BuildOptions(), tmp_path / "engine.safetensors")
    assert error.value.exit_code == 3


def test_an_engine_whose_network_changed_is_one_line(engine, tmp_path, monkeypatch):
    path = shutil.copy(engine.path, tmp_path)
    monkeypatch.setattr("deploykit.zoo.create", lambda spec, device="cpu": nn.Linear(1, 1))
    with pytest.raises(BuildFailed, match="as it is now"):
        EAGER.load(dataclasses.replace(engine, path=path))


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (torch.nn.LSTM(3, 5), (torch.zeros(4, 1, 3),)),
        (torch.nn.MultiheadAttention(8, 2, batch_first=True), (torch.zeros(1, 4, 8),) * 3),
        (torch.nn.TransformerEncoderLayer(8, 2, batch_first=True), (torch.zeros(1, 4, 8),)),
        (torch.nn.Bilinear(3, 3, 2), (torch.zeros(1, 3),) * 2),
    ],
)
def test_layers_that_have_one_kernel_are_seen(layer, inputs):
    assert set(compute_types(layer.eval(), inputs)) == {"fp32"}


@pytest.mark.parametrize(
    ("built", "told", "mode"),
    [
        (None, (), None),
        ("max-autotune", (), "max-autotune"),
        ("max-autotune", (("torch.compile_mode", "reduce-overhead"),), "reduce-overhead"),
    ],
)
def test_the_mode_that_a_session_is_told_is_that_of_torch_compile_before_the_engines(
    monkeypatch, built, told, mode
):
    asked = []
    monkeypatch.setattr("deploykit.backends.torch_modules.restore_module", lambda path: nn.ReLU())
    monkeypatch.setattr(torch, "compile", lambda module, mode=None: asked.append(mode) or module)
    facts = {"precision": "fp32", "inputs": [], "outputs": [], "options": {"compile_mode": built}}
    engine = Engine(Path("engine"), "key", facts)
    get("torch-compile").open(engine, 1, "forward", told)
    assert asked == [mode]
