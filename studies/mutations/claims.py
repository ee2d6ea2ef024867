"""What can be changed under a claim: its networks and graphs, its rows, what came of its trainings, its figures."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from deploykit.claims import Claim, Verdict, evaluate_claim
from deploykit.claims.check import AnyRow, built_rows, find_check, measured_rows
from deploykit.claims.networks import VARIANTS, changed
from deploykit.errors import DeploykitError
from deploykit.report.csv import row_of
from deploykit.row import Row
from deploykit.zoo import architectures
from deploykit.zoo.catalogue import is_factory
from studies.mutations.blocks import WRONG_BLOCKS, makes_blocks, wrong_block
from studies.mutations.graphs import graph_changes
from studies.mutations.networks import CHANGES, Change, scaled_widths
from studies.mutations.trainings import levels, made_linear, made_up_trainings, makes_networks

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
    """The networks of the catalogue, the factories and the variants that an entry names, in order.

    Also those within expressions.
    """
    known = {one.name for one in architectures()} | set(VARIANTS)
    found = [
        word for text in _texts(value) for word in re.findall(r"[a-z][\w.]*:\w+|[a-z]\w*", text)
    ]
    return list(dict.fromkeys(word for word in found if word in known or is_factory(word)))


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
        is_figure = bool({"stated", "of"} & value.keys())  # without its own it has the claim's
        numbers = found is not None and is_figure and not isinstance(found, str)
        return inner | ({"stated": found} if numbers else {})
    if isinstance(value, list | tuple):
        return [_stated_as_found(inner, evidence) for inner in value]
    if isinstance(value, str):
        left, equal, _ = value.partition(" == ")
        found = evidence.get(left) if equal else None
        return value if found is None or isinstance(found, str) else f"{left} == {found}"
    return value


def _all_alike(value: Any) -> Any:
    """The value with the second of each two figures that are compared made the first."""
    if isinstance(value, Mapping):
        inner = {name: _all_alike(one) for name, one in value.items()}
        return inner | ({"second": inner["first"]} if {"first", "second"} <= inner.keys() else {})
    if isinstance(value, list | tuple):
        if len(value) == 2 and all(isinstance(one, float | Decimal) for one in value):
            return [value[0], value[0]]
        return [_all_alike(inner) for inner in value]
    return value


def _all_first(value: Any, factor: int) -> Any:
    """The value with the first of each two figures that are compared so many times as large."""
    if isinstance(value, Mapping):
        inner = {name: _all_first(one, factor) for name, one in value.items()}
        pair = {"first", "second"} <= inner.keys() and not isinstance(inner["first"], Mapping)
        return inner | ({"first": inner["first"] * factor} if pair else {})
    if isinstance(value, list | tuple):
        return [_all_first(inner, factor) for inner in value]
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
        return [value * 3, value / 3, -value, type(value)(math.ceil(value))]
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
    if value in known or is_factory(value):
        return [other for other in dict.fromkeys([*named, *OTHERS]) if other != value]
    # Within an expression each name is swapped.
    return [
        re.sub(rf"\b{name}\b(?!\()", other, value)
        for name in named_networks(value)
        for other in OTHERS[:2]
        if name not in VARIANTS
    ]


def made_up_rows(claim: Claim) -> list[list[Row]]:
    """Rows of all that the claim may look at, with latencies, bytes and memory of several ratios to each other."""
    arguments = claim.arguments
    top, bottom = arguments.get("top"), arguments.get("bottom")
    if "precision" in arguments:
        backend = {"backend": arguments["backend"]} if "backend" in arguments else {}
        top = {"precision": "fp32"} | backend
        bottom = {"precision": arguments["precision"]} | backend
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
    # Others too, which one that is named may be swapped for.
    names = list(dict.fromkeys([*named_networks(arguments), *OTHERS]))
    # Where no network is named, any will do, of sizes in an order.
    sized = not named_networks(arguments)

    def rows(latency_ms: Callable[[int, float], float], first_run_ms: float = 20.0) -> list[Row]:
        return [
            _row(
                {"model": name, "alpha": str(alpha), "rho": rho, "repeat": str(repeat)}
                | {"first_run_ms": str(first_run_ms)}
                | ({"parameters": f"{10**place}", "macs": f"{10**place}"} if sized else {}),
                latency_ms(place, alpha * float(Fraction(rho))),
                1,
            )
            for place, name in enumerate(names)
            for alpha, rho in multipliers
            for repeat in (1, 2, 3)
        ]

    return [
        rows(lambda place, size: 10.0),
        rows(lambda place, size: 10.0, first_run_ms=5.0),
        rows(lambda place, size: 10.0 * size**2 * 9.0**-place),
        rows(lambda place, size: 10.0 * size**2 * 9.0**place),
    ]


def _row(cells: Mapping[str, str], latency_ms: float, ratio: float, top1: float = 0.9) -> Row:
    plain: dict[str, Any] = {
        "model": "lenet5",
        "backend": "onnxruntime",
        "precision": "fp32",
        "status": "ok",
        "top1": top1,
        "top1_low": top1 - 0.001,
        "top1_high": top1 + 0.001,
        "onnx_bytes": round(100_000 * ratio),
        "engine_bytes": round(100_000 * ratio),
        "host_delta_mib": 100 * ratio,
        "latency_p50_ms": latency_ms,
        "latency_mean_ms": latency_ms,
    }
    return row_of({**plain, **cells})


@dataclass(frozen=True)
class Mutant:
    """A claim with something changed under it.

    Attributes:
        by: the kind of change: "network", "graph", "row", "training" or "figure".
        change: in words.
        networks: by name, and how each is changed.
        fields: of the entry, that are others.
        rows: that are made up for it.
        around: what it is evaluated within.
    """

    by: str
    change: str
    networks: tuple[tuple[str, Change], ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[AnyRow, ...] = ()
    around: Callable[[Claim], AbstractContextManager[None]] | None = None

    def verdict(self, claim: Claim) -> Verdict:
        """Of the claim, changed so."""
        with contextlib.ExitStack() as stack:
            for name, change in self.networks:
                stack.enter_context(changed(name, change))
            if self.around is not None:
                stack.enter_context(self.around(claim))
            return evaluate_claim(dataclasses.replace(claim, **self.fields), self.rows)

    def beside(self, other: Mutant) -> Mutant | None:
        """Both changes at once; None where they change the same."""
        if self.by == other.by or (self.around and other.around):
            return None
        return Mutant(
            f"{self.by} and {other.by}",
            f"{self.change}, {other.change}",
            self.networks + other.networks,
            {**self.fields, **other.fields},
            self.rows + other.rows,
            self.around or other.around,
        )


def mutants(claim: Claim, before: Verdict) -> Iterator[Mutant]:
    """What can be changed, one at a time."""
    # First what moves such claims: networks that are trained are changed slowly.
    if "trained" in claim.kind:
        if makes_networks(claim):
            yield Mutant("network", "made without activations", around=made_linear)
        for level, turned in itertools.product(levels(claim), (False, True)):
            words = f"{'against what is stated' if turned else 'as stated'}, about {level:g}"
            around = partial(made_up_trainings, turned=turned, level=level)
            yield Mutant("training", words, around=around)
    for graphs in graph_changes(claim):
        yield Mutant("graph", graphs.__name__, around=graphs)
    for words, block in WRONG_BLOCKS.items() if makes_blocks(claim) else ():
        yield Mutant("network", words, around=partial(wrong_block, block=block))
    for name in looked_at(claim)[:MOST_NETWORKS]:
        for change in CHANGES:
            yield Mutant("network", f"{name} {change.__name__}", ((name, change),))
        for ratio in _ratios(claim, before.outcome.computed):
            scaled = partial(scaled_widths, ratio=ratio)
            words = f"{name} {ratio:.3g} times as wide"
            yield Mutant("network", words, ((name, scaled),))
    every = named_networks(claim.arguments)
    for change in CHANGES if 1 < len(every) <= MOST_NETWORKS else ():
        all_changed = tuple((name, change) for name in every)
        yield Mutant("network", f"all {change.__name__}", all_changed)
    if find_check(claim.check).takes_rows:
        for number, rows in enumerate(made_up_rows(claim)):
            usable: tuple[AnyRow, ...] = (*measured_rows(rows), *built_rows(rows))
            yield Mutant("row", f"rows {number}", rows=usable)
    figures = partial(_around, claim.stated)
    swapped = partial(_other_networks, every)
    for kind, leaf in (("network", swapped), ("figure", figures)):
        for number, arguments in enumerate(altered(dict(claim.arguments), leaf)):
            yield Mutant(kind, f"argument {number}", fields={"arguments": arguments})
    known = {one.name for one in architectures()}
    for name, value in claim.arguments.items():
        if isinstance(value, list | tuple) and len(value) > 1 and set(map(str, value)) <= known:
            # As if the names stood for each other's networks: for what is said of their order.
            turned_round = {**claim.arguments, name: [*reversed(value)]}
            yield Mutant("network", f"{name} in reverse order", fields={"arguments": turned_round})
            for one in value:
                alone = {**claim.arguments, name: [one]}
                yield Mutant("network", f"{one} alone", fields={"arguments": alone})
    if not isinstance(claim.stated, str):
        printed = _all_figures(dict(claim.arguments), Decimal(repr(float(claim.stated))))
        yield Mutant("figure", "all printed as stated", fields={"arguments": printed})
    alike = _stated_as_found(dict(claim.arguments), before.outcome.evidence)
    yield Mutant("figure", "all stated as found", fields={"arguments": alike})
    compared = _all_alike(dict(claim.arguments))
    yield Mutant("figure", "all compared made alike", fields={"arguments": compared})
    tripled = _all_first(dict(claim.arguments), 3)
    yield Mutant("figure", "all first of two made three times", fields={"arguments": tripled})
    turned = _all_turned(dict(claim.arguments))
    yield Mutant("figure", "all turned round", fields={"arguments": turned})
    for stated in _other_stated(claim, before.outcome.computed):
        yield Mutant("figure", f"stated {stated:g}", fields={"stated": stated})


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


def _held(claim: Claim, mutant: Mutant) -> Verdict | None:
    """The verdict of a mutant; None of one that proves nothing.

    A network may not be changeable so, and a check may not be applicable to what came out.
    """
    try:
        verdict = mutant.verdict(claim)
    except (DeploykitError, RuntimeError, AssertionError):
        return None
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError, StopIteration):
        return None
    return verdict if verdict.error is None else None


def move(claim: Claim) -> Moved | None:
    """The first change by which the verdict moves, else one by which a part does, else None.

    Where rows or trainings decide, the first under which it is decided are what others are held against; a claim
    that print leaves open moves where it is decided. One that several things hold up may take two changes: those
    that moved a part are tried by two.
    """
    before = evaluate_claim(claim)
    waits = bool({"measured", "trained"} & set(claim.kind.split("+")))
    moving: list[Mutant] = []
    end_s = time.process_time() + LIMIT_S

    def verdict_moves(mutant: Mutant) -> bool:
        nonlocal before
        after = _held(claim, mutant)
        if after is None:
            return False
        if before.verdict == "undecided" and waits:
            before = after if mutant.by in ("row", "training") else before
        elif after.verdict not in (before.verdict, "undecided"):
            return True
        common = after.holds.keys() & before.holds.keys()
        if any(after.holds[name] != before.holds[name] for name in common):
            moving.append(mutant)
        return False

    for mutant in mutants(claim, before):
        if time.process_time() > end_s:
            break
        if verdict_moves(mutant):
            return Moved("verdict", mutant.by, mutant.change)
    single = list(moving)
    end_s += LIMIT_S
    for one, other in itertools.combinations(single, 2):
        both = one.beside(other)
        if time.process_time() > end_s:
            break
        if both is not None and verdict_moves(both):
            return Moved("verdict", both.by, both.change)
    return Moved("part", single[0].by, single[0].change) if single else None
