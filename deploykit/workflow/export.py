"""ONNX files where the user wants them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploykit.bench.contain import contained
from deploykit.errors import BuildFailed, OutputFailed, UsageError
from deploykit.figures import significant
from deploykit.graph.read_write import load_model, save_model, weights_path
from deploykit.report import STDOUT, destination
from deploykit.spec import ModelSpec, OnnxModel
from deploykit.store import Store
from deploykit.workflow.network import Network, obtain_network
from deploykit.workflow.plan import Source
from deploykit.writing import drafted, led_to, open_stream, output_errors

#: What stands for standard output among places.
_STDOUT = Path("/dev/stdout")


@dataclass(frozen=True)
class Exported:
    """A written file and its facts; `verified` is the largest relative error against PyTorch, as text."""

    path: Path
    sha256: str
    parameters: int
    macs: int | None
    file_bytes: int
    verified: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"path": str(self.path)}


def destinations(
    sources: Sequence[Source], output: str | None, *, make_folder: bool = True
) -> list[Path]:
    """Where each of `sources` is to be written.

    Args:
        sources: the networks.
        output: a file for one source; for several, or if it ends with a slash or is a folder, a folder; "-" is
            standard output.
        make_folder: make a folder that `output` names with a slash and that is not there; else it is supposed.

    Raises:
        UsageError: the folder is missing, or one file is named for several networks, or would be.
    """
    if output is not None and destination(output) == STDOUT:
        if len(sources) > 1:
            raise UsageError(f"stdout takes one network, not {len(sources)}: name a folder")
        return [_STDOUT]
    target = Path(output) if output else Path()
    as_folder = output is None or output.endswith(os.sep) or target.is_dir()
    if as_folder:
        if make_folder and output is not None and output.endswith(os.sep):
            with output_errors("folder"):
                target.mkdir(parents=True, exist_ok=True)
        places = [target / f"{_stem(source)}.onnx" for source in sources]
        require_apart(places)
        if not make_folder and not target.exists():
            return places
    elif len(sources) > 1:
        raise UsageError(
            f"{output} is one file for {len(sources)} networks: name a folder, {output}/"
        )
    else:
        places = [target]
    for place in places:
        if not place.parent.is_dir():
            raise UsageError(f"the folder {place.parent} of {place} does not exist: make it first")
        if not os.access(place.parent, os.W_OK):
            raise OutputFailed(
                f"can't write in {place.parent}: choose a folder that can be written"
            )
    return places


def require_apart(places: Sequence[Path]) -> None:
    """Refuse to write one file over another of the same command.

    Raises:
        UsageError: two would be.
    """
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise UsageError(
            f"two of these would be written to {twice}: name one after the other, each with -o FILE"
        )


def _stem(source: Source) -> str:
    if isinstance(source, ModelSpec):
        return source.label.replace(":", ".")
    return f"{source.stem.replace('/', '_')}-checked"


def export_to(source: Source, place: Path, store: Store) -> Exported:
    """Export `source`, or find it in the store, and put a copy at `place`, whole or not at all.

    Raises:
        DeploykitError: as `obtain_network`; OutputFailed where `place` can't be written.
    """
    return store.despite_wipes(lambda: write_network(obtain_network(source, store), place))


def write_network(network: Network, place: Path) -> Exported:
    """Put a copy of a network's graph at `place`, whole or not at all.

    Raises:
        OutputFailed: `place` can't be written.
    """
    if place == _STDOUT:
        sha256, size_bytes = _print(network.model)
    else:
        with output_errors("ONNX file", place):
            sha256, size_bytes = _put(network.model, place)
    return Exported(
        path=place,
        sha256=sha256,
        parameters=network.facts["parameters"],
        macs=None if network.facts["uncounted"] else network.facts["macs"],
        file_bytes=size_bytes,
        verified=_error(network.model.recipe),
    )


def _print(model: OnnxModel) -> tuple[str, int]:
    """As `_put`, to Python's standard output, which need not be the descriptor of that name.

    Raises:
        UsageError: the weights stand apart, or it takes text alone, as in a notebook.
        OSError: it can't be written, or its reader has gone.
    """
    if weights_path(model.path).is_file():
        raise _needs_a_file(_STDOUT)
    sink = getattr(sys.stdout, "buffer", None)
    if sink is None:
        raise UsageError("standard output takes text alone here: give the path of a file")
    with model.path.open("rb") as source:
        shutil.copyfileobj(source, sink)
    sys.stdout.flush()
    return model.sha256, model.path.stat().st_size


def _put(model: OnnxModel, place: Path) -> tuple[str, int]:
    """Copy a graph to `place`, whole or not at all; a pipe or a device is written to, not replaced.

    Returns:
        Its SHA-256 and its bytes, with those of the file of weights beside it where they stand apart.

    Raises:
        UsageError: the weights stand apart and `place` is no file that another can lie beside.
    """
    file = model.path
    if weights_path(file).is_file():
        return _put_apart(file, place)
    if place.exists() and not place.is_file():
        with file.open("rb") as source, open(open_stream(place), "wb") as sink:  # noqa: PTH123
            shutil.copyfileobj(source, sink)
        return model.sha256, file.stat().st_size
    place = led_to(place)
    with drafted(place) as draft:
        shutil.copyfile(file, draft)
    return model.sha256, place.stat().st_size


def _put_apart(file: Path, place: Path) -> tuple[str, int]:
    if place.exists() and not place.is_file():
        raise _needs_a_file(place)
    place = led_to(place)
    sha256 = contained(rewrite, file, place, doing=f"writing {place}", failed=BuildFailed)
    return sha256, sum(path.stat().st_size for path in (place, weights_path(place)))


def _needs_a_file(place: Path) -> UsageError:
    return UsageError(
        f"can't write to {place}: the network is larger than 2 GB and has its weights in a second file; give the "
        "path of a file"
    )


def rewrite(file: Path, place: Path) -> str:
    """Write a graph of the store and its weights to another place, and return its SHA-256."""
    return save_model(load_model(file), place)


def _error(recipe: Any) -> str:
    error = recipe.get("verified", {}).get("max_rel_error") if recipe else None
    return significant(error, 2)
