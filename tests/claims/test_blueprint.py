from __future__ import annotations

import pytest


def test_zfnet_has_alexnets_layers_and_vgg_has_not(verdict_of):
    verdict = verdict_of("zfnet-is-tuned-alexnet")
    assert verdict.verdict == "confirmed"
    assert "11x11/4 96 channels became 7x7/2 96 channels" in verdict.explanation
    assert verdict_of("zfnet-is-tuned-alexnet", model="vgg11").verdict == "refuted"


def test_networks_of_one_plan_were_not_searched_one_by_one(verdict_of):
    assert verdict_of("efficientnet-nas-every-scale").verdict == "refuted"
    two = ["efficientnet_b0", "mobilenet"]
    assert verdict_of("efficientnet-nas-every-scale", models=two).verdict == "confirmed"


def test_all_three_sizes_must_grow(verdict_of):
    assert verdict_of("efficientnet-compound").verdict == "confirmed"
    wider = verdict_of("efficientnet-compound", models=["efficientnet_b1", "efficientnet_b2"])
    assert wider.holds == {"depth": False, "width": True, "resolution": True}
    back = verdict_of("efficientnet-compound", models=["efficientnet_b3", "efficientnet_b0"])
    assert back.verdict == "refuted"


def test_modules_and_stages_are_counted(verdict_of):
    assert verdict_of("googlenet-9-inception").verdict == "confirmed"
    assert list(verdict_of("googlenet-9-inception", modules=10).holds.values()) == [False, True]
    assert list(verdict_of("googlenet-9-inception", stages=4).holds.values()) == [True, False]
    assert verdict_of("googlenet-9-inception", model="squeezenet1_0").verdict == "refuted"


def test_projections_have_parameters_and_identities_have_none(verdict_of):
    verdict = verdict_of("resnet-skip-no-params")
    assert verdict.holds == {"12 identities": True, "4 projections": False}
    # 1x1 weights of the four, and scale and shift of their normalisation.
    weights = 64 * 256 + 256 * 512 + 512 * 1024 + 1024 * 2048
    assert verdict.found == weights + 2 * (256 + 512 + 1024 + 2048)
    assert verdict_of("resnet-skip-no-params", projection="no such").verdict == "confirmed"


def test_a_bottleneck_saves_and_a_plain_block_does_not(verdict_of):
    verdict = verdict_of("resnet-1x1-saves-params")
    assert verdict.found == pytest.approx(69_632 / 1_179_648)
    plain = verdict_of("resnet-1x1-saves-params", model="resnet18")
    assert plain.verdict == "refuted"
    assert plain.found == 1


def test_squeeze_and_excitation_is_two_layers_and_a_sigmoid(verdict_of):
    verdict = verdict_of("se-one-fc-softmax")
    assert verdict.found == "2 + sigmoid"
    assert verdict.verdict == "refuted"


def test_what_excitation_adds_is_held_against_bounds(verdict_of):
    verdict = verdict_of("se-anywhere")
    assert verdict.evidence["parameters_added"] == 28_088_024 - 25_557_032
    assert verdict.holds["any model"] is None
    assert verdict_of("se-anywhere", parameters_at_most=0.09).holds["few parameters"] is False
    assert verdict_of("se-anywhere", macs_at_most=0.0001).holds["little work"] is False
    assert verdict_of("se-anywhere", base="resnet18").holds["nothing else changes"] is False


def test_dense_layers_take_in_all_of_their_block(verdict_of):
    verdict = verdict_of("densenet-all-previous")
    assert verdict.holds == {"within a block": True, "across blocks": False}
    assert verdict.evidence["growth"] == "32"
    resnet = verdict_of("densenet-all-previous", model="resnet50", block="layer")
    assert resnet.holds["within a block"] is False


def test_densenet_takes_less_work_and_more_memory_than_resnet50(verdict_of):
    verdict = verdict_of("densenet-expensive")
    assert list(verdict.holds.values()) == [False, True, None]
    assert verdict_of("densenet-expensive", than="mobilenet").verdict == "confirmed"


def test_groups_are_told_from_depthwise_layers(verdict_of):
    assert verdict_of("condensenet-group-conv").evidence["groups"] == "4"
    mobilenet = verdict_of("condensenet-group-conv", model="mobilenet")
    assert mobilenet.verdict == "refuted"
    assert mobilenet.evidence["grouped"] == 0
    assert verdict_of("condensenet-group-conv", model="densenet121").verdict == "refuted"
