"""Finding checkpoints and reading them; what they say of themselves is read without torch."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Mapping
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.errors import InvalidModel, UsageError
from deploykit.spec import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

#: A safetensors header longer than this is not one (the format's own limit).
_MAX_HEADER_BYTES = 100_000_000

#: What `ModelSpec.weights` may say beside the path of a file.
KEYWORDS = ("random", "trained", "torchvision", "timm")


def metadata(path: Path | str) -> dict[str, str]:
    """The metadata of a .safetensors file; empty if it holds none.

    Raises:
        InvalidModel: the file can't be read, is cut short, or is no safetensors file.
    """
    stored: dict[str, str] = _header(Path(path)).get("__metadata__", {})
    return stored


def shipped() -> dict[str, Path]:
    """The checkpoints that come with the package: file stem to path."""
    folder = files(__package__).joinpath("checkpoints")
    if not folder.is_dir():
        return {}
    found = {}
    for entry in folder.iterdir():
        if entry.name.endswith(".safetensors"):
            with as_file(entry) as path:  # packages are installed as files, never zipped (torch)
                found[path.stem] = path
    return dict(sorted(found.items()))


def trained(spec: ModelSpec) -> Path:
    """The shipped checkpoint for `spec`: same network, alpha and rho, and the data set if one is named.

    `weights` is "trained", or "trained:DATASET" where a network comes with more than one; "trained" alone
    takes the one of the embedded digits, which can be judged anywhere.

    Raises:
        UsageError: none is shipped; the message names those that are.
    """
    from .registry import lookup

    name = lookup(spec.name).name
    dataset = spec.weights.partition(":")[2]
    fitting: dict[str, Path] = {}
    offers: dict[str, list[Fraction]] = {}
    for stem, path in shipped().items():
        stored = metadata(path)
        model, trained_on = stored.get("model", stem.partition("-")[0]), stored.get("dataset", "?")
        alpha, rho = float(stored.get("alpha", "1")), Fraction(stored.get("rho", "1"))
        offers.setdefault(_variant(model, alpha, trained_on), []).append(rho)
        if (model, alpha, rho) == (name, spec.alpha, spec.rho):
            fitting[trained_on] = path
    for choice in (dataset,) if dataset else ("digits", *fitting):
        if choice in fitting:
            return fitting[choice]
    listed = (
        offer + (f" at rho {', '.join(map(str, sorted(rhos)[::-1]))}" if set(rhos) != {1} else "")
        for offer, rhos in offers.items()
    )
    wanted = _variant(name, spec.alpha, dataset) + (f" at rho {spec.rho}" if spec.rho != 1 else "")
    raise UsageError(
        f"no trained weights come with deploykit for {wanted}: there are "
        f"{'; '.join(listed) or 'none'}; train with `deploykit train` and give the file"
    )


def _variant(name: str, alpha: float, dataset: str) -> str:
    return (
        name + (f" alpha {alpha:g}" if alpha != 1 else "") + (f" on {dataset}" if dataset else "")
    )


def is_trained(weights: str) -> bool:
    """Whether `weights` asks for a shipped checkpoint."""
    return weights == "trained" or weights.startswith("trained:")


def facts(spec: ModelSpec) -> dict[str, str]:
    """What the checkpoint of `spec` says of itself: num_classes, resolution_px, dataset, alpha...

    Empty for random weights, for those of other packages, and for files without metadata.

    Raises:
        UsageError: no such trained checkpoint, or it has another number of classes than asked for.
        InvalidModel: the file is not there or can't be read.
    """
    path = checkpoint_path(spec)
    if path is None or path.suffix != ".safetensors":
        return {}
    stored = metadata(path)
    for key in ("num_classes", "resolution_px"):
        if key in stored and not stored[key].isdigit():
            raise InvalidModel(f"{path} is damaged: its metadata has {key}={stored[key]!r}")
    if spec.num_classes is not None and spec.num_classes != int(
        stored.get("num_classes", spec.num_classes)
    ):
        raise UsageError(
            f"{path.name} has {stored['num_classes']} classes, not {spec.num_classes}: "
            "leave num_classes out"
        )
    return stored


def existing(weights: str) -> Path:
    """The path that `weights` names.

    Raises:
        InvalidModel: it is no file.
    """
    path = Path(weights)
    if not path.is_file():
        raise InvalidModel(
            f"no weights at {weights}: give {', '.join(KEYWORDS)}, or a .safetensors, .pt or .pth file"
        )
    return path


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors, .pt or .pth file by key; nothing in it is ever executed.

    A dictionary that holds the weights under `state_dict` or `model`, and keys that all start with
    `module.`, are understood.

    Raises:
        InvalidModel: it isn't such a file, or is cut short.
    """
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        metadata(path)
        try:
            return dict(load_file(path))
        except Exception as error:  # safetensors raises an error class of its own, in Rust
            raise InvalidModel(
                f"{path} is not a sound safetensors file: {first_line(error)}"
            ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidModel(
            f"{path} is no checkpoint of plain tensors: save module.state_dict(), best as .safetensors"
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, KeyError... on damaged files
        raise InvalidModel(f"{path} is not a PyTorch checkpoint, or is cut short") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(
        isinstance(v, torch.Tensor) for v in found.values()
    ):
        raise InvalidModel(f"{path} holds no state_dict: save module.state_dict()")
    state = {str(key): value for key, value in found.items()}
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def checkpoint_path(spec: ModelSpec) -> Path | None:
    """The file that the weights of `spec` come from; None for random ones and those of other packages.

    Raises:
        UsageError: no such trained checkpoint.
        InvalidModel: no such file.
    """
    if is_trained(spec.weights):
        return trained(spec)
    return None if spec.weights in KEYWORDS else existing(spec.weights)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its class where there is no text."""
    text = str(error).strip()
    return text.splitlines()[0][:120] if text else type(error).__name__


def _header(path: Path) -> dict[str, Any]:
    """The JSON at the start of a safetensors file, its tensors checked against the file's length."""
    try:
        with path.open("rb") as stream:
            start = stream.read(8)
            if len(start) < 8:
                raise InvalidModel(f"{path} is not a safetensors file: it is too short")
            (length,) = struct.unpack("<Q", start)
            if length > _MAX_HEADER_BYTES:
                raise InvalidModel(f"{path} is not a safetensors file: its header makes no sense")
            raw = stream.read(length)
            size_bytes = path.stat().st_size
    except OSError as error:
        raise InvalidModel(f"can't read {path}: {error.strerror or error}") from error
    try:
        header = json.loads(raw)
        end = max(
            (t["data_offsets"][1] for k, t in header.items() if k != "__metadata__"), default=0
        )
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise InvalidModel(
            f"{path} is not a safetensors file, or is cut short: its header can't be read"
        ) from error
    if size_bytes != 8 + length + end:
        raise InvalidModel(
            f"{path} has {size_bytes} bytes where its header tells of {8 + length + end}: "
            "it is cut short or damaged, get it again"
        )
    return dict(header)
