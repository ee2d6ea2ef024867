"""The networks that claims are about, looked at by shape alone."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from deploykit.claims.operations import Operation, watch
from deploykit.claims.tracing import NetworkLayer, Unit, trace, trace_units
from deploykit.claims.wiring import Operation as WiredOperation
from deploykit.claims.wiring import trace_operations
from deploykit.errors import UnknownName, UsageError
from deploykit.lazy import torch
from deploykit.spec import Counts, ModelSpec
from deploykit.zoo import Architecture, count_module, create, input_shape, lookup
from deploykit.zoo.catalogue import is_factory, refuse_files

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")

#: Bytes of a weight as networks are published.
BYTES_FP32 = 4


#: How files of networks end.
_FILES = (".ckpt", ".engine", ".h5", ".onnx", ".pt", ".pt2", ".pth", ".safetensors", ".tflite")


def _of_catalogue(name: str) -> Architecture:
    """What the catalogue calls so.

    Raises:
        UsageError: a file is named, or there is no such network.
    """
    if "/" in name or name.lower().endswith(_FILES):
        raise UsageError(
            f"{name} is a file, and claims count networks of the catalogue or module:factory: name a function that "
            "makes it, or count an .onnx file by `deploykit count`"
        )
    try:
        return lookup(name)
    except UnknownName as error:
        hint = "see `deploykit list`, or name a network of your own as module:factory"
        raise UnknownName("model", name, error.known, hint) from error


class Network:
    """A network of the catalogue, with what is counted of it and seen in it, at no cost until that is asked for.

    What is asked for raises MissingDependency where torch isn't installed.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self._origin: Origin = spec

    def _look(self, at: Callable[[Origin, Change | None], T]) -> T:
        """One way of looking at it: as it is, or changed where `changed` says so."""
        return at(self._origin, _changes.get(self.spec.name))

    def __repr__(self) -> str:
        return f"Network({self.name!r})"

    @classmethod
    def named(cls, value: Any) -> Network:
        """The network that a claim's entry names: "mobilenet", or { name = "mobilenet", alpha = 0.5, rho = "6/7" }.

        "module:factory" names one of the user's own.

        Raises:
            UsageError: there is no such network, or it can't be made so.
            ValueError: `value` is neither of the two.
        """
        table = {"name": value} if isinstance(value, str) else value
        if not isinstance(table, dict) or not {"name"} <= set(table) <= {"name", "alpha", "rho"}:
            raise ValueError(
                f"expected a network's name, or its name, alpha and rho, got {value!r}"
            )
        name = str(table["name"])
        if ":" in name:
            if len(table) > 1:
                raise ValueError(
                    f"a factory takes neither alpha nor rho: name it alone, got {value!r}"
                )
            refuse_files(name)
            if not is_factory(name):
                raise ValueError(f"expected module:factory for a network of your own, got {name!r}")
            return cls(ModelSpec(name))
        architecture = _of_catalogue(name)
        try:
            alpha, rho = float(table.get("alpha", 1)), Fraction(table.get("rho", 1))
        except (TypeError, ValueError, ArithmeticError) as error:
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
        """What the catalogue says of it: year, paper, resolution.

        Raises:
            UsageError: it is not of the catalogue.
        """
        if is_factory(self.spec.name):
            raise UsageError(
                f"{self.spec.name} is a network of your own, which nothing but its code is known of: a year, a "
                "family or a paper is told of the catalogue alone"
            )
        return _of_catalogue(self.spec.name)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of its input."""
        return input_shape(self.spec)

    @property
    def counts(self) -> Counts:
        """Parameters, MACs and activations for one image at its canonical input."""
        return self._look(_counts)

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
        return self._look(_layers)

    @property
    def module(self) -> nn.Module:
        """The network itself on the meta device, where tensors have shapes and no values; not to be changed."""
        return self._look(_module)[0]

    @property
    def wiring(self) -> tuple[WiredOperation, ...]:
        """What it runs for one image, and what reads what."""
        return self._look(_wiring)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The same with views looked through, and what each result takes."""
        return self._look(_operations)

    @property
    def units(self) -> tuple[Unit, ...]:
        """Its outermost modules in the order they are called."""
        return self._look(_units)

    @property
    def convolutions(self) -> list[NetworkLayer]:
        """Its convolutions, in order."""
        return [layer for layer in self.layers if layer.kind == "conv"]

    @property
    def linear_layers(self) -> list[NetworkLayer]:
        """Its fully connected layers, in order."""
        return [layer for layer in self.layers if layer.kind == "linear"]


def refuse_one_alone(networks: Sequence[Network]) -> None:
    """Refuse to hold a network against itself, of which nothing differs and nothing grows.

    Raises:
        UsageError: there are fewer than two.
    """
    if len(networks) < 2:
        raise UsageError("networks are held against each other: name two or more")


#: Networks and parts of networks that papers count and the catalogue doesn't hold, made by functions of
#: `deploykit.claims.variants`, with the names of their arguments.
VARIANTS: dict[str, tuple[str, ...]] = {
    "conv": ("inputs", "outputs", "kernel", "rows", "side", "groups"),
    "densenet_cifar": ("depth", "growth", "bottleneck"),
    "efficientnet_scaled": ("width", "depth"),
    "googlenet_naive": (),
    "googlenet_with_heads": (),
    "googlenet_without_reductions": (),
    "inception_v3_with_head": (),
    "lenet5_at": ("side",),
    "mobilenet_shallow": (),
    "resnet_cifar": ("depth",),
    "resnet_v1": ("depth",),
    "resnext_block": ("groups", "width"),
    "separable": ("inputs", "outputs", "side"),
    "squeezenet1_0_released": (),
    "squeezenet1_1_released": (),
    "squeezenet_bypass": ("complex",),
}


class Variant(Network):
    """A network that is made by a function of `deploykit.claims.variants`, by its name and arguments.

    Raises:
        UsageError: there is no such variant, or it takes no such argument.
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        if name not in VARIANTS:
            raise UnknownName("variant", name, VARIANTS)
        for argument in arguments:
            if argument not in VARIANTS[name]:
                taken = VARIANTS[name]
                hint = "" if taken else "it takes none"
                raise UnknownName(f"argument of {name}", argument, taken, hint)
            if not isinstance(arguments[argument], int | float | Fraction):
                raise UsageError(f"{argument} of {name} is a number, not {arguments[argument]!r}")
        super().__init__(ModelSpec(name))
        self._arguments = tuple(arguments.items())
        self._origin = (name, self._arguments)

    @property
    def name(self) -> str:
        """Its name, and its arguments."""
        name, arguments = self.spec.name, self._arguments
        given = ", ".join(f"{argument}={float(value):g}" for argument, value in arguments)
        return f"{name}({given})" if given else name

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the input that it is counted at."""
        return self._look(_module)[1]


#: Changes a module, on the meta device, into another that takes the same input.
Change = Callable[["nn.Module"], "nn.Module"]

_changes: dict[str, Change] = {}


@contextlib.contextmanager
def changed(name: str, change: Change) -> Iterator[None]:
    """Have every network of the catalogue called `name` changed meanwhile, at all of its multipliers.

    That is how it is tried whether a claim about it looks at it at all.
    """
    before = dict(_changes)
    _changes[name] = change
    try:
        yield
    finally:
        _changes.clear()
        _changes.update(before)


#: What a module is made from: a network of the catalogue, or a variant's name and arguments.
Origin = ModelSpec | tuple[str, tuple[tuple[str, float], ...]]


@functools.cache
def _module(origin: Origin, change: Change | None) -> tuple[nn.Module, tuple[int, int, int]]:
    """The module on the meta device, and its input's shape."""
    if isinstance(origin, ModelSpec):
        module, shape = create(origin, device="meta"), input_shape(origin)
        if is_factory(origin.name):  # which makes values, that its shapes are not to meet
            from deploykit.zoo.copies import shapes_of  # which imports PyTorch

            module = shapes_of(module)
    else:
        module, shape = _make_variant(*origin)
    return (module if change is None else change(module)).eval(), shape


def _make_variant(
    name: str, arguments: tuple[tuple[str, float], ...]
) -> tuple[nn.Module, tuple[int, int, int]]:
    variants = importlib.import_module("deploykit.claims.variants")
    given = dict(arguments)
    make = getattr(variants, name)
    try:
        inspect.signature(make).bind(**given)
    except TypeError as error:
        raise UsageError(f"{name}: {error}") from error
    with torch.device("meta"):
        return make(**given), variants.shape_of(name, given)


@functools.cache
def _counts(origin: Origin, change: Change | None) -> Counts:
    if change is None and isinstance(origin, ModelSpec) and is_factory(origin.name):
        # One that looks at values is counted on them.
        return count_module(create(origin, device="meta"), input_shape(origin))
    return count_module(*_module(origin, change))


@functools.cache
def _layers(origin: Origin, change: Change | None) -> tuple[NetworkLayer, ...]:
    return trace(*_module(origin, change))


@functools.cache
def _wiring(origin: Origin, change: Change | None) -> tuple[WiredOperation, ...]:
    return trace_operations(*_module(origin, change))


@functools.cache
def _operations(origin: Origin, change: Change | None) -> tuple[Operation, ...]:
    return watch(_wiring(origin, change))


@functools.cache
def _units(origin: Origin, change: Change | None) -> tuple[Unit, ...]:
    return trace_units(*_module(origin, change))
