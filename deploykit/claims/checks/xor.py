"""Exclusive-or: what one threshold unit can't do and a hidden layer of two can."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import TYPE_CHECKING

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.spec import ModelSpec
from deploykit.zoo import create, lookup

if TYPE_CHECKING:
    import torch

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
_STEPS = 200


@check
def solves_xor(claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str, seeds: int) -> Finding:
    """Train `model` on the four cases from several seeds; it solves XOR if one of them gets all four right.

    Beside it, the best that a single threshold unit can do, by trying every one that differs.
    """
    create(ModelSpec(model), device="meta")  # says what to install where torch is missing
    right = [_trained(model, seed) for seed in range(seeds)]
    solved = sum(number == len(_CORNERS) for number in right)
    single = best_threshold_unit()
    best = max(right) / len(_CORNERS)
    evidence: dict[str, Value] = {
        "parameters": lookup(model).parameters,
        "seeds": seeds,
        "seeds_solved": solved,
        "right_of_4_by_seed": " ".join(map(str, right)),
        "right_of_4(single unit, best)": single,
    }
    explanation = (
        f"Trained from {seeds} seeds, {model} gets all four cases right in {solved}; the others got "
        f"stuck. A single threshold unit gets {single} of 4 at best."
        if solved < seeds
        else f"Trained from {seeds} seeds, {model} gets all four cases right in every one; a single threshold "
        f"unit gets {single} of 4 at best."
    )
    return Finding({"XOR learnt": solved > 0}, best, explanation, evidence)


def best_threshold_unit() -> int:
    """Most cases of XOR that w1*a + w2*b > t gets right, over all units.

    Weights of -1, 0, 1 and thresholds between the integers give each of the 14 functions of two bits that
    such a unit can compute.
    """
    units = product((-1, 0, 1), (-1, 0, 1), (-1.5, -0.5, 0.5, 1.5))
    return max(sum((w1 * a + w2 * b > t) == (a != b) for a, b in _CORNERS) for w1, w2, t in units)


def _trained(model: str, seed: int) -> int:
    """Cases that come out right after training from one seed."""
    import torch
    from torch import nn

    network = create(ModelSpec(model, seed=seed)).train()
    cases = torch.tensor(_CORNERS, dtype=torch.float32).reshape(4, *lookup(model).input_shape)
    wanted = torch.tensor([[float(a != b)] for a, b in _CORNERS])
    optimiser = torch.optim.LBFGS(
        network.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe"
    )
    loss_of = nn.BCEWithLogitsLoss()

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss: torch.Tensor = loss_of(network(cases), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return int(((network(cases) > 0) == (wanted > 0.5)).sum())
