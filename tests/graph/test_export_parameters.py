"""Which tensors of an exported file are parameters: as many as the module has, however they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploykit.graph.count import count_graph
from deploykit.graph.export import export_module
from deploykit.spec import ModelSpec

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
nn = torch.nn
functional = torch.nn.functional


class TiedAutoencoder(nn.Module):
    """Decodes with the transposed weight that it encodes with, as tied autoencoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(3, 4)

    def forward(self, x: Any) -> Any:
        return functional.linear(self.encode(x.mean((2, 3))), self.encode.weight.t())


class WideBuffer(nn.Module):
    """Normalises by a buffer in double precision, as what comes from numpy has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("scale", torch.ones(1, 3, 1, 1, dtype=torch.float64))

    def forward(self, x: Any) -> Any:
        return self.conv(x * self.scale.float())


class SpatialTransformer(nn.Module):
    """Samples at a grid that is computed from numbers of the code, and moved by what is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = nn.Linear(3, 6)

    def forward(self, x: Any) -> Any:
        grid = functional.affine_grid(
            self.moved(x.mean((2, 3))).view(-1, 2, 3), x.shape, align_corners=False
        )
        return functional.grid_sample(x, grid, align_corners=False)


class Positions(nn.Module):
    """Weights the columns of an image by numbers of the code, which are computed in several steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Any) -> Any:
        return self.conv(x) * (torch.arange(8) * 0.37).sqrt()


@pytest.mark.parametrize("kind", [TiedAutoencoder, WideBuffer, SpatialTransformer, Positions])
def test_a_file_has_the_parameters_of_its_module(kind: type[nn.Module], tmp_path: Path) -> None:
    module = kind()
    made = export_module(module, (3, 8, 8), tmp_path / "m.onnx", ModelSpec("m"))
    assert count_graph(made).parameters == sum(p.numel() for p in module.parameters())
