"""Random small modules are counted alike as modules, as exported graphs, and from the shapes that a run has."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from deploykit import zoo
from deploykit.graph.count import count_graph
from deploykit.graph.export import export_module
from deploykit.graph.operators import OPERATORS
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
    "conv grouped transposed batch group relu spectral lstm attention linear unbiased".split()
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
        rule = OPERATORS[node.op_type].macs
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
