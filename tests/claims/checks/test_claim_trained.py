"""Claims that training decides: undecided without leave, and where the interval over seeds reaches 0."""

from __future__ import annotations

import pytest
import torch
from msgspec.structs import replace

from deploykit.claims import effort, evaluate_claim, evaluate_claims, kept, list_claims, surfaces
from deploykit.claims.check import find_check, typed
from deploykit.claims.checks import trained
from deploykit.claims.checks.trained import Contest
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.proxies import Proxy, _learned, make, part_of, train
from deploykit.claims.verdict import Outcome, PartResult, Verdict
from deploykit.store import Store
from deploykit.zoo import count_module

QUICK = Proxy(kind="linear", layers=1, width=16, images=100, epochs=3)
UNTRAINED = Proxy(kind="linear", layers=1, width=16, images=100, epochs=1, rate=1e-6)


def test_nothing_is_trained_without_leave():
    ids = [
        claim.id
        for claim in list_claims()
        if claim.kind.startswith("trained") and claim.arguments.get("network") != "mlp_xor"
    ]
    assert len(ids) >= 25
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
    first, again = train(QUICK, 7), train(QUICK, 7)
    assert (first.train_loss, first.accuracy) == (again.train_loss, again.accuracy)
    assert train(QUICK, 8).train_loss != first.train_loss


@pytest.mark.parametrize(
    "proxy",
    [
        Proxy(layers=3, norm=True, shortcuts=True, head="average", epochs=1, images=40),
        Proxy(layers=1, kernel=5, local_norm=True, epochs=1, images=40, smoothing=0.1),
        Proxy(kind="linear", layers=2, dropout=0.5, activation="sigmoid", epochs=1, images=40),
        Proxy(kind="inception", layers=3, shortcuts=True, norm=True, epochs=1, images_per_class=4),
        Proxy(side_px=8, canvas_px=16, classes="second", head="average", epochs=1, images=40),
    ],
)
def test_every_kind_of_proxy_trains(proxy):
    result = train(proxy, 0)
    assert len(result.losses) == result.steps
    assert result.first_loss == result.last_loss
    assert result.first_gradient > 0
    assert 0 <= result.accuracy <= 1
    assert result.overconfidence == pytest.approx(result.confidence - result.accuracy)
    assert result.gap == pytest.approx(result.train_accuracy - result.accuracy)


def test_the_interval_is_students():
    low, mean, high = trained.interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert high - mean == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert mean - low == pytest.approx(high - mean)


def test_what_is_kept_is_not_trained_again(tmp_path, monkeypatch):
    store = Store(tmp_path)
    with effort.training(allowed=True, store=store):
        before = kept.trained(QUICK, 3)
    kept._trained.cache_clear()
    monkeypatch.setattr(kept, "train", lambda *_: pytest.fail("trained again"))
    with effort.training(allowed=True, store=Store(tmp_path)):
        after = kept.trained(QUICK, 3)
    assert after.last_loss == before.last_loss
    assert (after.gap, after.overconfidence) == (before.gap, before.overconfidence)
    assert torch.equal(after.probabilities, before.probabilities)
    network = make(QUICK, after.weights).eval()
    images, labels, _ = part_of(QUICK, "test")
    assert float((network(images).argmax(1) == labels).double().mean()) == after.accuracy


def test_when_the_time_is_over_what_is_kept_still_counts(tmp_path):
    (claim,) = (one for one in list_claims() if one.id == "ensembles-help")
    with effort.training(allowed=True, store=Store(tmp_path), budget_s=-1.0):
        verdict = evaluate_claim(claim)
    assert (verdict.verdict, verdict.as_expected) == ("undecided", True)
    assert "time for training is over" in verdict.outcome.explanation
    assert verdict.settled_by.endswith("--train")
    kept._trained.cache_clear()
    with effort.training(allowed=True, store=Store(tmp_path)):
        kept.trained(QUICK, 0)
    with effort.training(allowed=True, store=Store(tmp_path), budget_s=-1.0):
        assert kept.trained(QUICK, 0).accuracy > 0.2
        with pytest.raises(effort.TimeIsOver):
            kept.trained(QUICK, 99)


def test_a_figure_is_reached_or_not_or_within_the_seeds():
    def holds(stated):
        with effort.training(allowed=True):
            outcome = trained.proxies_reach(
                "accuracy", {"case": QUICK}, 3, Stated(stated), Margin("over")
            )
        return outcome.parts[0].holds

    mean = sum(train(QUICK, seed).accuracy for seed in range(3)) / 3
    assert [holds(0.01), holds(mean), holds(0.999)] == [True, None, False]


def test_hidden_layers_start_with_what_was_trained_before():
    start = Proxy(kind="linear", layers=1, width=16, images=100, epochs=2, classes="first")
    still = Proxy(
        kind="linear", layers=2, width=16, images=50, epochs=1, classes="second", rate=1e-9
    )
    before = train(start, 0).weights
    after = train(still, 0, before).weights
    torch.testing.assert_close(after["hidden0.0.weight"], before["hidden0.0.weight"])
    assert not torch.allclose(after["classes.weight"], before["classes.weight"])


def test_few_images_are_as_many_of_each_class():
    torch.manual_seed(0)
    _, labels = _learned(Proxy(images_per_class=3, classes="second"))
    assert labels.bincount().tolist() == [3] * 5


def planted(canvas_px=16):
    """A network whose last feature map is the image itself."""
    proxy = Proxy(layers=1, width=1, kernel=1, side_px=8, canvas_px=canvas_px, head="average")
    network = make(proxy).eval()
    with torch.no_grad():
        network.get_parameter("hidden0.0.weight").fill_(1.0)
        network.get_parameter("hidden0.0.bias").fill_(1.0)
        network.get_parameter("classes.weight").fill_(1.0)
    return proxy, network


def test_maps_peak_where_the_object_is():
    proxy, network = planted()
    images, labels, corners = (values[:50] for values in part_of(proxy, "test"))
    found = surfaces.located(network, images, labels, corners, proxy.side_px)
    assert found.share_inside == 1.0
    assert found.deviation < 1e-5
    elsewhere = (corners + 8) % 9 + torch.tensor([20, 20])
    assert surfaces.located(network, images, labels, elsewhere, 8).share_inside == 0.0


def test_maps_are_held_against_chance():
    proxy = Proxy(side_px=8, canvas_px=16, head="average", images=64, epochs=1, norm=True)
    with effort.training(allowed=True):
        outcome = trained.activation_maps_localise(proxy, 2)
    assert outcome.evidence["chance"] == 0.25
    assert outcome.parts[0].holds is True


def test_a_loss_that_bends_more_is_rougher(monkeypatch):
    network = make(QUICK, train(QUICK, 0).weights)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    losses = surfaces.loss_along(QUICK, network, 0)
    assert int(losses.argmin()) in (4, 5, 6)  # at the trained weights
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name])
    smooth, kink = torch.linspace(0, 1, 21), torch.linspace(0, 1, 21)
    kink[10] = 0.0
    for curve, low, high in ((smooth, 0.0, 1e-5), (kink, 0.4, 2.0)):
        monkeypatch.setattr(surfaces, "loss_along", lambda *_, curve=curve: curve)
        assert low <= surfaces.roughness(QUICK, network, 2, 0) <= high


def test_smoothness_is_decided_over_seeds():
    with effort.training(allowed=True):
        outcome = trained.shortcuts_smooth_loss(QUICK, QUICK, 2, 1)
    assert outcome.computed == 0.0
    assert outcome.parts[0].holds is None


def test_that_accuracy_rises_with_depth_is_held_against_depth():
    """It is said of residual networks by depth; held against it were plain ones of the same depth."""
    (claim,) = (one for one in list_claims() if one.id == "residual-fixes-depth")
    given = typed(claim.arguments, find_check(claim.check).kinds, (), "argument")
    assert given["metric"] == "accuracy"
    steps = [(one.second, one.first) for one in given["contests"].values()]
    assert all(side.shortcuts for step in steps for side in step)
    assert all(replace(less, layers=more.layers) == more for less, more in steps)
    assert [more.layers for _, more in steps[:-1]] == [less.layers for less, _ in steps[1:]]
    assert all(one.relation == "more" for one in given["contests"].values())


def test_scaled_networks_take_as_many_multiply_adds():
    (claim,) = (one for one in list_claims() if one.id == "efficientnet-compound-beats-single")
    given = typed(claim.arguments, find_check(claim.check).kinds, (), "argument")
    macs = [
        count_module(make(side).eval(), (1, side.side_px, side.side_px)).macs
        for contest in given["contests"].values()
        for side in (contest.first, contest.second)
    ]
    assert max(macs) < 1.05 * min(macs)
