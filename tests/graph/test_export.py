from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from deploykit.errors import BuildFailed, DriftFailed, InvalidModel, MissingDependency, UsageError
from deploykit.graph.count import count_graph
from deploykit.graph.export import export_model, export_module, seeded_images, torch_outputs
from deploykit.graph.read_write import LIMIT_VARIABLE, open_model, read_model, weights_path
from deploykit.lazy import install_line
from deploykit.spec import ModelSpec, OnnxModel

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
nn = torch.nn
functional = torch.nn.functional

SHAPE = (3, 33, 33)


class Fire(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(16, 8, 1)
        self.expand = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.act = nn.ReLU()

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.act(self.norm(self.expand(self.act(self.squeeze(x))))) + x


class Net(nn.Module):
    """What the catalogue's networks are made of: odd pooling, LRN, channel shuffle, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2),
            nn.ReLU6(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Fire(),
            nn.LocalResponseNorm(5, alpha=0.1, beta=0.75, k=2.0),
            Fire(),
            nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout()
        self.head = nn.Linear(32, 10)

    def forward(self, x):  # type: ignore[no-untyped-def]
        x = self.features(x)
        x = torch.cat([x, x], 1)
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        x = self.pool(x.view(batch, channels, height, width))
        return self.head(self.dropout(torch.flatten(x, 1)))


def seeded() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    path = tmp_path_factory.mktemp("export") / "net.onnx"
    return export_module(seeded(), SHAPE, path, ModelSpec("net"))


@pytest.fixture(scope="module")
def graph(exported: OnnxModel) -> onnx.GraphProto:
    return read_model(exported.path).graph


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_file_computes_what_the_module_computes(exported: OnnxModel, batch: int) -> None:
    images = np.random.default_rng(1).standard_normal((batch, *SHAPE)).astype(np.float32)
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    found = session.run(["logits"], {"input": images})[0]
    with torch.no_grad():
        wanted = seeded()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_ports_are_named_and_the_batch_is_dynamic(exported: OnnxModel) -> None:
    assert [(v.name, v.shape, v.dtype) for v in exported.inputs] == [
        ("input", ("batch", *SHAPE), "float32")
    ]
    assert [(v.name, v.shape) for v in exported.outputs] == [("logits", ("batch", 10))]
    assert exported.precision == "fp32"


def test_the_recipe_tells_versions_and_measured_errors(exported: OnnxModel) -> None:
    assert exported.recipe["opset"] == 20
    assert exported.recipe["exporter"]["torch"] == torch.__version__
    verified = exported.recipe["verified"]
    assert verified["batches"] == [1, 3]
    assert 0 < verified["max_rel_error"] < verified["tolerance"]


def test_what_is_returned_is_what_the_file_says(exported: OnnxModel) -> None:
    read = open_model(exported.path)
    assert read.sha256 == exported.sha256
    assert read.spec == exported.spec
    assert read.inputs == exported.inputs
    assert {k: v for k, v in exported.recipe.items() if k != "verified"} == read.recipe


def test_nodes_are_named_after_their_modules(graph: onnx.GraphProto) -> None:
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert {"features.0/Conv", "features.3.squeeze/Conv", "features.3.norm/BatchNormalization"} <= {
        *names
    }
    assert {"features.3.act/Relu", "features.3.act/Relu_1"} <= {*names}, "one module used twice"


def test_the_graph_is_clean(graph: onnx.GraphProto) -> None:
    operators = [node.op_type for node in graph.node]
    assert operators.count("BatchNormalization") == 2, "not folded into the convolutions"
    assert operators.count("LRN") == 1
    assert operators.count("GlobalAveragePool") == 1
    leftovers = {"Identity", "Dropout", "Constant", "Shape", "ReduceMean", "Pad", "Pow", "Cast"}
    assert not leftovers & set(operators)


def test_weights_keep_their_names_and_none_is_added(graph: onnx.GraphProto) -> None:
    stored = {tensor.name for tensor in graph.initializer}
    wanted = {k for k in seeded().state_dict() if not k.endswith("num_batches_tracked")}
    assert wanted <= stored
    unbiased = next(node for node in graph.node if node.name == "features.3.expand/Conv")
    assert len(unbiased.input) == 2, "no bias of zeros that the module does not have"


def test_counts_equal_the_modules(exported: OnnxModel) -> None:
    counts = count_graph(exported)
    assert counts.parameters == sum(p.numel() for p in seeded().parameters())
    sides = 16 * 16 * 16 * 27 + 2 * 8 * 8 * (16 * 8 + 8 * 16 * 9) + 320
    assert counts.macs == sides
    assert counts.uncounted == {}


def test_a_weight_that_every_step_reads_is_stored_once(tmp_path: Path) -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.same, self.last = nn.RNN(8, 6), nn.Linear(6, 6), nn.Linear(6, 6)
            self.last.load_state_dict(self.same.state_dict())  # equal, but of its own

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.same(self.rnn(x.transpose(0, 1))[0]).mean(0))

    module = Steps()
    made = export_module(module, (4, 8), tmp_path / "steps.onnx", ModelSpec("steps"))
    assert count_graph(made).parameters == sum(p.numel() for p in module.parameters())


def test_a_bias_of_zeros_that_the_module_has_stays(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    nn.init.zeros_(module[0].bias)
    model = export_module(module, (3, 5, 5), tmp_path / "net.onnx", ModelSpec("net"))
    assert count_graph(model).parameters == 4 * 27 + 4


def test_nothing_of_this_machine_is_in_the_file(exported: OnnxModel) -> None:
    data = exported.path.read_bytes()
    for trace in (str(Path.cwd()), str(exported.path.parent), "test_export", "stack_trace", ".py"):
        assert trace.encode() not in data
    model = onnx.load(exported.path)
    assert {entry.key for node in model.graph.node for entry in node.metadata_props} == {
        "pkg.torch.onnx.name_scopes"
    }


def test_another_process_makes_the_same_bytes(exported: OnnxModel, tmp_path: Path) -> None:
    folder = tmp_path / "another"
    folder.mkdir()
    script = (
        "import test_export as t\n"
        "from deploykit.spec import ModelSpec\n"
        "t.export_module(t.seeded(), t.SHAPE, 'net.onnx', ModelSpec('net'))\n"
    )
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(Path(__file__).parent), str(root)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert hashlib.sha256((folder / "net.onnx").read_bytes()).hexdigest() == exported.sha256
    assert done.stdout == ""
    assert done.stderr == "", "the exporter's own chatter is not for the user"


def test_the_module_stays_in_training_where_it_was(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).train()
    module[0].eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    export_module(module, (3, 5, 5), tmp_path / "net.onnx", ModelSpec("net"))
    assert [part.training for part in module] == [False, True, True]
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


class Breaks(nn.Module):
    """A network with something wrong, by name."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.linear = nn.Linear(12, 4)

    def forward(self, x):  # type: ignore[no-untyped-def]
        y = self.linear(x.flatten(1))
        if self.how == "tuple":
            return y, y
        if self.how == "mixes the batch":
            return y.sum(0)
        if self.how == "complex":
            return torch.fft.fft(y)
        if self.how == "halves":
            return torch.cat(y.chunk(2))
        if self.how == "images":
            return torch.stack([self.linear(x[n].flatten()) for n in range(len(x))])
        if self.how == "branches":
            return y if y.sum() > 0 else -y
        if self.how == "raises":
            raise RuntimeError("no such weather\nsecond line")
        return y


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("tuple", "return the logits only"),
        ("mixes the batch", "keep the batch as the first dimension"),
        ("branches", "does not branch on values"),
        ("complex", "as torch.view_as_real makes them"),
        ("halves", "exported for a batch of 2 alone"),
        ("images", "exported for a batch of 2 alone"),
        ("raises", "no such weather"),
    ],
)
def test_networks_that_cannot_be_exported_say_why(
    how: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BuildFailed, match=re.escape(said)) as caught:
        export_module(Breaks(how), (3, 2, 2), tmp_path / "net.onnx", ModelSpec("net"))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_module_of_several_inputs_is_told_to_be_wrapped(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"forward takes input1, input2: wrap it in a module"):
        export_module(torch.nn.Bilinear(2, 2, 3), (3, 2, 2), tmp_path / "a.onnx", ModelSpec("net"))


def test_weights_beyond_a_message_stand_in_a_second_file(
    exported: OnnxModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "10000")
    path = tmp_path / "net.onnx"
    made = export_module(seeded(), SHAPE, path, ModelSpec("net"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx", weights_path(path).name]
    assert onnx.load(path, load_external_data=False).ByteSize() < exported.path.stat().st_size
    assert made.recipe["verified"] == exported.recipe["verified"]
    monkeypatch.delenv(LIMIT_VARIABLE)
    one, other = read_model(path).graph, read_model(exported.path).graph
    assert list(one.node) == list(other.node)
    weights = [{t.name: numpy_helper.to_array(t) for t in g.initializer} for g in (one, other)]
    np.testing.assert_equal(*weights)


def test_a_network_that_fails_with_its_weights_apart_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "10")
    module = Breaks("not at all")
    module.linear.weight.data.fill_(0)
    module.linear.bias.data.fill_(0)
    with pytest.raises(DriftFailed):
        export_module(module, (3, 2, 2), tmp_path / "net.onnx", ModelSpec("net"))
    assert list(tmp_path.iterdir()) == []


def test_parts_of_pytorch_that_were_told_apart_of_tf32_export(tmp_path: Path) -> None:
    parts = [torch.backends, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]
    try:
        for part, value in zip(parts, ("ieee", "ieee", "tf32"), strict=True):
            part.fp32_precision = value
        with pytest.raises(RuntimeError):
            _ = torch.backends.cudnn.allow_tf32
        before = [part.fp32_precision for part in parts]
        export_module(Breaks("not at all"), (3, 2, 2), tmp_path / "net.onnx", ModelSpec("net"))
        assert [part.fp32_precision for part in parts] == before
    finally:
        for part, value in zip(parts, ("none", "tf32", "tf32"), strict=True):
            part.fp32_precision = value


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    module = Breaks("not at all")
    module.linear.weight.data[0, 0] = float("nan")
    with pytest.raises(InvalidModel, match="not a number"):
        export_module(module, (3, 2, 2), tmp_path / "net.onnx", ModelSpec("net"))
    assert list(tmp_path.iterdir()) == []


class Drifts(nn.Module):
    """Gives other numbers while it is traced than while it is run."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by
        self.linear = nn.Linear(12, 4)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.linear(x.flatten(1)) * (self.by if torch.compiler.is_exporting() else 1.0)


class Draws(torch.nn.Module):
    """Drops values in eval mode too, as functional dropout does where nobody says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(48, 5)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return torch.nn.functional.dropout(self.linear(x.flatten(1)), 0.5)


def test_a_network_that_draws_its_outputs_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(DriftFailed, match=r"other outputs each time .* training=self.training"):
        export_module(Draws(), (3, 4, 4), tmp_path / "net.onnx", ModelSpec("tests:draws"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("by", "refused"), [(1.0 + 1e-3, True), (1.0 + 1e-5, False)])
def test_a_graph_that_computes_something_else_is_refused(
    by: float, refused: bool, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"what was here before")
    if refused:
        with pytest.raises(DriftFailed, match=r"differs from torch by 0\.001"):
            export_module(Drifts(by), (3, 2, 2), path, ModelSpec("net"))
        assert path.read_bytes() == b"what was here before"
    else:
        export_module(Drifts(by), (3, 2, 2), path, ModelSpec("net"))
        assert open_model(path).precision == "fp32"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="create it first"):
        export_model(ModelSpec("no network of this name"), tmp_path / "none" / "net.onnx")


@pytest.mark.parametrize(
    ("package", "extra"), [("torch", "export"), ("onnxscript", "export"), ("onnxruntime", "cpu")]
)
def test_a_missing_package_is_named_with_what_installs_it(
    package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=re.escape(install_line(extra))):
        export_model(ModelSpec("lenet5"), tmp_path / "net.onnx")


@pytest.mark.parametrize("size", [3, 4])
def test_local_response_norm_is_the_same_for_odd_and_even_sizes(size: int, tmp_path: Path) -> None:
    module = nn.Sequential(nn.LocalResponseNorm(size, alpha=0.5, k=1.0), nn.Conv2d(6, 2, 3))
    export_module(module, (6, 5, 5), tmp_path / "net.onnx", ModelSpec("net"))
    operators = {node.op_type for node in read_model(tmp_path / "net.onnx").graph.node}
    # ONNX and torch lean to different sides where the window has no middle.
    assert ("LRN" in operators) == (size == 3)


@pytest.mark.parametrize("name", ["lenet5", "squeezenet1_1", "mobilenet"])
def test_networks_of_the_catalogue_export_with_their_own_counts(name: str, tmp_path: Path) -> None:
    from deploykit import zoo

    spec = ModelSpec(name, alpha=0.25 if name == "mobilenet" else 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = export_model(spec, tmp_path / "net.onnx")
    wanted = zoo.count_module(zoo.create(spec, device="meta"), zoo.input_shape(spec))
    found = count_graph(model)
    assert (found.parameters, found.macs) == (wanted.parameters, wanted.macs)
    assert found.uncounted == {}
    assert model.spec == spec


def test_a_fresh_scale_counts_where_a_module_holds_it(tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 4, 4), nn.GroupNorm(2, 8), nn.ReLU(), nn.GroupNorm(4, 8, affine=False)
    )
    made = export_module(module, (3, 8, 8), tmp_path / "norms.onnx", ModelSpec("norms"))
    assert count_graph(made).parameters == sum(p.numel() for p in module.parameters())


def test_numbers_in_the_code_of_a_network_are_no_parameters(tmp_path: Path) -> None:
    """Neither numpy's nor tensors that a module holds beside its parameters; the layer has 5 x 3 + 5."""
    numbers = np.asarray([0.3, 0.7, 1.3], np.float32)

    class Numbers(nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.kind, self.layer = kind, nn.Linear(3, 5)
            self.held = torch.tensor(numbers)
            self.register_buffer("mean", torch.tensor(numbers), persistent=False)

        def forward(self, x):  # type: ignore[no-untyped-def]
            x = x.mean((2, 3))
            of_code = {
                "numpy": lambda: torch.from_numpy(numbers),
                "literal": lambda: torch.tensor([0.3, 0.7, 1.3]),
                "held": lambda: self.held,
                "buffer": lambda: self.mean,
                "computed": lambda: self.held * 2 + self.mean,
            }
            return self.layer(x * of_code[self.kind]())

    for kind in ("numpy", "literal", "held", "buffer", "computed"):
        spec = ModelSpec("net", resolution_px=SHAPE[1])
        model = export_module(Numbers(kind), SHAPE, tmp_path / f"{kind}.onnx", spec)
        assert (kind, count_graph(model).parameters) == (kind, 20)


def test_an_export_whose_images_exceed_the_memory_is_refused_before_they_are_drawn():
    with pytest.raises(UsageError, match=r"checking an export on 4 images of 3x\d+x\d+ takes"):
        seeded_images((3, 10**9, 10**9))


@pytest.mark.parametrize("made", [SystemExit(3), GeneratorExit("no more")])
def test_a_module_that_leaves_python_is_one_line(made):
    class Leaving(torch.nn.Module):
        def forward(self, x):
            raise made

    said = rf"leaving fails on an input of shape .*: {type(made).__name__}: {made};"
    with pytest.raises(BuildFailed, match=said):
        torch_outputs(Leaving(), seeded_images((1, 2, 2)), "leaving")
