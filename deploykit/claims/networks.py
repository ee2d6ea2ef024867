"""The networks that claims are about, looked at by shape alone."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from deploykit.claims.wiring import Operation as WiredOperation
from deploykit.claims.wiring import trace_operations
from deploykit.errors import UnknownName, UsageError
from deploykit.lazy import torch
from deploykit.spec import Counts, ModelSpec
from deploykit.zoo import Architecture, count_module, create, input_shape, lookup

if TYPE_CHECKING:
    from torch import nn

#: Bytes of a weight as networks are published.
BYTES_FP32 = 4


@dataclass(frozen=True)
class NetworkLayer:
    """One leaf module, as it was called, for one image.

    Attributes:
        name: dotted, as in the state_dict.
        kind: "conv", "linear", "pool" or the class' name.
        kernel, stride: (vertical, horizontal) of convolutions and pools, else ().
        groups: of a convolution, else 1.
        in_channels, out_channels: of convolutions; in and out features of linear layers; else 0.
        output: the output's shape without the batch.
        parameters, macs: of this layer alone; biases are parameters but no MACs.
    """

    name: str
    kind: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    groups: int
    in_channels: int
    out_channels: int
    output: tuple[int, ...]
    parameters: int
    macs: int

    @property
    def weighted(self) -> bool:
        """Whether it multiplies by weights: what papers count as a layer."""
        return self.kind in ("conv", "linear")

    @property
    def size(self) -> str:
        """Its kernel as text, such as "3x3"."""
        return "x".join(map(str, self.kernel))

    @property
    def depthwise(self) -> bool:
        """Whether each channel is filtered by itself."""
        return self.kind == "conv" and self.groups == self.in_channels > 1

    @property
    def pointwise(self) -> bool:
        """Whether it mixes channels only, by a 1x1 kernel."""
        return self.kind == "conv" and self.kernel == (1, 1) and self.groups == 1


class Network:
    """A network of the catalogue, with what is counted of it and seen in it, at no cost until that is asked for.

    What is asked for raises MissingDependency where torch isn't installed.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def __repr__(self) -> str:
        return f"Network({self.name!r})"

    @classmethod
    def named(cls, value: Any) -> Network:
        """The network that a claim's entry names: "mobilenet", or { name = "mobilenet", alpha = 0.5, rho = "6/7" }.

        Raises:
            UsageError: there is no such network, or it can't be made so.
            ValueError: `value` is neither of the two.
        """
        table = {"name": value} if isinstance(value, str) else value
        if not isinstance(table, dict) or not {"name"} <= set(table) <= {"name", "alpha", "rho"}:
            raise ValueError(
                f"expected a network's name, or its name, alpha and rho, got {value!r}"
            )
        architecture = lookup(str(table["name"]))
        try:
            alpha, rho = float(table.get("alpha", 1)), Fraction(table.get("rho", 1))
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise ValueError(f"expected alpha and rho to be numbers, got {value!r}") from error
        spec = ModelSpec(architecture.name, alpha=alpha, rho=rho)
        input_shape(spec)  # refuses multipliers that the network does not have
        return cls(spec)

    def scaled(self, alpha: float = 1.0, rho: Fraction = Fraction(1)) -> Network:
        """The same network at these multipliers of width and resolution."""
        return Network(replace(self.spec, alpha=alpha, rho=rho))

    @property
    def name(self) -> str:
        """As explanations call it: its name, and its multipliers where they are not 1."""
        return self.spec.label

    @property
    def facts(self) -> Architecture:
        """What the catalogue says of it: year, paper, resolution."""
        return lookup(self.spec.name)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its input."""
        return input_shape(self.spec)

    @property
    def counts(self) -> Counts:
        """Parameters, MACs and activations for one image at its canonical input."""
        return _counts(self.spec)

    @property
    def parameters(self) -> int:
        """Number of trainable values."""
        return self.counts.parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.counts.macs

    def nodes(self, operator: str) -> int:
        """How many operators of this ONNX name it has."""
        operators = self.counts.by_operator
        return operators[operator].nodes if operator in operators else 0

    @property
    def layers(self) -> tuple[NetworkLayer, ...]:
        """Its leaf modules in the order they are called."""
        return _layers(self.spec)

    @property
    def module(self) -> nn.Module:
        """The network itself on the meta device, where tensors have shapes and no values; not to be changed."""
        return _module(self.spec)

    @property
    def wiring(self) -> tuple[WiredOperation, ...]:
        """What it runs for one image, and what reads what."""
        return _wiring(self.spec)

    @property
    def convolutions(self) -> list[NetworkLayer]:
        """Its convolutions, in order."""
        return [layer for layer in self.layers if layer.kind == "conv"]

    @property
    def linear_layers(self) -> list[NetworkLayer]:
        """Its fully connected layers, in order."""
        return [layer for layer in self.layers if layer.kind == "linear"]


#: Networks and parts of networks that papers count and the catalogue doesn't hold, made by functions of
#: `deploykit.claims.variants`, with the names of their arguments.
VARIANTS: dict[str, tuple[str, ...]] = {
    "alexnet_one_tower": (),
    "conv": ("inputs", "outputs", "kernel", "rows", "side", "groups"),
    "densenet_cifar": ("depth", "growth", "bottleneck"),
    "efficientnet_scaled": ("width", "depth"),
    "googlenet_naive": (),
    "googlenet_with_heads": (),
    "googlenet_without_reductions": (),
    "inception_v3_with_head": (),
    "mobilenet_shallow": (),
    "resnet_cifar": ("depth",),
    "resnet_v1": ("depth",),
    "resnext_block": ("groups", "width"),
    "separable": ("inputs", "outputs", "side"),
    "squeezenet_bypass": ("complex",),
    "vgg16_c": (),
}


class Variant(Network):
    """A network that is made by a function of `deploykit.claims.variants`, by its name and arguments.

    Raises:
        UsageError: there is no such variant, or it takes no such argument.
    """

    def __init__(self, name: str, **arguments: float) -> None:
        if name not in VARIANTS:
            raise UnknownName("variant", name, VARIANTS)
        for argument in arguments:
            if argument not in VARIANTS[name]:
                raise UnknownName(f"argument of {name}", argument, VARIANTS[name], "it takes none")
        super().__init__(ModelSpec(name))
        self._made = (name, tuple(arguments.items()))

    @property
    def name(self) -> str:
        """Its name, and its arguments."""
        name, arguments = self._made
        given = ", ".join(f"{argument}={value:g}" for argument, value in arguments)
        return f"{name}({given})" if given else name

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the input that it is counted at."""
        return _variant(*self._made)[1]

    @property
    def module(self) -> nn.Module:
        """As of a network."""
        return _variant(*self._made)[0]

    @property
    def counts(self) -> Counts:
        """As of a network."""
        return _variant_counts(*self._made)

    @property
    def layers(self) -> tuple[NetworkLayer, ...]:
        """As of a network."""
        return trace(*_variant(*self._made))

    @property
    def wiring(self) -> tuple[WiredOperation, ...]:
        """As of a network."""
        return trace_operations(*_variant(*self._made))


@functools.cache
def _variant(
    name: str, arguments: tuple[tuple[str, float], ...]
) -> tuple[nn.Module, tuple[int, int, int]]:
    """The module on the meta device, and its input's shape."""
    variants = importlib.import_module("deploykit.claims.variants")
    given = dict(arguments)
    make = getattr(variants, name)
    try:
        inspect.signature(make).bind(**given)
    except TypeError as error:
        raise UsageError(f"{name}: {error}") from error
    with torch.device("meta"):
        module: nn.Module = make(**given)
    return module.eval(), variants.shape_of(name, given)


@functools.cache
def _variant_counts(name: str, arguments: tuple[tuple[str, float], ...]) -> Counts:
    return count_module(*_variant(name, arguments))


@functools.cache
def _wiring(spec: ModelSpec) -> tuple[WiredOperation, ...]:
    return trace_operations(_module(spec), input_shape(spec))


@functools.cache
def _module(spec: ModelSpec) -> nn.Module:
    return create(spec, device="meta")


@functools.cache
def _counts(spec: ModelSpec) -> Counts:
    return count_module(_module(spec), input_shape(spec))


@functools.cache
def _layers(spec: ModelSpec) -> tuple[NetworkLayer, ...]:
    return trace(_module(spec), input_shape(spec))


def trace(module: nn.Module, shape: tuple[int, int, int]) -> tuple[NetworkLayer, ...]:
    """Run `module`, which is on the meta device, for one image of `shape` (C, H, W) and note its leaves."""
    called: list[NetworkLayer] = []

    def note(name: str) -> Any:
        def hook(leaf: nn.Module, _: Any, output: torch.Tensor) -> None:
            called.append(_layer(name, leaf, tuple(output.shape[1:])))

        return hook

    handles = [
        leaf.register_forward_hook(note(name))
        for name, leaf in module.named_modules()
        if not list(leaf.children())
    ]
    try:
        with torch.no_grad():
            module(torch.empty(1, *shape, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(called)


def _layer(name: str, leaf: nn.Module, output: tuple[int, ...]) -> NetworkLayer:
    nn = torch.nn
    kind, groups, channels, macs = type(leaf).__name__, 1, (0, 0), 0
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    values = math.prod(output)
    if isinstance(leaf, nn.Conv2d):
        kind, groups = "conv", leaf.groups
        kernel, stride = _pair(leaf.kernel_size), _pair(leaf.stride)
        channels = (leaf.in_channels, leaf.out_channels)
        macs = values * kernel[0] * kernel[1] * leaf.in_channels // groups
    elif isinstance(leaf, nn.Linear):
        kind, channels = "linear", (leaf.in_features, leaf.out_features)
        macs = values * leaf.in_features
    elif isinstance(leaf, nn.MaxPool2d | nn.AvgPool2d):
        kind, kernel, stride = "pool", _pair(leaf.kernel_size), _pair(leaf.stride)
    parameters = sum(p.numel() for p in leaf.parameters())
    return NetworkLayer(name, kind, kernel, stride, groups, *channels, output, parameters, macs)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
