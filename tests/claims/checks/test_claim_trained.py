"""Claims that training decides: undecided without leave, and where the interval over seeds reaches 0."""

from __future__ import annotations

import pytest

from deploykit.claims import effort, evaluate_claims, list_claims, proxies
from deploykit.claims.checks import trained
from deploykit.claims.checks.trained import Contest
from deploykit.claims.proxies import Proxy
from deploykit.claims.verdict import Outcome, PartResult, Verdict

QUICK = Proxy(kind="linear", layers=1, width=16, images=100, epochs=3)
UNTRAINED = Proxy(kind="linear", layers=1, width=16, images=100, epochs=1, rate=1e-6)


def test_nothing_is_trained_without_leave():
    ids = [
        claim.id
        for claim in list_claims()
        if claim.check in ("proxies_differ", "ensemble_helps", "rounding_loses")
    ]
    assert len(ids) >= 9
    for verdict in evaluate_claims(ids):
        assert verdict.verdict == "undecided"
        assert verdict.as_expected
        assert verdict.settled_by == f"deploykit claims {verdict.claim.id} --train"
        assert "Not trained" in verdict.outcome.explanation


def test_what_training_left_open_is_not_said_to_be_settled_by_training():
    """It said 'To settle it: --train' of what had just been trained for."""
    (claim,) = (one for one in list_claims() if one.id == "lrn-helps-alexnet")
    parts = [PartResult("four convolutions", None)]
    assert Verdict(claim, Outcome(parts, None, "Not trained."), 0.0).settled_by.endswith("--train")
    assert Verdict(claim, Outcome(parts, -0.08, "Trained."), 0.0).settled_by == ""


def holds(metric, first, second, relation, seeds=3):
    with effort.training(allowed=True):
        contest = Contest(first, second, relation)
        outcome = trained.proxies_differ(metric, {"contest": contest}, seeds)
    assert "proxy" in outcome.explanation
    return outcome.parts[0].holds


def test_a_clear_difference_decides_either_way():
    assert holds("accuracy", QUICK, UNTRAINED, "more") is True
    assert holds("accuracy", QUICK, UNTRAINED, "less") is False
    assert holds("train_loss", QUICK, UNTRAINED, "less") is True


def test_a_difference_within_the_seeds_decides_nothing():
    assert holds("accuracy", QUICK, QUICK, "more") is None


def test_an_ensemble_is_held_against_its_best_member():
    with effort.training(allowed=True):
        outcome = trained.ensemble_helps(QUICK, 2, 3)
    gains = [float(gain) for gain in str(outcome.evidence["gains"]).split()]
    assert len(gains) == 3
    low, mean, high = trained.interval(gains)
    assert outcome.computed == pytest.approx(mean)
    assert outcome.parts[0].holds is (None if low <= 0 <= high else low > 0)


def test_a_seed_gives_the_same_network_every_time():
    first = proxies.trained(QUICK, 7)
    proxies.trained.cache_clear()
    again = proxies.trained(QUICK, 7)
    assert (first.train_loss, first.accuracy) == (again.train_loss, again.accuracy)
    assert proxies.trained(QUICK, 8).train_loss != first.train_loss


@pytest.mark.parametrize(
    "proxy",
    [
        Proxy(layers=3, norm=True, shortcuts=True, head="average", epochs=1, images=40),
        Proxy(layers=1, kernel=5, local_norm=True, epochs=1, images=40, smoothing=0.1),
        Proxy(kind="linear", layers=2, dropout=0.5, activation="sigmoid", epochs=1, images=40),
    ],
)
def test_every_kind_of_proxy_trains(proxy):
    result = proxies.trained(proxy, 0)
    assert 0 <= result.accuracy <= 1
    assert result.overconfidence == pytest.approx(result.confidence - result.accuracy)
    assert result.gap == pytest.approx(result.train_accuracy - result.accuracy)


def test_the_interval_is_students():
    low, mean, high = trained.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert high - mean == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert mean - low == pytest.approx(high - mean)
