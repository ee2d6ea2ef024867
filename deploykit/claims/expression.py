"""Quantities that claims are about, written as arithmetic over networks: "macs(alexnet) / macs(squeezenet1_0)".

A network is named as in the catalogue, with multipliers where it has them, `mobilenet(alpha=0.5, rho=5/7)`, or is a
variant with its arguments, `resnet_cifar(depth=20)`; one of the user's own is quoted, `"module:factory"`. What is
asked of it can be narrowed to some of its layers: `macs(mobilenet, pointwise)`,
`channels(squeezenet1_0, "squeeze")`, `layers(vgg16, conv, "3x3")`. Quantities of single layers are sequences, for
which arithmetic goes member by member. The text is parsed by Python's own grammar and evaluated by this module
alone, which knows numbers, the names below and nothing else.
"""

from __future__ import annotations

import ast
import inspect
import math
import operator
import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, Self

from deploykit.claims import wiring
from deploykit.claims.networks import VARIANTS, Network, Variant
from deploykit.claims.operations import peak_bytes
from deploykit.claims.tracing import NetworkLayer
from deploykit.errors import UnknownName, UsageError


class Sequence(tuple[Any, ...]):
    """Values of layers in order, such as channels; arithmetic goes member by member, a number meets each of them.

    >>> Sequence((4, 8)) / 2, Sequence((4, 8)) - Sequence((1, 2))
    ((2.0, 4.0), (3, 6))
    """

    def _each(self, other: Any, do: Callable[[Any, Any], Any]) -> Self:
        if not isinstance(other, tuple):
            return type(self)(do(mine, other) for mine in self)
        if len(self) != len(other):
            raise UsageError(f"{len(self)} values meet {len(other)}: {self} and {other}")
        return type(self)(do(mine, theirs) for mine, theirs in zip(self, other, strict=True))

    def __neg__(self) -> Self:
        return type(self)(-mine for mine in self)

    def __add__(self, other: Any) -> Self:  # not what tuples do
        return self._each(other, operator.add)

    def __radd__(self, other: Any) -> Self:
        return self._each(other, operator.add)

    def __sub__(self, other: Any) -> Self:
        return self._each(other, operator.sub)

    def __rsub__(self, other: Any) -> Self:
        return self._each(other, lambda mine, theirs: theirs - mine)

    def __mul__(self, other: Any) -> Self:
        return self._each(other, operator.mul)

    def __rmul__(self, other: Any) -> Self:
        return self._each(other, operator.mul)

    def __truediv__(self, other: Any) -> Self:
        return self._each(other, operator.truediv)

    def __rtruediv__(self, other: Any) -> Self:
        return self._each(other, lambda mine, theirs: theirs / mine)

    def __pow__(self, other: Any) -> Self:
        return self._each(other, _power)


#: Layers that words select. Quoted are kernels such as "3x3", parts of layers' names, and classes of other layers.
SELECTORS: dict[str, Callable[[NetworkLayer], bool]] = {
    "conv": lambda layer: layer.kind == "conv",
    "linear": lambda layer: layer.kind == "linear",
    "pool": lambda layer: layer.kind == "pool",
    "depthwise": lambda layer: layer.depthwise,
    "pointwise": lambda layer: layer.pointwise,
    "grouped": lambda layer: layer.groups > 1 and not layer.depthwise,
    "full": lambda layer: layer.kind == "conv" and not layer.depthwise and not layer.pointwise,
    "batchnorm": lambda layer: layer.kind == "BatchNorm2d",
    "dropout": lambda layer: layer.kind == "Dropout",
}

_KERNEL = re.compile(r"\d+x\d+")


def _matches(layer: NetworkLayer, selector: str) -> bool:
    if selector in SELECTORS:
        return SELECTORS[selector](layer)
    if _KERNEL.fullmatch(selector):
        return layer.size == selector
    return selector == layer.kind or selector in layer.name


def _selected(network: Network, selectors: Iterable[str]) -> list[NetworkLayer]:
    selectors = list(selectors)
    return [layer for layer in network.layers if all(_matches(layer, word) for word in selectors)]


def _weights(layer: NetworkLayer) -> int:
    """Weights of a convolution or linear layer, without its biases."""
    inputs = layer.in_channels // layer.groups
    return layer.out_channels * inputs * math.prod(layer.kernel) if layer.weighted else 0


def _held(network: Network, *selectors: str) -> int:
    if not selectors:
        return network.parameters
    return sum(layer.parameters for layer in _selected(network, selectors))


def _work(network: Network, *selectors: str) -> int:
    if not selectors:
        return network.macs
    return sum(layer.macs for layer in _selected(network, selectors))


def _number(network: Network, *selectors: str) -> int:
    chosen = _selected(network, selectors)
    return len(chosen) if selectors else sum(layer.weighted for layer in chosen)


def _of_layers(take: Callable[[NetworkLayer], Any]) -> Callable[..., Sequence]:
    def quantity(network: Network, *selectors: str) -> Sequence:
        chosen = _selected(network, selectors)
        return Sequence(take(layer) for layer in chosen if selectors or layer.weighted)

    return quantity


def _nodes(network: Network, operator: str, *more: str) -> int:
    return sum(network.nodes(name) for name in (operator, *more))


#: What can be asked of a network, narrowed by selectors. Without one, quantities of layers are those of the layers
#: that have weights. `nodes` takes names of ONNX's operators, `modules` that of a class of PyTorch's; `maps` are
#: the channels that a layer puts out. `activation_bytes` are those of all that is ever put out, as training keeps
#: it, and `peak_bytes` the most that are needed at once to use the network.
QUANTITIES: dict[str, Callable[..., Any]] = {
    "parameters": _held,
    "macs": _work,
    "weights": lambda network, *words: sum(_weights(n) for n in _selected(network, words)),
    "layers": _number,
    "nodes": _nodes,
    "activation_bytes": lambda network: network.counts.activation_bytes,
    "peak_bytes": lambda network: peak_bytes(network.operations),
    "side": lambda network: network.input_shape[-1],
    "year": lambda network: network.facts.year,
    "modules": lambda network, kind: sum(
        type(part).__name__ == kind for part in network.module.modules()
    ),
    "maps": _of_layers(lambda layer: layer.output[0]),
    "channels": _of_layers(lambda layer: layer.out_channels),
    "inputs": _of_layers(lambda layer: layer.in_channels),
    "groups": _of_layers(lambda layer: layer.groups),
    "kernels": _of_layers(lambda layer: layer.size),
    "strides": _of_layers(lambda layer: max(layer.stride)),
    "sides": _of_layers(lambda layer: layer.output[-1]),
    "outputs": _of_layers(lambda layer: math.prod(layer.output)),
    "depth": lambda network: wiring.depth(network.wiring),
    "branches": lambda network: Sequence(wiring.branches(network.wiring)),
    "before_pools": lambda network: Sequence(wiring.before_pools(network.layers)),
}

#: What sequences and numbers can be put through.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": sum,
    "max": max,
    "min": min,
    "len": len,
    "mean": statistics.fmean,
    "sqrt": math.sqrt,
    "log": math.log,
    "abs": abs,
    "added": lambda values: Sequence(values[1:]) - Sequence(values[:-1]),
    "distinct": lambda values: Sequence(dict.fromkeys(values)),
    "first": lambda values, number: Sequence(values[:number]),
    "last": lambda values, number: Sequence(values[-number:]),
}

_CALLED = frozenset((*QUANTITIES, *FUNCTIONS))

#: Characters of an expression, levels of what is in it, and bits of a power of whole numbers. Python bounds levels,
#: too, but packages that are imported by then raise that bound.
_MOST_CHARACTERS, _MOST_LEVELS, _MOST_BITS = 1000, 300, 4096


def _power(base: Any, exponent: Any) -> Any:
    """A power; of whole numbers one may be so large that nobody can wait for it.

    Raises:
        UsageError: it is.
    """
    is_whole = isinstance(base, int) and isinstance(exponent, int)
    if is_whole and base.bit_length() * abs(exponent) > _MOST_BITS:
        raise UsageError("a power of whole numbers is too large: write it as 1e9 or the like")
    return base**exponent


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: _power,
}


class Expression:
    """An expression that was parsed, so that every name in it is known, and that hasn't been evaluated.

    Attributes:
        text: as written.
        networks: all that it asks something of, in the order of the text.

    Raises:
        UsageError: it can't be parsed, or a name in it is not known; one line that says which.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.networks: tuple[Network, ...] = tuple(_networks(parsed(text)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an expression; no network is made."""
        return cls(text)

    def __str__(self) -> str:
        return self.text

    @property
    def value(self) -> Any:
        """What it comes to: a number or a `Sequence`.

        Raises:
            UsageError: it is a number that nothing can be held against, such as infinity or a complex one.
        """
        value = _value(parsed(self.text))
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, complex) or (isinstance(one, float) and not math.isfinite(one)):
                raise UsageError(f"{self.text} comes to {one}, which is no finite number")
        return value


def parsed(text: str, what: str = "expression") -> ast.expr:
    """The tree of a text of some size and depth at most, none of whose names is looked at.

    Args:
        text: as written.
        what: it should be, for messages.

    Raises:
        UsageError: it can't be parsed, or is too long or too deep.
    """
    if len(text) > _MOST_CHARACTERS:
        raise UsageError(
            f"an expression of {len(text):,} characters is too long: {_MOST_CHARACTERS:,} at most"
        )
    try:
        # In a file a blank before an expression means nothing, to Python's grammar it is an indent.
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise UsageError(f"{text!r} is no {what}: {error.msg}") from error
    except (MemoryError, RecursionError, ValueError) as error:  # too deep, or with a null character
        raise UsageError(f"{text[:60]!r} is no {what} that can be read") from error
    level: list[ast.AST] = [tree]
    levels = 0
    while level:
        level, levels = [part for one in level for part in ast.iter_child_nodes(one)], levels + 1
    if levels > _MOST_LEVELS:
        raise UsageError(
            f"{text[:60]!r} is nested {levels} levels deep: {_MOST_LEVELS} at most; make it shorter"
        )
    return tree


def _networks(node: ast.expr) -> Iterator[Network]:
    """The networks of an expression; that everything else in it is known is checked on the way."""
    match node:
        case ast.Constant(value=int() | float()):
            return
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            pass
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            parts = [operand]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            parts = [left, right]
        case ast.Call(func=ast.Name(id=name), keywords=[keyword, *_]) if name in _CALLED:
            raise UsageError(
                f"{ast.unparse(node)!r}: {name} takes no {keyword.arg or '**'}: what a network is made with stands "
                "behind its name, as in macs(mobilenet(alpha=0.5))"
            )
        case ast.Call(func=ast.Name(id=name), args=[]) if name in QUANTITIES:
            raise UsageError(f"{name}() names no network: write it as in {name}(lenet5)")
        case ast.Call(func=ast.Name(id=name), args=[network, *selectors]) if name in QUANTITIES:
            yield _network(network)
            words = [_selector(selector, name) for selector in selectors]
            try:
                inspect.signature(QUANTITIES[name]).bind(None, *words)
            except TypeError as error:
                raise UsageError(f"{ast.unparse(node)!r} can't be: {error}") from error
            return
        case ast.Call(func=ast.Name(id=name), args=parts) if name in FUNCTIONS:
            pass
        case ast.Call(func=ast.Name(id=name)):
            raise UnknownName("quantity", name, [*QUANTITIES, *FUNCTIONS])
        case ast.Constant(value=str()):
            return
        case _:
            raise UsageError(f"{ast.unparse(node)!r} can't be part of an expression")
    for part in parts:
        yield from _networks(part)


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return Sequence(_value(part) for part in parts)
        case ast.UnaryOp(operand=operand):
            return -_value(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=[network, *selectors]) if name in QUANTITIES:
            words = [_selector(selector, name) for selector in selectors]
            return QUANTITIES[name](_network(network), *words)
        case ast.Call(func=ast.Name(id=name), args=parts):
            return FUNCTIONS[name](*(_value(part) for part in parts))
    raise AssertionError(f"{ast.unparse(node)} was not refused when it was parsed")


def _selector(node: ast.expr, quantity: str) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=word) if quantity in ("nodes", "modules") or word in SELECTORS:
            return word
        case ast.Name(id=word):
            raise UnknownName("kind of layer", word, SELECTORS)
    raise UsageError(f"{ast.unparse(node)!r} selects no layers")


def _network(node: ast.expr) -> Network:
    match node:
        case ast.Name(id=name) | ast.Constant(value=str(name)):
            given: dict[str, Any] = {}
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords):
            given = {str(each.arg): _argument(each.value) for each in keywords}
        case _:
            raise UsageError(f"{ast.unparse(node)!r} is no network")
    if name in VARIANTS:
        return Variant(name, **given)
    try:
        return Network.named({"name": name, **given})
    except ValueError as error:
        raise UsageError(str(error)) from error


def _argument(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BinOp(
            left=ast.Constant(value=int(top)), op=ast.Div(), right=ast.Constant(value=int(bottom))
        ) if bottom:
            return Fraction(top, bottom)
    raise UsageError(f"{ast.unparse(node)!r} is neither a number nor a fraction")
