"""LeNet-5's layers, as it is built today and as it was in 1998."""

from __future__ import annotations

from collections.abc import Iterable

from deploykit.claims.claim import Claim
from deploykit.claims.measured import MeasuredRow
from deploykit.claims.networks import layers
from deploykit.claims.registry import check
from deploykit.claims.verdict import Finding, Value
from deploykit.claims.wording import figure, listed

_FILTER = 5 * 5


def trained_in_1998() -> dict[str, int]:
    """Trained parameters of each layer of 1998, from the geometry of LeCun et al., section II.B.

    Averaging had a coefficient and a bias per map. The 16 maps of C3 saw 3, 4 or all 6 of S2's (table I: 6, 9
    and 1 of them). The output units compared with codes drawn by hand, which were not trained.

    >>> sum(trained_in_1998().values())
    60000
    """
    return {
        "C1": 6 * (_FILTER + 1),
        "S2": 6 * 2,
        "C3": (6 * 3 + 9 * 4 + 1 * 6) * _FILTER + 16,
        "S4": 16 * 2,
        "C5": 120 * (16 * _FILTER + 1),
        "F6": 84 * (120 + 1),
        "output": 0,
    }


@check
def layers_with_parameters(claim: Claim, rows: Iterable[MeasuredRow], /, *, model: str) -> Finding:
    """Whether LeNet-5 has the stated number of layers, each with trained parameters, then and now."""
    today = [layer for layer in layers(model) if layer.kind in ("conv", "pool", "linear")]
    trained = [layer for layer in today if layer.parameters]
    original = trained_in_1998()
    trained_then = [name for name, parameters in original.items() if parameters]
    evidence: dict[str, Value] = {f"{model}.{n.name}({n.kind})": n.parameters for n in today}
    evidence |= {f"1998.{name}": parameters for name, parameters in original.items()}
    holds = {
        f"{claim.stated} layers": len(today) == len(original) == claim.stated,
        "each trained, 1998": len(trained_then) == len(original),
        "each trained, today": len(trained) == len(today),
    }
    bare = sorted({layer.kind for layer in today if not layer.parameters})
    explanation = (
        f"{model} has {len(today)} layers, {len(trained)} of them with parameters"
        f"{f' (none in: {listed(bare)})' if bare else ''}. In 1998 averaging was trained as well, which makes "
        f"{len(trained_then)} of {len(original)} and {figure(sum(original.values()))} parameters; the output "
        "units compared with codes set by hand."
    )
    return Finding(dict(holds), len(today), explanation, evidence)
