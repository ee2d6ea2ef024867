"""Answers of a tuning, made up: what is done with them needs no measuring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploykit.bench.race import IN, SLOWER
from deploykit.bench.scenario import Scenario
from deploykit.row import Row
from deploykit.spec import ModelSpec
from deploykit.workflow.configuration import Configuration, source_name
from deploykit.workflow.plan import Source
from deploykit.workflow.tuned import Candidate, Question, Tuned

LENET = ModelSpec("lenet5")


def candidate(
    source: Source = LENET,
    precision: str = "fp32",
    backend: str = "onnxruntime",
    batch: int = 1,
    scenario: Scenario | None = None,
    *,
    fate: str = IN,
    ratio: float | None = 1.0,
    reason: str = "",
    **cells: Any,
) -> Candidate:
    """A candidate that was measured if a latency is given."""
    configuration = Configuration(source, precision, backend, batch, scenario or Scenario())
    known = {"model": source_name(source), "precision": precision, "backend": backend} | cells
    if "latency_p50_ms" in cells:
        known |= {"status": "ok", "device": "a processor", "timestamp": "2026-01-02T03:04:05+00:00"}
    return Candidate(configuration, Row(known), None, fate, reason, ratio)


def answer(best: Candidate | None, others: Sequence[Candidate] = (), **rest: Any) -> Tuned:
    """An answer whose default is the last of the others, or else the best."""
    everyone = [one for one in (best, *others) if one is not None]
    question = rest.pop("question", Question())
    return Tuned(
        everyone[0].configuration.source,
        question,
        best,
        everyone[-1],
        tuple(everyone),
        (),
        1.0,
        0.5,
        2.0,
        "Accuracy was not judged.",
        **rest,
    )


def typical() -> Tuned:
    """int8 is taken; fp32 was measured beside it, and others are out."""
    return answer(
        candidate(precision="int8", latency_p50_ms=0.5, drift_snr_db=31.0),
        [
            candidate(
                precision="int8",
                scenario=Scenario(1),
                fate=SLOWER,
                ratio=1.2,
                reason="1.200 times int8 onnxruntime, 1.100 to 1.300, after 8 rounds",
            ),
            candidate(
                backend="openvino", fate="failed", ratio=None, reason="it can't be built: [no]"
            ),
            candidate(ratio=2.0, latency_p50_ms=1.0, drift_snr_db=139.0),
        ],
    )
