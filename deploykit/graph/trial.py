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

#: Shapes of tensors by name.
Shapes = dict[str, tuple[int, ...]]


def runs_at(model: Path, batches: Sequence[int]) -> list[str | Shapes] | None:
    """Run a graph once at each of `batches`, on made-up inputs, its optimisations switched off.

    Returns:
        For each batch the shapes of its outputs by name, or what the runtime has against it, in one line; None
        where there is no runtime to ask.
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
        try:
            outputs = session.run(names, feeds)
            said.append({n: np.shape(v) for n, v in zip(names, outputs, strict=True)})
        except (
            Exception
        ) as error:  # the runtime has an error class per status code, without a common base
            said.append(one_line(error))
    return said
