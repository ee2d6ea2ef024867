"""What can be changed under a claim: its networks, its rows, what came of its trainings, and its figures."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import nn

from deploykit.claims import Claim, Verdict, evaluate_claim
from deploykit.claims.check import MeasuredRow, find_check, measured_rows
from deploykit.claims.checks.stacks import SINGLE, STACK
from deploykit.claims.effort import training
from deploykit.claims.networks import VARIANTS, changed
from deploykit.errors import DeploykitError
from deploykit.report.csv import row_of
from deploykit.zoo import architectures
from studies.mutations.networks import CHANGES, Change, each_changed, scaled_widths

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


class Moved(NamedTuple):
    """What moved a claim: how much of it ("verdict" or "part"), which kind of change, and the change in words."""

    what: str
    by: str
    change: str


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
        found = evidence.get(str(value.get("of")), evidence.get(str(value.get("name"))))
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
    plain: dict[str, Any] = {
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
    (row,) = measured_rows([row_of({**plain, **cells})])
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
        return each_changed(module, nn.Sigmoid | nn.ReLU, lambda one: nn.Identity())  # type: ignore[arg-type]

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
            yield "network", "made without activations", partial(_created_linear, claim)
        for more in (True, False):
            words = f"the first {'more' if more else 'less'}"
            yield "training", words, partial(_trained, claim, first_has_more=more)
    for name in looked_at(claim)[:MOST_NETWORKS]:
        for change in CHANGES:
            yield "network", f"{name} {change.__name__}", partial(_with, claim, name, change)
        for ratio in _ratios(claim, before.outcome.computed):
            scaled = partial(scaled_widths, ratio=ratio)
            words = f"{name} {ratio:.3g} times as wide"
            yield "network", words, partial(_with, claim, name, scaled)
    every = named_networks(claim.arguments)
    for change in CHANGES if 1 < len(every) <= MOST_NETWORKS else ():
        yield "network", f"all {change.__name__}", partial(_with, claim, every, change)
    if find_check(claim.check).takes_rows:
        for number, rows in enumerate(made_up_rows(claim)):
            yield "row", f"rows {number}", partial(evaluate_claim, claim, rows)
    figures = partial(_around, claim.stated)
    swapped = partial(_other_networks, every)
    for kind, leaf in (("network", swapped), ("figure", figures)):
        for number, arguments in enumerate(altered(dict(claim.arguments), leaf)):
            yield kind, f"argument {number}", partial(_replaced, claim, arguments=arguments)
    known = {one.name for one in architectures()}
    for name, value in claim.arguments.items():
        if isinstance(value, list | tuple) and len(value) > 1 and set(map(str, value)) <= known:
            for one in value:
                alone = {**claim.arguments, name: [one]}
                yield "network", f"{one} alone", partial(_replaced, claim, arguments=alone)
    if not isinstance(claim.stated, str):
        printed = _all_figures(dict(claim.arguments), Decimal(repr(float(claim.stated))))
        yield "figure", "all printed as stated", partial(_replaced, claim, arguments=printed)
    alike = _stated_as_found(dict(claim.arguments), before.outcome.evidence)
    yield "figure", "all stated as found", partial(_replaced, claim, arguments=alike)
    turned = _all_turned(dict(claim.arguments))
    yield "figure", "all turned round", partial(_replaced, claim, arguments=turned)
    for stated in _other_stated(claim, before.outcome.computed):
        yield "figure", f"stated {stated:g}", partial(_replaced, claim, stated=stated)


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
