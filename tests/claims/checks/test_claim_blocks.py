from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from deploykit.claims.networks import changed


def test_projections_have_parameters_and_identities_have_none(verdict_of):
    verdict = verdict_of("resnet-skip-no-params")
    assert verdict.holds == {"where the shape stays": True, "where the shape changes": False}
    assert verdict.outcome.evidence["shortcuts"] == 16
    # 1x1 weights of the four, and scale and shift of their normalisation.
    weights = 64 * 256 + 256 * 512 + 512 * 1024 + 1024 * 2048
    assert verdict.outcome.computed == weights + 2 * (256 + 512 + 1024 + 2048)
    assert verdict_of("resnet-skip-no-params", network="vgg11").verdict == "refuted"


def test_a_projection_where_the_shape_stays_is_seen(verdict_of):
    def project(module):
        module = copy.deepcopy(module)
        module.layer1[1].downsample = nn.Conv2d(256, 256, 1, device="meta")
        return module

    with changed("resnet50", project):
        assert verdict_of("resnet-skip-no-params").holds["where the shape stays"] is False


def test_a_bottleneck_saves_and_a_plain_block_does_not(verdict_of):
    verdict = verdict_of("resnet-1x1-saves-params")
    assert verdict.outcome.computed == pytest.approx(69_632 / 1_179_648)
    plain = verdict_of("resnet-1x1-saves-params", network="resnet18")
    assert plain.verdict == "refuted"
    assert plain.outcome.computed == 1


def test_squeeze_and_excitation_is_two_layers_and_a_sigmoid(verdict_of):
    verdict = verdict_of("se-one-fc-softmax")
    assert verdict.outcome.computed == "2 + sigmoid"
    assert verdict.verdict == "refuted"


def test_what_excitation_adds_is_held_against_the_margin_of_slightly(verdict_of):
    verdict = verdict_of("se-little-cost")
    assert verdict.outcome.evidence["parameters_added"] == 28_088_024 - 25_557_032
    dear = verdict_of("se-little-cost", network="vgg16")
    assert dear.holds["few parameters"] is dear.holds["little work"] is False
    assert verdict_of("se-little-cost", base="resnet18").holds["nothing else changes"] is False


def test_excitation_is_put_into_networks_that_were_not_made_for_it(verdict_of):
    verdict = verdict_of("se-anywhere", networks=["lenet5", "mobilenet"])
    assert verdict.holds == {"lenet5": True, "mobilenet": True}
    # One after each spatial convolution of C channels: 2 C^2 / 16 weights, and biases.
    channels = [32, 32, 64, 128, 128, 256, 256, *[512] * 6, 1024]
    added = sum(2 * c * (c // 16) + c + c // 16 for c in channels)
    share = verdict.outcome.evidence["parameters_added(mobilenet)"]
    assert share == pytest.approx(added / 4_231_976, abs=1e-4)
    # Without a map there is nothing to squeeze.
    assert verdict_of("se-anywhere", networks=["mlp"]).verdict == "refuted"


def test_dense_layers_read_all_of_their_block(verdict_of):
    verdict = verdict_of("densenet-all-previous")
    assert verdict.holds == {"within a block": True, "across blocks": False}
    assert verdict.outcome.evidence["layers_that_read_all"] == 6 + 12 + 24 + 16
    resnet = verdict_of("densenet-all-previous", network="resnet50", block="layer")
    assert resnet.holds["within a block"] is False


def test_channels_of_the_right_number_are_no_wiring(verdict_of):
    def rewire(module):
        module = copy.deepcopy(module)
        forward = module.features.denseblock2.denselayer3.forward

        # As many channels as before, but the last layer's twice and the block's input not at all.
        def twice(earlier):
            first, *rest = earlier
            doubled = torch.cat([rest[-1]] * (first.shape[1] // rest[-1].shape[1]), 1)
            return forward([doubled, *rest])

        module.features.denseblock2.denselayer3.forward = twice
        return module

    with changed("densenet121", rewire):
        verdict = verdict_of("densenet-all-previous")
    assert verdict.holds["within a block"] is False
