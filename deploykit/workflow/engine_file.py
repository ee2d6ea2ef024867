"""Engines where the user wants them, to be used without deploykit: `deploykit build -o`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deploykit import codec
from deploykit.backends.base import BackendBase
from deploykit.bench.contain import contained
from deploykit.errors import BuildFailed, OutputFailed, UsageError
from deploykit.graph.read_write import weights_path
from deploykit.report import STDOUT
from deploykit.spec import Engine
from deploykit.store import MAX_MANIFEST_BYTES
from deploykit.workflow.export import require_apart, rewrite
from deploykit.writing import drafted, led_to, output_errors, write_atomic

#: What is added to the name of an engine's file for that of its manifest.
MANIFEST_SUFFIX = ".json"


def check_usable(backends: Sequence[BackendBase], option: str = "--output") -> None:
    """Refuse, before any work is done, backends whose engines nothing but deploykit can run.

    Raises:
        UsageError: it is one of them.
    """
    from deploykit.spec import BuildOptions, ModelSpec, OnnxModel

    probe = OnnxModel(Path(), "", ModelSpec(""), "fp32", (), ())
    for backend in backends:
        if backend.usage(probe, BuildOptions()) is None:
            raise UsageError(
                f"an engine of {backend.name} runs in deploykit alone: leave {option} out, or build with "
                "onnxruntime, openvino or tensorrt-rtx"
            )


def places_of(
    names: Sequence[tuple[str, BackendBase]], output: str | None, *, make_folder: bool = True
) -> list[Path] | list[None]:
    """Where each engine is to be written; None for each where nobody said.

    Args:
        names: a name without ending, and the backend, of each engine.
        output: a file for one engine; for several, or if it ends with a slash or is a folder, a folder.
        make_folder: make a folder that `output` names with a slash and that is not there; else it is supposed.

    Raises:
        UsageError: the folder is missing, or one file is named for several engines, or would be.
        OutputFailed: the folder can't be written.
    """
    if output is None:
        return [None] * len(names)
    if output == STDOUT:
        raise UsageError("an engine is a file: give -o the path of one, not -")
    target = Path(output)
    if output.endswith(os.sep) or target.is_dir():
        if make_folder:
            with output_errors("folder"):
                target.mkdir(parents=True, exist_ok=True)
        places = [
            target / f"{name.replace(':', '.').replace('/', '_')}{Path(backend.filename).suffix}"
            for name, backend in names
        ]
        require_apart(places)
        if not target.exists():
            return places
    elif len(names) > 1:
        raise UsageError(f"{output} is one file for {len(names)} engines: name a folder, {output}/")
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


def put_engine(engine: Engine, place: Path) -> Engine:
    """Put a copy of an engine at `place`, whole or not at all, and its manifest beside it.

    The manifest is `place` with .json behind it; its `usage` is Python that loads the file.

    Raises:
        OutputFailed: it can't be written.
    """
    if place.exists() and not place.is_file():
        raise UsageError(f"{place} is no file: give the path of one")
    with output_errors("engine", place):
        place = led_to(place)
        if weights_path(engine.path).is_file():
            contained(rewrite, engine.path, place, doing=f"writing {place}", failed=BuildFailed)
        else:
            with drafted(place) as draft:
                shutil.copyfile(engine.path, draft)
    manifest = dict(engine.manifest) | {"file": place.name}
    usage = str(manifest.get("usage") or "")
    manifest["usage"] = usage.replace(json.dumps(engine.path.name), json.dumps(place.name))
    text = codec.to_json(manifest, pretty=True)
    write_atomic(place.with_name(place.name + MANIFEST_SUFFIX), text, "manifest")
    return replace(engine, path=place, manifest=manifest)


def engine_at(place: Path) -> Engine | None:
    """The engine that `put_engine` left at `place`; None where it was another hand."""
    manifest = codec.read_stored(
        place.with_name(place.name + MANIFEST_SUFFIX), dict, MAX_MANIFEST_BYTES
    )
    if manifest is None or not {"key", "builder", "precision_actual", "inputs"} <= set(manifest):
        return None
    return Engine(place, str(manifest["key"]), manifest)
