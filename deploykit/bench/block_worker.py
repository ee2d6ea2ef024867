"""One side of an interleaved comparison: `python -m deploykit.bench.block_worker`, see `interleaved`."""

from __future__ import annotations

import gc
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from deploykit import backends
from deploykit.backends.passes import load_for
from deploykit.bench import columns
from deploykit.bench.conditions import Conditions
from deploykit.bench.dialogue import answer_each
from deploykit.bench.feeds import make_feeds
from deploykit.bench.measure import runs_in, summarise, warm_up
from deploykit.bench.request import WorkerRequest
from deploykit.bench.worker import Loaded, keep_samples, load
from deploykit.codec import to_values
from deploykit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Placement:
    """Sessions of one engine, each loaded anew to another place in memory.

    Where weights and buffers come to lie decides a network's latency by up to some percent, for as long
    as they lie there. It is a draw like any other, and has to be made often to be averaged out.
    """

    def __init__(self, request: WorkerRequest, loaded: Loaded) -> None:
        self._request, self._loaded = request, loaded
        self._random = random.SystemRandom()
        self._padding: deque[bytearray] = deque(maxlen=8)
        self.session = loaded.sessions[0]
        # Two sets: each is run once when it is bound, at every load.
        few = {**request.feeds, "sets": min(2, int(request.feeds.get("sets", 2)))}
        self.feeds = make_feeds(self.session.inputs, request.batch, few)

    def renew(self) -> None:
        """Load the engine once more, then let go of the session before."""
        self._padding.append(bytearray(self._random.randrange(64, 2**20)))
        backend = backends.get(self._request.backend)
        request = self._request
        session = load_for(backend, self._loaded.engine, request.threads, request.run_pass)
        self.feeds = [{name: array.copy() for name, array in one.items()} for one in self.feeds]
        session.sample(self.feeds, 2)
        self.close()
        self.session = session

    def close(self) -> None:
        """Close the present session, unless it is the first one, which `load` closes."""
        if self.session is not self._loaded.sessions[0]:
            self.session.close()


def blocks(questions: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Answer the request itself, then blocks, then the request to finish.

    The first question is a `WorkerRequest`, answered when the session is warm. `{"block_s": …,
    "quantile": …, "renew": …}` asks for a block of runs, on a session that is loaded anew if so wished, and
    is answered with that quantile of all runs since the last such load; `{"finish": true}` with the columns
    over all samples.
    """
    import numpy as np

    request = WorkerRequest.from_json(next(questions))
    if request.streams != 1 or request.rate_per_s is not None:
        raise UsageError(
            "an interleaved comparison takes one stream, without a rate: leave --streams and --rate out"
        )
    with load(request) as loaded:
        place = Placement(request, loaded)
        loaded.memory.end_phase("load")
        warm = warm_up(place.session, place.feeds, request.policy)
        loaded.memory.end_phase("warmup")
        gc.collect()
        gc.disable()
        taken: list[NDArray[np.int64]] = []
        unit: list[NDArray[np.int64]] = []
        run_ns = warm.run_ns
        start = time.perf_counter()
        place.renew()
        yield {"run_s": run_ns / 1e9, "renew_s": time.perf_counter() - start}
        for question in questions:
            if question.get("finish"):
                break
            if question.get("renew"):
                place.renew()
                unit = []
            block = place.session.sample(place.feeds, runs_in(float(question["block_s"]), run_ns))
            # The mean, which counts interruptions, keeps blocks short on a busy machine.
            run_ns = float(block.mean())
            taken.append(block)
            unit.append(block)
            low_ns = float(np.quantile(np.concatenate(unit), float(question["quantile"])))
            yield {"low_ns": low_ns}
        place.close()
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
            "notes": to_values(notes + more),
            "details": {**columns.details_of_timing(timing), "device": loaded.device},
        }


if __name__ == "__main__":
    answer_each(blocks)
