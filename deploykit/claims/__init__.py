"""Claims about networks, checked by computing: confirmed, refuted, partly or undecided.

`claims.toml` holds what people say, `checks` how each is decided; no verdict is stored. Importing this
package and listing the claims needs the standard library only.
"""

from __future__ import annotations

from deploykit.claims.checking import check_claim, check_claims, failure
from deploykit.claims.claim import VERDICTS, Claim, list_claims, parse_claims
from deploykit.claims.verdict import Finding, Verdict

__all__ = [
    "VERDICTS",
    "Claim",
    "Finding",
    "Verdict",
    "check_claim",
    "check_claims",
    "failure",
    "list_claims",
    "parse_claims",
]
