from __future__ import annotations

import dataclasses
import sys

import pytest

from deploykit.claims import Finding, check_claim, check_claims, failure, list_claims
from deploykit.errors import UnknownName


@pytest.fixture(scope="module")
def verdicts():
    return check_claims()


def test_every_claim_comes_out_as_expected_without_measured_rows(verdicts):
    assert [v.id for v in verdicts] == [c.id for c in list_claims()]
    assert failure(verdicts) is None, [(v.id, v.verdict, v.explanation) for v in verdicts]


def test_every_verdict_is_explained_by_numbers(verdicts):
    for v in verdicts:
        assert v.explanation.endswith((".", ")"))
        assert v.evidence
        assert v.seconds > 0


def test_claims_come_in_the_order_asked_for_and_once():
    found = check_claims(["two-3x3-one-5x5", "vgg-140m", "two-3x3-one-5x5"])
    assert [v.id for v in found] == ["two-3x3-one-5x5", "vgg-140m"]


def test_an_unknown_claim_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="unknown claim 'vgg-140': did you mean vgg-140m"):
        check_claims(["vgg-140"])


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [
        ({"a": True, "b": True}, "confirmed"),
        ({"a": True, "b": None}, "confirmed"),
        ({"a": False, "b": None}, "refuted"),
        ({"a": True, "b": False}, "partly"),
        ({"a": None}, "undecided"),
        ({}, "undecided"),
    ],
)
def test_the_verdict_follows_from_the_parts(holds, verdict):
    assert Finding(holds, None, "").verdict == verdict


def test_a_surprising_verdict_fails_the_check_and_is_named():
    claim = next(c for c in list_claims() if c.id == "vgg-140m")
    surprise = check_claim(dataclasses.replace(claim, stated=100_000_000))
    assert surprise.verdict == "refuted"
    error = failure([surprise])
    assert error is not None
    assert error.exit_code == 1
    assert "vgg-140m is refuted, not confirmed" in str(error)


def test_without_torch_a_claim_is_undecided_and_says_what_to_install(monkeypatch):
    from deploykit.claims import networks
    from deploykit.claims.checks import parameters

    monkeypatch.setattr(parameters, "counts", networks.counts.__wrapped__)
    monkeypatch.setitem(sys.modules, "torch", None)
    found = check_claims(["vgg-140m", "two-3x3-one-5x5"])
    assert [v.verdict for v in found] == ["undecided", "undecided"]
    for v in found:
        assert 'pip install "deploykit[export]"' in v.missing
        assert v.found is None
        assert not v.as_expected
    error = failure(found)
    assert error is not None
    assert error.exit_code == 3
