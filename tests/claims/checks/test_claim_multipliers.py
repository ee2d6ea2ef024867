from __future__ import annotations

from fractions import Fraction

import pytest

from deploykit.claims import evaluate_claims
from deploykit.claims.networks import Network
from deploykit.columns import BY_NAME, SETTING_NAMES
from deploykit.report.csv import row_of, rows_of

ALPHA, RHO = "mobilenet-alpha-squared", "mobilenet-rho-squared"


def row(alpha, latency_ms, **columns):
    return row_of(
        {
            "model": "mobilenet",
            "alpha": alpha,
            "rho": "1",
            "precision": "fp32",
            "precision_actual": "fp32",
            "backend": "onnxruntime",
            "batch": 1,
            "status": "ok",
            "latency_p50_ms": latency_ms,
            **columns,
        }
    )


def alpha_verdict(rows):
    (verdict,) = evaluate_claims([ALPHA], rows)
    return verdict


def test_macs_follow_alpha_squared_and_parameters_do_not():
    verdict = alpha_verdict(None)
    assert verdict.verdict == "in context"
    assert verdict.holds == {
        "MACs at 0.75": True,
        "MACs at 0.5": True,
        "MACs at 0.25": False,  # by a hair: 15.3% more than a sixteenth
        "parameters at 0.75": True,
        "parameters at 0.5": False,
        "parameters at 0.25": False,
        "latency": None,
    }
    assert "not measured" in verdict.outcome.explanation
    assert verdict.outcome.evidence["macs(0.5)/macs(1)"] == pytest.approx(149.5 / 568.7, abs=1e-3)
    assert verdict.outcome.evidence["parameters(0.25)/parameters(1)"] == pytest.approx(
        470_072 / 4_231_976, abs=1e-4
    )


def test_linear_shares_explain_the_counts_exactly():
    shares = alpha_verdict(None).outcome.evidence
    mobilenet = Network.named("mobilenet")
    linear = shares["share_linear_in_alpha(macs)"]
    assert 0.25 * (1 - linear) + 0.5 * linear == pytest.approx(
        mobilenet.scaled(0.5).macs / mobilenet.macs, abs=1e-4
    )


def test_macs_do_not_follow_the_first_power_of_alpha(verdict_of):
    verdict = verdict_of(ALPHA, exponent=1)
    assert verdict.holds["MACs at 0.5"] is False


def test_depth_that_does_not_shrink_with_alpha_is_found_out(verdict_of):
    # Full convolutions thin on both sides, so even their parameters come close to the square.
    assert verdict_of(ALPHA, network="mobilenet_conv").holds["parameters at 0.5"] is True


def test_latency_that_falls_with_the_square_holds_and_slower_falls_do_not():
    assert alpha_verdict([row(1.0, 10.0), row(0.5, 2.6)]).holds["latency"] is True
    slow = alpha_verdict([row("1.0", "10"), row("0.5", "5.0")])
    assert slow.holds["latency"] is False
    assert "1.00 (onnxruntime fp32 at 0.5)" in slow.outcome.explanation
    assert slow.outcome.evidence["latency(onnxruntime fp32 at 0.5)/latency(1)"] == 0.5


def test_latencies_of_different_settings_are_not_compared():
    rows = [row(1.0, 10.0), row(0.5, 2.5, precision="int8", precision_actual="int8")]
    assert alpha_verdict(rows).holds["latency"] is None
    for column in SETTING_NAMES:
        if column == "precision":  # above
            continue
        other = row(0.5, 2.5, **{column: "other" if BY_NAME[column].kind == "text" else 7})
        assert alpha_verdict([row(1.0, 10.0), other]).holds["latency"] is None, column


@pytest.mark.parametrize(
    "spoilt",
    [
        {"status": "failed"},
        {"precision": "fp16"},  # computed in fp32: emulated
        {"latency_p50_ms": float("nan")},
        {"latency_p50_ms": ""},
        {"latency_p50_ms": "0"},
        {"model": "alexnet"},
        {"rho": "6/7"},
        {"macs": 123},  # another input size
    ],
)
def test_rows_that_say_nothing_about_alpha_are_left_out(spoilt):
    base = {"precision": spoilt["precision"]} if "precision" in spoilt else {}
    rows = [row(1.0, 10.0, **base), row(0.5, 2.5, **spoilt)]
    assert alpha_verdict(rows).holds["latency"] is None


def test_repeated_rows_decide_where_they_say_the_same():
    """The median decided, however far repeats were apart."""
    rows = [row(1.0, 10.0), row(0.5, 2.5), row(0.5, 2.5), row(0.5, 2.6)]
    assert alpha_verdict(rows).holds["latency"] is True
    apart = alpha_verdict([*rows[:3], row(0.5, 9.0)])
    assert apart.holds["latency"] is None
    assert "0 of 1 as stated, 1 too near the margin to tell." in apart.outcome.explanation
    assert not apart.outcome.lacks_rows
    # One setting that is sure is a counterexample, whatever another leaves open.
    sure = [row(1.0, 10.0, threads=4), row(0.5, 9.0, threads=4)]
    assert alpha_verdict([*rows[:3], row(0.5, 9.0), *sure]).holds["latency"] is False


def test_a_data_frame_is_taken_as_rows():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([row(1.0, 10.0), row(0.5, 2.5), row(0.25, None, status="failed")])
    verdict = alpha_verdict(rows_of(frame))
    assert verdict.holds["latency"] is True


def test_macs_follow_rho_squared_and_parameters_stay():
    (verdict,) = evaluate_claims([RHO])
    assert verdict.verdict == "undecided"
    assert verdict.settled_by == f"deploykit claims {RHO} --measure"
    assert verdict.outcome.computed == pytest.approx(1, abs=0.01)
    assert "Parameters stay the same" in verdict.outcome.explanation
    assert "not measured" in verdict.outcome.explanation
    assert verdict.outcome.evidence["parameters(4/7)"] == 4_231_976


def test_latency_over_rho_is_read_from_rows_with_fractions():
    rows = [row(1, 10.0), row(1, 10.0 * 16 / 49, rho="4/7"), row(1, 7.4, rho=str(6 / 7))]
    (verdict,) = evaluate_claims([RHO], rows)
    assert verdict.holds["latency"] is True
    slow = [row(1, 10.0), row(1, 9.0, rho=Fraction(4, 7))]
    (verdict,) = evaluate_claims([RHO], slow)
    assert verdict.verdict == "in context"


def test_the_formula_meets_every_separable_layer(verdict_of):
    verdict = verdict_of("mobilenet-cost-formula")
    assert verdict.outcome.evidence["layers_checked"] == 4 * 4 * 13
    assert verdict.verdict == "confirmed"
    # 224 * 5/8 = 140 makes maps whose sides are rounded up.
    rounded = verdict_of("mobilenet-cost-formula", alphas=[1.0], rhos=["5/8"])
    assert rounded.verdict == "refuted"
    assert "The first that does not" in rounded.outcome.explanation


def test_separable_convolutions_are_each_judged_by_three_parts(verdict_of):
    verdict = verdict_of("separable-better-accuracy")
    assert list(verdict.holds.values()) == [True, True, False, True, False, True]
    # Neither network has all three of it.
    assert (verdict.verdict, verdict.as_expected) == ("refuted", True)
    assert {part.under for part in verdict.outcome.parts} == {"mobilenet", "xception"}
    assert 1 / verdict.outcome.evidence["macs(mobilenet)/macs(mobilenet_conv)"] == pytest.approx(
        8.56, abs=0.01
    )
    pair = {"separable": "mobilenet", "than": "mobilenet_conv", "top1": 72, "top1_than": 71}
    assert verdict_of("separable-better-accuracy", pairs=[pair]).verdict == "cited"
    better = verdict.claim.arguments["pairs"][1]
    assert verdict_of("separable-better-accuracy", pairs=[pair, better]).verdict == "in context"
    turned = {"separable": "mobilenet_conv", "than": "mobilenet", "top1": 71, "top1_than": 72}
    assert verdict_of("separable-better-accuracy", pairs=[turned]).verdict == "refuted"


def test_rho_gives_the_sizes_exactly(verdict_of):
    assert verdict_of("mobilenet-rho-values").verdict == "confirmed"
    other = verdict_of("mobilenet-rho-values", rhos=["1", "3/4", "5/7", "4/7"])
    assert list(other.holds.values()) == [True, False, True, True]


def test_rho_leaves_parameters_and_shrinks_activations(verdict_of):
    verdict = verdict_of("mobilenet-rho-fewer-params")
    assert verdict.verdict == "refuted"
    assert verdict.outcome.computed == 1
    shrunk = verdict.outcome.evidence["activation_bytes(rho 4/7)/activation_bytes(rho 1)"]
    assert shrunk == pytest.approx(16 / 49, abs=0.001)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"pass": "forward_backward"}, "forward_backward"),
        ({"rate_per_s": 50.0}, "50/s"),
        ({"kept": "Conv_0"}, "keeping Conv_0"),
    ],
)
def test_medians_are_taken_over_one_setting_alone(other, words):
    rows = [row(1.0, 10.0), row(0.5, 2.5)]
    others = ((1.0, 90.0), (0.5, 80.0), (1.0, 90.0), (0.5, 70.0))
    mixed = [*rows, *(row(alpha, latency_ms, **other) for alpha, latency_ms in others)]
    verdict, alone = alpha_verdict(mixed), alpha_verdict(rows)
    name = "latency(onnxruntime fp32 at 0.5)/latency(1)"
    assert verdict.outcome.evidence[name] == alone.outcome.evidence[name] == 0.25
    # The other setting is judged by itself, under a name of its own.
    assert verdict.holds["latency"] is False
    own = f"latency(onnxruntime fp32 {words} at 0.5)/latency(1)"
    assert verdict.outcome.evidence[own] == "0.8889 0.7778"


def test_repeats_on_both_sides_of_a_margin_leave_the_latency_open():
    """The median of three was taken for sure, however far they were from each other."""
    near = [row(1.0, 10.0), row(0.5, 2.5)] * 3
    assert alpha_verdict(near).holds["latency"] is True
    spread = [
        row(1.0, 10.0),
        row(0.5, 2.5),
        row(1.0, 10.0),
        row(0.5, 3.5),
        row(1.0, 10.0),
        row(0.5, 2.6),
    ]
    verdict = alpha_verdict(spread)
    assert verdict.holds["latency"] is None
    assert "1 too near the margin to tell" in verdict.outcome.explanation


def test_a_blank_pass_is_a_forward_pass():
    rows = [row(1.0, 10.0), row(0.5, 2.5, **{"pass": "forward"})]
    assert alpha_verdict(rows).holds["latency"] is True
