"""Change networks, rows, trainings and figures under each claim, and see whether its verdict moves.

    python scripts/claims_mutations.py                           # all claims
    python scripts/claims_mutations.py vgg-140m --csv -          # these, and nothing is kept
    python scripts/claims_mutations.py --time 150                # begins no claim after 150 s

A claim that comes out the same whatever is changed looks at nothing. Changes are made from the claim's entry: the
networks that it names are changed (kernels, groups, layers more and fewer) or swapped for others, rows and what
came of trainings are made up for it, and each figure of its arguments, stated or printed, is made another. Each
claim is a row of the table as it comes; one whose verdict moved is not tried again until its entry or the code of
its check changes, so that a run that was broken off goes on. Printed is the share of claims whose verdict moved, by
what it took, and those of which only a part moved or nothing. Ends with 1 if there are any of the last.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import functools
import hashlib
import re
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import nn

from deploykit.claims import Claim, Verdict, evaluate_claim, list_claims
from deploykit.claims.check import MeasuredRow, find_check, measured_rows
from deploykit.claims.checks.stacks import SINGLE, STACK
from deploykit.claims.effort import training
from deploykit.claims.networks import VARIANTS, changed
from deploykit.code_digest import code_digest
from deploykit.errors import DeploykitError
from deploykit.report.csv import CsvReport, read_cells, row_of
from deploykit.zoo import architectures
from deploykit.zoo.blocks import Parallel

Change = Callable[[nn.Module], nn.Module]

#: What a network is swapped for where changing it moved nothing.
OTHERS = (
    "vgg11",
    "squeezenet1_0",
    "resnet18",
    "mobilenet",
    "lenet5",
    "densenet121",
    "se_resnet50",
    "mlp",
)

#: A claim is given up after so many seconds of computing.
LIMIT_S = 30.0

#: Networks that one claim is tried with: its first ones.
MOST_NETWORKS = 4

#: What is kept of each claim: "verdict", "part" or "nothing" moved, by which kind of change, and which one; and the
#: digest of its entry and of the code of its check.
COLUMNS = ("claim", "kind", "verdict", "moved", "by", "change", "seconds", "digest")


class Moved(NamedTuple):
    """What moved a claim: how much of it ("verdict" or "part"), which kind of change, and the change in words."""

    what: str
    by: str
    change: str


def _each(module: nn.Module, kind: type, change: Callable[[Any], nn.Module]) -> nn.Module:
    """A copy of the module in which each part of a kind is changed."""
    module = copy.deepcopy(module)
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, kind) and not name.startswith("_"):
                setattr(parent, name, change(part))
    return module


def _convolution(like: nn.Conv2d, kernel: tuple[int, int], groups: int) -> nn.Conv2d:
    return nn.Conv2d(
        like.in_channels,
        like.out_channels,
        kernel,
        stride=like.stride,
        padding=(kernel[0] // 2, kernel[1] // 2) if _keeps_size(like) else like.padding,
        groups=groups,
        bias=like.bias is not None,
        device="meta",
    )


def _keeps_size(one: nn.Conv2d) -> bool:
    return all(2 * p == k - 1 for p, k in zip(one.padding, one.kernel_size, strict=True))


def larger_kernels(module: nn.Module) -> nn.Module:
    """Each convolution that is padded so that its kernel does not show has one larger by 2."""

    def change(one: nn.Conv2d) -> nn.Module:
        height, width = one.kernel_size
        return _convolution(one, (height + 2, width + 2), one.groups) if _keeps_size(one) else one

    return _each(module, nn.Conv2d, change)


def smaller_kernels(module: nn.Module) -> nn.Module:
    """The same convolutions have one of a single pixel."""
    return _each(
        module,
        nn.Conv2d,
        lambda one: _convolution(one, (1, 1), one.groups) if _keeps_size(one) else one,
    )


def without_groups(module: nn.Module) -> nn.Module:
    """No convolution has groups."""
    return _each(module, nn.Conv2d, lambda one: _convolution(one, one.kernel_size, 1))


def more_convolutions(module: nn.Module) -> nn.Module:
    """Each convolution is followed by one of 3x3 on its channels."""

    def change(one: nn.Conv2d) -> nn.Module:
        channels = one.out_channels
        return nn.Sequential(one, nn.Conv2d(channels, channels, 3, padding=1, device="meta"))

    return _each(module, nn.Conv2d, change)


class _Fitted(nn.Module):
    """A convolution, and as many of its channels, or as many times them, as are asked for."""

    def __init__(self, convolution: nn.Conv2d, channels: int) -> None:
        super().__init__()
        self.convolution, self.channels = convolution, channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.convolution(x)
        return x.repeat(1, -(-self.channels // x.shape[1]), 1, 1)[:, : self.channels]


def _of_width(one: nn.Conv2d, width: int) -> nn.Module:
    groups = one.groups if width % one.groups == 0 else 1
    other = nn.Conv2d(
        one.in_channels,
        width,
        one.kernel_size,  # type: ignore[arg-type]
        stride=one.stride,  # type: ignore[arg-type]
        padding=one.padding,  # type: ignore[arg-type]
        groups=groups,
        bias=one.bias is not None,
        device="meta",
    )
    return _Fitted(other, one.out_channels)


def as_wide_as_inputs(module: nn.Module) -> nn.Module:
    """No convolution has fewer channels out than in, of which the next one gets as many as before."""
    return _each(
        module, nn.Conv2d, lambda one: _of_width(one, max(one.in_channels, one.out_channels))
    )


def scaled_widths(module: nn.Module, ratio: float) -> nn.Module:
    """Each convolution has so many times the channels out, of which the next one gets as many as before."""
    return _each(
        module, nn.Conv2d, lambda one: _of_width(one, max(1, round(one.out_channels * ratio)))
    )


def rectified(module: nn.Module) -> nn.Module:
    """Each convolution is followed by a ReLU."""
    return _each(module, nn.Conv2d, lambda one: nn.Sequential(one, nn.ReLU()))


class _Unlearned(nn.Module):
    """As many values as a fully connected layer gives, with nothing learned."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(-1, keepdim=True).repeat(*[1] * (x.dim() - 1), self.outputs)


def without_linear(module: nn.Module) -> nn.Module:
    """No layer is fully connected."""
    return _each(module, nn.Linear, lambda one: _Unlearned(one.out_features))


def more_linear(module: nn.Module) -> nn.Module:
    """The whole is followed by two more fully connected layers, with a wide one between."""

    class Longer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = copy.deepcopy(module)
            self.layers = nn.Sequential(
                nn.Linear(1, 20_000, device="meta"), nn.Linear(20_000, 10_000, device="meta")
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.layers(self.whole(x).flatten(1)[:, :1])
            return y

    return Longer()


class _Passed(nn.Module):
    """As many channels as a convolution gives, with none filtered."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(1, -(-self.channels // x.shape[1]), 1, 1)[:, : self.channels]


def without_pointwise(module: nn.Module) -> nn.Module:
    """What 1x1 convolutions filtered is passed on."""
    return _each(
        module,
        nn.Conv2d,
        lambda one: _Passed(one.out_channels) if one.kernel_size == one.stride == (1, 1) else one,
    )


def softened(module: nn.Module) -> nn.Module:
    """Each sigmoid is a softmax."""
    return _each(module, nn.Sigmoid, lambda one: nn.Softmax(1))


def larger_pools(module: nn.Module) -> nn.Module:
    """Each pool looks at a window larger by 2."""

    def change(one: Any) -> nn.Module:
        kernel, padding = one.kernel_size, one.padding
        if not isinstance(kernel, int) or not isinstance(padding, int):
            return one
        kind = type(one)
        return kind(kernel + 2, stride=one.stride, padding=padding + 1, ceil_mode=one.ceil_mode)  # type: ignore[no-any-return]

    return _each(module, nn.MaxPool2d | nn.AvgPool2d, change)  # type: ignore[arg-type]


def without_normalisation(module: nn.Module) -> nn.Module:
    """Nothing is normalised."""
    return _each(module, nn.BatchNorm2d, lambda one: nn.Identity())


class _Shortcut(nn.Module):
    """Branches of which the first passes the input on; the whole is added to what comes out."""

    def __init__(self, branches: Sequence[nn.Module], channels: int) -> None:
        super().__init__()
        self.branches, self.channels = nn.ModuleList(branches), channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([x, *[branch(x) for branch in self.branches]], 1)[:, : self.channels]
        return y + x.repeat(1, -(-self.channels // x.shape[1]), 1, 1)[:, : self.channels]


def with_shortcuts(module: nn.Module) -> nn.Module:
    """The first branch of each module of several is a shortcut around the others."""

    def change(one: Parallel) -> nn.Module:
        branches = list(one.children())
        convolutions = [[c for c in b.modules() if isinstance(c, nn.Conv2d)] for b in branches]
        if not all(convolutions):  # a reduction, whose output has another size
            return one
        return _Shortcut(branches[1:], sum(own[-1].out_channels for own in convolutions))

    return _each(module, Parallel, change)


CHANGES: tuple[Change, ...] = (
    larger_kernels,
    more_convolutions,
    without_groups,
    as_wide_as_inputs,
    without_linear,
    more_linear,
    smaller_kernels,
    rectified,
    larger_pools,
    softened,
    without_normalisation,
    without_pointwise,
    with_shortcuts,
)


def looked_at(claim: Claim) -> list[str]:
    """The networks that are changed under a claim: those that it names, or the largest if it is of a family."""
    named = named_networks(claim.arguments)
    if named or "family" not in claim.arguments:
        return named
    largest: dict[str, str] = {}
    for one in sorted(architectures(), key=lambda each: each.parameters, reverse=True):
        largest.setdefault(one.family, one.name)
    return list(largest.values())[:MOST_NETWORKS]


def named_networks(value: Any) -> list[str]:
    """The networks of the catalogue and the variants that an entry names, also within expressions, in order."""
    known = {one.name for one in architectures()} | set(VARIANTS)
    found = [word for text in _texts(value) for word in re.findall(r"[a-z]\w*", text)]
    return list(dict.fromkeys(word for word in found if word in known))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from (name, *_texts(each))
    elif isinstance(value, Sequence):
        for each in value:
            yield from _texts(each)


def altered(value: Any, leaf: Callable[[Any], list[Any]]) -> Iterator[Any]:
    """The value with one of its leaves altered, for each leaf and each way that `leaf` tells."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            for other in altered(inner, leaf):
                yield {**value, name: other}
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            for other in altered(inner, leaf):
                yield [*value[:place], other, *value[place + 1 :]]
    else:
        yield from leaf(value)


def _all_figures(value: Any, figure: Decimal) -> Any:
    """The value with each decimal in it replaced."""
    if isinstance(value, Mapping):
        return {name: _all_figures(inner, figure) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_all_figures(inner, figure) for inner in value]
    return figure if isinstance(value, Decimal) else value


def _stated_as_found(value: Any, evidence: Mapping[str, Any]) -> Any:
    """The value with what is stated of each quantity in it replaced by what was found of it."""
    if isinstance(value, Mapping):
        found = evidence.get(value.get("of"), evidence.get(value.get("name")))
        inner = {name: _stated_as_found(one, evidence) for name, one in value.items()}
        numbers = found is not None and "stated" in value and not isinstance(found, str)
        return inner | ({"stated": found} if numbers else {})
    if isinstance(value, list | tuple):
        return [_stated_as_found(inner, evidence) for inner in value]
    return value


def _all_turned(value: Any) -> Any:
    """The value with each expression in it turned round."""
    if isinstance(value, Mapping):
        return {name: _all_turned(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_all_turned(inner) for inner in value]
    others = _other_words(value) if isinstance(value, str) else []
    return others[0] if others else value


def _other_figures(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, value * 3] if value else [1]
    if isinstance(value, float | Decimal):
        return [value * 3, value / 3, -value]
    return _other_words(value) if isinstance(value, str) else []


#: Words and signs of arguments, and what turns them round.
_TURNED = {
    " > ": " < ",
    " < ": " > ",
    " == ": " != ",
    " >= ": " < ",
    "first": "last",
    "last": "first",
}


def _other_words(text: str) -> list[str]:
    """Expressions and words with one sign turned round, or one number made another."""
    turned = [text.replace(old, new) for old, new in _TURNED.items() if old in text]
    turned += [text.replace("> [", "< [")] * ("> [" in text)
    numbers = list(re.finditer(r"(?<![\w.\"])\d+(\.\d+)?(?![\w.\"])", text))
    return turned + [
        f"{text[: one.start()]}{float(one[0]) * factor:g}{text[one.end() :]}"
        for one in numbers
        for factor in (1000, 0)
    ]


def _other_stated(claim: Claim, found: Any) -> list[float]:
    """Figures that could have been stated: what was found, and others about it."""
    if isinstance(claim.stated, str):
        return []
    values = [float(claim.stated) * factor for factor in (3, 0.3)] + [float(claim.stated) + 1]
    if isinstance(found, int | float):
        values = [float(found), *(found * factor for factor in (2, 0.5)), found + 1, *values]
    return values


def _other_networks(named: Sequence[str], value: Any) -> list[Any]:
    """Other networks than one that is named, first the others of the same claim."""
    known = {one.name for one in architectures()} | set(VARIANTS)
    if not isinstance(value, str):
        return []
    if value in known:
        return [other for other in dict.fromkeys([*named, *OTHERS]) if other != value]
    # Within an expression each name is swapped.
    return [
        re.sub(rf"\b{name}\b(?!\()", other, value)
        for name in named_networks(value)
        for other in OTHERS[:2]
        if name not in VARIANTS
    ]


def made_up_rows(claim: Claim) -> list[list[MeasuredRow]]:
    """Rows of all that the claim may look at, with latencies and bytes of several ratios to each other."""
    arguments = claim.arguments
    top, bottom = arguments.get("top"), arguments.get("bottom")
    if "precision" in arguments:
        top, bottom = {"precision": "fp32"}, {"precision": arguments["precision"]}
    if top is not None and bottom is not None:
        ratios = [0.05, 0.5, 0.95, 1.05, 2.0, 20.0]
        ratios += (
            [] if isinstance(claim.stated, str) else [float(claim.stated)] * (claim.stated > 0)
        )
        return [
            [_row(top, 10 * r, r), _row(bottom, 10, 1, top1=0.9 if r <= 1 else 0.8)] for r in ratios
        ]
    multipliers = [(1.0, "1")]
    multipliers += [(float(alpha), "1") for alpha in arguments.get("alphas", ())]
    multipliers += [(1.0, str(Fraction(rho))) for rho in arguments.get("rhos", ())]
    names = [*named_networks(arguments), STACK, SINGLE]
    # Where no network is named, any will do, of sizes in an order.
    sized = not named_networks(arguments)

    def rows(latency_ms: Callable[[int, float], float]) -> list[MeasuredRow]:
        return [
            _row(
                {"model": name, "alpha": str(alpha), "rho": rho}
                | ({"parameters": f"{10**place}", "macs": f"{10**place}"} if sized else {}),
                latency_ms(place, alpha * float(Fraction(rho))),
                1,
            )
            for place, name in enumerate([*names, *["a", "b", "c", "d"] * sized])
            for alpha, rho in multipliers
        ]

    return [
        rows(lambda place, size: 10.0),
        rows(lambda place, size: 10.0 * size**2 * 9.0**-place),
        rows(lambda place, size: 10.0 * size**2 * 9.0**place),
    ]


def _row(
    cells: Mapping[str, str], latency_ms: float, ratio: float, top1: float = 0.9
) -> MeasuredRow:
    plain = {
        "model": "lenet5",
        "backend": "onnxruntime",
        "precision": "fp32",
        "status": "ok",
        "top1": top1,
        "top1_low": top1 - 0.001,
        "top1_high": top1 + 0.001,
        "onnx_bytes": round(100_000 * ratio),
        "latency_p50_ms": latency_ms,
    }
    (row,) = measured_rows([row_of(plain | cells)])
    return row


class _MadeUp:
    """What came of no training: every measure of it is the same number.

    Its probabilities, of ten images of class 0, are such that the mean over several seeds is right more often than
    each of them where `agrees`, and less often than the best where not.
    """

    def __init__(self, value: float, seed: int, agrees: bool) -> None:
        self.value = value
        self.labels = torch.zeros(10, dtype=torch.long)
        self.probabilities = torch.tensor([[0.6, 0.4]] * 10)
        if agrees:
            self.probabilities[seed % 10] = torch.tensor([0.45, 0.55])
        elif seed % 2:
            self.probabilities[5:] = torch.tensor([0.0, 1.0])

    def __getattr__(self, name: str) -> float:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.value


@contextlib.contextmanager
def made_up_trainings(claim: Claim, *, first_has_more: bool) -> Iterator[None]:
    """Have what is trained or rounded come out in the order of the entry, or against it; seeds differ little."""
    order: list[Any] = []

    def place_of(one: Any) -> int:
        if one not in order:
            order.append(one)
        return -order.index(one) if first_has_more else order.index(one)

    def trained(proxy: Any, seed: int) -> _MadeUp:
        return _MadeUp(0.5 + 0.1 * place_of(proxy) + 0.001 * (seed % 3), seed, first_has_more)

    def right(network: Any, dataset: str, way: Any, images: int) -> torch.Tensor:
        share = 0.7 + 0.2 * max(-1, min(1, place_of(way)))
        return torch.arange(images) < share * images

    check = sys.modules[find_check(claim.check).function.__module__]
    modules = [check, *(one for one in vars(check).values() if isinstance(one, types.ModuleType))]
    made_up = {"trained": trained, "right": right}
    with contextlib.ExitStack() as stack:
        for module in modules:
            for name in made_up.keys() & vars(module).keys():
                if callable(getattr(module, name)):
                    stack.enter_context(mock.patch.object(module, name, made_up[name]))
        stack.enter_context(training(True))
        yield


def _created_linear(claim: Claim) -> Verdict:
    """The claim with the networks that its check makes to train, without what bends between their layers."""
    check = sys.modules[find_check(claim.check).function.__module__]
    make = vars(check)["create"]

    def linear(*arguments: Any, **keywords: Any) -> nn.Module:
        module = make(*arguments, **keywords)
        return _each(module, nn.Sigmoid | nn.ReLU, lambda one: nn.Identity())  # type: ignore[arg-type]

    remembered = [one.cache_clear for one in vars(check).values() if hasattr(one, "cache_clear")]
    for forget in remembered:
        forget()
    try:
        with mock.patch.object(check, "create", linear):
            return evaluate_claim(claim)
    finally:
        for forget in remembered:
            forget()


def _trained(claim: Claim, *, first_has_more: bool) -> Verdict:
    with made_up_trainings(claim, first_has_more=first_has_more):
        return evaluate_claim(claim)


def mutants(claim: Claim, before: Verdict) -> Iterator[tuple[str, str, Callable[[], Verdict]]]:
    """What can be changed, as its kind, in words, and the evaluation of the claim with it."""
    # First what moves such claims: networks that are trained are changed slowly.
    if "trained" in claim.kind:
        if "create" in vars(sys.modules[find_check(claim.check).function.__module__]):
            yield "network", "made without activations", functools.partial(_created_linear, claim)
        for more in (True, False):
            words = f"the first {'more' if more else 'less'}"
            yield "training", words, functools.partial(_trained, claim, first_has_more=more)
    for name in looked_at(claim)[:MOST_NETWORKS]:
        for change in CHANGES:
            yield (
                "network",
                f"{name} {change.__name__}",
                lambda n=name, c=change: _with(claim, n, c),
            )  # type: ignore[misc]
        for ratio in _ratios(claim, before.outcome.computed):
            scaled = functools.partial(scaled_widths, ratio=ratio)
            yield (
                "network",
                f"{name} {ratio:.3g} times as wide",
                lambda n=name, c=scaled: _with(claim, n, c),
            )  # type: ignore[misc]
    every = named_networks(claim.arguments)
    for change in CHANGES if 1 < len(every) <= MOST_NETWORKS else ():
        yield "network", f"all {change.__name__}", lambda c=change: _with(claim, every, c)  # type: ignore[misc]
    if find_check(claim.check).takes_rows:
        for number, rows in enumerate(made_up_rows(claim)):
            yield "row", f"rows {number}", lambda rows=rows: evaluate_claim(claim, rows)  # type: ignore[misc]
    figures = functools.partial(_around, claim.stated)
    swapped = functools.partial(_other_networks, every)
    for kind, leaf in (("network", swapped), ("figure", figures)):
        for number, arguments in enumerate(altered(dict(claim.arguments), leaf)):
            yield kind, f"argument {number}", lambda a=arguments: _replaced(claim, arguments=a)  # type: ignore[misc]
    known = {one.name for one in architectures()}
    for name, value in claim.arguments.items():
        if isinstance(value, list | tuple) and len(value) > 1 and set(map(str, value)) <= known:
            for one in value:
                alone = {**claim.arguments, name: [one]}
                yield "network", f"{one} alone", lambda a=alone: _replaced(claim, arguments=a)  # type: ignore[misc]
    if not isinstance(claim.stated, str):
        every = _all_figures(dict(claim.arguments), Decimal(repr(float(claim.stated))))
        yield "figure", "all printed as stated", lambda: _replaced(claim, arguments=every)
    alike = _stated_as_found(dict(claim.arguments), before.outcome.evidence)
    yield "figure", "all stated as found", lambda: _replaced(claim, arguments=alike)
    turned = _all_turned(dict(claim.arguments))
    yield "figure", "all turned round", lambda: _replaced(claim, arguments=turned)
    for stated in _other_stated(claim, before.outcome.computed):
        yield "figure", f"stated {stated:g}", lambda s=stated: _replaced(claim, stated=s)  # type: ignore[misc]


def _ratios(claim: Claim, found: Any) -> list[float]:
    """By how much what was found is off: a network of other widths could meet the figure, or miss it."""
    if isinstance(claim.stated, str) or not isinstance(found, int | float) or not found:
        return []
    ratio = abs(float(claim.stated) / found)
    return [ratio, 1 / ratio] if 0.1 < ratio < 10 and ratio != 1 else [3.0]


def _around(stated: Any, value: Any) -> list[Any]:
    """Other figures than one that is printed, the stated one among them."""
    others = _other_figures(value)
    if others and not isinstance(value, bool | int) and not isinstance(stated, str):
        others.append(float(stated))
    return others


def _with(claim: Claim, names: str | Sequence[str], change: Change) -> Verdict:
    with contextlib.ExitStack() as stack:
        for name in [names] if isinstance(names, str) else names:
            stack.enter_context(changed(name, change))
        return evaluate_claim(claim)


def _replaced(claim: Claim, **changes: Any) -> Verdict:
    return evaluate_claim(dataclasses.replace(claim, **changes))


def move(claim: Claim) -> Moved | None:
    """The first change by which the verdict moves, else one by which a part does, else None.

    Where rows or trainings decide, the first under which it is decided are what others are held against.
    """
    before = evaluate_claim(claim)
    part: Moved | None = None
    end_s = time.process_time() + LIMIT_S
    for by, change, evaluate in mutants(claim, before):
        if time.process_time() > end_s:
            break
        try:
            after = evaluate()
        # A network that can't be changed so, and a check that can't be applied to what came out, prove nothing.
        except (DeploykitError, RuntimeError, AssertionError):
            continue
        except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError):
            continue
        if before.verdict == "undecided":
            before = after if by in ("row", "training") else before
        elif after.verdict not in (before.verdict, "undecided"):
            return Moved("verdict", by, change)
        common = after.holds.keys() & before.holds.keys()
        if part is None and any(after.holds[name] != before.holds[name] for name in common):
            part = Moved("part", by, change)
    return part


def digest_of(claim: Claim) -> str:
    """Of a claim's entry and of the code of its check, twelve digits."""
    entry = repr(
        sorted(
            (field.name, repr(getattr(claim, field.name))) for field in dataclasses.fields(claim)
        )
    )
    code = code_digest(find_check(claim.check).function.__module__)
    return hashlib.sha256(f"{entry}{code}".encode()).hexdigest()[:12]


def tried(claim: Claim) -> dict[str, Any]:
    """The row of a claim: what moved it."""
    start_s = time.perf_counter()
    found = move(claim)
    return {
        "claim": claim.id,
        "kind": claim.kind,
        "verdict": " or ".join(claim.expected),
        "moved": found.what if found else "nothing",
        "by": found.by if found else None,
        "change": found.change if found else None,
        "seconds": round(time.perf_counter() - start_s, 1),
        "digest": digest_of(claim),
    }


def try_all(
    claims: Sequence[Claim], path: str, time_s: float, say: Callable[[str], None]
) -> list[Mapping[str, Any]]:
    """The rows of these claims: those of the table at `path` whose verdict moved, and the others as they are tried.

    Args:
        claims: in the order of the rows; the table keeps rows of all other claims that there are.
        path: of the table, "-" for none.
        time_s: no claim is begun later.
        say: is told of each claim that is tried.
    """
    kept = path != "-"
    stored = {r["claim"]: r for r in read_cells(path)} if kept and Path(path).is_file() else {}
    report = CsvReport(path, COLUMNS) if kept else None
    order = [claim.id for claim in list_claims()]
    rows: dict[str, Mapping[str, Any]] = {
        name: row for name, row in stored.items() if name in order
    }
    start_s = time.perf_counter()
    for claim in claims:
        row = rows.get(claim.id)
        if row is not None and (row["moved"], row["digest"]) == ("verdict", digest_of(claim)):
            continue
        rows.pop(claim.id, None)
        if time.perf_counter() - start_s > time_s:
            continue
        row = rows[claim.id] = tried(claim)
        change = f"{row['moved']} moved by a {row['by']}: {row['change']}"
        say(f"{claim.id}: {change if row['by'] else 'did not move'}")
        if report is not None:
            report.replace(sorted(rows.values(), key=lambda one: order.index(one["claim"])))
    return [rows[claim.id] for claim in claims if claim.id in rows]


def main(arguments: Sequence[str]) -> int:
    """Try the claims of these ids, all where there are none, and print what moved them."""
    parser = argparse.ArgumentParser(prog="claims_mutations.py")
    parser.add_argument("ids", nargs="*", metavar="CLAIM")
    parser.add_argument(
        "--csv", default="reports/claims_mutations.csv", help="the table; - for none"
    )
    parser.add_argument("--time", type=float, default=7200.0, help="begin no claim after, in s")
    options = parser.parse_args(arguments)
    claims = [claim for claim in list_claims() if not options.ids or claim.id in options.ids]
    try:
        rows = try_all(claims, options.csv, options.time, functools.partial(print, flush=True))
    except DeploykitError as error:
        print(f"deploykit: {error}", file=sys.stderr)
        return error.exit_code
    by = Counter(f"{row['moved']} by a {row['by']}" for row in rows if row["by"])
    share = sum(row["moved"] == "verdict" for row in rows)
    print(
        f"The verdicts of {share} of {len(claims)} claims moved ({100 * share / len(claims):.1f}%): "
        f"{', '.join(f'{n} {what}' for what, n in by.most_common())}."
    )
    names = {
        what: [row["claim"] for row in rows if row["moved"] == what] for what in ("part", "nothing")
    }
    left = len(claims) - len(rows)
    for title, listed in (
        ("Of these only a part moved", names["part"]),
        ("These did not move", names["nothing"]),
    ):
        if listed:
            print(f"{title}: {', '.join(listed)}.")
    if left:
        print(f"{left} are left: the same command goes on with them.")
    return int(bool(names["nothing"] or left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
