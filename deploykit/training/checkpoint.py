"""What a training starts from and leaves: weights taken over, its checkpoint, the state to resume it from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from deploykit.errors import InvalidModel, OutputFailed, UsageError
from deploykit.lazy import torch
from deploykit.reading import require_file
from deploykit.writing import drafted, led_to, output_errors, write_atomic
from deploykit.zoo import weights


def check_writable(out: Path) -> None:
    """Fail before an hour of training, not after it.

    Raises:
        UsageError: nothing would read a checkpoint of that name.
        OutputFailed: it can't be written there.
    """
    if out.is_dir():
        raise OutputFailed(f"can't write checkpoint {out}: it is a folder; name a file in it")
    if out.suffix != ".safetensors":
        raise UsageError(
            f"checkpoint {out} would be safetensors under a name by which nothing reads it as such: name it "
            f"{out.stem}.safetensors"
        )
    with output_errors("checkpoint", out):
        folder = led_to(out).parent
    if not folder.is_dir():
        raise OutputFailed(
            f"can't write checkpoint {out}: its folder does not exist; make {folder} first"
        )
    if not os.access(folder, os.W_OK):
        raise OutputFailed(f"can't write checkpoint {out}: its folder is read-only; choose another")


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

    The library (safetensors 0.8) writes metadata in the order of a hash table that is seeded anew in every process,
    and lets nobody choose the order or hand in a header; so the header that it wrote is put in order here.
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
    # Straight into the file: the state of a large network is gigabytes.
    with (
        output_errors("resumable state", path),
        drafted(path) as draft,
        draft.open("wb") as file,
    ):
        torch.save(dict(state), file)


def read_state(path: Path, fingerprint: str) -> dict[str, Any]:
    """The state of an interrupted training.

    Raises:
        UsageError: it belongs to a training with other settings, or is not sound.
    """
    try:
        require_file(path)
        # weights_only: a state file is data, and must not be able to run code.
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
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


def take_over(
    module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: str
) -> tuple[str, ...]:
    """Copy into `module` every tensor that it has under the same name in the same shape.

    Words that a wrapper put before all names are left out, as they are where weights are loaded.

    Returns the names of parameters that keep their initial values, such as a head with another number
    of classes.

    Raises:
        InvalidModel: most parameters have no counterpart: the checkpoint is of another network. Or values are not
            finite.
    """
    own = module.state_dict()
    fitting = {
        name: tensor.to(own[name].dtype)
        for name, tensor in weights.without_prefix(tensors, own, path).items()
        if name in own
        and own[name].shape == tensor.shape
        and own[name].is_floating_point() == tensor.is_floating_point()
    }
    names = [name for name, _ in module.named_parameters()]
    left = tuple(name for name in names if name not in fitting)
    if 2 * len(left) > len(names):
        raise InvalidModel(
            f"{path} fits {len(names) - len(left)} of the network's {len(names)} parameters: "
            f"give a checkpoint of the same architecture and alpha"
        )
    weights.require_finite(fitting, path)
    module.load_state_dict(fitting, strict=False)
    return left


def freeze(module: torch.nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """Keep parameters whose name fits a pattern (such as `features.*`) out of training.

    Returns their names.

    Raises:
        UsageError: a pattern fits none, or nothing would be left to train.
    """
    parameters = dict(module.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in parameters if fnmatchcase(name, pattern)}
        if not fitting:
            example = next(iter(parameters))
            raise UsageError(
                f"no parameter fits the pattern {pattern!r}: names are like {example}, "
                f"so {example.split('.')[0]}.* would fit"
            )
        frozen |= fitting
    if len(frozen) == len(parameters):
        raise UsageError(f"freezing {' '.join(patterns)} leaves nothing to train: freeze less")
    for name in frozen:
        parameters[name].requires_grad_(False)
    return tuple(name for name in parameters if name in frozen)
