"""Damaged models: a seed is a file, the same one on every machine."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from studies.torture.damage import damage
from studies.torture.networks import bases
from studies.torture.rewrite import rewrite

#: Seeds that failed once, or were near to it: tried first in every run, and by the tests.
KEPT = Path(__file__).with_name("kept_seeds.txt")
MODEL = "model.onnx"


@dataclass(frozen=True)
class Mutant:
    """A damaged model.

    Attributes:
        seed: that it was drawn from.
        base: name of the network that it was.
        done: to it, in order.
        data: the file.
        beside: files that belong to it, by name.
    """

    seed: int
    base: str
    done: tuple[str, ...]
    data: bytes
    beside: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """What it is, in a few words."""
        return f"seed {self.seed} ({self.base}: {', '.join(self.done)})"

    def write(self, folder: Path) -> Path:
        """Put the files into a folder, with what hostile locations point to; the path of the model."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "folder").mkdir(exist_ok=True)
        for link, target in (("loop", "loop"), ("out", "/etc/hostname")):
            if not (folder / link).is_symlink():
                (folder / link).symlink_to(target)
        if not (folder / "pipe").exists():
            os.mkfifo(folder / "pipe")
        for name, data in self.beside.items():
            (folder / name).write_bytes(data)
        path = folder / MODEL
        path.write_bytes(self.data)
        return path


def mutant(seed: int) -> Mutant:
    """The model of a seed: one of the bases, its structure, its bytes or both mutated one to three times."""
    chance = random.Random(seed)
    base = chance.choice(bases())
    how = chance.random()
    done: list[str] = []
    data, beside = base.data, dict(base.beside)
    if how < 0.7:
        model = onnx.ModelProto.FromString(data)
        for _ in range(chance.choice((1, 1, 2, 3))):
            try:
                done.append(rewrite(model, chance))
            except (
                ValueError,
                TypeError,
                DecodeError,
                onnx.defs.SchemaError,
            ):  # no such value can be written
                done.append("nothing")
        data = bytes(model.SerializeToString(deterministic=True))
    if how > 0.6:
        for _ in range(chance.choice((1, 1, 2, 3))):
            data, kind = damage(data, chance)
            done.append(kind)
    if beside and chance.random() < 0.2:
        name = chance.choice(sorted(beside))
        beside[name], kind = damage(beside[name], chance)
        done.append(f"{kind} of {name}")
    return Mutant(seed, base.name, tuple(done), data, beside)


def kept_seeds() -> list[int]:
    """The seeds of `KEPT`, in its order."""
    lines = KEPT.read_text(encoding="utf-8").splitlines()
    words = (line.partition("#")[0].strip() for line in lines)
    return [int(word) for word in words if word]
