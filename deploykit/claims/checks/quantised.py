"""Claims about ways of rounding to 8 bits, tried on trained weights and real images; see `claims.quantising`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from deploykit.claims.check import check
from deploykit.claims.checks.costs import PrintedPair
from deploykit.claims.checks.trained import not_trained
from deploykit.claims.effort import may_train
from deploykit.claims.networks import Network
from deploykit.claims.quantising import Rounding, right
from deploykit.claims.verdict import Outcome, PartResult, Value, listed, percent

#: A normal variable stays within so many deviations with 95%.
_REACH = 1.96


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much accuracy one way of rounding loses against another, or against none, by what is stated.

    Attributes:
        of: the way of rounding.
        against: the other one; None is float32.
        over: share of the images that it loses at least.
        under: share that it loses at most. One of the two is given.
    """

    of: Rounding
    against: Rounding | None = None
    over: float | None = None
    under: float | None = None


@check
def rounding_loses(
    network: Network,
    dataset: str,
    losses: Mapping[str, Loss],
    images: int,
    printed: tuple[PrintedPair, ...] = (),
    where: str = "",
) -> Outcome:
    """Whether ways of rounding lose as much accuracy as stated, on test images, with the shipped weights.

    A part is undecided where the 95% interval of the loss, by image, reaches the stated bound. What was `printed`
    in `where`, of other weights and images, is a reading of its own.
    """
    beside = [PartResult(pair.what, pair.holds, "as printed", printed=True) for pair in printed]
    if not may_train():
        outcome = not_trained(list(losses), f"--train has {len(losses)} ways of rounding tried")
        return replace(outcome, parts=[*outcome.parts, *beside])
    parts, evidence, sentences = [], dict[str, Value](), []
    found: list[float] = []
    for name, loss in losses.items():
        after, before = (right(network, dataset, way, images) for way in (loss.of, loss.against))
        lost = before.double() - after.double()
        mean = float(lost.mean())
        reach = _REACH * float(lost.std()) / math.sqrt(len(lost))
        bound = loss.under if loss.over is None else loss.over
        if bound is None or (loss.over is None) == (loss.under is None):
            raise ValueError(f"{name}: give one of over and under")
        sure = mean - reach > bound or mean + reach < bound
        so = mean > bound if loss.over is not None else mean < bound
        parts.append(PartResult(name, so if sure else None, f"as tried on {dataset}"))
        evidence[f"lost({name})"] = round(mean, 4)
        found.append(mean)
        sentences.append(
            f"{name}, {percent(mean, signed=True)} +- {percent(reach)} where "
            f"{'over' if loss.over is not None else 'under'} {percent(bound)} is stated"
        )
    exact = float(right(network, dataset, None, images).double().mean())
    evidence[f"top1({network.name}, fp32)"] = round(exact, 4)
    explanation = (
        f"Of {images} test images of {dataset} {network.name} gets {percent(exact)} right in float32. Lost by "
        f"rounding, simulated: {listed(sentences)}."
    )
    for pair in printed:
        evidence |= pair.evidence
    if printed:
        explanation += f" Printed: {listed(map(str, printed))} ({where})."
    return Outcome([*parts, *beside], found[0], explanation, evidence)
