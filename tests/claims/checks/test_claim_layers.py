from __future__ import annotations

import copy

from torch import nn
from torch.nn import functional

from deploykit.claims.networks import changed


def test_kernels_pools_and_depths_are_each_decided(verdict_of):
    verdict = verdict_of("vgg-only-3x3")
    assert verdict.verdict == "in context"
    failing = [name for name, held in verdict.holds.items() if not held]
    layers = "16 or 19 layers"
    assert failing == [f"vgg11: {layers}", f"vgg13: {layers}", "vgg16_c: 3x3 kernels"]
    assert verdict_of("vgg-only-3x3", networks=["vgg16", "vgg19"]).verdict == "confirmed"
    alexnet = verdict_of("vgg-only-3x3", networks=["alexnet"])
    assert alexnet.verdict == "refuted"
    assert "3x3, 5x5 and 11x11 kernels" in alexnet.outcome.evidence["alexnet"]


def test_runs_of_convolutions_are_counted_between_pools(verdict_of):
    verdict = verdict_of("vgg-conv-repeats-2-or-4")
    assert verdict.holds == {"vgg11": False, "vgg13": True, "vgg16": False, "vgg19": True}
    assert verdict.outcome.evidence["vgg19"] == "2-2-4-4-4"
    assert verdict_of("vgg-conv-repeats-2-or-4", networks=["vgg16"]).verdict == "refuted"
    assert verdict_of("vgg-conv-repeats-2-or-4", repeats=[1, 2, 3, 4]).verdict == "confirmed"


def test_layers_and_widths_of_another_depth_are_refused(verdict_of):
    assert verdict_of("vgg11-8conv-3fc").verdict == "confirmed"
    other = verdict_of("vgg11-8conv-3fc", network="vgg13")
    assert list(other.holds.values()) == [False, True, True]
    assert list(verdict_of("vgg11-8conv-3fc", widest=1024).holds.values()) == [True, True, False]


def test_each_of_the_last_convolutions_is_decided(verdict_of):
    assert list(verdict_of("alexnet-figure-384").holds.values()) == [True, True, False]
    assert verdict_of("alexnet-figure-384", network="zfnet", kernel=5).verdict == "refuted"
    one = verdict_of("alexnet-figure-384", fields={"stated": 256}, last=1)
    assert one.verdict == "confirmed"


def test_channels_are_compared_layer_by_layer(verdict_of):
    assert verdict_of("alexnet-10x-lenet-channels").outcome.computed == 16
    exact = verdict_of("alexnet-10x-lenet-channels", fields={"stated": 16})
    assert exact.verdict == "confirmed"
    assert verdict_of("alexnet-10x-lenet-channels", network="lenet5").verdict == "refuted"


def test_lenet_has_seven_layers_of_which_not_all_have_parameters(verdict_of):
    verdict = verdict_of("lenet5-seven-layers")
    assert list(verdict.holds.values()) == [True, False, True, False]
    assert verdict.verdict == "refuted"
    assert "none in: AvgPool2d" in verdict.outcome.explanation
    assert "none in: NearestCode" in verdict.outcome.explanation
    five = verdict_of("lenet5-seven-layers", fields={"stated": 5}, networks=["lenet5"])
    assert list(five.holds.values()) == [False, False]
    perceptron = verdict_of("lenet5-seven-layers", fields={"stated": 2}, networks=["mlp"])
    assert perceptron.verdict == "confirmed"


def test_groups_are_told_from_depthwise_layers(verdict_of):
    assert verdict_of("condensenet-group-conv").outcome.evidence["groups"] == "4"
    mobilenet = verdict_of("condensenet-group-conv", network="mobilenet")
    assert mobilenet.verdict == "refuted"
    assert mobilenet.outcome.evidence["grouped"] == 0
    assert verdict_of("condensenet-group-conv", network="densenet121").verdict == "refuted"


def test_relus_and_what_stands_between_depthwise_and_pointwise(verdict_of):
    assert list(verdict_of("xception-no-relu").holds.values()) == [False, True]
    # MobileNet normalises and rectifies in between.
    assert verdict_of("xception-no-relu", network="mobilenet").verdict == "refuted"


def test_a_relu_that_is_a_function_is_seen(verdict_of):
    def rectify(module):
        module = copy.deepcopy(module)
        depthwise = next(
            part
            for part in module.modules()
            if isinstance(part, nn.Conv2d) and part.groups == part.in_channels > 1
        )
        forward = depthwise.forward
        depthwise.forward = lambda x: functional.relu(forward(x))
        return module

    with changed("xception", rectify):
        verdict = verdict_of("xception-no-relu")
    assert verdict.holds["none between depthwise and 1x1"] is False
    assert verdict.outcome.computed == 36
