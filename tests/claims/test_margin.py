from __future__ import annotations

import math
from decimal import Decimal

import pytest

from deploykit.claims.margin import HEDGES, Margin, Stated
from deploykit.errors import UnknownName, UsageError


@pytest.mark.parametrize(
    ("written", "allows"),
    [
        (Decimal("3.08"), 0.005),
        (Decimal("50.0"), 0.05),
        (50, 5),
        (140_000_000, 5_000_000),
        (138_357_544, 0.5),
        (100, 10),  # not 50: a tenth at most
        (1, 0.1),
        (0, 0.5),
        (Decimal("0.6667"), 0.00005),
        (0.25, 0.005),
        (-50, 5),
        (Decimal("-3.08"), 0.005),
        (Decimal("4.2e6"), 50_000),
        (4_200_000, 50_000),
        (Decimal("1.50e6"), 5_000),
        (Decimal("1.0e6"), 50_000),
        ("140_000_000", 0.5),  # a text has the digits that it is written with
        ("3.080", 0.0005),
    ],
)
def test_a_figure_allows_half_a_unit_of_its_last_stated_digit(written, allows):
    stated = Stated(written)
    assert stated == float(written)
    assert stated.allows == pytest.approx(allows)
    assert Stated(stated).allows == stated.allows


@pytest.mark.parametrize("value", [True, "one", None, float("nan"), Decimal("Infinity")])
def test_what_is_no_number_is_no_figure(value):
    with pytest.raises(ValueError, match="expected a"):
        Stated(value)


@pytest.mark.parametrize("value", [Decimal("1e9999999"), Decimal("1e-9999999"), 10**400, "1e400"])
def test_a_number_that_no_float_holds_is_no_figure(value):
    """Decimal arithmetic with it raised what nobody caught, or it came to infinity, which agrees with nothing."""
    with pytest.raises(ValueError, match="expected a number from 1e-300 to 1e300 in size, got 1"):
        Stated(value)


@pytest.mark.parametrize("value", ["4.2M", "50x", "60,965,128", "81%", "about 5", "< 3"])
def test_a_figure_with_words_is_told_how_to_be_written(value):
    with pytest.raises(ValueError, match=r"write it as 4_200_000, 4\.2e6 or 0\.81, without a unit"):
        Stated(value)


def test_limits_are_met_to_the_last_digit_of_a_count():
    """Whole numbers had the slack of computed fractions, which from 10^9 on is more than one."""
    stated = Stated(4_089_184_256)
    assert Margin().agrees(4_089_184_256, stated)
    assert [Margin().agrees(4_089_184_256 + off, stated) for off in (-1, 1)] == [False, False]
    assert Margin("over").agrees(4_089_184_257, stated)
    assert not Margin("over").agrees(4_089_184_256, stated)
    assert not Margin("at least").agrees(4_089_184_255, stated)
    assert all(Margin("about").agrees(found, Stated(20)) for found in (17, 23))


@pytest.mark.parametrize("hedge", ["", *HEDGES])
@pytest.mark.parametrize("found", [math.inf, -math.inf, math.nan])
def test_what_is_no_finite_number_agrees_with_nothing(hedge, found):
    assert not Margin(hedge).agrees(found, Stated(50))


@pytest.mark.parametrize(
    ("hedge", "agree", "differ"),
    [
        ("", (45, 48.83, 55), (44.9, 55.1)),
        ("about", (42.5, 57.5), (42.4, 57.6)),
        ("nearly", (45, 50), (44.9, 50.1)),
        ("slightly less", (45.1, 49.9), (45, 50)),
        ("slightly more", (50.1, 54.9), (50, 55)),
        ("hardly more", (0, 50, 55), (55.1,)),
        ("much less", (0, 25), (25.1, 50)),
        ("much more", (100, 1e9), (99.9, 50)),
        ("over", (50.1, 1e9), (50, 49)),
        ("under", (49.9, -1), (50, 51)),
        ("at least", (50, 1e9), (49.9,)),
        ("at most", (50, -1e9), (50.1,)),
    ],
)
def test_each_hedge_has_one_margin(hedge, agree, differ):
    margin = Margin(hedge)
    assert [margin.agrees(found, Stated(50)) for found in agree] == [True] * len(agree)
    assert [margin.agrees(found, Stated(50)) for found in differ] == [False] * len(differ)


@pytest.mark.parametrize(
    ("hedge", "found", "side"),
    [
        ("", 44.9, -1),
        ("", 48.83, 0),
        ("", 55.1, 1),
        ("about", 57.6, 1),
        ("slightly less", 45, -1),
        ("slightly less", 50, 1),
        ("over", 50, -1),
        ("under", 50, 1),
        ("much less", 50, 1),
        ("much more", 50, -1),
    ],
)
def test_what_does_not_agree_is_on_one_side(hedge, found, side):
    assert Margin(hedge).side(found, 50) == side


def test_every_hedge_is_tried_above():
    tried = test_each_hedge_has_one_margin.pytestmark[0].args[1]
    assert [case[0] for case in tried] == ["", *HEDGES]


def test_limits_of_nothing_are_numbers():
    for hedge in HEDGES:
        assert not any(math.isnan(limit) for limit in Margin(hedge).limits(Stated(0)))


def test_decimal_limits_are_met_in_binary():
    assert Margin("").agrees(0.3 - 0.005, Stated("0.30"))
    assert Margin("").agrees(3.085, Stated("3.08"))


def test_an_unknown_hedge_is_refused_with_the_nearest():
    with pytest.raises(UnknownName, match="unknown hedge 'abuot': did you mean about"):
        Margin("abuot")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("less than", "under"), ("Approximately", "about"), ("up to", "at most"), (">=", "at least")],
)
def test_another_word_for_a_hedge_is_told_the_one_that_means_it(word, meant):
    """Of "less than" the nearest name is "much less", which asks for half of it."""
    with pytest.raises(UsageError, match=f"unknown hedge '{word}': write {meant}, which is "):
        Margin(word)


@pytest.mark.parametrize(
    ("hedge", "said"),
    [
        ("", "1"),
        ("about", "about 1"),
        ("over", "over 1"),
        ("much less", "much less than 1"),
        ("hardly more", "hardly more than 1"),
    ],
)
def test_a_hedge_is_told_as_a_sentence_has_it(hedge, said):
    """Explanations said of a figure that it is stated 'much less 1'."""
    assert Margin(hedge).before("1") == said
