"""Claims about networks, evaluated by computing: confirmed, refuted, partly or undecided.

`claims.toml` holds what people say and by which check, with which arguments, it is decided; `checks` holds the
checks. No verdict is stored. Importing this package and listing the claims imports neither torch, onnx nor numpy.
"""

from __future__ import annotations

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
