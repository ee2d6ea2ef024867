"""Trained networks with their weights and activations rounded to 8 bits, to see what a way of rounding costs.

The rounding is simulated in PyTorch, layer by layer: weights symmetric, activations before each convolution and
fully connected layer between the least and the largest value seen on calibration images. No runtime takes part, so
that what comes out is of the way of rounding alone.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from deploykit.claims.networks import Network
from deploykit.data import open_dataset
from deploykit.graph.calibrate import Calibration
from deploykit.graph.calibrate.histogram import WideningHistogram, choose_range
from deploykit.lazy import np, torch
from deploykit.zoo import create, input_shape

if TYPE_CHECKING:
    from torch import Tensor, nn

_BATCH = 250


class Rounding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a network is rounded.

    Attributes:
        weights: whether weights have one scale for the whole tensor, or one for each output channel.
        calibration: images that the ranges of activations come from; 0 leaves activations as they are.
        method: how a range is chosen from the values seen, as `graph.calibrate` has it: all of them, or fewer.
        keep: layers that stay as they are: the first, the last.
    """

    weights: Literal["tensor", "channel"] = "channel"
    calibration: int = 100
    method: Literal["minmax", "entropy", "percentile"] = "minmax"
    keep: tuple[Literal["first", "last"], ...] = ()


@functools.cache
def right(network: Network, dataset: str, rounding: Rounding | None, images: int) -> Tensor:
    """Which of the first so many test images come out right, with the weights shipped for the network and the data.

    Raises:
        UsageError: no weights are shipped for them, or there are fewer images.
    """
    spec = replace(network.spec, weights=f"trained:{dataset}")
    module, shape = _folded(create(spec)), input_shape(spec)
    if rounding is not None:
        layers = [m for m in module.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        kept = {id(layers[0 if end == "first" else -1]) for end in rounding.keep}
        rounded = [layer for layer in layers if id(layer) not in kept]
        if rounding.calibration:
            samples, _ = _images(dataset, "calibration", rounding.calibration, shape)
            _round_activations(module, rounded, samples, rounding.method)
        for layer in rounded:
            layer.weight.data = _rounded_weights(layer.weight.data, rounding.weights)
    inputs, labels = _images(dataset, "test", images, shape)
    return (
        torch.cat([_logits(module, some).argmax(1) for some in torch.split(inputs, _BATCH)])
        == labels
    )


def _logits(module: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = module(images)
    return logits


@functools.cache
def _images(
    dataset: str, part: Literal["calibration", "test"], count: int, shape: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    opened = open_dataset(dataset)
    chosen = opened.calibration if part == "calibration" else opened.test
    batches = list(chosen.first(count).batches(_BATCH, shape))
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return torch.from_numpy(images), torch.from_numpy(labels)


def _folded(module: nn.Module) -> nn.Module:
    """The same network with each normalisation folded into the convolution before it, as runtimes do."""
    leaves = [(n, m) for n, m in module.named_modules() if not list(m.children())]
    for (name, one), (other_name, other) in itertools.pairwise(leaves):
        if isinstance(one, torch.nn.Conv2d) and isinstance(other, torch.nn.BatchNorm2d):
            _put(module, name, torch.nn.utils.fuse_conv_bn_eval(one, other))
            _put(module, other_name, torch.nn.Identity())
    return module


def _put(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, part)


def _rounded_weights(weights: Tensor, by: str) -> Tensor:
    axes = tuple(range(1, weights.dim())) if by == "channel" else tuple(range(weights.dim()))
    scale = weights.abs().amax(axes, keepdim=True).clamp_min(1e-12) / 127
    rounded: Tensor = (weights / scale).round() * scale
    return rounded


def _round_activations(module: nn.Module, layers: list[Any], samples: Tensor, method: str) -> None:
    """Have each layer read values rounded within the range that `method` chooses of what it read on the samples."""
    extremes: dict[int, tuple[float, float]] = {}
    histograms = {id(layer): WideningHistogram() for layer in layers}

    def note(layer: nn.Module, inputs: Any) -> None:
        low, high = extremes.get(id(layer), (0.0, 0.0))
        x = inputs[0]
        extremes[id(layer)] = (min(low, float(x.min())), max(high, float(x.max())))
        if method != "minmax":
            histograms[id(layer)].add(x.numpy())

    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    for some in torch.split(samples, _BATCH):
        _logits(module, some)
    for handle in handles:
        handle.remove()
    seen = extremes
    if method != "minmax":
        chosen = Calibration(batches=tuple, count=len(samples), method=method)
        seen = {
            key: choose_range(histograms[key], extremes[key], chosen, symmetric=False)
            for key in extremes
        }

    def rounded(layer: nn.Module, inputs: Any) -> tuple[Tensor]:
        low, high = seen[id(layer)]
        scale = max(high - low, 1e-12) / 255
        zero = round(-low / scale)
        steps = (inputs[0] / scale).round() + zero
        return ((steps.clamp(0, 255) - zero) * scale,)

    for layer in layers:
        layer.register_forward_pre_hook(rounded)
