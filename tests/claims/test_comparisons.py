from __future__ import annotations

import pytest

from deploykit.claims import check_claims


def test_equal_work_is_held_against_the_tolerance_per_pair(verdict_of):
    assert verdict_of("inception-resnet-cost").verdict == "confirmed"
    assert verdict_of("inception-resnet-cost", fields={"tolerance": 0.08}).verdict == "partly"
    pairs = [("vgg16", "alexnet")]
    assert verdict_of("inception-resnet-cost", pairs=pairs).verdict == "refuted"


def test_slightly_fewer_is_fewer_and_slightly(verdict_of):
    assert verdict_of("xception-slightly-fewer").verdict == "confirmed"
    much = verdict_of("xception-slightly-fewer", than="vgg16")
    assert much.holds == {"fewer": True, "only slightly": False}
    more = verdict_of("xception-slightly-fewer", model="inception_v3", than="xception")
    assert more.holds == {"fewer": False, "only slightly": True}


def test_resnext_needs_fewer_parameters_and_less_error(verdict_of):
    assert verdict_of("resnext-fewer-params").verdict == "confirmed"
    pair = {"model": "resnext101_32x8d", "than": "resnet101", "error": 20.7, "error_than": 22.0}
    assert list(verdict_of("resnext-fewer-params", pairs=[pair]).holds.values()) == [False, True]
    worse = pair | {"model": "resnext101_32x4d", "error": 23.0}
    assert list(verdict_of("resnext-fewer-params", pairs=[worse]).holds.values()) == [True, False]


def test_relus_and_what_stands_between_depthwise_and_pointwise(verdict_of):
    assert list(verdict_of("xception-no-relu").holds.values()) == [False, True]
    # MobileNet normalises and rectifies in between.
    assert verdict_of("xception-no-relu", model="mobilenet").verdict == "refuted"


def test_the_formula_meets_every_separable_layer(verdict_of):
    verdict = verdict_of("mobilenet-cost-formula")
    assert verdict.evidence["layers_checked"] == 4 * 4 * 13
    assert verdict.verdict == "confirmed"
    # 224 * 5/8 = 140 makes maps whose sides are rounded up.
    rounded = verdict_of("mobilenet-cost-formula", alphas=[1.0], rhos=["5/8"])
    assert rounded.verdict == "refuted"
    assert "The first that does not" in rounded.explanation


def test_separable_convolutions_are_cheaper_and_not_more_accurate(verdict_of):
    verdict = verdict_of("separable-better-accuracy")
    assert list(verdict.holds.values()) == [True, True, False]
    assert 1 / verdict.evidence["macs(mobilenet)/macs(mobilenet_conv)"] == pytest.approx(
        8.56, abs=0.01
    )
    turned = verdict_of("separable-better-accuracy", separable="mobilenet_conv", full="mobilenet")
    assert list(turned.holds.values()) == [False, False, False]
    assert verdict_of("separable-better-accuracy", published_top1=[72, 71]).verdict == "confirmed"


def test_rho_gives_the_sizes_exactly(verdict_of):
    assert verdict_of("mobilenet-rho-values").verdict == "confirmed"
    other = verdict_of("mobilenet-rho-values", rhos=["1", "3/4", "5/7", "4/7"])
    assert list(other.holds.values()) == [True, False, True, True]


def test_rho_leaves_parameters_and_shrinks_activations(verdict_of):
    verdict = verdict_of("mobilenet-rho-fewer-params")
    assert verdict.verdict == "refuted"
    assert verdict.found == 1
    shrunk = verdict.evidence["activation_bytes(rho 4/7)/activation_bytes(rho 1)"]
    assert shrunk == pytest.approx(16 / 49, abs=0.001)


def test_inputs_are_compared_by_side(verdict_of):
    assert verdict_of("imagenet-10x-mnist-size").found == pytest.approx(227 / 28)
    assert verdict_of("imagenet-10x-mnist-size", fields={"stated": 8}).verdict == "partly"


def test_ratios_of_stacks_are_counted(verdict_of):
    assert verdict_of("three-3x3-half-params").found == pytest.approx(27 / 49, abs=1e-4)
    assert verdict_of("three-3x3-half-params", fields={"tolerance": 0.1}).verdict == "refuted"
    assert verdict_of("inception-v2-factorisation").verdict == "confirmed"
    wrong = {"x": {"stack": [[1, 3]], "single": [[3, 3]], "ratio": 0.6667}}
    assert verdict_of("inception-v2-factorisation", replacements=wrong).verdict == "refuted"


def test_a_stack_costs_activations_and_steps(verdict_of):
    verdict = verdict_of("3x3-stack-only-benefits")
    assert list(verdict.holds.values()) == [True, True, False, False, None]
    assert verdict.evidence["activation bytes(stack)/activation bytes(single)"] == 2
    four = verdict_of("3x3-stack-only-benefits", times=4)
    assert four.holds["lower MACs"] is False


def test_81_percent_is_neither_the_networks_nor_the_kernels(verdict_of):
    verdict = verdict_of("vgg-81-percent-fewer")
    assert verdict.verdict == "refuted"
    assert verdict.found == pytest.approx(138_357_544 / 60_965_224)
    assert "81.5% more" in verdict.explanation
    assert verdict_of("vgg-81-percent-fewer", fields={"stated": 0.551}).verdict == "partly"


def test_densenets_latency_is_read_from_rows():
    def row(model, latency_ms, **columns):
        return {"model": model, "backend": "onnxruntime", "latency_p50_ms": latency_ms, **columns}

    def latency_holds(*rows):
        (verdict,) = check_claims(["densenet-expensive"], rows)
        return verdict.holds["more latency"]

    assert latency_holds(row("densenet121", 40.0), row("resnet50", 30.0)) is True
    assert latency_holds(row("densenet121", 20.0), row("resnet50", 30.0)) is False
    assert latency_holds(row("densenet121", 40.0), row("resnet50", 30.0, threads=4)) is None
    assert latency_holds(row("densenet121", 40.0), row("resnet50", 30.0, macs=1)) is None
