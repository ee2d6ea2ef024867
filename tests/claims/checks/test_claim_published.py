from __future__ import annotations

from decimal import Decimal

import pytest

from deploykit.errors import UsageError


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
        ("about", 3.8, 3.75, True),
        ("about", 6.1, 3.75, False),
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


def test_what_is_far_worse_is_much_worse(verdict_of):
    """The statement had lost its 'far', by which 26.1 against 22.2 per cent was as stated."""
    verdict = verdict_of("resnext-needs-shortcuts")
    assert " far worse" in verdict.claim.statement
    assert (verdict.verdict, verdict.as_expected) == ("refuted", True)
    pairs = [{**pair, "first": 60.0} for pair in verdict.claim.arguments["comparisons"]]
    assert verdict_of("resnext-needs-shortcuts", comparisons=pairs).verdict == "cited"


def test_work_that_no_width_is_printed_for_is_not_counted(verdict_of):
    """MACs of guessed widths refuted a cost that the paper prints of widths which it does not."""
    verdict = verdict_of("inception-25x-googlenet")
    assert verdict.holds == {"42 layers": False, "billions of operations": True}
    assert (verdict.verdict, verdict.as_expected) == ("refuted", True)
    assert "macs" not in " ".join(verdict.outcome.evidence)


def test_how_much_better_a_thinner_network_is_decides_too(verdict_of):
    """The difference of two printed figures stood among what is counted, with a margin of its own."""
    verdict = verdict_of("mobilenet-thin-not-shallow")
    assert verdict.verdict == "cited"
    assert {p.name: (p.holds, p.printed) for p in verdict.outcome.parts} == {
        "at about equal work": (True, False),
        "top-1 accuracy": (True, True),
    }
    assert "3.1 apart where 3 is stated" in verdict.outcome.explanation
    (pair,) = verdict.claim.arguments["printed"]
    for other in ({"by": 4}, {"by": Decimal("3.0")}, {"first": 68.7}, {"relation": "less"}):
        wrong = verdict_of("mobilenet-thin-not-shallow", printed=[{**pair, **other}])
        assert wrong.verdict == "refuted", other
    with pytest.raises(UsageError, match="'by' goes with less and more, not with not less"):
        verdict_of("mobilenet-thin-not-shallow", printed=[{**pair, "relation": "not less"}])


def test_a_share_of_cheques_is_none_of_banks(verdict_of):
    """The share of cheques that were read refuted what is said of banks, which it bounds from below alone."""
    verdict = verdict_of("lenet5-most-banks")
    assert list(verdict.holds.values()) == [False, None]
    assert all(part.printed for part in verdict.outcome.parts)
    assert (verdict.verdict, verdict.as_expected, verdict.settled_by) == ("undecided", True, "")
    assert "leaves open" in verdict.outcome.explanation
    most = {name: [60, 100] for name in verdict.claim.arguments["bounds"]}
    assert verdict_of("lenet5-most-banks", bounds=most).verdict == "cited"
    few = {name: [10, 20] for name in verdict.claim.arguments["bounds"]}
    assert verdict_of("lenet5-most-banks", bounds=few).verdict == "refuted"


@pytest.mark.parametrize(
    ("ends", "holds"),
    [((51, 60), True), ((10, 49), False), ((50, 60), None), ((40, 60), None)],
)
def test_bounds_decide_where_both_say_the_same(verdict_of, ends, holds):
    verdict = verdict_of("lenet5-most-banks", bounds={"x": list(ends)})
    assert verdict.holds == {"x": holds}
    # A figure that no word opens on one side is missed on both.
    plain = verdict_of("lenet5-most-banks", bounds={"x": [40, 60]}, fields={"hedge": ""})
    assert plain.holds == {"x": None}


@pytest.mark.parametrize(
    "bounds", [[10.0, float("inf")], [float("-inf"), 10.0], [60.0, 55.0], [float("nan"), 60.0]]
)
def test_bounds_that_are_none_are_refused(verdict_of, bounds):
    """An upper bound of infinity was below every figure, so that what may well be refuted the claim."""
    verdict = verdict_of("lenet5-most-banks", bounds={"of the banks": bounds})
    assert isinstance(verdict.error, UsageError)
    assert "give two finite numbers, the lower one first" in str(verdict.error)


def test_no_bounds_are_nothing_to_decide(verdict_of):
    verdict = verdict_of("lenet5-most-banks", bounds={})
    assert "published_bounds is given nothing to decide" in str(verdict.error)
