"""Files of a training: the checkpoint it ends with, and the state it can be resumed from."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploykit.errors import UsageError
from deploykit.lazy import torch
from deploykit.writing import output_errors, write_atomic
from deploykit.zoo import weights


def save_checkpoint(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> str:
    """Write weights as safetensors, whole or not at all; returns the SHA-256 of the file.

    Raises:
        OutputFailed: the folder is missing, read-only or full.
    """
    from safetensors.torch import save

    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data = _canonical(save(whole, metadata=dict(metadata)))
    write_atomic(path, data, "checkpoint")
    return hashlib.sha256(data).hexdigest()


def _canonical(data: bytes) -> bytes:
    """The same file with its metadata in sorted order: equal content has equal bytes.

    The library stores metadata in the order of a randomised hash table.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint to start from, by name.

    Raises:
        UsageError: there is no such file.
        InvalidModel: it is not sound.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist: give the path of a checkpoint (.safetensors)")
    return weights.read_state(path)


def state_path(out: Path) -> Path:
    """Where the resumable state of a training that will end in `out` lies."""
    return out.with_name(f"{out.name}.resume")


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state after an epoch, whole or not at all."""
    with output_errors("resumable state"):
        # Straight into the file: the state of a large network is gigabytes.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                torch.save(dict(state), file)
            os.replace(name, path)  # noqa: PTH105 - the atomic call itself
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def read_state(path: Path, fingerprint: str) -> dict[str, Any]:
    """The state of an interrupted training.

    Raises:
        UsageError: it belongs to a training with other settings, or is not sound.
    """
    try:
        # weights_only: a state file is data, and must not be able to run code.
        state: dict[str, Any] = torch.load(path, weights_only=True)
        stored = state["fingerprint"]
    except Exception:  # on a damaged file torch raises whatever its unpickler stumbles over
        raise UsageError(
            f"{path} can't be read as the state of a training: remove it to start anew"
        ) from None
    if stored != fingerprint:
        raise UsageError(
            f"{path} belongs to a training with other settings: use the same, or remove it"
        )
    return state
