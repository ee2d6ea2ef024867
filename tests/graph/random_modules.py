"""Networks of PyTorch drawn at random from blocks that real ones have, and what PyTorch itself counts in them."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

SIZE = 16


class Block(nn.Module):
    """A block that `compute` defines, with its parts as attributes."""

    def __init__(self, compute: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self._compute = compute
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self._compute(self, x)


def _parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.3 + 0.1)


def _buffer(block: Block, name: str, value: Tensor) -> Block:
    block.register_buffer(name, value)
    return block


# ---- on images (N, C, H, W), which keep their channels


def convolution(draw: random.Random, c: int) -> nn.Module:
    group = draw.choice([1, 2, c])
    size = draw.choice([1, 3, (1, 3), 5])
    mode = draw.choice(["zeros", "zeros", "reflect", "circular", "replicate"])
    return nn.Conv2d(c, c, size, padding="same", groups=group, bias=draw.random() < 0.6,
                     padding_mode=mode, dilation=draw.choice([1, 1, 2]))  # fmt: skip


def standardised(draw: random.Random, c: int) -> nn.Module:
    def compute(b: Any, x: Tensor) -> Tensor:
        w = b.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 1e-5)
        return functional.conv2d(x, w * b.gain, b.bias, padding=1)

    return Block(
        compute, weight=_parameter(c, c, 3, 3), gain=_parameter(c, 1, 1, 1), bias=_parameter(c)
    )


def transposed(draw: random.Random, c: int) -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(c, c, 4, 2, 1, groups=draw.choice([1, 2]), bias=draw.random() < 0.5),
        draw.choice([nn.AvgPool2d(2), nn.MaxPool2d(2)]),
    )


def norm(draw: random.Random, c: int) -> nn.Module:
    return draw.choice(
        [nn.BatchNorm2d(c), nn.BatchNorm2d(c, affine=False), nn.GroupNorm(2, c), nn.GroupNorm(1, c, affine=False),
         nn.InstanceNorm2d(c), nn.InstanceNorm2d(c, affine=True), nn.LocalResponseNorm(3)]
    )  # fmt: skip


def activation(draw: random.Random, c: int) -> nn.Module:
    return draw.choice(
        [nn.ReLU(), nn.PReLU(), nn.PReLU(c), nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.LeakyReLU(), nn.Softplus()]
    )  # fmt: skip


def excitation(draw: random.Random, c: int) -> nn.Module:
    def compute(b: Any, x: Tensor) -> Tensor:
        return x * torch.sigmoid(b.up(functional.relu(b.down(x.mean((2, 3), keepdim=True)))))

    return Block(compute, down=nn.Conv2d(c, 2, 1), up=nn.Conv2d(2, c, 1))


def scale(draw: random.Random, c: int) -> nn.Module:
    kind = draw.randrange(5)
    shape = (1, c, 1, 1) if kind % 2 else (c, 1, 1)
    if kind == 4:
        return Block(
            lambda b, x: x / b.temperature.clamp(min=0.5), temperature=_parameter(1, c, 1, 1)
        )
    fixed = torch.randn(c, 1, 1)
    if kind == 3:
        return Block(lambda b, x: x * fixed)
    if kind == 2:
        return _buffer(Block(lambda b, x: x * b.mean), "mean", fixed)
    return Block(
        lambda b, x: x * b.gamma + b.beta, gamma=_parameter(*shape), beta=_parameter(*shape)
    )


def resize(draw: random.Random, c: int) -> nn.Module:
    mode = draw.choice(["nearest", "bilinear"])
    return nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode=mode))


def shuffle(draw: random.Random, c: int) -> nn.Module:
    return nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * c, 4 * c, 1), nn.PixelShuffle(2))


def shared(draw: random.Random, c: int) -> nn.Module:
    return Block(lambda b, x: functional.relu(b.conv(functional.relu(b.conv(x)))),
                 conv=nn.Conv2d(c, c, 3, padding=1))  # fmt: skip


def residual(draw: random.Random, c: int) -> nn.Module:
    inner = draw.choice([convolution, norm, excitation, shared])(draw, c)
    return Block(
        lambda b, x: x + b.inner(x) * b.layer_scale, inner=inner, layer_scale=_parameter(c, 1, 1)
    )


def joined(draw: random.Random, c: int) -> nn.Module:
    return Block(lambda b, x: b.merge(torch.cat([b.one(x), b.other(x), x], 1)), one=nn.Conv2d(c, 3, 1),
                 other=nn.Conv2d(c, 5, 3, padding=1), merge=nn.Conv2d(c + 8, c, 1))  # fmt: skip


def parametrised(draw: random.Random, c: int) -> nn.Module:
    made = nn.Conv2d(c, c, 3, padding=1)
    kind = draw.choice(
        [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm]
    )
    return kind(made)  # type: ignore[no-any-return]


IMAGES = (convolution, convolution, standardised, transposed, norm, norm, activation, activation, excitation, scale,
          resize, shuffle, shared, residual, joined)  # fmt: skip

# ---- on tokens (N, L, C), which keep their shape


def linear(draw: random.Random, c: int) -> nn.Module:
    hidden = draw.choice([c, 2 * c])
    return nn.Sequential(
        nn.Linear(c, hidden, bias=draw.random() < 0.7), nn.GELU(), nn.Linear(hidden, c)
    )


def layer_norm(draw: random.Random, c: int) -> nn.Module:
    return draw.choice(
        [
            nn.LayerNorm(c),
            nn.LayerNorm(c, elementwise_affine=False),
            nn.LayerNorm(c, bias=False),
            nn.RMSNorm(c),
        ]
    )


def heads(draw: random.Random, c: int) -> nn.Module:
    made = nn.MultiheadAttention(c, 2, batch_first=True, bias=draw.random() < 0.7)
    return Block(lambda b, x: b.attention(x, x, x, need_weights=False)[0], attention=made)


def own_attention(draw: random.Random, c: int) -> nn.Module:
    form = draw.randrange(3)

    def compute(b: Any, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = b.qkv(x).reshape(n, length, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        if form == 0:
            out = functional.scaled_dot_product_attention(q, k, v)
        elif form == 1:
            scores = torch.einsum("bhid,bhjd->bhij", q, k) * b.temperature
            out = torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)
        else:
            out = ((q * b.temperature) @ k.transpose(-2, -1)).softmax(-1) @ v
        return b.out(out.transpose(1, 2).reshape(n, length, c))

    more = {} if form == 0 else {"temperature": _parameter(2, 1, 1)}
    return Block(
        compute, qkv=nn.Linear(c, 3 * c, bias=draw.random() < 0.5), out=nn.Linear(c, c), **more
    )


def positions(draw: random.Random, c: int) -> nn.Module:
    length = SIZE * SIZE // 16
    if draw.random() < 0.4:
        angles = torch.arange(length)[:, None] / torch.pow(100.0, torch.arange(c)[None] / c)
        return _buffer(Block(lambda b, x: x + b.table), "table", angles.sin()[None])
    return Block(lambda b, x: x + b.table, table=_parameter(1, length, c))


def class_token(draw: random.Random, c: int) -> nn.Module:
    def compute(b: Any, x: Tensor) -> Tensor:
        joined_tokens = torch.cat([b.token.expand(x.shape[0], -1, -1), x], 1)
        return b.mix(joined_tokens)[:, 1:]

    return Block(compute, token=_parameter(1, 1, c), mix=nn.Linear(c, c))


def mixer(draw: random.Random, c: int) -> nn.Module:
    length = SIZE * SIZE // 16
    return Block(
        lambda b, x: x + b.mix(x.transpose(1, 2)).transpose(1, 2), mix=nn.Linear(length, length)
    )


def recurrent(draw: random.Random, c: int) -> nn.Module:
    kind = draw.choice([nn.LSTM, nn.GRU, nn.RNN])
    both = draw.random() < 0.5
    made = kind(
        c, c // 2 if both else c, batch_first=True, bidirectional=both, bias=draw.random() < 0.7
    )
    return Block(lambda b, x: b.cell(x)[0], cell=made)


def matrix(draw: random.Random, c: int) -> nn.Module:
    fixed = torch.randn(c, c) / c**0.5
    if draw.random() < 0.3:
        return Block(lambda b, x: x @ fixed)
    return Block(lambda b, x: x @ b.weight + b.bias, weight=_parameter(c, c), bias=_parameter(c))


TOKENS = (
    linear,
    linear,
    layer_norm,
    heads,
    own_attention,
    positions,
    class_token,
    mixer,
    recurrent,
    matrix,
)


class Network(nn.Module):
    """Blocks on images, then on patches of them, then a head."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        torch.manual_seed(seed)
        c, width = draw.choice([4, 8]), draw.choice([8, 12])
        self.stem = nn.Conv2d(3, c, 3, padding=1)
        self.images = nn.Sequential(
            *(draw.choice(IMAGES)(draw, c) for _ in range(draw.randrange(1, 5)))
        )
        self.patches = nn.Conv2d(c, width, 4, 4)
        self.tokens = nn.Sequential(
            *(draw.choice(TOKENS)(draw, width) for _ in range(draw.randrange(0, 4)))
        )
        self.head = nn.Linear(width, 5)
        # No parameter stays at the values that layers without any have too.
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(self.images(self.stem(x))).flatten(2).transpose(1, 2)
        return self.head(self.tokens(x).mean(1))  # type: ignore[no-any-return]


def counted_by_torch(module: nn.Module) -> tuple[int, int]:
    """Parameters and MACs of one image, as PyTorch itself counts them."""
    counter = FlopCounterMode(display=False)
    # The counter does not know the single operators that oneDNN and attention have for many.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of oneDNN, when its switch is read
            torch.backends.mkldnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
            torch.no_grad(),
            counter,
        ):
            module(torch.randn(1, 3, SIZE, SIZE))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    flops = counter.get_total_flops()
    return sum(p.numel() for p in module.parameters()), flops // 2
