from __future__ import annotations

from torch import nn

from deploykit.claims.checks import listing, wired
from deploykit.claims.checks.wired import Following
from deploykit.claims.networks import Network, changed
from deploykit.zoo.resnet import Bottleneck
from studies.mutations.networks import each_changed


def named(*names):
    return tuple(Network.named(name) for name in names)


def holds(outcome):
    return list({part.name: part.holds for part in outcome.parts}.values())


def test_what_follows_is_seen_in_the_wiring():
    (resnet,) = named("resnet18")
    sequences = {
        "so": Following(resnet, "conv", ("batchnorm",)),
        "not so": Following(resnet, "conv", ("relu",)),
        "nothing there": Following(resnet, "concat", ("relu",)),
        "last": Following(resnet, "linear", ("nothing",)),
    }
    assert holds(wired.followed_by(sequences)) == [True, False, False, True]


class Unrectified(nn.Module):
    """A bottleneck without the ReLU after its addition."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        block = self.block
        shortcut = x if block.downsample is None else block.downsample(x)
        x = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu())).relu()
        return block.bn3(block.conv3(x)) + shortcut


def test_a_residual_network_without_activations_after_its_additions_is_found_out(verdict_of):
    """Whatever read an addition in such a network was allowed, so that the part could not fail."""

    def unrectified(module):
        return each_changed(module, Bottleneck, Unrectified)

    assert verdict_of("resnet-bn-before-activation").verdict == "confirmed"
    with changed("resnet50", unrectified):
        verdict = verdict_of("resnet-bn-before-activation")
    assert verdict.holds["activation after each addition"] is False


def test_additions_need_two_sides_of_a_shape():
    assert holds(wired.added_alike(named("resnet18", "vgg11"))) == [True, False]


def test_only_excitation_scales_channels_by_averages():
    assert holds(wired.scales_channels_by_averages(named("se_resnet50"))) == [True, True]
    assert holds(wired.scales_channels_by_averages(named("resnet18"))) == [False, False]


def test_reductions_do_not_keep_the_size():
    assert holds(wired.modules_keep_size(named("googlenet", "inception_v3"))) == [True, False]


def test_pointwise_branches_are_no_shortcuts():
    assert holds(wired.pointwise_branch_is_shortcut(*named("googlenet"))) == [False, False]


def test_the_order_of_filters():
    orders = {"inception_v3": "1x1 first", "xception": "1x1 first"}
    assert holds(wired.filters_in_order(orders)) == [True, False]


def test_what_makes_maps_smaller():
    assert holds(wired.maps_shrink_by_pooling(named("vgg11", "mobilenet"), 0.6)) == [
        True,
        True,
        False,
    ]


def test_a_listing_is_read_call_by_call(verdict_of):
    verdict = verdict_of("vgg16-tf-listing")
    assert verdict.verdict == "confirmed"
    calls = [tuple(call) for call in verdict.claim.arguments["calls"]]
    vgg16 = Network.named("vgg16")
    wider = [("conv", 3, 65), *calls[1:]]
    assert holds(listing.listing_is_network(vgg16, tuple(wider))) == [False, False, False]
    larger = [("conv", 5, 64), *calls[1:]]
    assert holds(listing.listing_is_network(vgg16, tuple(larger))) == [False, False, False]
    assert holds(listing.listing_is_network(Network.named("vgg13"), tuple(calls))) == [
        False,
        False,
        False,
    ]
