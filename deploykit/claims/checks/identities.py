"""Claims that two computations are the same one, tried on random values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploykit.claims.check import check
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.verdict import Outcome, PartResult, Value
from deploykit.figures import significant
from deploykit.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@check
def pointwise_is_linear(inputs: int, outputs: int, kernel: int, close: float, seed: int) -> Outcome:
    """Whether a convolution of `kernel` at each pixel is a linear layer on that pixel's channels.

    The linear layer has the weights of the kernel's centre; deviations are relative to the largest output.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(2, inputs, 14, 14, generator=random, dtype=torch.float64)
    weight = torch.randn(outputs, inputs, kernel, kernel, generator=random, dtype=torch.float64)
    bias = torch.randn(outputs, generator=random, dtype=torch.float64)
    convolved = torch.nn.functional.conv2d(x, weight, bias, padding=kernel // 2)
    centre = weight[:, :, kernel // 2, kernel // 2]
    by_pixel = torch.nn.functional.linear(x.permute(0, 2, 3, 1), centre, bias).permute(0, 3, 1, 2)
    off = float((convolved - by_pixel).abs().max() / convolved.abs().max())
    explanation = (
        f"A {kernel}x{kernel} convolution from {inputs} to {outputs} channels and a linear layer applied to "
        "each of "
        f"{14 * 14} pixels differ by {significant(off, 2)} of the largest output."
    )
    evidence: dict[str, Value] = {"deviation": float(f"{off:.2g}")}
    return Outcome([PartResult("same outputs", off <= close)], off, explanation, evidence)


@check
def zero_block_is_identity(stated: Stated, margin: Margin, seed: int) -> Outcome:
    """Whether a residual block whose last convolution is zero gives the stated share of its input back.

    Of inputs that are not negative, and of inputs of either sign.
    """
    block = _block(8, seed)
    _silence(block)
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 8, 6, 6, generator=random)
    with torch.no_grad():
        shares = {
            name: float((block(given) == given).double().mean())
            for name, given in (
                ("inputs that are not negative", x.abs()),
                ("inputs of either sign", x),
            )
        }
    kept = shares["inputs of either sign"]
    parts = [PartResult(name, margin.agrees(share, stated)) for name, share in shares.items()]
    explanation = (
        f"A residual block with a branch of zeros gives back {shares['inputs that are not negative']:.0%} of "
        "inputs that are not negative, bit for bit; of inputs of either sign "
        f"{kept:.0%} come back, because the ReLU after the addition cuts off the rest. Inside a network a "
        "block's input "
        "is another's rectified output."
    )
    evidence: dict[str, Value] = {
        "share given back(not negative)": round(shares["inputs that are not negative"], 4),
        "share given back(either sign)": round(kept, 4),
    }
    return Outcome(parts, kept, explanation, evidence)


@check
def deeper_contains_shallower(added: int, seed: int) -> Outcome:
    """Whether layers that are set to the identity leave the outputs of a network as they are, bit for bit.

    Residual blocks with a branch of zeros are put into a residual network, 3x3 convolutions with a one at the
    centre into a plain one with ReLUs; the same with random weights must change the outputs.
    """
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 8, 6, 6, generator=random)
    stem = torch.nn.Sequential(_convolution(8, random), torch.nn.ReLU())
    residual = [_block(8, seed + number) for number in range(added)]
    plain = [_convolution(8, random) for _ in range(added)]

    def output(blocks: list[nn.Module]) -> Tensor:
        with torch.no_grad():
            y: Tensor = stem(x)
            for block in blocks:
                y = torch.relu(block(y))
            return y

    shallow = output([])
    changed = [not torch.equal(output([*blocks]), shallow) for blocks in (residual, plain)]
    for block in residual:
        _silence(block)
    for convolution in plain:
        torch.nn.init.dirac_(convolution.weight)
    same = [torch.equal(output([*blocks]), shallow) for blocks in (residual, plain)]
    parts = [
        PartResult("residual blocks", same[0] and changed[0]),
        PartResult("plain convolutions", same[1] and changed[1]),
    ]
    explanation = (
        f"{added} residual blocks with branches of zeros leave the outputs "
        f"{'the same bit for bit' if same[0] else 'changed'}, "
        f"and so do {added} convolutions with identity kernels and ReLUs: {'the same' if same[1] else 'changed'}. "
        "That such a solution exists does not mean that training finds it."
    )
    evidence: dict[str, Value] = {"same(residual)": str(same[0]), "same(plain)": str(same[1])}
    return Outcome(parts, f"{sum(same)} of 2 the same", explanation, evidence)


def _convolution(channels: int, random: torch.Generator) -> nn.Conv2d:
    convolution = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False)
    with torch.no_grad():
        convolution.weight.normal_(0, 0.1, generator=random)
    return convolution


def _block(channels: int, seed: int) -> nn.Module:
    """A residual block of the zoo, in eval mode, with random weights."""
    from deploykit.zoo.resnet import BasicBlock

    block = BasicBlock(channels, channels, 1).eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(0.1, 0.3, generator=random)
    return block


def _silence(block: nn.Module) -> None:
    """Set the last convolution's weights, and the shift after it, to zero."""
    with torch.no_grad():
        block.get_parameter("conv2.weight").zero_()
        block.get_parameter("bn2.bias").zero_()
