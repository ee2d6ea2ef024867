"""Exporting modules in the states that people hand over: wrapped, observed, lazy, scripted, quantised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deploykit.api import count, export
from deploykit.errors import BuildFailed
from deploykit.graph.export import export_module
from deploykit.spec import ModelSpec

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
nn = torch.nn

SHAPE = (3, 8, 8)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


class Passing(nn.Module):
    """A wrapper of somebody's own, which hands on whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        return self.inner(*args, **kwargs)


class Observing(nn.Module):
    """Notes in its buffers what it saw, in whichever mode it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, x):  # type: ignore[no-untyped-def]
        self.largest.copy_(torch.maximum(self.largest, x.abs().max()))
        return self.inner(x)


def of_torch_export() -> nn.Module:
    free = ({0: torch.export.Dim.DYNAMIC},)
    example = (torch.zeros(2, *SHAPE),)
    return torch.export.export(network().eval(), example, dynamic_shapes=free).module()


def saved(module: nn.Module, folder: Path) -> Path:
    path = folder / "m.onnx"
    export_module(module, SHAPE, path, ModelSpec("net"))
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [Passing, of_torch_export])
def test_a_module_that_takes_anything_or_has_one_mode_is_exported(
    make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    plain = count(network(), SHAPE)
    assert count(saved(make(), tmp_path)).by_operator["Conv"].macs == plain.by_operator["Conv"].macs


@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        lambda m: nn.DataParallel(torch.compile(m)),
    ],
    ids="compiled parallel averaged both".split(),
)
def test_a_wrapped_network_is_the_network(
    wrap: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    module = network()
    files = []
    for name, one in (("plain", module), ("wrapped", wrap(module))):
        model = export(one, tmp_path / f"{name}.onnx", input_shape=SHAPE)
        assert model.spec.name == "sequential"
        files.append((tmp_path / f"{name}.onnx").read_bytes())
    assert files[0] == files[1]


@pytest.mark.filterwarnings("ignore")
def test_buffers_and_the_random_state_are_left_as_they_were(tmp_path: Path) -> None:
    observing = Observing()
    with_lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(5))
    before = torch.get_rng_state()
    saved(observing, tmp_path)
    saved(with_lazy, tmp_path)
    assert observing.largest == 0
    assert torch.equal(torch.get_rng_state(), before)


def dynamically_quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(network(), {nn.Linear}, dtype=torch.qint8)


def orthogonal() -> nn.Module:
    module = network()
    nn.utils.parametrizations.orthogonal(module[3])
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: torch.jit.script(network()), "export the module that the script was made of"),
        (dynamically_quantised, "export the network as it was in float, and have it quantised by"),
        (orthogonal, "write its parametrizations into the weights first"),
    ],
    ids="script quantised parametrized".split(),
)
def test_what_cannot_be_exported_is_told_what_can(
    make: Callable[[], nn.Module], remedy: str, tmp_path: Path
) -> None:
    with pytest.raises(BuildFailed, match=rf"^[^\n]*; {remedy}[^\n]*$"):
        saved(make(), tmp_path)


class Expanded(nn.Module):
    """A network with a buffer whose entries share their memory, which nothing can be copied into."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.register_buffer("offset", torch.zeros(1).expand(5))

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.body(x) + self.offset


def test_a_buffer_that_nothing_changed_is_not_written_to(tmp_path: Path) -> None:
    assert saved(Expanded(), tmp_path)
