from __future__ import annotations

import pytest

from deploykit.claims import evaluate_claims
from deploykit.claims.check import measured_rows
from deploykit.row import Row


def test_fifty_times_is_the_ratio_to_the_grouped_alexnet(verdict_of):
    verdict = verdict_of("squeezenet-params-50x")
    assert verdict.outcome.evidence["parameters(alexnet)"] == 60_965_224
    assert verdict.outcome.evidence["parameters(squeezenet1_0)"] == 1_248_424
    assert verdict.outcome.computed == pytest.approx(48.834, abs=1e-3)
    assert verdict.deviation == pytest.approx(-0.0233, abs=1e-4)
    assert "48.83" in verdict.outcome.explanation
    assert "243.9 MB against 4.99 MB" in verdict.outcome.explanation


def test_another_network_is_not_fifty_times_smaller(verdict_of):
    verdict = verdict_of("squeezenet-params-50x", bottom="mobilenet")
    assert verdict.verdict == "refuted"
    assert verdict.outcome.computed == pytest.approx(60_965_224 / 4_231_976)


def test_140_million_fits_vgg16_and_vgg19_but_not_vgg11(verdict_of):
    assert verdict_of("vgg-140m").outcome.computed == 138_357_544
    assert verdict_of("vgg-140m", network="vgg19").verdict == "confirmed"
    assert verdict_of("vgg-140m", network="vgg11").verdict == "refuted"


def test_a_figure_with_more_digits_is_held_to_them(verdict_of):
    assert verdict_of("vgg-140m", fields={"stated": 138_000_000}).verdict == "confirmed"
    assert verdict_of("vgg-140m", fields={"stated": 139_000_000}).verdict == "refuted"


def test_equal_work_is_held_against_the_tolerance_per_pair(verdict_of):
    assert verdict_of("inception-resnet-cost").verdict == "confirmed"
    exact = verdict_of("inception-resnet-cost", fields={"hedge": ""})
    assert list(exact.holds.values()) == [False, False]
    pairs = [("vgg16", "alexnet")]
    assert verdict_of("inception-resnet-cost", pairs=pairs).verdict == "refuted"


def test_slightly_fewer_is_fewer_and_slightly(verdict_of):
    assert verdict_of("xception-slightly-fewer").verdict == "confirmed"
    much = verdict_of("xception-slightly-fewer", bottom="vgg16")
    assert much.verdict == "refuted"
    more = verdict_of("xception-slightly-fewer", top="inception_v3", bottom="xception")
    assert more.verdict == "refuted"


def test_resnext_needs_fewer_parameters_and_less_error(verdict_of):
    assert verdict_of("resnext-fewer-params").verdict == "in context"
    pair = {"network": "resnext101_32x8d", "than": "resnet101", "error": 20.7, "error_than": 22.0}
    assert (
        verdict_of("resnext-fewer-params").holds["resnext101_32x8d has fewer parameters"] is False
    )
    assert list(verdict_of("resnext-fewer-params", pairs=[pair]).holds.values()) == [False, True]
    worse = pair | {"network": "resnext101_32x4d", "error": 23.0}
    assert list(verdict_of("resnext-fewer-params", pairs=[worse]).holds.values()) == [True, False]


def test_half_a_megabyte_needs_fewer_bits_than_any_precision_has(verdict_of):
    verdict = verdict_of("squeezenet-size-half-mb")
    assert verdict.outcome.evidence["mb(int8)"] == pytest.approx(1.2484)
    assert [part.holds for part in verdict.outcome.parts if part.printed] == [True]
    larger = verdict_of("squeezenet-size-half-mb", fields={"stated": 1.3})
    assert larger.holds["int8"] is True
    assert verdict_of("squeezenet-size-half-mb", fields={"stated": 0.4}).verdict == "refuted"
    counted = verdict_of("squeezenet-size-half-mb", bits={"3 bit": 3}, published_mb={})
    assert counted.verdict == "confirmed"


def test_densenet_takes_less_work_and_memory_at_once_than_resnet50(verdict_of):
    verdict = verdict_of("densenet-expensive")
    assert list(verdict.holds.values()) == [False, False, None]
    # All that it ever puts out is more than ResNet-50's; what is needed at once is less.
    assert verdict.outcome.evidence["all activations(densenet121/resnet50)"] > 1
    assert verdict.outcome.evidence["peak of activations(densenet121/resnet50)"] < 1
    mobilenet = verdict_of("densenet-expensive", than="squeezenet1_1")
    assert mobilenet.holds["MACs"] is True


def test_densenets_latency_is_read_from_rows():
    def row(model, latency_ms, **columns):
        return Row(
            {"model": model, "backend": "onnxruntime", "latency_p50_ms": latency_ms, **columns}
        )

    def latency_holds(*rows):
        (verdict,) = evaluate_claims(["densenet-expensive"], rows)
        return verdict.holds["latency"]

    assert latency_holds(row("densenet121", 60.0), row("resnet50", 30.0)) is True
    assert latency_holds(row("densenet121", 20.0), row("resnet50", 30.0)) is False
    assert latency_holds(row("densenet121", 40.0), row("resnet50", 30.0, threads=4)) is None
    # Of three repeats the median was taken, though one in four has the same by chance.
    apart = [row("densenet121", ms) for ms in (31.0, 50.0, 33.0)] + [row("resnet50", 30.0)] * 3
    assert latency_holds(*apart) is None
    assert latency_holds(row("densenet121", 40.0), row("resnet50", 30.0, macs=1)) is None


@pytest.mark.parametrize(
    ("latencies_ms", "holds"),
    [((66.0, 67.0, 68.0), True), ((50.0, 51.0, 52.0), False), ((59.0, 60.0, 61.0), None)],
)
def test_repeats_that_disagree_leave_latency_open(latencies_ms, holds):
    """The median of the repeats decided, however far they were apart, where rows of ratios stay open."""
    rows = [
        Row({"model": model, "backend": "onnxruntime", "latency_p50_ms": ms, "repeat": number})
        for number, slow_ms in enumerate(latencies_ms, 1)
        for model, ms in (("densenet121", slow_ms), ("resnet50", 30.0))
    ]
    (verdict,) = evaluate_claims(["densenet-expensive"], rows)
    assert verdict.holds["latency"] is holds
    assert not verdict.outcome.lacks_rows
    (found,) = [v for k, v in verdict.outcome.evidence.items() if k.startswith("latency(")]
    assert len(str(found).split()) == 3


def test_vgg_is_dearer_than_both_shallower_networks_in_all_that_is_counted(verdict_of):
    """All that is ever put out stood for the memory of a network that is used, and no time was asked for."""
    verdict = verdict_of("vgg-more-expensive-to-evaluate")
    assert (verdict.verdict, verdict.as_expected) == ("undecided", True)
    assert verdict.settled_by == "deploykit claims vgg-more-expensive-to-evaluate --measure"
    assert [*verdict.holds.values()].count(True) == 6
    assert verdict.outcome.evidence["MACs(vgg16/alexnet)"] == pytest.approx(21.36, abs=0.01)
    rows = measured_rows(
        Row({"model": model, "backend": "onnxruntime", "latency_p50_ms": ms})
        for model, ms in (("vgg16", 90.0), ("alexnet", 9.0))
    )
    assert verdict_of("vgg-more-expensive-to-evaluate", rows).verdict == "confirmed"
    deeper = verdict_of("vgg-more-expensive-to-evaluate", rows, others=["vgg19"])
    assert deeper.holds["MACs over vgg19"] is False
    assert deeper.holds["peak of activations over vgg19"] is False  # the same two maps


def test_local_normalisation_only_costs_memory_and_time_where_both_are_more(verdict_of):
    """It is said of VGG's memory and time, and that nothing is gained; it was held against the time of a layer."""

    def verdict(with_ms, without_ms, **arguments):
        cells = {"backend": "onnxruntime", "precision": "fp32"}
        rows = measured_rows(
            Row({**cells, "model": model, "latency_p50_ms": ms})
            for model, ms in (("vgg11_lrn", with_ms), ("vgg11", without_ms))
        )
        return verdict_of("vgg-lrn-costs", rows, **arguments)

    costs = verdict(50.0, 40.0)
    assert (costs.verdict, costs.as_expected) == ("cited", True)
    assert set(costs.holds) == {"all activations", "latency", "top-1 error"}
    assert costs.outcome.evidence["latency(vgg11_lrn/vgg11, onnxruntime fp32)"] == 1.25
    assert verdict(30.0, 40.0).verdict == "refuted"
    assert verdict(50.0, 40.0, than="vgg11_lrn").holds["all activations"] is False
    better = [{**costs.claim.arguments["printed"][0], "first": 29.0}]
    assert verdict(50.0, 40.0, printed=better).holds["top-1 error"] is False
    (unmeasured,) = evaluate_claims(["vgg-lrn-costs"])
    assert (unmeasured.verdict, unmeasured.as_expected) == ("undecided", True)
    assert unmeasured.settled_by == "deploykit claims vgg-lrn-costs --measure"
    of_time = verdict_of("vgg-lrn-costs", of=["latency"])  # nothing is found of it
    assert (of_time.verdict, of_time.error, of_time.outcome.lacks_rows) == ("undecided", None, True)


def mobilenet_row(alpha, latency_ms, **columns):
    cells = {"model": "mobilenet", "alpha": alpha, "backend": "onnxruntime"}
    return Row({**cells, "latency_p50_ms": latency_ms, **columns})


def test_two_widths_of_one_network_are_told_apart_by_alpha(verdict_of):
    rows = measured_rows([mobilenet_row(1.0, 8.0), mobilenet_row(0.5, 2.0)])
    narrow = {"name": "mobilenet", "alpha": 0.5}
    verdict = verdict_of("densenet-expensive", rows, network="mobilenet", than=narrow)
    (latency,) = [v for k, v in verdict.outcome.evidence.items() if k.startswith("latency(")]
    assert (latency, verdict.holds["latency"]) == (4.0, True)
    swapped = verdict_of("densenet-expensive", rows, network=narrow, than="mobilenet")
    assert swapped.holds["latency"] is False


def test_settings_with_one_label_are_all_evidence(verdict_of):
    rows = measured_rows(
        mobilenet_row(alpha, latency_ms, threads=threads)
        for threads, latencies_ms in ((1, (8.0, 2.0)), (4, (3.0, 1.0)))
        for alpha, latency_ms in zip((1.0, 0.5), latencies_ms, strict=True)
    )
    narrow = {"name": "mobilenet", "alpha": 0.5}
    verdict = verdict_of("densenet-expensive", rows, network="mobilenet", than=narrow)
    evidence = verdict.outcome.evidence
    assert [v for k, v in evidence.items() if k.startswith("latency(")] == [4.0, 3.0]


def test_the_interval_that_is_told_is_the_one_that_decides():
    """Each was told at 95%, and all together decide at that: one that was told to be beyond 2 left it open."""
    rows = [
        Row({"model": model, "backend": backend, "latency_p50_ms": ms, "repeat": number})
        for backend in ("onnxruntime", "openvino")
        for number, slow_ms in enumerate((61.8, 63.0, 64.2), 1)
        for model, ms in (("densenet121", slow_ms), ("resnet50", 30.0))
    ]
    (alone,) = evaluate_claims(["densenet-expensive"], rows[:6])
    assert alone.holds["latency"] is True
    assert "Measured latency: 2 to 2.2 times." in alone.outcome.explanation
    (both,) = evaluate_claims(["densenet-expensive"], rows)
    assert both.holds["latency"] is None
    assert "Measured latency: 1.96 to 2.25 and 1.96 to 2.25 times." in both.outcome.explanation
