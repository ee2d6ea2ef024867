from __future__ import annotations

import pytest
import torch
from torch import nn

from deploykit.claims.check import measured_rows
from deploykit.claims.checks.stacks import receptive_field_px
from deploykit.row import Row


def test_ratios_of_stacks_are_counted(verdict_of):
    assert verdict_of("three-3x3-half-params").outcome.computed == pytest.approx(27 / 49, abs=1e-4)
    assert verdict_of("three-3x3-half-params", fields={"hedge": ""}).verdict == "refuted"
    assert verdict_of("inception-v2-factorisation").verdict == "confirmed"
    wrong = {"x": {"stack": [[1, 3]], "single": [[3, 3]], "ratio": 0.6667}}
    assert verdict_of("inception-v2-factorisation", replacements=wrong).verdict == "refuted"


def test_a_stack_costs_activations_and_steps(verdict_of):
    verdict = verdict_of("3x3-stack-only-benefits")
    assert list(verdict.holds.values()) == [True, True, False, None]
    assert verdict.outcome.evidence["activation bytes(stack)/activation bytes(single)"] == 2
    pair = "deploykit.claims.pair:"
    turned = verdict_of("3x3-stack-only-benefits", stack=f"{pair}one_5x5", single=f"{pair}two_3x3")
    assert turned.holds["lower MACs"] is False


def test_a_stack_that_keeps_less_can_have_only_benefits(verdict_of):
    """No stack had fewer activations than what was counted beside it, so that nothing could confirm the claim."""
    pair = "deploykit.claims.pair:"
    names = {"stack": f"{pair}one_3x3", "single": f"{pair}two_3x3"}
    rows = measured_rows(
        Row({"model": name, "status": "ok", "latency_p50_ms": latency_ms})
        for name, latency_ms in zip(names.values(), (1.0, 2.0), strict=True)
    )
    verdict = verdict_of("3x3-stack-only-benefits", rows, **names)
    assert verdict.verdict == "confirmed"
    assert "convolutions of 3x3 take 0.5 times the parameters" in verdict.outcome.explanation


@pytest.mark.parametrize(
    ("latencies_ms", "holds"),
    [((1.4, 1.5, 1.6), True), ((2.3, 2.5, 2.4), False), ((1.9, 1.9, 2.1), None)],
)
def test_repeats_that_disagree_leave_open_what_a_stack_takes(verdict_of, latencies_ms, holds):
    pair = "deploykit.claims.pair:"
    rows = measured_rows(
        Row({"model": f"{pair}{name}", "latency_p50_ms": ms, "repeat": number})
        for number, stack_ms in enumerate(latencies_ms, 1)
        for name, ms in (("two_3x3", stack_ms), ("one_5x5", 2.0))
    )
    verdict = verdict_of("3x3-stack-only-benefits", rows)
    assert verdict.holds["lower latency"] is holds
    assert not verdict.outcome.lacks_rows


def test_81_percent_is_neither_the_networks_nor_the_kernels(verdict_of):
    """The two are readings of one saying: it was refuted by the networks also where the kernels bore it out."""
    verdict = verdict_of("vgg-81-percent-fewer")
    assert verdict.verdict == "refuted"
    assert verdict.outcome.computed == pytest.approx(138_357_544 / 60_965_224)
    assert "81.5% more" in verdict.outcome.explanation
    kernels = verdict_of("vgg-81-percent-fewer", fields={"stated": 0.551})
    assert kernels.holds == {"vgg16 over alexnet": False, "3 of 3x3 over one 7x7": True}
    assert kernels.verdict == "in context"


@pytest.mark.parametrize(
    ("kernels", "strides"), [([3, 3], [1, 1]), ([3, 3, 3], [2, 1, 2]), ([7, 1, 5], [2, 3, 1])]
)
def test_the_arithmetic_agrees_with_changing_every_input(kernels, strides):
    layers = [nn.Conv1d(1, 1, k, stride=s) for k, s in zip(kernels, strides, strict=True)]
    network = nn.Sequential(*layers).double()
    size = 80
    with torch.no_grad():
        base = network(torch.zeros(1, 1, size).double())[0, 0]
        middle = len(base) // 2
        pulses = torch.eye(size).double()[:, None]
        reached = (network(pulses)[:, 0, middle] != base[middle]).sum()
    assert reached == receptive_field_px(kernels, strides)


@pytest.mark.parametrize("name", ["two-3x3-one-5x5", "three-3x3-one-7x7"])
def test_both_ways_find_the_field(verdict_of, name):
    verdict = verdict_of(name)
    assert verdict.holds == {"arithmetic": True, "gradient": True}
    assert verdict.outcome.computed == verdict.claim.stated
    assert (
        verdict.outcome.evidence["centre_influence(single)"]
        < verdict.outcome.evidence["centre_influence(stack)"]
    )


def test_a_third_convolution_sees_more_than_5x5(verdict_of):
    verdict = verdict_of("two-3x3-one-5x5", times=3)
    assert verdict.verdict == "refuted"
    assert verdict.outcome.computed == 7


def test_a_single_kernel_of_another_size_is_not_equal(verdict_of):
    assert verdict_of("two-3x3-one-5x5", single=7).verdict == "refuted"


def test_the_interval_of_a_stack_that_is_told_is_the_one_that_decides(verdict_of):
    pair = "deploykit.claims.pair:"
    rows = measured_rows(
        Row({"model": f"{pair}{model}", "backend": backend, "latency_p50_ms": ms, "repeat": number})
        for backend in ("onnxruntime", "openvino")
        for number, stack_ms in enumerate((9.36, 9.52, 9.68), 1)
        for model, ms in (("two_3x3", stack_ms), ("one_5x5", 10.0))
    )
    alone = verdict_of("3x3-stack-only-benefits", rows[:6])
    assert alone.holds["lower latency"] is True
    assert "0.913 to 0.992 times (onnxruntime)" in alone.outcome.explanation
    both = verdict_of("3x3-stack-only-benefits", rows)
    assert both.holds["lower latency"] is None
    assert "0.896 to 1.01 times (onnxruntime)" in both.outcome.explanation
