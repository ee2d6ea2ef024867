"""Whether a graph runs at a batch, found by running it.

A file may declare a batch free that a Reshape inside fixes, and sizes may be taken that do not fit each other:
that shows in a run only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploykit.errors import InvalidModel, one_line
from deploykit.graph.values import make_values
from deploykit.lazy import np
from deploykit.ort_session import input_specs, installed_version, open_session, session_options


def runs_at(model: Path, batches: Sequence[int]) -> list[str | None] | None:
    """Run a graph once at each of `batches`, on made-up inputs, its optimisations switched off.

    Returns:
        For each batch what the runtime has against it, in one line, or None where it runs; None altogether where
        there is no runtime to ask.
    """
    if installed_version() is None:
        return None
    try:
        session = open_session(model, session_options(optimise=False), InvalidModel)
    except InvalidModel as error:
        return [str(error)] * len(batches)
    specs = input_specs(session)
    said: list[str | None] = []
    for batch in batches:
        generator = np.random.default_rng(0)
        feeds = {spec.name: make_values(spec, batch, generator) for spec in specs}
        try:
            session.run(None, feeds)
            said.append(None)
        except (
            Exception
        ) as error:  # the runtime has an error class per status code, without a common base
            said.append(one_line(error))
    return said
