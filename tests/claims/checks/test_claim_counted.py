from __future__ import annotations

import pytest

from deploykit.claims.checks import counted
from deploykit.claims.checks.costs import PrintedPair
from deploykit.claims.checks.counted import Figure, Relation
from deploykit.claims.expression import Expression
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.networks import Network, Variant
from deploykit.errors import UsageError


def figure(text, stated, **other):
    return Figure(Expression.parse(text), Stated(stated), **other)


def holds(outcome):
    return [part.holds for part in outcome.parts]


def test_a_figure_agrees_to_its_digits():
    def of(stated):
        return holds(
            counted.counted(Stated(stated), Margin(), Expression.parse("macs(mobilenet) / 1e6"))
        )

    assert of("569") == [True]
    assert of("568.74") == [True]
    assert of("568") == of("568.8") == [False]


def test_a_figure_that_was_cut_off_is_told():
    figures = (figure("macs(mobilenet(rho=5/7)) / 1e6", "290"), figure("layers(mobilenet)", 27))
    outcome = counted.figures(Margin(), figures)
    assert holds(outcome) == [False, False]
    assert outcome.explanation.count("cut off") == 1


def test_what_is_found_has_as_many_digits_as_what_is_stated():
    """Of 4.1234 it was said that it is 4.12, stated 4.12, and that this fails."""
    outcome = counted.figures(Margin(), (figure("4.1234", "4.120"),))
    assert holds(outcome) == [False]
    assert outcome.explanation == "Counted: 4.1234 is 4.123, stated 4.120 (+0.1%)."


def test_each_figure_has_its_name_hedge_and_reading():
    figures = (
        figure("layers(vgg16)", 10, hedge="over", name="deeper", under="VGG"),
        figure("layers(vgg16)", 10),
    )
    first, second = counted.figures(Margin("under"), figures).parts
    assert (first.name, first.holds, first.under) == ("deeper", True, "VGG")
    assert (second.name, second.holds) == ("layers(vgg16)", False)


def test_a_figure_without_one_of_its_own_is_held_against_the_claims():
    figures = (
        Figure(Expression.parse("layers(vgg16)"), name="layers"),
        figure("depth(resnet18)", 18, name="depth"),
    )
    outcome = counted.figures(Margin(), figures, Stated(16))
    assert (holds(outcome), outcome.computed) == ([True, True], 16)
    assert holds(counted.figures(Margin(), figures, Stated(19))) == [False, True]
    with pytest.raises(UsageError, match="layers: give it a figure as 'stated'"):
        counted.figures(Margin(), figures, "16 and 18")


def test_of_a_sequence_each_member_is_held_against_the_figure():
    def of(text, stated):
        return counted.figures(Margin(), (Figure(Expression.parse(text)),), Stated(stated))

    assert holds(of("kernels(lenet5, 'nowhere')", 5)) == [False]
    assert holds(of("channels(lenet5, conv)", 6)) == [False]
    same = of("channels(lenet5, conv) / channels(lenet5, conv)", 1)
    assert (holds(same), same.computed) == ([True], 1.0)


@pytest.mark.parametrize(
    ("text", "so"),
    [
        ("macs(vgg16) > macs(alexnet)", True),
        ("macs(vgg16) < macs(alexnet)", False),
        ("channels(lenet5, conv) == [6, 16]", True),
        ("channels(lenet5, conv) == [6, 17]", False),
        ("channels(lenet5, conv) == [6]", False),
        ("channels(lenet5, conv) != [6]", True),
        ("channels(lenet5, conv) > 5", True),
        ("channels(lenet5, conv) > 6", False),
        ("kernels(lenet5, conv) == '5x5'", True),
        ("kernels(lenet5, 'nowhere') == '5x5'", False),
        ("0.1 + 0.2 == 0.3", True),
        # Counts are exact: one in 10^9 more is more.
        ("4089184256 == 4089184257", False),
        ("4089184256 >= 4089184257", False),
        ("4089184256 <= 4089184256", True),
    ],
)
def test_a_relation_is_of_all_members(text, so):
    assert Relation.parse(text).holds is so


@pytest.mark.parametrize(
    "text", ["macs(vgg16)", "1 < 2 < 3", "1 in [1]", "macs(vgg99) > 1", "1 >", "\0"]
)
def test_what_is_no_relation_is_refused(text):
    with pytest.raises(UsageError):
        Relation.parse(text)


def test_printed_pairs_are_parts_that_rest_on_print():
    pair = PrintedPair("error", 20.0, "one", 20.0, "other", "not more")
    outcome = counted.relations({"so": Relation.parse("1 < 2")}, (pair,), "a paper")
    assert [(part.holds, part.printed) for part in outcome.parts] == [(True, False), (True, True)]
    assert "a paper" in outcome.explanation


def test_figures_have_printed_pairs_and_conditions_beside_them():
    pair = PrintedPair("error", 20.0, "one", 20.0, "other", "not more")
    stated = (figure("layers(vgg16)", 16, name="layers"), figure("layers(vgg11)", 12, under="own"))
    together = {"both": ("layers", "error")}
    outcome = counted.figures(Margin(), stated, "", (pair,), "a paper", together)
    assert [(p.holds, p.under, p.printed) for p in outcome.parts] == [
        (True, "both", False),
        (False, "own", False),
        (True, "both", True),
    ]
    assert (outcome.computed, outcome.evidence["error(one)"]) == ("16, 11", 20.0)
    assert outcome.explanation.endswith("20 for one and 20 for other (a paper).")
    with pytest.raises(UsageError, match="layer"):
        counted.figures(Margin(), stated, conditions={"both": ("layer",)})


def test_parts_under_one_condition_hold_together(verdict_of):
    """Equal cost of the one pair of networks stood beside less error of the other."""
    verdict = verdict_of("inception-residual-slightly-better")
    assert (verdict.verdict, verdict.as_expected) == ("in context", True)
    pairs = [dict(pair) for pair in verdict.claim.arguments["printed"]]
    pairs[0]["first"] = 20.1  # of v2, so that neither pair is as stated
    assert verdict_of("inception-residual-slightly-better", printed=pairs).verdict == "refuted"
    wrong = verdict_of("inception-residual-slightly-better", conditions={"v2": ["cost"]})
    assert "unknown part 'cost'" in str(wrong.error)


def test_a_straight_line_over_the_logarithm_is_explained_wholly():
    network = Network.named("mobilenet")
    points = tuple(
        counted.Point(network.scaled(alpha=alpha), accuracy)
        for alpha, accuracy in ((1.0, 70.0), (0.5, 60.0), (0.25, 80.0))
    )
    bad = counted.log_linear(Stated("0.95"), Margin("at least"), points, "a table")
    assert holds(bad) == [False]
    assert holds(counted.log_linear(Stated("0.95"), Margin("at least"), points[:2], "")) == [True]


def test_the_largest_family_is_found():
    assert holds(counted.family_is_largest("vgg", "parameters")) == [True]
    assert holds(counted.family_is_largest("vgg", "macs")) == [False]


def test_a_family_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="unknown family 'vggg': did you mean vgg"):
        counted.family_is_largest("vggg", "parameters")


def test_convolutions_share_their_weights_over_positions_and_networks_need_not(verdict_of):
    """It is said of a convolution; held against it were whole networks, of which it is false."""
    verdict = verdict_of("weights-shared-over-positions")
    assert (verdict.verdict, verdict.as_expected) == ("confirmed", True)
    # A network that connects all of its last maps has parameters by their size.
    whole = {
        name: relation.text.replace(", conv)", ")")
        for name, relation in (
            (name, Relation.parse(text))
            for name, text in verdict.claim.arguments["relations"].items()
        )
    }
    of_networks = verdict_of("weights-shared-over-positions", relations=whole)
    assert [name for name, holds in of_networks.holds.items() if not holds] == [
        "lenet5, which connects all of its last maps"
    ]


def test_lenet5_at_its_own_size_is_lenet5():
    own, other = Variant("lenet5_at", side=32), Variant("lenet5_at", side=28)
    assert own.counts == Network.named("lenet5").counts
    assert own.parameters - other.parameters == 16 * (5**2 - 4**2) * 120


def test_figures_of_squeezenet_are_held_against_the_network_and_size_that_they_are_of(verdict_of):
    """They were printed for 227 px and held against counts at 224, which called the right one of them wrong."""
    padded, plain = (Variant(f"squeezenet{name}_released") for name in ("1_0", "1_1"))
    assert padded.input_shape == plain.input_shape == (3, 227, 227)
    assert padded.parameters == Network.named("squeezenet1_0").parameters
    assert padded.layers[-3].output == (1000, 15, 15)
    verdict = verdict_of("squeezenet-gflops")
    assert verdict.holds == {"1.0": True, "1.1": False}
    assert (verdict.verdict, verdict.as_expected) == ("refuted", True)
    assert verdict_of("squeezenet11-24x").as_expected


def test_numbers_in_names_are_not_those_of_layers_everywhere(verdict_of):
    """It was said of all names, and held against those alone of which it is so."""
    verdict = verdict_of("names-are-depths")
    assert (verdict.verdict, verdict.as_expected) == ("in context", True)
    assert [name for name, holds in verdict.holds.items() if not holds] == [
        "Inception v3",
        "Inception v4",
        "EfficientNet-B7",
    ]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        # 0.1 + 0.2 is a binary fraction over 0.3.
        ("0.1 + 0.2 > 0.3", False),
        ("0.3 < 0.1 + 0.2", False),
        ("0.1 + 0.2 != 0.3", False),
        ("[0.1 + 0.2] != [0.3]", False),
        ("[0.1 + 0.2, 1] != [0.3, 2]", True),
        ("0.1 + 0.2 >= 0.3", True),
        ("0.3001 > 0.3", True),
    ],
)
def test_rounding_of_fractions_is_no_difference(text, holds):
    """What is strictly more was more by the last bit of a float, in which the two sides happened to be computed."""
    assert counted.Relation.parse(text).holds is holds


def test_a_part_has_one_condition():
    """The last of them counted, without a word."""
    stated = (figure("layers(vgg16)", 16, name="layers"),)
    twice = {"one": ("layers",), "other": ("layers",)}
    with pytest.raises(UsageError, match="'layers' stands under 'one' and 'other'"):
        counted.figures(Margin(), stated, conditions=twice)
