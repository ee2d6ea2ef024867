"""Claims that an expression over networks decides: figures that are stated, and relations between quantities.

A counted claim is an entry of TOML and no code: see `deploykit.claims.expression` for what can be asked.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import statistics
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Self

import msgspec

from deploykit.claims.check import check
from deploykit.claims.checks.costs import PrintedPair
from deploykit.claims.expression import Expression, parsed
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, PartResult, Value, deviation, figure, listed, percent
from deploykit.errors import UnknownName, UsageError
from deploykit.zoo import architectures


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quantity and the figure that is stated for it.

    Attributes:
        of: what is counted; of a sequence each member is held against the figure.
        stated: the figure, written with the digits that were stated; None is the claim's own.
        name: what it is in the statement; empty where the expression says so.
        hedge: the word that loosens this figure, where it is another one than the claim's.
        under: the reading or condition that it is looked at under, where several figures share one.

    Raises:
        UsageError: there is no such hedge.
    """

    of: Expression
    stated: Stated | None = None
    name: str = ""
    hedge: str | None = None
    under: str = ""

    def __post_init__(self) -> None:
        Margin(self.hedge or "")


@check
def counted(stated: Stated, margin: Margin, of: Expression) -> Outcome:
    """Whether an expression comes to the claim's stated figure.

    Raises:
        UsageError: it comes to several, one for each layer.
    """
    if isinstance(of.value, tuple):
        raise UsageError(
            f"{of} has a value for each layer: take one of them, as by sum, or the check 'figures'"
        )
    return figures(margin, (Figure(of),), stated)


@check
def figures(
    margin: Margin,
    figures: tuple[Figure, ...],
    stated: Any = "",
    printed: tuple[PrintedPair, ...] = (),
    where: str = "",
    conditions: Mapping[str, tuple[str, ...]] | None = None,
) -> Outcome:
    """Whether each of several expressions comes to the figure that is stated for it.

    Args:
        margin: how far others may be off.
        figures: those that have no figure of their own are held against the claim's.
        stated: the claim's; text where it gives several.
        printed: pairs of figures that were printed in `where`, which the statement needs too.
        where: see there.
        conditions: as in `relations`.

    Raises:
        UsageError: a figure has none of its own, and the claim's is no number.
        UnknownName: a condition names a part that there is not.
    """
    names = [each.name or str(each.of) for each in figures]
    under = _conditions(conditions, [*names, *(pair.what for pair in printed)])
    parts, evidence, sentences = [], dict[str, Value](), []
    for each, name in zip(figures, names, strict=True):
        found = each.of.value
        figure_stated = stated if each.stated is None else each.stated
        if not isinstance(figure_stated, Stated):
            raise UsageError(f"{name}: give it a figure as 'stated', or the claim a number")
        allowed = margin if each.hedge is None else Margin(each.hedge)
        members = found if isinstance(found, tuple) else (found,)
        agrees = bool(members) and all(allowed.agrees(one, figure_stated) for one in members)
        parts.append(PartResult(name, agrees, each.under or under.get(name, "")))
        evidence[str(each.of)] = rounded(found)
        sentences.append(
            f"{name} is {_text(found, figure_stated)}, {_beside(found, figure_stated, allowed)}"
        )
    # Found is what the claim's own figure is of, where it has one.
    own = [each.of.value for each in figures if each.stated is None]
    own = own or [each.of.value for each in figures]
    computed = _alike(own[0]) if len(own) == 1 else ", ".join(_text(rounded(v)) for v in own)
    beside, printed_evidence, said = _printed(printed, where, under)
    explanation = f"Counted: {'; '.join(sentences)}.{said}"
    return Outcome([*parts, *beside], computed, explanation, evidence | printed_evidence)


def _conditions(
    conditions: Mapping[str, tuple[str, ...]] | None, known: Collection[str]
) -> dict[str, str]:
    """The condition of each part that has one, by the part's name; each must be among the `known` parts."""
    under: dict[str, str] = {}
    for name, own in (conditions or {}).items():
        for part in own:
            if part not in known:
                raise UnknownName("part", part, known)
            if under.setdefault(part, name) != name:
                raise UsageError(
                    f"{part!r} stands under {under[part]!r} and {name!r}: a part has one condition"
                )
    return under


def _printed(
    pairs: tuple[PrintedPair, ...], where: str, under: Mapping[str, str]
) -> tuple[list[PartResult], dict[str, Value], str]:
    """The parts that rest on printed pairs, their numbers, and the sentence that says where they stand."""
    parts = [PartResult(p.what, p.holds, under.get(p.what, ""), printed=True) for p in pairs]
    evidence: dict[str, Value] = {}
    for pair in pairs:
        evidence |= pair.evidence
    return parts, evidence, f" Printed: {listed(map(str, pairs))} ({where})." if pairs else ""


def _alike(value: Any) -> Any:
    """A number, of a sequence the one that all of its members are; else the sequence as text."""
    if not isinstance(value, tuple):
        return value
    return value[0] if len(set(value)) == 1 else rounded(value)


def _beside(found: Any, stated: Stated, margin: Margin) -> str:
    """What is stated of a value, and how far off that is."""
    said = f"stated {margin.before(figure(stated))}"
    if margin.is_bound or isinstance(found, tuple):
        return said
    off = deviation(found, stated)
    far = "" if off is None or abs(off) < 5e-4 else f" ({percent(off, signed=True)})"
    cut = not margin.agrees(found, stated) and stated < found < stated + 2 * stated.allows
    return f"{said}{far}{'; cut off and not rounded it would agree' if cut and not margin.hedge else ''}"


_RELATIONS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}


class Relation:
    """Two expressions and how they should compare, written as "macs(vgg16) > macs(alexnet)".

    Of sequences equality means member by member, and every other relation holds if it holds of all members; a
    number is held against each member.

    Raises:
        UsageError: the text is no comparison of two expressions.
    """

    def __init__(self, text: str) -> None:
        match parsed(text, "comparison"):
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _RELATIONS:
                self.left, self.right = (Expression(ast.unparse(side)) for side in (left, right))
                self.sign, self._compare = _RELATIONS[type(op)]
            case _:
                raise UsageError(f"{text!r} is no comparison of two expressions, such as 'a > b'")
        self.text = text

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a comparison; nothing is counted."""
        return cls(text)

    @property
    def holds(self) -> bool:
        """Whether it is so, counted now."""
        left, right = self.left.value, self.right.value
        if isinstance(left, tuple) and isinstance(right, tuple):
            if len(left) != len(right):
                return self.sign == "!="
            if self.sign == "!=":
                return any(map(self._meets, left, right))
            return bool(left) and all(map(self._meets, left, right))
        members = left if isinstance(left, tuple) else (left,)
        others = right if isinstance(right, tuple) else (right,)
        pairs = [(mine, other) for mine in members for other in others]
        return bool(pairs) and all(self._meets(*pair) for pair in pairs)

    def _meets(self, left: Any, right: Any) -> bool:
        both = (left, right)
        is_counted = all(isinstance(one, int) for one in both)  # and therefore exact
        is_number = all(isinstance(one, int | float) for one in both)
        if is_number and not is_counted and math.isclose(left, right, rel_tol=1e-9):
            return self.sign in ("==", "<=", ">=")
        return self._compare(left, right)


@check
def relations(
    relations: Mapping[str, Relation],
    printed: tuple[PrintedPair, ...] = (),
    where: str = "",
    conditions: Mapping[str, tuple[str, ...]] | None = None,
) -> Outcome:
    """Whether each relation, by what it stands for in the statement, is so.

    Beside what is counted, `printed` are pairs of figures that were printed in `where`, which the statement
    needs too. `conditions` are those that the statement is looked at under, each with the parts that must hold
    together there; the other parts stand by themselves.

    Raises:
        UnknownName: a condition names a part that there is not.
    """
    under = _conditions(conditions, [*relations, *(pair.what for pair in printed)])
    parts = [
        PartResult(name, relation.holds, under.get(name, ""))
        for name, relation in relations.items()
    ]
    evidence: dict[str, Value] = {}
    for relation in relations.values():
        for side in (relation.left, relation.right):
            if side.networks:
                evidence[str(side)] = rounded(side.value)
    counted_said = listed(f"{what} is {_text(value)}" for what, value in evidence.items())
    beside, printed_evidence, said = _printed(printed, where, under)
    parts += beside
    evidence |= printed_evidence
    explanation = f"Counted: {counted_said}.{said}"
    held = sum(bool(part.holds) for part in parts)
    return Outcome(parts, f"{held} of {len(parts)} hold", explanation, evidence)


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A network, and an accuracy that was printed for it, in per cent."""

    network: Network
    accuracy: float


@check
def log_linear(stated: Stated, margin: Margin, points: tuple[Point, ...], where: str) -> Outcome:
    """Share of the variance of accuracies, printed in `where`, that the logarithm of the MACs explains."""
    work = [math.log(point.network.macs) for point in points]
    accuracies = [point.accuracy for point in points]
    explained = statistics.correlation(work, accuracies) ** 2
    slope, _ = statistics.linear_regression(work, accuracies)
    evidence: dict[str, Value] = {p.network.name: p.accuracy for p in points}
    explanation = (
        f"Over {len(points)} networks the logarithm of the MACs explains {percent(explained)} of the variance "
        "of the "
        f"accuracy; twice the MACs go with {slope * math.log(2):.1f} points more (accuracies: {where})."
    )
    part = PartResult("log-linear", margin.agrees(explained, stated), printed=True)
    return Outcome([part], explained, explanation, evidence)


@check
def family_is_largest(family: str, quantity: Literal["parameters", "macs"]) -> Outcome:
    """Whether the network of the catalogue with most of `quantity` is of `family`.

    Raises:
        UnknownName: there is no such family.
    """
    known = dict.fromkeys(each.family for each in architectures())
    if family not in known:
        raise UnknownName("family", family, known)
    # Counted are those that have most by the catalogue, which is held against counts by tests.
    facts = sorted(architectures(), key=lambda each: getattr(each, quantity), reverse=True)
    families = list(dict.fromkeys(each.family for each in facts))[:3]
    networks = [Network.named(next(e.name for e in facts if e.family == f)) for f in families]
    counts = {n.name: n.parameters if quantity == "parameters" else n.macs for n in networks}
    ranked = sorted(networks, key=lambda n: counts[n.name], reverse=True)
    largest, other = ranked[0], next(n for n in ranked if n.facts.family != ranked[0].facts.family)
    evidence: dict[str, Value] = {f"{quantity}({n.name})": counts[n.name] for n in ranked}
    explanation = (
        f"Of {len(facts)} networks {largest.name} has most {quantity}, {figure(counts[largest.name])}; the "
        "first of "
        f"another family is {other.name} with {figure(counts[other.name])}."
    )
    part = PartResult(f"largest is of {family}", largest.facts.family == family)
    return Outcome([part], largest.facts.family, explanation, evidence)


def rounded(value: Any) -> Value:
    """A value as evidence holds it: six significant digits of a fraction; sequences as text, repeats counted."""
    if isinstance(value, tuple):
        runs = [(one, len(list(members))) for one, members in itertools.groupby(value)]
        return ", ".join(
            f"{_text(one)} ({count} times)" if count > 2 else ", ".join([_text(one)] * count)
            for one, count in runs
        )
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value if isinstance(value, str) else int(value)


def _text(value: Any, beside: Value = 0) -> str:
    return figure(rounded(value) if isinstance(value, tuple) else value, beside)
