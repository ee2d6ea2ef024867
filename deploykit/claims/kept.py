"""Trainings that are kept: each is done once, with curve and weights, in the folder `trained` of a store."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from deploykit import env
from deploykit.claims import effort, proxies
from deploykit.claims.proxies import Proxy, Trained, part_of, train
from deploykit.store import Entry, Manifest, Store, file_sha256

#: Where in a store, and what names start with.
_FOLDER, _LABEL = "trained", "claims"
_FILE = "training.safetensors"
_WEIGHTS = "weights."


@dataclass(frozen=True)
class TrainingManifest(Manifest):
    """One training of a proxy.

    Attributes:
        proxy: as its entry has it.
        seed: of it.
        torch, device: what trained it.
        code: digest of the file that trains.
        data: digest of what is learned and judged.
        figures: what came of it, by the names of `Trained`.
    """

    KIND: ClassVar[str] = "training"

    proxy: Mapping[str, Any]
    seed: int
    torch: str
    device: str
    code: str
    data: str
    figures: Mapping[str, float]


#: Fields of `Trained` that are numbers, and those that are tensors.
_FIGURES = ("steps", "first_gradient", "train_loss", "train_accuracy", "accuracy", "confidence")
_TENSORS = ("losses", "probabilities", "labels")


def trained(proxy: Proxy, seed: int) -> Trained:
    """What a proxy comes to from one seed: from the store, or trained now and kept there.

    Raises:
        TimeIsOver: it is not there, and no more training may begin.
        MissingDependency: the data set is not to be had.
        OutputFailed: the store can't be written.
    """
    store = effort.leave().store
    return _trained(proxy, seed, None if store is None else store.root)


@functools.cache
def _trained(proxy: Proxy, seed: int, root: Path | None) -> Trained:
    if root is None:
        return _train(proxy, seed)
    store = Store(root / _FOLDER)
    fields = {
        "proxy": msgspec.to_builtins(proxy),
        "seed": seed,
        "torch": env.package_version("torch"),
        "device": env.device_name(),
        # What else takes part, reading of the data, shows in its digest.
        "code": file_sha256(Path(proxies.__file__)),
        "data": _data_digest(proxy),
    }
    label = f"{_LABEL}-{proxy.dataset}-{proxy.kind}{proxy.layers}-seed{seed}"
    entry = store.produce(
        TrainingManifest, label, fields, _FILE, lambda path: _write(path, _train(proxy, seed))
    )
    return _read(entry)


def _data_digest(proxy: Proxy) -> str:
    """SHA-256 over the images and labels that a proxy can see."""
    digest = hashlib.sha256()
    for name in ("train", "test"):
        for tensor in part_of(proxy, name):
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _train(proxy: Proxy, seed: int) -> Trained:
    start = None if proxy.start is None else trained(proxy.start, seed).weights
    leave = effort.leave()
    leave.require_time()
    leave.say(
        f"train {proxy.layers} x {proxy.width} ({proxy.kind}) on {proxy.dataset}, seed {seed}"
    )
    return train(proxy, seed, start)


def _write(path: Path, result: Trained) -> dict[str, Any]:
    from safetensors.torch import save_file

    tensors = {name: getattr(result, name) for name in _TENSORS}
    tensors |= {f"{_WEIGHTS}{name}": value for name, value in result.weights.items()}
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return {"figures": {name: float(getattr(result, name)) for name in _FIGURES}}


def _read(entry: Entry[TrainingManifest]) -> Trained:
    from safetensors.torch import load_file

    tensors = load_file(entry.path)
    figures: dict[str, Any] = dict(entry.manifest.figures)
    figures["steps"] = int(figures["steps"])
    weights = {
        name.removeprefix(_WEIGHTS): value
        for name, value in tensors.items()
        if name.startswith(_WEIGHTS)
    }
    of_tests: dict[str, Any] = {name: tensors[name] for name in _TENSORS}
    return Trained(**of_tests, **figures, weights=weights)
