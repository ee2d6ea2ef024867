"""Ways of rounding to 8 bits, on LeNet-5 with the weights that are shipped for the digits."""

from __future__ import annotations

import pytest
import torch

from deploykit.claims import effort, quantising
from deploykit.claims.checks import quantised
from deploykit.claims.checks.costs import PrintedPair
from deploykit.claims.checks.quantised import Loss
from deploykit.claims.networks import Network
from deploykit.claims.quantising import Rounding
from deploykit.errors import UsageError

LENET = Network.named("lenet5")


def parts(losses, train=True, **printed):
    with effort.training(allowed=train):
        return quantised.rounding_loses(LENET, "digits", losses, 200, **printed).parts


def test_losses_are_held_against_their_bounds():
    rounding = Rounding(calibration=50)
    losses = {
        "little": Loss(rounding, under=0.2),
        "much": Loss(rounding, over=0.2),
        "too near to tell": Loss(rounding, against=rounding, under=0.0),
    }
    assert [part.holds for part in parts(losses)] == [True, False, None]


def test_without_leave_only_what_is_printed_is_decided():
    pair = PrintedPair("top-1", 1.8, "8 bits", 70.5, "float", "less")
    found = parts({"little": Loss(Rounding(), under=0.2)}, False, printed=(pair,), where="a paper")
    assert [(part.holds, part.printed) for part in found] == [(None, False), (True, True)]


def test_a_loss_has_one_bound():
    with pytest.raises(ValueError, match="one of over and under"):
        parts({"none": Loss(Rounding())})


def test_one_scale_for_all_is_coarse_where_channels_differ():
    weights = torch.stack([torch.full((4,), 0.01), torch.linspace(-100, 100, 4)])
    off = {
        by: float((quantising._rounded_weights(weights, by) - weights)[0].abs().max())
        for by in ("tensor", "channel")
    }
    assert off["tensor"] == pytest.approx(0.01)
    assert off["channel"] < 1e-6


def test_layers_that_are_kept_are_not_rounded():
    kept = quantising.right(LENET, "digits", Rounding(calibration=0, keep=("first", "last")), 50)
    assert kept.shape == (50,)
    module = quantising._folded(
        torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).eval()
    )
    assert isinstance(module[1], torch.nn.Identity)


class Asked(Exception):
    """Ends a trial as soon as it is known which weights it takes."""


@pytest.mark.parametrize("dataset", ["digits", "fashion-mnist"])
def test_a_network_is_tried_with_the_weights_of_the_data_it_is_tried_on(monkeypatch, dataset):
    def create(spec):
        raise Asked(spec.weights)

    monkeypatch.setattr(quantising, "create", create)
    with pytest.raises(Asked, match=f"^trained:{dataset}$"):
        quantising.right(LENET, dataset, None, 51)


def test_more_images_than_there_are_are_not_said_to_have_been_tried():
    with pytest.raises(UsageError, match="501 images were asked of digits/test, which has 500"):
        quantising.right(LENET, "digits", None, 501)
