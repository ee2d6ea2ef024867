"""Whether what was built gives numbers: an engine with infinite or undefined outputs is no engine."""

from __future__ import annotations

from deploykit.backends import for_target
from deploykit.backends.base import BackendBase
from deploykit.errors import BuildFailed, DeploykitError, DriftFailed
from deploykit.spec import Engine, OnnxModel, Reason
from deploykit.workflow.network import input_chw

#: Runs of the engine, each on other inputs.
RUNS = 2


def check_finite(engine: Engine, model: OnnxModel, backend: BackendBase, data: str | None) -> None:
    """Run an engine on seeded inputs, and on images of `data`, and look at the outputs.

    Engines that can't run here are left alone, as are those of a backend that is not its target's own, which
    may take long to load: what is measured is judged again.

    Raises:
        DriftFailed: an output is not finite.
        BuildFailed: the engine does not run.
    """
    if isinstance(backend.device(), Reason) or for_target(backend.target).name != backend.name:
        return
    from deploykit.bench.drift import require_finite
    from deploykit.bench.feeds import fixed_batch, from_dataset, synthetic

    batch = fixed_batch(model.inputs) or 1
    feeds = synthetic(model.inputs, batch, sets=RUNS)
    if data is not None and input_chw(model) is not None:
        feeds += from_dataset(model.inputs, batch, data, sets=RUNS)
    try:
        with backend.load(engine) as session:
            outputs = [session.run(one) for one in feeds]
    except DeploykitError:
        raise
    except Exception as error:  # whatever a runtime raises
        reason = " ".join(str(error).split())[:200]
        raise BuildFailed(
            f"{model.spec.label} {model.precision}: {backend.name} built the engine but can't run it: {reason}"
        ) from error
    advice = (
        "train or export it again"
        if model.precision == "fp32"
        else "keep the layers that make them in float32 with --keep, or use another precision"
    )
    try:
        for found in outputs:
            require_finite(found)
    except DriftFailed as error:
        what = str(error).partition(";")[0]
        raise DriftFailed(
            f"{model.spec.label} {model.precision} on {backend.name}: {what}; {advice}"
        ) from error
