from __future__ import annotations

import dataclasses
import sys

import pytest

from deploykit.claims import (
    Outcome,
    PartResult,
    evaluate_claim,
    evaluate_claims,
    failure,
    list_claims,
    networks,
    read_claims,
)
from deploykit.errors import UnknownName
from deploykit.lazy import install_line


@pytest.fixture(scope="module")
def verdicts():
    return evaluate_claims()


def test_every_claim_comes_out_as_expected_without_measured_rows(verdicts):
    assert [v.claim.id for v in verdicts] == [c.id for c in list_claims()]
    assert failure(verdicts) is None, [
        (v.claim.id, v.verdict, v.outcome.explanation) for v in verdicts
    ]


def test_every_verdict_is_explained_by_numbers(verdicts):
    for v in verdicts:
        assert v.outcome.explanation.endswith((".", ")"))
        assert v.outcome.evidence
        assert v.seconds > 0


def test_claims_come_in_the_order_asked_for_and_once():
    verdicts = evaluate_claims(["two-3x3-one-5x5", "vgg-140m", "two-3x3-one-5x5"])
    assert [v.claim.id for v in verdicts] == ["two-3x3-one-5x5", "vgg-140m"]


def test_an_unknown_claim_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="unknown claim 'vgg-140': did you mean vgg-140m"):
        evaluate_claims(["vgg-140"])


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
    parts = [PartResult(name, held) for name, held in holds.items()]
    assert Outcome(parts, None, "").verdict == verdict


def test_a_surprising_verdict_fails_the_check_and_is_named():
    claim = next(c for c in list_claims() if c.id == "vgg-140m")
    surprise = evaluate_claim(dataclasses.replace(claim, stated=100_000_000))
    assert surprise.verdict == "refuted"
    error = failure([surprise])
    assert error is not None
    assert error.exit_code == 1
    assert "vgg-140m is refuted, not confirmed" in str(error)


def test_without_torch_a_claim_is_undecided_and_says_what_to_install(monkeypatch):
    for cached in ("_counts", "_module"):
        monkeypatch.setattr(networks, cached, getattr(networks, cached).__wrapped__)
    monkeypatch.setitem(sys.modules, "torch", None)
    verdicts = evaluate_claims(["vgg-140m", "two-3x3-one-5x5"])
    assert [v.verdict for v in verdicts] == ["undecided", "undecided"]
    for v in verdicts:
        assert install_line("export") in v.missing
        assert v.outcome.computed is None
        assert not v.as_expected
    error = failure(verdicts)
    assert error is not None
    assert error.exit_code == 3


NEW = """
[[claim]]
id = "mobilenet-half-macs"
statement = "MobileNet at half its width takes 149 million multiply-adds"
source = "Howard et al. 2017 (arXiv 1704.04861), table 6"
about = "macs(mobilenet-a0.5)"
kind = "static"
stated = 149_000_000
unit = "MACs"
check = "count"
arguments = { network = { name = "mobilenet", alpha = 0.5 }, quantity = "macs" }
tolerance = 0.01
tolerance_reason = "three digits are stated"
expected = "confirmed"
"""


def test_a_counted_claim_is_one_entry_of_a_file(tmp_path):
    path = tmp_path / "claims.toml"
    path.write_text(NEW)
    (verdict,) = evaluate_claims(["mobilenet-half-macs"], claims=read_claims(path))
    assert verdict.verdict == "confirmed"
    assert verdict.holds == {"macs(mobilenet-a0.5)": True}
    assert verdict.outcome.computed == verdict.outcome.evidence["macs(mobilenet-a0.5)"]
    assert verdict.deviation == pytest.approx(0, abs=0.005)
    assert "mobilenet-a0.5 has 149," in verdict.outcome.explanation
    assert failure([verdict]) is None

    path.write_text(NEW.replace("149_000_000", "160_000_000"))
    (wrong,) = evaluate_claims(claims=read_claims(path))
    assert wrong.verdict == "refuted"
    error = failure([wrong])
    assert error is not None
    assert "mobilenet-half-macs is refuted" in str(error)
    with pytest.raises(UnknownName, match="did you mean mobilenet-half-macs"):
        evaluate_claims(["mobilenet-half"], claims=read_claims(path))


def test_a_ratio_of_macs_is_an_entry_too(verdict_of):
    verdict = verdict_of(
        "squeezenet-params-50x",
        fields={"stated": 0.25},
        quantity="macs",
        top="vgg16",
        bottom="vgg19",
    )
    assert verdict.outcome.evidence["vgg16/vgg19"] == pytest.approx(15.47 / 19.63, abs=1e-3)
    assert "MB" not in verdict.outcome.explanation


def test_a_changed_network_can_be_given_in_place_of_a_name(verdict_of):
    class Pruned(networks.Network):
        parameters = 100_000_000

    pruned = Pruned(networks.Network.named("vgg16").spec)
    assert verdict_of("vgg-140m", network=pruned).verdict == "refuted"
