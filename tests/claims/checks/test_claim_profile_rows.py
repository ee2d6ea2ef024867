from __future__ import annotations

import pytest
import torch

from deploykit.claims import pair
from deploykit.claims.check import built_rows, measured_rows
from deploykit.claims.checks import rows as rows_check
from deploykit.claims.margin import Margin, Stated
from deploykit.errors import UsageError
from deploykit.row import OVERLOAD, Finding, Row
from deploykit.zoo import count_module, lookup


def row(model="mobilenet", latency_ms=10.0, **columns):
    cells = {
        "model": model,
        "backend": "onnxruntime",
        "precision": "fp32",
        "batch": 1,
        "threads": 2,
    }
    return Row({**cells, "latency_p50_ms": latency_ms, **columns})


def outcome_of(name, *rows, verdict_of):
    return verdict_of(name, measured_rows(rows))


def test_a_ratio_is_of_rows_that_differ_in_one_thing(verdict_of):
    rows = [
        row(latency_ms=9.0),
        row(latency_ms=3.0, precision="int8", precision_actual="int8", target="cpu"),
        row(latency_ms=1.0, precision="int8", precision_actual="int8", threads=1),
    ]
    verdict = outcome_of("int8-3x-faster", *rows, verdict_of=verdict_of)
    assert verdict.holds == {"mobilenet": True}
    assert verdict.outcome.computed == pytest.approx(3.0)
    slower = [rows[0], row(latency_ms=4.0, precision="int8")]
    assert outcome_of("int8-3x-faster", *slower, verdict_of=verdict_of).verdict == "refuted"


def test_networks_are_told_apart_by_their_multipliers(verdict_of):
    rows = [
        row(onnx_bytes=400),
        row(onnx_bytes=100, precision="int8"),
        row(alpha=0.5, onnx_bytes=300),
        row(alpha=0.5, onnx_bytes=100, precision="int8"),
    ]
    verdict = outcome_of("int8-4x-smaller", *rows, verdict_of=verdict_of)
    assert verdict.holds == {"mobilenet": True, "mobilenet alpha 0.5": False}
    assert verdict.verdict == "in context"


def test_two_networks_need_all_else_alike(verdict_of):
    alexnet = row("alexnet", 20.0, macs=3)
    assert outcome_of(
        "squeezenet-faster-than-alexnet",
        alexnet,
        row("squeezenet1_0", 10.0, macs=2),
        verdict_of=verdict_of,
    ).holds == {"alexnet": True}
    other = outcome_of(
        "squeezenet-faster-than-alexnet",
        alexnet,
        row("squeezenet1_0", 10.0, threads=1),
        verdict_of=verdict_of,
    )
    assert other.verdict == "undecided"
    assert "model squeezenet1_0" in other.outcome.explanation
    assert "--measure" in other.settled_by


def test_throughput_is_of_all_images_of_a_batch(verdict_of):
    rows = [row(latency_ms=10.0), row(latency_ms=40.0, batch=8)]
    verdict = outcome_of("batch-raises-throughput", *rows, verdict_of=verdict_of)
    assert verdict.outcome.computed == pytest.approx(2.0)


def test_one_pair_out_of_order_refutes(verdict_of):
    def verdict(*latencies_ms):
        rows = [
            row(f"net{number}", latency_ms, parameters=number)
            for number, latency_ms in enumerate(latencies_ms, 1)
        ]
        return outcome_of("fewer-parameters-faster", *rows, verdict_of=verdict_of)

    assert verdict(1.0, 2.0, 3.0, 4.0).verdict == "confirmed"
    wrong = verdict(1.0, 3.0, 2.0, 4.0)
    assert wrong.verdict == "refuted"
    assert "net3" in wrong.outcome.explanation
    assert verdict(1.0, 2.0).verdict == "undecided"


def test_a_pair_that_repeats_disagree_on_is_not_out_of_order(verdict_of):
    """The medians were compared, so that noise between two networks of about a time refuted what is said of all."""

    def verdict(*second_ms):
        times_ms = {1: (1.0, 1.2, 1.1), 2: second_ms, 3: (3.0, 3.0, 3.0), 4: (4.0, 4.0, 4.0)}
        rows = [
            row(f"net{number}", time_ms, parameters=number, repeat=repeat)
            for number, times in times_ms.items()
            for repeat, time_ms in enumerate(times, 1)
        ]
        return outcome_of("fewer-parameters-faster", *rows, verdict_of=verdict_of)

    assert verdict(1.2, 1.3, 1.2).verdict == "confirmed"
    assert verdict(0.9, 0.9, 0.9).verdict == "refuted"
    unsure = verdict(1.0, 1.05, 1.1)
    assert unsure.verdict == "undecided"
    assert "repeats disagree on 1" in unsure.outcome.explanation


def test_accuracy_decides_where_there_are_images_enough():
    def outcome(loss, half_width):
        top1 = 0.9 - loss
        rows = [
            row(top1=0.9, top1_low=0.9 - half_width, top1_high=0.9 + half_width),
            row(
                precision="int8",
                top1=top1,
                top1_low=top1 - half_width,
                top1_high=top1 + half_width,
            ),
        ]
        found = rows_check.rows_keep_accuracy(measured_rows(rows), Stated("0.01"), "int8", 0.01)
        return [part.holds for part in found.parts]

    assert outcome(0.003, 0.004) == [True]
    assert outcome(0.02, 0.004) == [False]
    assert outcome(0.005, 0.03) == [None]
    # The loss was taken as if it were sure, and half a point of 1% +- 0.4% was under one point.
    assert outcome(0.005, 0.004) == [None]


def test_a_network_of_too_few_images_is_not_passed_over(verdict_of):
    """Of two networks the one that could not be told was left out, and the other confirmed the claim."""

    def judged(model, half_width):
        sure = {"top1": 0.9, "top1_low": 0.9 - half_width, "top1_high": 0.9 + half_width}
        return [row(model, **sure), row(model, precision="int8", **sure)]

    rows = [*judged("lenet5", 0.002), *judged("mlp", 0.05)]
    verdict = outcome_of("int8-below-1-percent", *rows, verdict_of=verdict_of)
    assert verdict.holds == {"lenet5": True, "mlp": None}
    assert verdict.verdict == "undecided"
    assert "mlp" in verdict.outcome.explanation


def test_of_repeats_the_one_with_an_accuracy_is_the_reference():
    judged = {"top1": 0.9, "top1_low": 0.899, "top1_high": 0.901, "repeat": 1}
    rows = [row(**judged), row(repeat=2), row(precision="int8", **judged)]
    found = rows_check.rows_keep_accuracy(measured_rows(rows), Stated("0.01"), "int8", 0.01)
    assert [part.holds for part in found.parts] == [True]


def test_repeats_on_both_sides_of_a_figure_decide_nothing():
    def holds(*ratios):
        rows = [row(latency_ms=10.0, repeat=number) for number in range(len(ratios))]
        rows += [row(latency_ms=10.0 * r, batch=8, repeat=n) for n, r in enumerate(ratios)]
        found = rows_check.rows_ratio(
            measured_rows(rows),
            Stated(4),
            Margin("about"),
            "latency",
            {"batch": "8"},
            {"batch": "1"},
        )
        return [part.holds for part in found.parts]

    assert holds(3.9, 4.1, 4.0) == [True]
    assert holds(3.0, 3.1, 2.9) == [False]
    assert holds(3.0, 5.0, 3.1) == [None]


def test_repeats_that_agree_by_chance_decide_nothing(verdict_of):
    """Three of noise are on one side in one case of four: normalisation made a layer faster."""

    def verdict(*ratios):
        rows = [
            row(f"deploykit.claims.pair:{name}", latency_ms, backend="torch", repeat=number)
            for number, ratio in enumerate(ratios)
            for name, latency_ms in (("with_norm", 10.0 * ratio), ("one_3x3", 10.0))
        ]
        return outcome_of("bn-folding-helps", *rows, verdict_of=verdict_of)

    assert verdict(0.556, 0.873, 0.987).verdict == "undecided"
    assert verdict(0.86, 0.873, 0.88).verdict == "refuted"
    assert verdict(1.2, 1.3, 1.25).verdict == "confirmed"


def test_one_row_of_each_decides_where_their_own_intervals_do(verdict_of):
    def verdict(half_width_ms, int8_ms=9.0):
        rows = [
            row(
                precision=precision,
                latency_ms=latency_ms,
                latency_p50_low_ms=latency_ms - half_width_ms,
                latency_p50_high_ms=latency_ms + half_width_ms,
            )
            for precision, latency_ms in (("fp32", 10.0), ("int8", int8_ms))
        ]
        return outcome_of("int8-faster", *rows, verdict_of=verdict_of).verdict

    assert verdict(0.3) == "confirmed"
    assert verdict(0.6) == "undecided"
    # Two processes of one and the same differ by as much, and `speedup` of the row is no surer.
    assert verdict(0.01, 9.85) == "undecided"
    assert verdict(0.01, 9.6) == "confirmed"


def test_rows_of_another_kind_decide_nothing():
    assert (
        rows_check.rows_ratio(
            measured_rows([row()]),
            Stated(1),
            Margin("over"),
            "latency",
            {"batch": "8"},
            {"batch": "1"},
        )
        .parts[0]
        .holds
        is None
    )


def test_a_column_that_there_is_not_is_refused_without_rows_too(verdict_of):
    verdict = verdict_of("densenet-slower-than-resnet", top={"modl": "densenet121"})
    assert isinstance(verdict.error, UsageError)
    assert "unknown column 'modl': did you mean model" in str(verdict.error)


def test_a_number_of_a_cell_may_be_written_in_any_way(verdict_of):
    """A profile has 1 where a user writes 1.0, so that nothing was found to be measured."""
    rows = [row(latency_ms=40.0, alpha=1.0), row(latency_ms=10.0, alpha=0.5)]
    claim = "densenet-slower-than-resnet"
    one, half = ({"model": "mobilenet", "alpha": alpha} for alpha in ("1.0", ".50"))
    verdict = verdict_of(claim, measured_rows(rows), top=one, bottom=half)
    assert verdict.outcome.computed == pytest.approx(4.0)
    verdict = verdict_of(claim, measured_rows(rows), top=one, bottom=half | {"batch": "one"})
    assert isinstance(verdict.error, UsageError)
    assert "batch is a number in every row, not 'one'" in str(verdict.error)


def test_repeats_that_disagree_decide_nothing(verdict_of):
    def verdict(*latencies_ms):
        rows = [row("resnet18", 47.0, repeat=number) for number in range(len(latencies_ms))]
        rows += [
            row("efficientnet_b0", latency_ms, repeat=number)
            for number, latency_ms in enumerate(latencies_ms)
        ]
        return outcome_of("efficientnet-faster-than-resnet18", *rows, verdict_of=verdict_of)

    assert verdict(10.0, 10.0, 10.0).verdict == "confirmed"
    assert verdict(10.0, 20.0, 10.0).verdict == "undecided"
    assert verdict(20.0, 20.0, 20.0).verdict == "refuted"


def test_settings_that_disagree_are_no_repeats(verdict_of):
    """A network that is faster on one runtime and slower on another left the claim undecided."""
    rows = [
        row("lenet5", latency_ms, backend=backend, precision=precision)
        for backend, int8_ms in (("onnxruntime", 3.0), ("openvino", 30.0))
        for precision, latency_ms in (("fp32", 10.0), ("int8", int8_ms))
    ]
    verdict = outcome_of("int8-faster", *rows, verdict_of=verdict_of)
    assert (verdict.verdict, sorted(verdict.holds.values())) == ("in context", [False, True])
    assert all(name.startswith("lenet5, ") for name in verdict.holds)
    alike = outcome_of("int8-faster", *rows[:2], *rows[:1], verdict_of=verdict_of)
    assert alike.holds == {"lenet5": True}
    pair_of = [
        row(model, latency_ms, backend=backend)
        for backend, second_ms in (("onnxruntime", 5.0), ("openvino", 20.0))
        for model, latency_ms in (("densenet121", 10.0), ("resnet50", second_ms))
    ]
    # One counterexample is enough where it is said of all.
    slower = outcome_of("densenet-slower-than-resnet", *pair_of, verdict_of=verdict_of)
    assert slower.verdict == "refuted"


def test_layers_that_are_timed_are_what_their_names_say():
    for name in ("one_3x3", "row_and_column", "eight_groups", "one_3x3_of_63", "eight_relus"):
        factory = getattr(pair, name)
        shape = (1, *factory.input_shape)
        assert factory()(torch.zeros(shape)).shape == shape
    weights = {
        name: getattr(pair, name)()[0].weight.numel() for name in ("one_3x3", "eight_groups")
    }
    assert weights["one_3x3"] == 8 * weights["eight_groups"]
    assert len([m for m in pair.eight_sigmoids() if isinstance(m, torch.nn.Sigmoid)]) == 8
    dense, pruned = pair.one_3x3()[0].weight, pair.mostly_zeros()[0].weight
    assert float((pruned == 0).double().mean()) == pytest.approx(0.9, abs=0.01)
    assert float((dense == 0).double().mean()) < 0.01
    assert not any(isinstance(m, torch.nn.ReLU) for m in pair.resnet18_without_relus().modules())
    for name in ("with_norm", "separable_3x3", "depthwise_3x3", "depthwise_1x1"):
        factory = getattr(pair, name)
        shape = (1, *factory.input_shape)
        assert factory()(torch.zeros(shape)).shape == shape
    # 95% of MobileNet's multiply-adds are in its 1x1 convolutions (Howard et al. 2017, table 2).
    macs = count_module(
        pair.mobilenet_pointwise().eval(), pair.mobilenet_pointwise.input_shape
    ).macs
    assert macs / lookup("mobilenet").macs == pytest.approx(0.9486, abs=0.0005)
    assert pair.fully_connected()(torch.zeros(2, *pair.fully_connected.input_shape)).shape == (
        2,
        4096,
    )


def test_a_first_run_is_held_against_the_median_of_its_own_process(verdict_of):
    def verdict(*firsts_ms):
        rows = [
            row(latency_ms=2.0, first_run_ms=first, repeat=n) for n, first in enumerate(firsts_ms)
        ]
        return outcome_of("first-run-slower", *rows, verdict_of=verdict_of)

    assert verdict(5.0, 6.0, 7.0).verdict == "confirmed"
    assert verdict(5.0, 1.0, 7.0).verdict == "undecided"
    refuted = verdict(1.0, 1.1, 1.2)
    assert (refuted.verdict, refuted.as_expected) == ("refuted", False)
    # Three that agree may do so by chance.
    assert verdict(1.7, 1.99, 1.9).verdict == "undecided"
    assert verdict(1.0, 1.1).verdict == "undecided"
    assert verdict(None, None).verdict == "undecided"


def test_engines_that_can_not_run_here_have_a_size_all_the_same(verdict_of):
    def built(model, precision, engine_bytes, **columns):
        cells = {"model": model, "backend": "tensorrt-rtx", "status": "skipped", "alpha": 1.0}
        return Row(cells | {"precision": precision, "engine_bytes": engine_bytes} | columns)

    rows = [built("alexnet", "fp32", 4000), built("alexnet", "int8", 1000)]
    rows += [built("lenet5", "fp32", 900), built("lenet5", "int8", 1000)]
    rows += [built("nin", "fp32", 900)]
    assert not measured_rows(rows)
    found = verdict_of("int8-4x-smaller-trt", built_rows(rows))
    assert (found.verdict, found.as_expected) == ("in context", True)
    assert found.holds == {"alexnet": True, "lenet5": False}
    lie = [built("lenet5", "fp32", 4000), built("lenet5", "int8", 1000)]
    assert not verdict_of("int8-4x-smaller-trt", built_rows(lie)).as_expected
    wrong = [built("alexnet", "int8", 1000, precision_actual="fp32")]
    assert not built_rows(wrong)


def test_memory_is_compared_above_what_was_there_before(verdict_of):
    rows = [
        row("alexnet", precision="fp32", host_delta_mib=200.0, backend="openvino"),
        row("alexnet", precision="fp16", host_delta_mib=100.0, backend="openvino"),
    ]
    assert outcome_of("fp16-halves-memory", *rows, verdict_of=verdict_of).verdict == "confirmed"


def test_parts_of_files_are_expected_by_name_and_others_may_be_either(verdict_of):
    def verdict(ratio, model):
        rows = [
            row(model, precision="fp32", onnx_bytes=int(1000 * ratio)),
            row(model, precision="int8", onnx_bytes=1000),
        ]
        return outcome_of("int8-4x-smaller", *rows, verdict_of=verdict_of)

    assert verdict(3.9, "mobilenet").as_expected
    assert verdict(3.9, "a_users_own").as_expected
    wrong = verdict(2.0, "mobilenet")
    assert wrong.surprises == (
        "is refuted, not undecided or confirmed or in context",
        "part 'mobilenet' fails, not holds",
    )


@pytest.mark.parametrize("name", ["se-costs-no-time", "relu-layers-cost-nothing"])
def test_what_costs_hardly_any_time_may_cost_none(verdict_of, name):
    """One of the two took 12% for hardly any, and the other refused what took no time at all."""
    top, bottom = (verdict_of(name).claim.arguments[side]["model"] for side in ("top", "bottom"))

    def verdict(latency_ms):
        rows = (row(top, latency_ms), row(bottom, 10.0))
        return outcome_of(name, *rows, verdict_of=verdict_of).verdict

    assert [verdict(one) for one in (9.9, 10.0, 10.9, 11.2)] == ["confirmed"] * 3 + ["refuted"]


@pytest.mark.parametrize(
    ("name", "latencies_ms"),
    [("relu-simpler-than-sigmoid", (3.0, 9.0)), ("zeros-do-not-speed-up", (9.0, 3.0))],
)
def test_what_any_machine_would_say_fails_the_gate_otherwise(verdict_of, name, latencies_ms):
    top, bottom = (
        dict(verdict_of(name).claim.arguments)[side]["model"] for side in ("top", "bottom")
    )
    rows = [row(model, time) for model, time in zip((top, bottom), latencies_ms, strict=True)]
    found = outcome_of(name, *rows, verdict_of=verdict_of)
    assert (found.verdict, found.as_expected) == ("refuted", False)


@pytest.mark.parametrize(
    ("name", "cells", "agree", "differ"),
    [
        ("threads-scale", ({"threads": 1}, {"threads": 2}), 1.9, 1.75),
        ("training-3x-forward", ({"pass": "forward_backward"}, {"pass": "forward"}), 3.2, 3.4),
        ("factorised-3x3-time", ({}, {}), 0.67, 0.72),
    ],
)
def test_figures_that_no_word_hedges_have_the_margin_of_their_digits(
    verdict_of, name, cells, agree, differ
):
    """Their statements had been given a hedge that who states them does not use."""
    claim = verdict_of(name).claim
    assert claim.hedge == ""
    of = [claim.arguments[side].get("model", "mobilenet") for side in ("top", "bottom")]

    def verdict(ratio):
        rows = (row(of[0], 10 * ratio, **cells[0]), row(of[1], 10.0, **cells[1]))
        return outcome_of(name, *rows, verdict_of=verdict_of).verdict

    assert [verdict(agree), verdict(differ)] == ["confirmed", "refuted"]


def test_zeros_that_make_a_convolution_slower_do_not_make_it_faster(verdict_of):
    """The statement is of one side; with the margin of a bare 1, noise that slowed the zeros refuted it."""
    (top, bottom) = (
        verdict_of("zeros-do-not-speed-up").claim.arguments[side]["model"]
        for side in ("top", "bottom")
    )

    def verdict(ratio):
        rows = (row(top, 10 * ratio), row(bottom, 10.0))
        return outcome_of("zeros-do-not-speed-up", *rows, verdict_of=verdict_of).verdict

    assert [verdict(ratio) for ratio in (0.7, 1.0, 1.5)] == ["confirmed", "confirmed", "refuted"]


def test_the_listing_is_decided_by_the_means_of_its_hundred_batches(verdict_of):
    """Any rows of the two passes decided it, by their medians."""

    def verdict(mean_ms, **cells):
        listing = {"batch": 32, "warmup_iterations": 10, "iterations": 100, **cells}
        rows = [
            row("vgg16", 1.0, latency_mean_ms=ms, **listing, **{"pass": name})
            for name, ms in (("forward", 100.0), ("forward_backward", mean_ms))
        ]
        return outcome_of("forward-vs-forward-backward", *rows, verdict_of=verdict_of).verdict

    assert [verdict(ms) for ms in (300.0, 500.0)] == ["confirmed", "refuted"]
    assert verdict(300.0, iterations=99) == verdict(300.0, warmup_iterations=1) == "undecided"


def test_settings_are_no_repeats_of_a_first_run(verdict_of):
    """One row each of three precisions were taken for three repeats of a network."""
    precisions = ("fp32", "fp16", "int8")
    once = [
        row(latency_ms=2.0, first_run_ms=first_ms, precision=name)
        for name, first_ms in zip(precisions, (10.0, 11.0, 12.0), strict=True)
    ]
    verdict = outcome_of("first-run-slower", *once, verdict_of=verdict_of)
    assert (verdict.verdict, verdict.holds) == ("undecided", {"mobilenet": None})
    assert "3 repeats or more of a network in one setting" in verdict.outcome.explanation
    rows = [
        row(latency_ms=2.0, first_run_ms=first_ms, precision=name, repeat=number)
        for name, firsts_ms in (("fp32", (10.0, 11.0, 12.0)), ("int8", (1.0, 1.1, 1.2)))
        for number, first_ms in enumerate(firsts_ms)
    ]
    verdict = outcome_of("first-run-slower", *rows, verdict_of=verdict_of)
    assert verdict.verdict == "refuted"
    assert verdict.holds == {
        "mobilenet, onnxruntime fp32": True,
        "mobilenet, onnxruntime int8": False,
    }


def test_throughput_of_one_row_is_no_more_sure_than_its_latency(verdict_of):
    def verdict(half_width_ms):
        rows = [
            row(
                latency_ms=latency_ms,
                batch=batch,
                latency_p50_low_ms=latency_ms - half_width_ms,
                latency_p50_high_ms=latency_ms + half_width_ms,
            )
            for batch, latency_ms in ((1, 10.0), (8, 76.0))
        ]
        return outcome_of("batch-raises-throughput", *rows, verdict_of=verdict_of)

    assert verdict(0.1).holds == {"mobilenet": True}
    assert verdict(1.0).holds == {"mobilenet": None}


def test_a_row_of_more_requests_than_were_served_says_nothing_of_latency():
    """Its latency is how long was measured, of which `speedup` has none either."""
    busy = row(rate_per_s=1000.0)
    assert len(measured_rows([busy])) == 1
    late = Row(dict(busy), findings=(Finding(OVERLOAD, "20% were late", "a lower --rate"),))
    assert measured_rows([late]) == []
