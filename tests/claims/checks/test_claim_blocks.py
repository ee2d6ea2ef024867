from __future__ import annotations

import pytest


def test_projections_have_parameters_and_identities_have_none(verdict_of):
    verdict = verdict_of("resnet-skip-no-params")
    assert verdict.holds == {"12 identities": True, "4 projections": False}
    # 1x1 weights of the four, and scale and shift of their normalisation.
    weights = 64 * 256 + 256 * 512 + 512 * 1024 + 1024 * 2048
    assert verdict.outcome.computed == weights + 2 * (256 + 512 + 1024 + 2048)
    assert verdict_of("resnet-skip-no-params", projection="no such").verdict == "confirmed"


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


def test_what_excitation_adds_is_held_against_bounds(verdict_of):
    verdict = verdict_of("se-anywhere")
    assert verdict.outcome.evidence["parameters_added"] == 28_088_024 - 25_557_032
    assert verdict.holds["any model"] is None
    dear = verdict_of("se-anywhere", network="vgg16")
    assert dear.holds["few parameters"] is False
    assert dear.holds["little work"] is False
    assert verdict_of("se-anywhere", base="resnet18").holds["nothing else changes"] is False


def test_dense_layers_take_in_all_of_their_block(verdict_of):
    verdict = verdict_of("densenet-all-previous")
    assert verdict.holds == {"within a block": True, "across blocks": False}
    assert verdict.outcome.evidence["growth"] == "32"
    resnet = verdict_of("densenet-all-previous", network="resnet50", block="layer")
    assert resnet.holds["within a block"] is False
