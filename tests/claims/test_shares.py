from __future__ import annotations

import pytest


def test_the_share_of_linear_layers_is_a_majority_in_vgg_and_not_in_resnet(verdict_of):
    assert verdict_of("vgg-fc-dominates").found == pytest.approx(0.8936, abs=1e-4)
    assert verdict_of("vgg-fc-dominates", model="resnet50").verdict == "refuted"


def test_only_the_layers_asked_for_count(verdict_of):
    # 25088 x 4096 weights and as many biases as outputs.
    first = verdict_of("vgg-first-fc-majority")
    assert first.evidence["parameters(vgg16, first fully connected layer)"] == 25_089 * 4096
    assert first.found < verdict_of("vgg-first-fc-majority", first=None).found


def test_growth_is_held_against_the_stated_share_and_the_reason_against_each_network(verdict_of):
    held = verdict_of("vgg-depth-no-explosion")
    assert held.verdict == "confirmed"
    assert held.found == pytest.approx(143_667_240 / 132_863_336 - 1)
    resnets = verdict_of("vgg-depth-no-explosion", models=["resnet18", "resnet152"])
    assert resnets.verdict == "refuted"
    assert verdict_of("vgg-depth-no-explosion", fields={"stated": 0.05}).verdict == "partly"


def test_the_hidden_linear_layers_take_218_mb(verdict_of):
    verdict = verdict_of("alexnet-two-fc-1gb")
    assert verdict.found == pytest.approx((9217 * 4096 + 4097 * 4096) * 4 / 1e6)
    assert verdict.verdict == "refuted"
    assert verdict_of("alexnet-two-fc-1gb", fields={"stated": 220}).verdict == "confirmed"


def test_half_a_megabyte_needs_fewer_bits_than_any_precision_has(verdict_of):
    verdict = verdict_of("squeezenet-size-half-mb")
    assert verdict.evidence["mb(int8)"] == pytest.approx(1.2484)
    assert [held for name, held in verdict.holds.items() if "published" in name] == [True]
    assert verdict_of("squeezenet-size-half-mb", below_mb=1.3).holds["int8"] is True
    assert verdict_of("squeezenet-size-half-mb", below_mb=0.4).verdict == "refuted"
    assert verdict_of("squeezenet-size-half-mb", bits={"3 bit": 3}).verdict == "confirmed"
