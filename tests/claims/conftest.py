from __future__ import annotations

import dataclasses

import pytest

from deploykit.claims import check_claim, list_claims


@pytest.fixture(scope="session")
def verdict_of():
    """Check a stored claim, with some of its parameters or its own fields changed."""
    claims = {claim.id: claim for claim in list_claims()}

    def check(name, rows=(), fields=None, **parameters):
        claim = claims[name]
        claim = dataclasses.replace(
            claim, parameters={**claim.parameters, **parameters}, **(fields or {})
        )
        return check_claim(claim, rows)

    return check
