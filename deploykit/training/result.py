"""What training reports, while it runs and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """Where training stands: after each batch.

    Attributes:
        epoch, epochs: the current one, from 1, and how many there are.
        image, images: how many of this epoch's images are done, and how many there are.
        loss: mean loss of this epoch so far, label smoothing included.
    """

    epoch: int
    epochs: int
    image: int
    images: int
    loss: float

    @property
    def fraction(self) -> float:
        """Share of the whole training that is done, 0..1."""
        return (self.epoch - 1 + self.image / self.images) / self.epochs


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        path: the checkpoint (safetensors).
        sha256: SHA-256 of the checkpoint's bytes, hexadecimal.
        top1: share of the test part's images that are classified right; never used to choose anything.
        test_images: size of the test part.
        train_images: size of the train part.
        epochs: passes over the train part, those of interrupted calls included.
        train_s: seconds spent in this call; less than the whole where training was resumed.
        loss: mean loss of the last epoch, label smoothing included.
        initialised: with a checkpoint to start from, parameters that did not come from it, such as a
            head of another shape.
        frozen: names of parameters that were kept as they were.
        metadata: as stored in the file.
    """

    path: Path
    sha256: str
    top1: float
    test_images: int
    train_images: int
    epochs: int
    train_s: float
    loss: float
    initialised: tuple[str, ...]
    frozen: tuple[str, ...]
    metadata: Mapping[str, str]
