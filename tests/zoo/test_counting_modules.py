from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import flex_attention

from deploykit import zoo
from deploykit.errors import UsageError


def test_a_grouped_strided_convolution_counts_by_its_formula() -> None:
    module = nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=4)
    counts = zoo.count_module(module, (8, 9, 9))
    assert counts.macs == 5 * 5 * 12 * (8 // 4) * 3 * 3
    assert counts.parameters == 12 * 2 * 9 + 12
    assert counts.activation_bytes == 5 * 5 * 12 * 4
    assert counts.weight_bytes == counts.parameters * 4
    assert counts.by_operator["Conv"].nodes == 1


def test_a_transposed_convolution_counts_each_input_once_per_filter_value() -> None:
    module = nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False)
    assert zoo.count_module(module, (4, 5, 5)).macs == 4 * 25 * 6 * 2 * 2


def test_matrix_products_count_with_and_without_bias_and_in_batches() -> None:
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 5), nn.Linear(6, 5, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            outer = torch.bmm(self.a(x).unsqueeze(2), self.b(x).unsqueeze(1))
            return outer.flatten(1)

    counts = zoo.count_module(Products(), (6, 1, 1))
    assert counts.macs == 6 * 5 + 6 * 5 + 5 * 5
    assert counts.by_operator["Gemm"].parameters == 30 + 5 + 30


def test_shared_weights_count_once_and_their_work_each_time() -> None:
    first, second = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
    second.weight = first.weight
    counts = zoo.count_module(nn.Sequential(first, second, first), (3, 4, 4))
    assert counts.parameters == 9
    assert counts.macs == 3 * 9 * 16


def test_an_operator_without_a_rule_is_listed() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.matrix_exp(x)

    assert zoo.count_module(Odd(), (1, 4, 4)).uncounted


class Norm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x, dim=-1)


@pytest.mark.parametrize(
    "module",
    [nn.PReLU(), nn.PReLU(4), nn.RMSNorm(4), nn.AdaptiveMaxPool2d(2), nn.ChannelShuffle(2), Norm()],
    ids=lambda module: type(module).__name__,
)
def test_operators_without_products_make_no_lower_bound(module: nn.Module) -> None:
    counts = zoo.count_module(module, (4, 4, 4))
    assert (counts.macs, counts.uncounted) == (0, {})
    assert counts.parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_module_is_left_as_it_was(device: str) -> None:
    with torch.device(device):
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    module[0].eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    zoo.count_module(module, (3, 8, 8))
    assert module[1].training
    assert not module[0].training
    assert {p.device.type for p in module.parameters()} == {device}
    if device == "cpu":
        assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_a_network_is_counted_in_eval_mode_whatever_its_mode() -> None:
    module = nn.BatchNorm2d(2).train()
    zoo.count_module(module, (2, 1, 1))  # training on one value per channel would raise
    with pytest.raises(ValueError, match="more than 1 value"):
        module(torch.zeros(1, 2, 1, 1))


class Branches(nn.Module):
    """Branches on a value, which tensors without values can't tell."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x if x.sum() > 0 else -x)[0]


class OwnTensor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x + torch.arange(4))


class Choosing(nn.Module):
    """Takes one of two branches by a value, in an operator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(8, 5))
        self.other = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(
            x.sum() < 1e9, lambda v: self.one(v[:, None]), lambda v: self.other(v), (x,)
        )


class FlexibleAttention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return flex_attention(x, x[:, :, :4], x[:, :, :4])


class Spectral(nn.Module):
    """Has complex weights alone, and takes real images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 5, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.view_as_real(torch.complex(x, x) @ self.weight)


class Picked(nn.Module):
    """Channels picked by an index, edges mirrored."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor([2, 1, 0]))
        self.conv = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x[:, self.order])


@pytest.mark.parametrize(
    ("module", "shape", "parameters", "macs"),
    [
        (Picked(), (3, 8, 8), 112, 64 * 108),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(32)), (3, 4, 4), 48 * 32 + 32, 48 * 32),
        (nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()), (3, 8, 8), 120, 36 * 108),
        (nn.Conv2d(3, 4, 3).half(), (3, 8, 8), 112, 36 * 108),
        (nn.Conv2d(3, 4, 3).double(), (3, 8, 8), 112, 36 * 108),
        (Branches(), (7, 8), 24 * 14 + 48, 7 * 24 * 14),
        (OwnTensor(), (4,), 20, 16),
        (Choosing(), (4,), 78, 64),
        (FlexibleAttention(), (2, 6, 8), 0, 2 * 6 * 4 * (8 + 8)),
        (Spectral(), (4,), 20, 20),
        (nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (6, 16), 2224, 13440),
    ],
    ids=[
        "picked",
        "lazy linear",
        "lazy convolution",
        "half",
        "double",
        "branches",
        "own tensor",
        "branches as one operator",
        "attention as one operator",
        "complex weights of real images",
        "encoder",
    ],
)
def test_modules_of_any_type_and_state_are_counted(
    module: nn.Module, shape: tuple[int, int, int], parameters: int, macs: int
) -> None:
    lazy = sum(nn.parameter.is_lazy(p) for p in module.parameters())
    counts = zoo.count_module(module, shape)
    assert (counts.parameters, counts.macs, counts.uncounted) == (parameters, macs, {})
    assert sum(nn.parameter.is_lazy(p) for p in module.parameters()) == lazy, "left as it was"


def test_a_module_that_cannot_take_the_shape_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^Linear fails on an input of shape \(1, 5\): .*$"):
        zoo.count_module(nn.Linear(3, 4), (5,))


class Applied(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: x + torch.empty_like(x).normal_(), (4, 4)),
        (lambda x: nn.functional.gumbel_softmax(x, dim=-1), (4, 4)),
        (lambda x: x[:, torch.triu_indices(4, 4, 1, device=x.device)[0]], (4, 4)),
        (lambda x: x[:, torch.randperm(4, device=x.device)], (4, 4)),
        (lambda x: torch.block_diag(x[0], x[0]), (4, 4)),
        (lambda x: torch.linalg.cross(x, x), (4, 3)),
        (lambda x: x.nansum(), (4, 4)),
        (lambda x: nn.functional.fractional_max_pool3d(x, 2, output_size=2), (2, 4, 4, 4)),
        (
            lambda x: nn.functional.interpolate(x, scale_factor=2, mode="nearest-exact"),
            (2, 4, 4, 4),
        ),
        (lambda x: x + torch.empty_strided((4,), (1,), device=x.device), (4, 4)),
    ],
    ids="noise gumbel pairs order blocks cross sum pool exact strided".split(),
)
def test_what_draws_numbers_or_sorts_and_joins_makes_no_lower_bound(
    function: Callable[[Tensor], Tensor], shape: tuple[int, ...]
) -> None:
    counts = zoo.count_module(Applied(function), shape)
    assert (counts.macs, counts.uncounted) == (0, {})


def detection_operator(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operator of torchvision, or one of its name and arguments where it is not installed."""
    if importlib.util.find_spec("torchvision") is not None:
        importlib.import_module("torchvision")
        return getattr(torch.ops.torchvision, name)
    return torch.library.custom_op(f"torchvision::{name}", function, mutates_args=())


def test_what_detectors_do_with_boxes_is_no_product_and_a_deformed_convolution_is_one() -> None:
    def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        return torch.arange(len(dets))

    def deform_conv2d(
        input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor,
        stride_h: int, stride_w: int, pad_h: int, pad_w: int, dilation_h: int, dilation_w: int,
        groups: int, offset_groups: int, use_mask: bool,
    ) -> Tensor:  # fmt: skip
        return nn.functional.conv2d(input, weight, bias)

    suppress = detection_operator("nms", nms)
    deformed = detection_operator("deform_conv2d", deform_conv2d)

    def detect(x: Tensor) -> Tensor:
        weight, bias = x.new_ones(4, 3, 3, 3), x.new_zeros(4)
        offset, mask = x.new_zeros(1, 18, 6, 6), x.new_ones(1, 9, 6, 6)
        y = deformed(x, weight, offset, mask, bias, 1, 1, 0, 0, 1, 1, 1, 1, True)
        boxes = y[0, :, 0, :4] + torch.arange(4, device=x.device)
        return boxes[suppress(boxes, boxes[:, 0].contiguous(), 0.5)]

    counts = zoo.count_module(Applied(detect), (3, 8, 8))
    assert (counts.macs, counts.uncounted) == (36 * 108, {})
    assert counts.by_operator["NonMaxSuppression"].nodes == 1


def test_what_somebody_else_calls_linear_is_not_pytorch_s() -> None:
    def linear(x: Tensor) -> Tensor:
        return x.sum(-1)

    other = torch.library.custom_op("somebody_else::linear", linear, mutates_args=())
    counts = zoo.count_module(Applied(other), (4, 4))
    assert (counts.macs, counts.uncounted) == (0, {"linear": 1})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("to_sparse", [Tensor.to_sparse_coo, Tensor.to_sparse_csr])
def test_a_product_with_a_sparse_matrix_makes_a_lower_bound(
    to_sparse: Callable[[Tensor], Tensor],
) -> None:
    class Neighbours(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("edges", to_sparse(torch.eye(4)))
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(torch.sparse.mm(self.edges, x[0]))

    counts = zoo.count_module(Neighbours(), (4, 4))
    assert (counts.parameters, counts.macs) == (20, 64)
    assert counts.is_lower_bound
