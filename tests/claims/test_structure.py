from __future__ import annotations

import pytest
import torch
from torch import nn

from deploykit.claims.checks.lenet import trained_in_1998
from deploykit.claims.networks import counts, layers, trace


def test_traced_layers_add_up_to_the_counts():
    for name in ("alexnet", "mobilenet", "squeezenet1_0"):
        assert sum(layer.macs for layer in layers(name)) == counts(name).macs
        assert sum(layer.parameters for layer in layers(name)) == counts(name).parameters


def test_layers_come_in_the_order_they_are_called():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.second = nn.Conv2d(4, 2, 3, device="meta")
            self.first = nn.Conv2d(3, 4, (1, 3), stride=(2, 1), device="meta")

        def forward(self, x):
            return self.second(self.first(x))

    found = trace(Backwards(), (3, 9, 9))
    assert [layer.name for layer in found] == ["first", "second"]
    assert found[0].kernel == (1, 3)
    assert found[0].stride == (2, 1)
    assert found[0].output == (4, 5, 7)
    assert found[0].macs == 4 * 5 * 7 * 3 * 3
    assert found[0].parameters == 4 * 3 * 3 + 4


def test_tracing_leaves_no_hooks_behind():
    module = nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"))
    trace(module, (3, 8, 8))
    assert not module[0]._forward_hooks
    with pytest.raises(RuntimeError):
        trace(module, (5, 8, 8))
    assert not module[0]._forward_hooks
    assert module(torch.empty(1, 3, 8, 8, device="meta")).shape == (1, 4, 6, 6)


def test_kernels_pools_and_depths_are_each_decided(verdict_of):
    assert list(verdict_of("vgg-only-3x3").holds.values()) == [True, True, False]
    assert verdict_of("vgg-only-3x3", models=["vgg16", "vgg19"]).verdict == "confirmed"
    alexnet = verdict_of("vgg-only-3x3", models=["alexnet"])
    assert alexnet.verdict == "refuted"
    assert alexnet.evidence["kernels"] == "3x3, 5x5 and 11x11"


def test_runs_of_convolutions_are_counted_between_pools(verdict_of):
    verdict = verdict_of("vgg-conv-repeats-2-or-4")
    assert verdict.holds == {"vgg11": False, "vgg13": True, "vgg16": False, "vgg19": True}
    assert verdict.evidence["vgg19"] == "2-2-4-4-4"
    assert verdict_of("vgg-conv-repeats-2-or-4", models=["vgg16"]).verdict == "refuted"
    assert verdict_of("vgg-conv-repeats-2-or-4", repeats=[1, 2, 3, 4]).verdict == "confirmed"


def test_layers_and_widths_of_another_depth_are_refused(verdict_of):
    assert verdict_of("vgg11-8conv-3fc").verdict == "confirmed"
    other = verdict_of("vgg11-8conv-3fc", model="vgg13")
    assert list(other.holds.values()) == [False, True, True]
    assert list(verdict_of("vgg11-8conv-3fc", widest=1024).holds.values()) == [True, True, False]


def test_more_linear_layers_means_more(verdict_of):
    assert verdict_of("vgg-more-dense-layers").verdict == "refuted"
    assert verdict_of("vgg-more-dense-layers", than="resnet50").verdict == "confirmed"


def test_each_of_the_last_convolutions_is_decided(verdict_of):
    assert list(verdict_of("alexnet-figure-384").holds.values()) == [True, True, False]
    assert verdict_of("alexnet-figure-384", model="zfnet", kernel=5).verdict == "refuted"
    one = verdict_of("alexnet-figure-384", fields={"stated": 256}, last=1)
    assert one.verdict == "confirmed"


def test_channels_are_compared_layer_by_layer(verdict_of):
    assert verdict_of("alexnet-10x-lenet-channels").found == 16
    assert verdict_of("alexnet-10x-lenet-channels", model="alexnet_owt").holds["at least 10 times"]
    exact = verdict_of("alexnet-10x-lenet-channels", fields={"stated": 16})
    assert exact.verdict == "confirmed"
    assert verdict_of("alexnet-10x-lenet-channels", model="lenet5").verdict == "refuted"


def test_lenet_of_1998_had_sixty_thousand_parameters(verdict_of):
    assert sum(trained_in_1998().values()) == 60_000
    assert list(verdict_of("lenet5-seven-layers").holds.values()) == [True, False, False]
    assert verdict_of("lenet5-seven-layers", fields={"stated": 5}).verdict == "refuted"


def test_a_linear_layer_at_the_end_is_found(verdict_of):
    assert verdict_of("nin-no-fc").verdict == "confirmed"
    assert verdict_of("nin-no-fc", models=["resnet50"]).verdict == "refuted"
    assert verdict_of("nin-no-fc", factor=10).verdict == "partly"
    assert verdict_of("gap-avoids-fc").evidence["parameters(googlenet, linear)"] == 1_025_000
    assert verdict_of("resnet-no-fc", models=["squeezenet1_0"]).verdict == "confirmed"
