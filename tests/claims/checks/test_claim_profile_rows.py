from __future__ import annotations

import pytest
import torch

from deploykit.claims import pair
from deploykit.claims.check import measured_rows
from deploykit.claims.checks import rows as rows_check
from deploykit.claims.margin import Margin, Stated
from deploykit.row import Row


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
    assert "--profile" in other.settled_by


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

    assert outcome(0.005, 0.004) == [True]
    assert outcome(0.02, 0.004) == [False]
    assert outcome(0.005, 0.03) == [None]


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
