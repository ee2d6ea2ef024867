"""Claims about networks, evaluated by computing: confirmed, refuted, partly or undecided.

`claims.toml` holds what people say and by which check, with which arguments, it is decided; `checks` holds the
checks. No verdict is stored. Importing this package and listing the claims imports neither torch, onnx nor numpy;
importing it imports none of the checks either, which come with the first of its names that is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploykit.claims.claim import VERDICTS, Claim, list_claims, parse_claims, read_claims
    from deploykit.claims.evaluate import evaluate_claim, evaluate_claims, failure
    from deploykit.claims.verdict import Outcome, PartResult, Verdict

__all__ = [
    "VERDICTS",
    "Claim",
    "Outcome",
    "PartResult",
    "Verdict",
    "evaluate_claim",
    "evaluate_claims",
    "failure",
    "list_claims",
    "parse_claims",
    "read_claims",
]

_PLACES = {
    **dict.fromkeys(("VERDICTS", "Claim", "list_claims", "parse_claims", "read_claims"), "claim"),
    **dict.fromkeys(("evaluate_claim", "evaluate_claims", "failure"), "evaluate"),
    **dict.fromkeys(("Outcome", "PartResult", "Verdict"), "verdict"),
}


def __getattr__(name: str) -> object:
    """Find a name where it is defined, when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
