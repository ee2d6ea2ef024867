from __future__ import annotations

import dataclasses

import pytest

from deploykit.claims import check_claim, list_claims

CLAIMS = {claim.id: claim for claim in list_claims()}


def changed(name, **parameters):
    claim = CLAIMS[name]
    return dataclasses.replace(claim, parameters={**claim.parameters, **parameters})


def test_fifty_times_is_the_ratio_to_the_grouped_alexnet():
    verdict = check_claim(CLAIMS["squeezenet-params-50x"])
    assert verdict.evidence["parameters(alexnet)"] == 60_965_224
    assert verdict.evidence["parameters(squeezenet1_0)"] == 1_248_424
    assert verdict.found == pytest.approx(48.834, abs=1e-3)
    assert verdict.deviation == pytest.approx(-0.0233, abs=1e-4)
    assert "48.83" in verdict.explanation
    assert "243.9 MB against 4.99 MB" in verdict.explanation


def test_another_network_is_not_fifty_times_smaller():
    verdict = check_claim(changed("squeezenet-params-50x", bottom="mobilenet"))
    assert verdict.verdict == "refuted"
    assert verdict.found == pytest.approx(60_965_224 / 4_231_976)


def test_140_million_fits_vgg16_and_vgg19_but_not_vgg11():
    assert check_claim(CLAIMS["vgg-140m"]).found == 138_357_544
    assert check_claim(changed("vgg-140m", model="vgg19")).verdict == "confirmed"
    assert check_claim(changed("vgg-140m", model="vgg11")).verdict == "refuted"


def test_a_tolerance_of_nothing_refutes_a_rounded_figure():
    claim = dataclasses.replace(CLAIMS["vgg-140m"], tolerance=0.0)
    assert check_claim(claim).verdict == "refuted"
