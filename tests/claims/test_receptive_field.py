from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from deploykit.claims import check_claim, list_claims
from deploykit.claims.checks.receptive_field import receptive_field_px

CLAIMS = {claim.id: claim for claim in list_claims()}


def changed(name, **parameters):
    claim = CLAIMS[name]
    return dataclasses.replace(claim, parameters={**claim.parameters, **parameters})


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
def test_both_ways_find_the_field(name):
    verdict = check_claim(CLAIMS[name])
    assert verdict.holds == {"arithmetic": True, "gradient": True}
    assert verdict.found == CLAIMS[name].stated
    assert (
        verdict.evidence["centre_influence(single)"] < verdict.evidence["centre_influence(stack)"]
    )


def test_a_third_convolution_sees_more_than_5x5():
    verdict = check_claim(changed("two-3x3-one-5x5", times=3))
    assert verdict.verdict == "refuted"
    assert verdict.found == 7


def test_a_single_kernel_of_another_size_is_not_equal():
    assert check_claim(changed("two-3x3-one-5x5", single=7)).verdict == "refuted"
