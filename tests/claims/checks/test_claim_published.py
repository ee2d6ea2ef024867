from __future__ import annotations

import pytest


def test_the_year_is_that_of_the_preprint_and_of_what_else_is_printed(verdict_of):
    verdict = verdict_of("squeezenet-year")
    assert verdict.verdict == "in context"
    assert verdict.outcome.evidence["the preprint arXiv 1602.07360"] == 2016
    assert verdict_of("squeezenet-year", others={}).verdict == "refuted"
    assert verdict_of("squeezenet-year", fields={"stated": 2016}, others={}).verdict == "cited"
    # Without a preprint it is the year of the paper.
    old = verdict_of("squeezenet-year", network="lenet5", fields={"stated": 1998}, others={})
    assert old.holds == {"the paper": True}


def test_sizes_of_images_are_printed_ones_over_an_input(verdict_of):
    verdict = verdict_of("imagenet-10x-mnist-size")
    assert verdict.verdict == "cited"
    assert verdict.outcome.computed == pytest.approx(350 / 28)
    assert verdict_of("imagenet-10x-mnist-size", network="lenet5").outcome.computed < 11
    assert verdict_of("imagenet-10x-mnist-size", network="alexnet").verdict == "refuted"


def test_printed_values_are_each_held_against_the_stated_one(verdict_of):
    assert list(verdict_of("resnet-35-error").holds.values()) == [False, False]
    assert list(verdict_of("resnet-35-error", fields={"stated": 3.6}).holds.values()) == [
        True,
        False,
    ]
    assert verdict_of("inception-ensemble-308", values={"x": 3.1}).verdict == "refuted"


@pytest.mark.parametrize(
    ("relation", "first", "second", "holds"),
    [
        ("less", 1.0, 2.0, True),
        ("less", 2.0, 2.0, False),
        ("more", 2.0, 1.9, True),
        ("more", 2.0, 2.0, False),
        ("not less", 2.0, 2.0, True),
        ("not less", 1.9, 2.0, False),
        ("equal", 57.2, 57.2, True),
        ("equal", 57.3, 57.2, False),
        ("slightly more", 79.0, 78.2, True),
        ("slightly more", 90.0, 78.2, False),
        ("slightly less", 4.9, 5.0, True),
        ("slightly less", 5.0, 5.0, False),
        ("much more", 10.9, 0.8, True),
        ("much less", 15.3, 26.2, False),
    ],
)
def test_printed_values_are_compared_as_the_claim_says(verdict_of, relation, first, second, holds):
    entry = {"what": "w", "first_of": "a", "second_of": "b"}
    entry |= {"first": first, "second": second, "relation": relation}
    verdict = verdict_of("squeezenet-accuracy-alexnet", comparisons=[entry])
    assert verdict.holds == {"w": holds}


def test_a_wide_margin_is_more_than_any_lead(verdict_of):
    """An error of 26.1 against 26.2 was a wide margin too."""
    lead = dict(verdict_of("alexnet-2012-lead").claim.arguments["comparisons"][1])
    assert verdict_of("alexnet-2012-lead").verdict == "cited"
    assert verdict_of("alexnet-2012-lead", comparisons=[lead | {"first": 0.1}]).verdict == "refuted"


def test_figures_that_were_only_read_are_called_so(verdict_of):
    for name in ("squeezenet-accuracy-alexnet", "resnet-35-error", "vgg-lrn-useless"):
        assert "not measured here" in verdict_of(name).outcome.explanation
