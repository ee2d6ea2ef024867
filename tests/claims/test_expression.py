from __future__ import annotations

import sys

import pytest

from deploykit.claims.expression import Expression, Sequence
from deploykit.errors import DeploykitError, UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("parameters(lenet5)", 61_706),
        ("2 * macs(lenet5) / 1e3 - 1", 832.04),
        ("-(2 ** 3)", -8),
        ("parameters(mobilenet(alpha=0.5, rho=5/7))", 1_331_592),
        ("layers(mobilenet)", 28),
        ("layers(mobilenet, depthwise)", 13),
        ("layers(vgg16, conv, '3x3')", 13),
        ("weights(lenet5, linear)", 58_920),
        ("nodes(alexnet, Relu)", 7),
        ("modules(resnet18, BatchNorm2d)", 20),
        ("side(alexnet)", 227),
        # Two maps of 64 channels at 224 px; what they are made into is smaller.
        ("peak_bytes(vgg16)", 2 * 64 * 224 * 224 * 4),
        ("before_pools(alexnet)", (1, 2, 5)),
        ("kernels(lenet5, conv)", ("5x5", "5x5")),
        ("channels(lenet5, conv) / 2 + [1, 1]", (4, 9)),
        ("added(maps(vgg11, pool))", (64, 128, 256, 0)),
        ("max(sides(lenet5, conv)) - min(sides(lenet5, pool))", 23),
        ("1 + channels(lenet5, conv) - 1", (6, 16)),
        ("48 / channels(lenet5, conv)", (8, 3)),
        ("20 - -channels(lenet5, conv) ** 2", (56, 276)),
        (" parameters('lenet5') ", 61_706),
    ],
)
def test_an_expression_comes_to(text, value):
    assert Expression.parse(text).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parameters(lenet9)", "lenet9"),
        ("weight(lenet5)", "weight"),
        ("macs(mobilenet, sparse)", "sparse"),
        ("macs(resnet_cifar(layers=20))", "argument of resnet_cifar 'layers': known: depth"),
        ("macs(mobilenet_shallow(layers=20))", "it takes none"),
        ("macs(lenet5", "is no expression"),
        ("__import__('os')", "__import__"),
        ("lenet5.parameters", "can't be part"),
        ("[x for x in [1]]", "can't be part"),
        ("macs(2)", "is no network"),
        ("macs(mobilenet(alpha=[1]))", "neither a number"),
        ("macs(lenet5(alpha=0.5))", "alpha"),
        ("1" + " + 1" * 300, "1,201 characters is too long"),
        ("\0", "is no expression"),
        ("-" * 990 + "1", "is "),
        ("macs(mobilenet, alpha=0.5)", "macs takes no alpha: what a network is made with"),
        ("sum([1], start=2)", "sum takes no start"),
        ("parameters()", "parameters() names no network: write it as in parameters(lenet5)"),
        ("parameters(network=lenet5)", "parameters takes no network"),
        ("nodes(lenet5)", "nodes(lenet5)' can't be: missing a required argument: 'operator'"),
        ("modules(lenet5)", "missing a required argument: 'kind'"),
        ("activation_bytes(lenet5, conv)", "too many positional arguments"),
        ("macs(mobilenet(rho=5/0))", "5 / 0' is neither a number nor a fraction"),
        ("macs(mobilenet(rho=1e999))", "expected alpha and rho to be numbers"),
        ("macs(resnet_cifar(depth='20'))", "depth of resnet_cifar is a number, not '20'"),
        ("macs('net.onnx')", "net.onnx is a file, and claims count networks of the catalogue"),
    ],
)
def test_what_it_does_not_know_is_refused_when_it_is_read(text, said):
    with pytest.raises(DeploykitError) as caught:
        Expression.parse(text)
    assert isinstance(caught.value, UsageError)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_how_deep_an_expression_may_go_does_not_rest_on_the_process():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # as torch.compile raises it
    try:
        with pytest.raises(UsageError, match="levels deep: 300 at most"):
            Expression.parse("-" * 400 + "1")
    finally:
        sys.setrecursionlimit(before)
    assert Expression.parse("-" * 298 + "1").value == 1


def test_a_power_that_nobody_can_wait_for_is_refused():
    assert Expression.parse("2 ** 10 + 10 ** -3").value == pytest.approx(1024.001)
    with pytest.raises(UsageError, match="power of whole numbers is too large"):
        _ = Expression.parse("9 ** 9 ** 9").value


@pytest.mark.parametrize("text", ["1e999", "1e999 - 1e999", "(-8) ** 0.5", "[1, 1e999]"])
def test_what_comes_to_no_finite_number_is_refused(text):
    """Infinity agreed with every figure: what misses it by an infinite slack is within it."""
    with pytest.raises(UsageError, match="which is no finite number"):
        _ = Expression.parse(text).value


def test_a_variant_of_a_fraction_has_a_name():
    (network,) = Expression.parse("macs(efficientnet_scaled(width=11/10))").networks
    assert network.name == "efficientnet_scaled(width=1.1)"


def test_it_knows_its_networks():
    expression = Expression.parse("macs(alexnet) / macs(mobilenet(alpha=0.5)) + depth(vgg11)")
    names = [network.name for network in expression.networks]
    assert names[0] == "alexnet"
    assert names[2] == "vgg11"
    assert len(names) == 3


def test_sequences_of_two_lengths_do_not_meet():
    with pytest.raises(UsageError, match="3 values meet 2"):
        Sequence((1, 2, 3)) + Sequence((1, 2))


#: Parameters as the papers print them, to their digits.
PRINTED = {
    "resnet_cifar(depth=20)": (0.27, 0.005),
    "resnet_cifar(depth=110)": (1.7, 0.05),
    "densenet_cifar(depth=40, growth=12)": (1.0, 0.05),
    "densenet_cifar(depth=100, growth=24)": (27.2, 0.05),
    "densenet_cifar(depth=100, growth=12, bottleneck=1)": (0.8, 0.05),
    "densenet_cifar(depth=190, growth=40, bottleneck=1)": (25.6, 0.05),
    "mobilenet_shallow": (2.9, 0.05),
    "vgg16_c": (134, 0.5),
    "alexnet_one_tower": (62.378344, 1e-9),
    "resnet_v1(depth=50)": (25.557032, 1e-9),
    "googlenet_with_heads": (13.37828, 1e-9),
    "inception_v3_with_head": (27.161264, 1e-9),
}


@pytest.mark.parametrize("variant", PRINTED)
def test_variants_have_the_parameters_that_are_printed(variant):
    printed, off = PRINTED[variant]
    assert Expression.parse(f"parameters({variant}) / 1e6").value == pytest.approx(printed, abs=off)


@pytest.mark.parametrize(
    "variant", ["resnet_cifar(depth=21)", "resnet_cifar", "resnet_v1(depth=18)"]
)
def test_a_variant_that_can_not_be_is_one_line(variant):
    with pytest.raises(UsageError) as caught:
        _ = Expression.parse(f"parameters({variant})").value
    assert "\n" not in str(caught.value)
