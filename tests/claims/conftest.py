from __future__ import annotations

import dataclasses

import pytest

from deploykit.claims import evaluate_claim, list_claims


@pytest.fixture(scope="session")
def verdict_of():
    """Evaluate a stored claim, with some of its arguments or its own fields changed."""
    claims = {claim.id: claim for claim in list_claims()}

    def evaluate(name, rows=(), fields=None, **arguments):
        claim = claims[name]
        arguments = {**claim.arguments, **arguments}
        return evaluate_claim(
            dataclasses.replace(claim, arguments=arguments, **(fields or {})), rows
        )

    return evaluate
