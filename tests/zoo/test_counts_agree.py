"""Random small modules are counted alike as modules, as exported graphs, and from the shapes that a run has."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deploykit import zoo
from deploykit.graph.count import count_graph
from deploykit.graph.export import export_module
from deploykit.graph.operators import operator_of
from deploykit.spec import ModelSpec

CHANNELS = 4


class Sequence(nn.Module):
    """A layer on sequences, on images taken as sequences of their pixels."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "lstm":
            self.layer: nn.Module = nn.LSTM(CHANNELS, CHANNELS, batch_first=True)
        elif kind == "attention":
            self.layer = nn.MultiheadAttention(CHANNELS, 2, batch_first=True)
        else:
            self.layer = nn.Linear(CHANNELS, CHANNELS, bias=kind == "linear")

    def forward(self, x: Tensor) -> Tensor:
        steps = x.flatten(2).transpose(1, 2)
        if self.kind == "lstm":
            steps = self.layer(steps)[0]
        elif self.kind == "attention":
            query = 2 * steps
            steps = self.layer(query, steps, steps, need_weights=False)[0]
        else:
            steps = self.layer(steps)
        return steps.transpose(1, 2).reshape(x.shape)


def layer(kind: str) -> nn.Module:
    made: dict[str, nn.Module] = {
        "conv": nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        "grouped": nn.Conv2d(CHANNELS, CHANNELS, 3, stride=2, padding=1, groups=2, bias=False),
        "transposed": nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, stride=2, groups=2),
        "batch": nn.BatchNorm2d(CHANNELS),
        "group": nn.GroupNorm(2, CHANNELS),
        "relu": nn.ReLU(),
        "spectral": nn.utils.parametrizations.spectral_norm(nn.Conv2d(CHANNELS, CHANNELS, 1)),
    }
    return made[kind] if kind in made else Sequence(kind)


KINDS = st.sampled_from(
    "conv transposed batch group relu spectral lstm attention linear unbiased".split()
)


def macs_of_a_run(path: Path) -> int:
    """Run a graph with all that it computes as outputs, and sum up the rules from real shapes."""
    model = onnx.load(path)
    made = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    x = np.random.default_rng(0).standard_normal((1, CHANNELS, 6, 6)).astype(np.float32)
    shapes = {
        name: np.shape(v) for name, v in zip(made, session.run(None, {"input": x}), strict=True)
    }
    shapes |= {"input": x.shape} | {t.name: tuple(t.dims) for t in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        operator = operator_of(node)
        assert operator is not None
        rule = operator.macs
        if rule is not None:
            total += (
                rule(node, [shapes.get(n) for n in node.input], shapes.get(node.output[0])) or 0
            )
    return total


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(kinds=st.lists(KINDS, min_size=1, max_size=4), seed=st.integers(0, 99))
def test_counts_of_module_graph_and_run_agree(kinds: list[str], seed: int) -> None:
    torch.manual_seed(seed)
    module = nn.Sequential(*map(layer, kinds), nn.Conv2d(CHANNELS, 3, 1)).eval()
    for part in module.modules():
        if isinstance(part, nn.GroupNorm | nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2)
            nn.init.normal_(part.bias)
    wanted = zoo.count_module(module, (CHANNELS, 6, 6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        export_module(module, (CHANNELS, 6, 6), path, ModelSpec("tests:random"))
        found = count_graph(path)
        assert found.macs == macs_of_a_run(path)
    assert (found.parameters, found.macs) == (wanted.parameters, wanted.macs)
    assert (found.uncounted, wanted.uncounted) == ({}, {})


# ---- what PyTorch's own exporters write, against what PyTorch itself counts


class Windowed(nn.Module):
    """Attention whose scores are offset by a table, by how far two pixels of a 6 x 6 image are from each other."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.table = nn.Parameter(torch.randn(11 * 11, 2))
        grid = torch.stack(torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij"))
        apart = grid.flatten(1)[:, :, None] - grid.flatten(1)[:, None] + 5
        self.register_buffer("index", apart[0] * 11 + apart[1])
        self.register_buffer("mask", torch.triu(torch.full((36, 36), -100.0), 1))

    def forward(self, x: Tensor) -> Tensor:
        steps = self.qkv(x.flatten(2).transpose(1, 2))
        query, key, value = steps.view(-1, 36, 3, 2, CHANNELS // 2).permute(2, 0, 3, 1, 4)
        offset = self.table[self.index.view(-1)].view(36, 36, 2).permute(2, 0, 1)
        scores = (query @ key.transpose(-2, -1) + offset.unsqueeze(0) + self.mask).softmax(-1)
        return (scores @ value).transpose(2, 3).reshape(x.shape)


class Tables(nn.Module):
    """Positions that are learned, positions that are not, a mean and deviation, and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.learned = nn.Parameter(torch.randn(1, CHANNELS, 6, 6))
        angles = torch.arange(36)[:, None] / torch.tensor([1.0, 10.0])
        sines = torch.cat([angles.sin(), angles.cos()], -1)
        self.register_buffer("sines", sines.t().reshape(1, CHANNELS, 6, 6).clone())
        self.scale = nn.Parameter(torch.randn(CHANNELS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.learned) * self.scale + self.sines


class Contraction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CHANNELS, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,cd->ndhw", x, self.weight)


def exported_layer(kind: str) -> nn.Module:
    made: dict[str, nn.Module] = {
        "statistics": nn.BatchNorm2d(CHANNELS, affine=False),
        "instances": nn.InstanceNorm2d(CHANNELS, affine=True),
        "ungained": nn.GroupNorm(2, CHANNELS, affine=False),
        "prelu": nn.PReLU(CHANNELS),
        "windowed": Windowed(),
        "tables": Tables(),
        "einsum": Contraction(),
    }
    return made[kind] if kind in made else layer(kind)


EXPORTED = st.sampled_from(
    "conv transposed batch group lstm attention linear unbiased statistics instances prelu windowed tables einsum "
    "ungained".split()
)


def exported(module: nn.Module, path: Path, dynamo: bool) -> None:
    x = torch.randn(1, CHANNELS, 6, 6)
    options: dict[str, object] = {"external_data": False, "verbose": False} if dynamo else {}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x,), str(path), dynamo=dynamo, **options)


def randomised(module: nn.Module) -> nn.Module:
    """With no two weights that are alike, which exporters store as one."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, 1.0, 0.1)
    for name, buffer in module.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            nn.init.uniform_(buffer, 0.5, 2)
    return module.eval()


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(
    kinds=st.lists(EXPORTED, min_size=1, max_size=3, unique=True),
    dynamo=st.booleans(),
    seed=st.integers(0, 99),
)
@example(kinds=["windowed", "statistics"], dynamo=True, seed=0)
@example(kinds=["windowed", "tables", "statistics"], dynamo=False, seed=0)
def test_files_of_both_exporters_count_as_pytorch_counts(
    kinds: list[str], dynamo: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    parts = [part for kind in kinds for part in (nn.Sigmoid(), exported_layer(kind))]
    # A transposed convolution doubles the image, which tables of one size follow no more.
    if "transposed" in kinds:
        parts = [p for part in parts for p in (part, nn.AdaptiveAvgPool2d(6))]
    module = randomised(nn.Sequential(*parts))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.randn(1, CHANNELS, 6, 6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        exported(module, path, dynamo)
        found = count_graph(path)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    assert (found.parameters, 2 * found.macs) == (parameters, counter.get_total_flops())
    assert found.uncounted == {}
