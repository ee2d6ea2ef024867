from __future__ import annotations

import pytest

from deploykit.claims.networks import changed
from deploykit.errors import UsageError
from deploykit.spec import ModelSpec
from deploykit.zoo import create


def test_zfnet_has_alexnets_layers_and_vgg_has_not(verdict_of):
    verdict = verdict_of("zfnet-is-tuned-alexnet")
    assert verdict.holds["layers with weights and pools"] is True
    assert "11x11/4 96 channels became 7x7/2 96 channels" in verdict.outcome.explanation
    vgg = verdict_of("zfnet-is-tuned-alexnet", network="vgg11")
    assert (vgg.verdict, list(vgg.holds.values())) == ("refuted", [False, False])


def test_where_normalisations_stand_is_no_hyper_parameter(verdict_of):
    """ZFNet normalises after its pools and AlexNet before them, which the claim did not look at."""
    verdict = verdict_of("zfnet-is-tuned-alexnet")
    assert (verdict.verdict, verdict.as_expected) == ("in context", True)
    assert verdict.holds["normalisations and activations too"] is False
    assert verdict.outcome.evidence["first other layer"] == "3: pool for LocalResponseNorm"
    towers = verdict_of("zfnet-is-tuned-alexnet", network="alexnet_one_tower")
    assert (towers.verdict, towers.outcome.computed) == ("confirmed", "same layers, other sizes")
    bare = verdict_of("zfnet-is-tuned-alexnet", network="alexnet_owt")
    assert list(bare.holds.values()) == [True, False]


def test_networks_of_one_plan_were_not_searched_one_by_one(verdict_of):
    assert verdict_of("efficientnet-nas-every-scale").verdict == "refuted"
    two = ["efficientnet_b0", "mobilenet"]
    assert verdict_of("efficientnet-nas-every-scale", networks=two).verdict == "confirmed"


def test_all_three_sizes_must_grow_at_each_step(verdict_of):
    verdict = verdict_of("efficientnet-compound")
    assert verdict.verdict == "in context"
    assert verdict.holds["efficientnet_b0 to efficientnet_b7"] is True
    assert verdict.holds["efficientnet_b0 to efficientnet_b1"] is False
    assert "width from efficientnet_b0 to efficientnet_b1" in verdict.outcome.explanation
    assert "depth from efficientnet_b1 to efficientnet_b2" in verdict.outcome.explanation
    two = verdict_of("efficientnet-compound", networks=["efficientnet_b2", "efficientnet_b3"])
    assert two.verdict == "confirmed"
    back = verdict_of("efficientnet-compound", networks=["efficientnet_b3", "efficientnet_b0"])
    assert back.verdict == "refuted"


def test_layers_that_are_no_more_and_no_wider_do_not_grow(verdict_of):
    def as_small(module):
        return create(ModelSpec("efficientnet_b2"), device="meta")

    two = ["efficientnet_b2", "efficientnet_b3"]
    with changed("efficientnet_b3", as_small):
        verdict = verdict_of("efficientnet-compound", networks=two)
    assert verdict.verdict == "refuted"
    assert "What does not grow: depth and width from" in verdict.outcome.explanation
    # Depth was that of depthwise layers, of which most networks have none: nothing could be said of them.
    others = verdict_of("efficientnet-compound", networks=["resnet18", "resnet34"])
    assert (others.error, others.outcome.evidence["depth"]) == (None, "18 34")


@pytest.mark.parametrize(
    "name", ["efficientnet-compound", "efficientnet-nas-every-scale", "vgg-depth-no-explosion"]
)
def test_a_network_is_not_held_against_itself(verdict_of, name):
    """That B0 has no more layers than B0 refuted that EfficientNet scales."""
    verdict = verdict_of(name, networks=verdict_of(name).claim.arguments["networks"][:1])
    assert isinstance(verdict.error, UsageError)
    assert str(verdict.error) == (
        f"claim {name}: networks are held against each other: name two or more"
    )


def test_modules_and_stages_are_counted(verdict_of):
    def holds(**arguments):
        return list(verdict_of("googlenet-9-inception", **arguments).holds.values())

    assert holds() == [True, False]
    assert holds(modules=10) == holds(stages=4) == [False, False]
    assert verdict_of("googlenet-9-inception", network="squeezenet1_0").verdict == "refuted"


def test_the_modules_are_in_three_of_the_five_stages(verdict_of):
    """The statement was turned round until it said nothing of where the modules are."""
    verdict = verdict_of("googlenet-9-inception")
    assert (verdict.verdict, verdict.as_expected) == ("in context", True)
    assert verdict.outcome.evidence["joined_at_px"] == "28, 14, 7"
    three = verdict_of("googlenet-9-inception", stages=3)
    assert list(three.holds.values()) == [False, True]


def test_a_network_of_ones_own_has_a_resolution(verdict_of):
    """The catalogue was asked for it, which has none of such a network, though its input was known."""
    own = [f"deploykit.claims.pair:{name}" for name in ("one_3x3", "two_3x3")]
    verdict = verdict_of("efficientnet-compound", networks=own)
    assert verdict.error is None
    assert verdict.outcome.evidence["resolution"] == "56 56"
