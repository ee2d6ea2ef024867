"""Whether a graph runs at a batch, found by running it.

A file may declare a batch free that a Reshape inside fixes, and sizes may be taken that do not fit each other:
that shows in a run only.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from deploykit.errors import InvalidModel, one_line
from deploykit.graph.values import make_values
from deploykit.lazy import np, ort
from deploykit.ort_session import input_specs, installed_version, open_session, session_options

#: Shapes of tensors by name.
Shapes = dict[str, tuple[int, ...]]


#: Seconds that a trial run may take: a Loop whose end depends on values may have none on made-up ones.
LIMIT_S = 15.0


def runs_at(
    model: Path, batches: Sequence[int], limit_s: float | None = None
) -> list[str | Shapes] | None:
    """Run a graph once at each of `batches`, on made-up inputs, its optimisations switched off.

    Returns:
        For each batch the shapes of its outputs by name, or what the runtime has against it, in one line; None
        where there is no runtime to ask, or a run was not done after `limit_s` seconds (else `LIMIT_S`),
        which tells nothing.
    """
    if installed_version() is None:
        return None
    try:
        session = open_session(model, session_options(optimise=False), InvalidModel)
    except InvalidModel as error:
        return [str(error)] * len(batches)
    specs = input_specs(session)
    names = [value.name for value in session.get_outputs()]
    said: list[str | Shapes] = []
    for batch in batches:
        generator = np.random.default_rng(0)
        feeds = {spec.name: make_values(spec, batch, generator) for spec in specs}
        options = ort.RunOptions()
        late = threading.Timer(LIMIT_S if limit_s is None else limit_s, _end, (options,))
        late.start()
        try:
            outputs = session.run(names, feeds, options)
            said.append({n: np.shape(v) for n, v in zip(names, outputs, strict=True)})
        except (
            Exception
        ) as error:  # ONNX Runtime has a class per status code, without a common base
            if options.terminate:
                return None
            said.append(one_line(error))
        finally:
            late.cancel()
    return said


def _end(options: ort.RunOptions) -> None:
    """Let the run that has these options end before its next node."""
    options.terminate = True
