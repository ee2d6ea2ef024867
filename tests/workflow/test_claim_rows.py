from __future__ import annotations

from typing import ClassVar

import pytest

from deploykit.claims import evaluate_claim, evaluate_claims, list_claims
from deploykit.claims.check import built_rows, measured_rows
from deploykit.claims.measure import Measure, together
from deploykit.claims.networks import Network
from deploykit.errors import UsageError
from deploykit.row import Row
from deploykit.spec import MOST_OPTIMIZATION, ModelSpec
from deploykit.workflow import claim_rows, ranges
from deploykit.zoo import lookup

CLAIMS = {claim.id: claim for claim in list_claims()}


class Profiler:
    """Gives rows of what it is asked for, and measures nothing; a row of a network takes as long as is told."""

    latencies_ms: ClassVar[dict[str, float]] = {}

    def __init__(self, store, options, say):
        self.options = options

    def rows(self, configurations):
        for one in configurations:
            plain = one.source.alpha == one.source.rho == 1 and ":" not in one.source.name
            facts = lookup(one.source.name) if plain else None
            yield Row(
                {
                    "parameters": facts and facts.parameters,
                    "macs": facts and facts.macs,
                    "onnx_bytes": 1000,
                    "engine_bytes": 1000,
                    "model": one.source.name,
                    "alpha": one.source.alpha,
                    "rho": str(one.source.rho),
                    "backend": one.backend,
                    "precision": one.precision,
                    "precision_actual": one.precision,
                    "batch": one.batch,
                    "pass": one.run_pass,
                    "threads": one.scenario.threads or 3,
                    "engine_options": self.options.build.options.differences(one.batch) or None,
                    "repeat": one.repeat,
                    "status": "ok",
                    "latency_p50_ms": self.latencies_ms.get(one.source.name, 10.0),
                    "first_run_ms": 20.0,
                    "host_delta_mib": 30.0,
                }
            )


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(claim_rows, "Profiler", Profiler)

    def measure(*ids, latencies_ms=None, **options):
        monkeypatch.setattr(Profiler, "latencies_ms", latencies_ms or {})
        return list(claim_rows.measure_for([CLAIMS[name] for name in ids], None, **options))

    return measure


def test_every_round_measures_everything_once(measured):
    rows = measured("densenet-expensive", "3x3-stack-only-benefits")
    assert [(row["model"].rpartition(":")[2], row["repeat"]) for row in rows] == [
        (name, number)
        for number in (1, 2, 3, 4)
        for name in ("densenet121", "resnet50", "two_3x3", "one_5x5")
    ]


def test_what_two_claims_take_is_measured_once():
    one = Measure((Network(ModelSpec("lenet5")), Network(ModelSpec("mlp"))))
    other = Measure((Network(ModelSpec("mlp")), Network(ModelSpec("nin"))))
    batched = Measure((Network(ModelSpec("mlp")),), batches=(8,))
    found = together([one, other, batched])
    assert [[n.name for n in each.networks] for each in found] == [
        ["lenet5", "mlp", "nin"],
        ["mlp"],
    ]


def test_what_a_claim_takes_among_other_rows_is_measured_once_too():
    """fp32 of a network was measured again for each claim that set it against others, and paired amiss."""
    lenet, mlp = (Network(ModelSpec(name)) for name in ("lenet5", "mlp"))
    wanted = [
        Measure((lenet, mlp)),
        Measure((lenet,), precisions=("fp32", "int8")),
        Measure((lenet, mlp), batches=(1, 8), precisions=("fp32",)),
    ]
    found = [
        ([n.name for n in one.networks], one.precisions, one.batches) for one in together(wanted)
    ]
    assert found == [
        (["lenet5"], ("fp32", "int8"), (1,)),
        (["lenet5"], ("fp32",), (8,)),
        (["mlp"], ("fp32",), (1, 8)),
    ]


def test_no_row_of_all_claims_is_measured_twice(measured):
    rows = measured(*(claim.id for claim in CLAIMS.values() if claim.measure is not None))
    names = ("model", "alpha", "rho", "backend", "precision", "batch", "pass", "threads")
    seen = [tuple(row[name] for name in (*names, "engine_options", "repeat")) for row in rows]
    assert len(seen) == len(set(seen)) > 100


@pytest.mark.parametrize(("latency_ms", "holds"), [(25.0, True), (15.0, False)])
def test_the_rows_decide_what_was_undecided(measured, latency_ms, holds):
    rows = measured("densenet-expensive", latencies_ms={"densenet121": latency_ms})
    verdict = evaluate_claim(CLAIMS["densenet-expensive"], measured_rows(rows))
    assert verdict.holds["latency"] is holds
    stack = measured("3x3-stack-only-benefits", latencies_ms={"deploykit.claims.pair:two_3x3": 5.0})
    verdict = evaluate_claim(CLAIMS["3x3-stack-only-benefits"], measured_rows(stack))
    assert verdict.holds["lower latency"] is True


def test_each_level_of_optimisation_has_rows_of_its_own(measured):
    rows = measured("ort-optimisations-help")
    one = [row["engine_options"] for row in rows if row["model"] == "resnet18"]
    assert one == ["optimization-level=0", "optimization-level=3"] * 4


def test_each_step_names_its_level_of_optimisation(measured, monkeypatch):
    """Both rows of a network read 'measure resnet18 onnxruntime fp32'."""
    said: list[str] = []

    class Telling(Profiler):
        def __init__(self, store, options, say):
            super().__init__(store, options, say)
            self.say = say

        def rows(self, configurations):
            for one in configurations:
                self.say(f"measure {one.text}")
                yield from super().rows([one])

    monkeypatch.setattr(claim_rows, "Profiler", Telling)
    claims = [CLAIMS["ort-optimisations-help"], CLAIMS["3x3-stack-only-benefits"]]
    list(claim_rows.measure_for(claims, None, say=said.append))
    assert len(set(said)) == len(said)
    assert {text.rpartition(" (")[2] for text in said if "resnet18" in text} == {
        "optimization-level=0)",
        "optimization-level=3)",
    }
    assert all("level" not in text for text in said if "3x3" in text)


def test_the_numbers_name_the_level_of_either_side(measured):
    """They were of both levels by the name of one: 'resnet18, onnxruntime fp32 optimization-level=0'."""
    rows = measured("ort-optimisations-help")
    verdict = evaluate_claim(CLAIMS["ort-optimisations-help"], measured_rows(rows))
    both = "optimization-level=0 over onnxruntime fp32 optimization-level=3"
    assert f"latency(resnet18, onnxruntime fp32 {both})" in verdict.outcome.evidence


def test_claims_that_are_measured_for_look_at_nothing_else(measured):
    """Rows of an earlier day would be repeats beside those of today, and a pair would be of both."""
    claims = [CLAIMS["densenet-slower-than-resnet"], CLAIMS["int8-below-1-percent"]]
    judged = {"model": "mlp", "latency_p50_ms": 1.0, "top1": 0.9}
    judged |= {"top1_low": 0.899, "top1_high": 0.901}
    accuracies = [Row({**judged, "precision": name}) for name in ("fp32", "int8")]
    earlier = list(measured("densenet-slower-than-resnet", latencies_ms={"densenet121": 5.0}))
    today = measured("densenet-slower-than-resnet", latencies_ms={"densenet121": 15.0})
    slower, kept = evaluate_claims(None, [*earlier, *accuracies], measured=today, claims=claims)
    assert (slower.verdict, slower.outcome.computed) == ("confirmed", 1.5)
    assert kept.holds == {"mlp": True}


def test_each_number_of_threads_has_rows_of_its_own(measured):
    rows = measured("threads-scale")
    found = {(row["model"], row["threads"]) for row in rows}
    assert found == {(name, number) for name in ("lenet5", "googlenet") for number in (1, 2)}
    assert len(rows) == len(found) * claim_rows.ROUNDS
    # As the runtime has it.
    assert {row["threads"] for row in measured("densenet-expensive")} == {3}


#: What takes trained weights and their data, or a quarter of an hour by itself.
NOT_MEASURED = {"int8-below-1-percent", "forward-vs-forward-backward"}


def test_what_is_measured_is_measured_on_the_machine_at_hand():
    """Five more claims of latency said that they take a profile, and `--measure` left them undecided."""
    left = {c.id for c in CLAIMS.values() if c.takes_rows and c.measure is None}
    assert left == NOT_MEASURED


def test_levels_of_claims_are_those_of_the_command():
    assert ranges.Range(0, MOST_OPTIMIZATION) == ranges.OPTIMIZATION_LEVEL


def test_no_row_is_begun_after_the_time_is_over(measured):
    said: list[str] = []
    assert measured("densenet-expensive", budget_s=-1.0, say=said.append) == []
    assert said == ["8 of 8 rows left out: -1 s are over"]


def test_claims_that_take_no_rows_are_refused(measured):
    with pytest.raises(UsageError, match="nothing is measured for the claims"):
        measured("vgg-140m")


@pytest.mark.parametrize(
    "claim", [c for c in list_claims() if c.measure is not None], ids=lambda claim: claim.id
)
def test_what_is_measured_decides_the_claim(measured, claim):
    assert "measured" in claim.kind
    rows = measured(claim.id)
    verdict = evaluate_claim(claim, [*measured_rows(rows), *built_rows(rows)])
    assert None not in verdict.holds.values()


def test_what_all_claims_take_fits_the_time():
    """Each row takes a second of measuring, its warm-up, and 1.5 s of beginning and ending a process."""
    wanted = together(claim.measure for claim in CLAIMS.values() if claim.measure is not None)
    rows = claim_rows.ROUNDS * sum(
        len(one.networks)
        * len(one.precisions)
        * len(one.backends)
        * len(one.batches)
        * len(one.passes)
        * max(1, len(one.threads))
        * max(1, len(one.optimization_levels))
        for one in wanted
    )
    policy = claim_rows.POLICY
    assert rows > 100
    assert rows * (policy.min_s + policy.warmup_s + 1.5) < claim_rows.BUDGET_S
