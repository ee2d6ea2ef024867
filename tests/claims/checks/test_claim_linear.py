from __future__ import annotations

import pytest


def test_the_share_of_linear_layers_is_a_majority_in_vgg_and_not_in_resnet(verdict_of):
    assert verdict_of("vgg-fc-dominates").outcome.computed == pytest.approx(0.8936, abs=1e-4)
    assert verdict_of("vgg-fc-dominates", network="resnet50").verdict == "refuted"


def test_only_the_layers_asked_for_count(verdict_of):
    # 25088 x 4096 weights and as many biases as outputs.
    first = verdict_of("vgg-first-fc-majority")
    assert first.outcome.evidence["parameters(vgg16, first fully connected layer)"] == 25_089 * 4096
    assert first.outcome.computed < verdict_of("vgg-first-fc-majority", first=None).outcome.computed


def test_growth_is_held_against_the_stated_share_and_the_reason_against_each_network(verdict_of):
    held = verdict_of("vgg-depth-no-explosion")
    assert held.verdict == "confirmed"
    assert held.outcome.computed == pytest.approx(143_667_240 / 132_863_336)
    resnets = verdict_of("vgg-depth-no-explosion", networks=["resnet18", "resnet152"])
    assert resnets.verdict == "refuted"
    assert (
        verdict_of("vgg-depth-no-explosion", fields={"hedge": ""}).holds["growth of parameters"]
        is False
    )


def test_the_hidden_linear_layers_take_218_mb(verdict_of):
    verdict = verdict_of("alexnet-two-fc-1gb")
    assert verdict.outcome.computed == pytest.approx((9217 * 4096 + 4097 * 4096) * 4 / 1e6)
    assert verdict.verdict == "refuted"
    assert verdict_of("alexnet-two-fc-1gb", fields={"stated": 220}).verdict == "confirmed"


def test_more_linear_layers_means_more(verdict_of):
    assert verdict_of("vgg-more-dense-layers").verdict == "refuted"
    assert verdict_of("vgg-more-dense-layers", than="resnet50").verdict == "confirmed"


def test_a_linear_layer_at_the_end_is_found(verdict_of):
    assert verdict_of("nin-no-fc").verdict == "confirmed"
    assert verdict_of("nin-no-fc", networks=["resnet50"]).verdict == "refuted"
    assert list(verdict_of("nin-no-fc", fewer_than="nin").holds.values()) == [
        True,
        True,
        False,
    ]
    gap = verdict_of("gap-avoids-fc")
    assert gap.outcome.evidence["linear_layers(googlenet)"] == 1
    assert "1.02M of 7.00M parameters" in gap.outcome.explanation
    # Without an average over its maps a network says nothing of averaging.
    none = verdict_of("gap-avoids-fc", networks=["vgg11"])
    assert none.holds["vgg11 averages its maps"] is False
    assert verdict_of("resnet-no-fc", networks=["squeezenet1_0"]).verdict == "confirmed"
