"""Counts of networks drawn at random are those that PyTorch itself counts: of the module, and of its export."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from random_modules import SIZE, Network, counted_by_torch

from deploykit import zoo
from deploykit.graph.count import count_graph
from deploykit.graph.export import export_module
from deploykit.spec import ModelSpec

SHAPE = (3, SIZE, SIZE)


@pytest.mark.parametrize("seed", range(12))
def test_a_module_counts_as_pytorch_counts_it(seed: int) -> None:
    module = Network(seed).eval()
    counts = zoo.count_module(module, SHAPE)
    assert (counts.parameters, counts.macs, counts.uncounted) == (*counted_by_torch(module), {})


#: With a weight that is computed from two parameters, with a table of positions, and with a learned divisor.
@pytest.mark.parametrize("seed", [1002, 1001, 1098])
def test_an_export_counts_as_its_module(seed: int, tmp_path: Path) -> None:
    module = Network(seed).eval()
    spec = ModelSpec("net", resolution_px=SIZE)
    counts = count_graph(export_module(module, SHAPE, tmp_path / "net.onnx", spec))
    assert (counts.parameters, counts.macs, counts.uncounted) == (*counted_by_torch(module), {})
