"""A tuning of LeNet-5 among two engines, and what its winner is told of those that it meets."""

from __future__ import annotations

import pytest

from deploykit.bench.scenario import Policy
from deploykit.spec import ModelSpec
from deploykit.stats import RatioInterval
from deploykit.store import Store
from deploykit.workflow import confirmation
from deploykit.workflow.configuration import ProfileOptions
from deploykit.workflow.tune import Tuning
from deploykit.workflow.tuned import Question

LENET = ModelSpec("lenet5")
#: Two engines, which is enough to choose.
SMALL = Question(backends=("onnxruntime",), precisions=("fp32", "int8"), threads=(1,), budget_s=8.0)


def tuning(
    store: Store, question: Question, source: ModelSpec = LENET, **options: object
) -> Tuning:
    quick = Policy(warmup_s=0.01, warmup_max_s=0.1, window_s=0.01, min_s=0.05, max_s=0.2)
    chosen = ProfileOptions(policy=quick, roofline=False, **options)  # type: ignore[arg-type]
    return Tuning(source, question, chosen, store)


def says(monkeypatch: pytest.MonkeyPatch, ratio: float) -> None:
    """Let every meeting with the default end with this ratio of the winner to it."""
    found = RatioInterval(ratio, ratio * 0.999, ratio * 1.001, 0.99, 12)

    class Compared:
        ratio = found
        elapsed_s = 0.0

    monkeypatch.setattr(confirmation, "compare_interleaved", lambda *sides, **rest: Compared())
