"""One side of an interleaved comparison: `python -m deploykit.bench.block_worker`, see `interleaved`."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from typing import Any

from deploykit.bench import columns
from deploykit.bench.conditions import Conditions
from deploykit.bench.dialogue import answer_each
from deploykit.bench.feeds import make_feeds
from deploykit.bench.measure import runs_in, summarise, warm_up
from deploykit.bench.request import WorkerRequest
from deploykit.bench.worker import keep_samples, load
from deploykit.errors import UsageError


def blocks(questions: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Answer the request itself, then blocks, then the request to finish.

    The first question is a `WorkerRequest`, answered when the session is warm. `{"block_s": …,
    "quantile": …}` asks for a block of runs and is answered with that quantile of it; `{"finish": true}`
    with the columns over all samples.
    """
    import numpy as np

    request = WorkerRequest.from_json(next(questions))
    if request.streams != 1:
        raise UsageError("an interleaved comparison takes one stream: leave --streams out")
    with load(request) as loaded:
        session = loaded.sessions[0]
        feeds = make_feeds(session.inputs, request.batch, request.feeds)
        loaded.memory.end_phase("load")
        warm = warm_up(session, feeds, request.policy)
        loaded.memory.end_phase("warmup")
        gc.collect()
        gc.disable()
        taken = []
        run_ns = warm.run_ns
        yield {"run_ns": run_ns}
        for question in questions:
            if question.get("finish"):
                break
            block = session.sample(feeds, runs_in(float(question["block_s"]), run_ns))
            # The mean, which counts interruptions, keeps blocks short on a busy machine.
            run_ns = float(block.mean())
            taken.append(block)
            low_ns = float(np.quantile(block, float(question["quantile"])))
            yield {"low_ns": low_ns, "runs": int(block.size)}
        gc.enable()
        loaded.memory.end_phase("run")
        samples = np.concatenate(taken)
        spent_s = float(samples.sum()) / 1e9
        # What the machine did meanwhile is mostly the other side: it is no cause for doubt here.
        timing = summarise(
            samples,
            warm_iterations=warm.iterations,
            settled=warm.settled,
            elapsed_s=spent_s,
            timed_s=spent_s,
            runs_per_s=samples.size / spent_s,
            conditions=Conditions(spent_s, None, None, None, None, 1),
        )
        found, notes = columns.of_timing(timing, request.batch)
        memory, more = columns.of_memory(loaded.memory)
        if request.samples_path is not None:
            keep_samples(samples, request.samples_path)
        yield {
            "columns": {**loaded.columns(request), **found, **memory},
            "notes": notes + more,
            "details": {**columns.details_of_timing(timing), "device": loaded.device},
        }


if __name__ == "__main__":
    answer_each(blocks)
