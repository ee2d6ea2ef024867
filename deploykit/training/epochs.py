"""Passes over a data set: epochs with progress and resumable state, the result, and the count of what is right."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploykit.errors import DeploykitError, UsageError
from deploykit.lazy import torch
from deploykit.training import checkpoint
from deploykit.training.recipes import Recipe, augment

if TYPE_CHECKING:
    from deploykit.data import Part


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
        test_images: number of images in the test part.
        train_images: number of images in the train part.
        epochs: passes over the train part, those of interrupted calls included.
        train_s: seconds spent in this call; less than the whole where training was resumed.
        loss: mean loss of the last epoch, label smoothing included.
        initialised: with a checkpoint to start from, parameters that did not come from it, such as a
            head of another shape.
        frozen: names of parameters that were kept as they were.
        metadata: what the checkpoint says of itself, as stored in the file.
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


#: Weight of each auxiliary classifier's loss (Szegedy et al., arXiv:1409.4842, section 5).
_AUXILIARY_WEIGHT = 0.3
#: Images that are judged at a time.
_BATCH = 256


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """PyTorch's operators use that many threads inside; None changes nothing."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Epochs:
    """The epochs of one training.

    Args:
        module: trained in place; what is frozen in it stays as it is.
        part: the images to train on.
        input_shape: what the network takes, (C, H, W).
        recipe: batch size, learning rates, augmentation and the like.
        seed: decides the order of images, augmentation and dropout.
        device: PyTorch's name of the device that holds the module, such as "cpu".
        progress: called after each batch.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        part: Part,
        input_shape: tuple[int, int, int],
        recipe: Recipe,
        seed: int,
        device: str,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.module, self.part, self.input_shape = module, part, input_shape
        self.recipe, self.seed, self.device, self.progress = recipe, seed, device, progress
        self.loss_function = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.optimizer = _optimizer(module, recipe)

    def run(self, state_path: Path, fingerprint: str) -> float:
        """Train what is left; returns the mean loss of the last epoch.

        Raises:
            UsageError: the state there is of another training or network, or not sound.
            DeploykitError: the loss is not finite.
        """
        done, loss = 0, float("nan")
        if state_path.exists():
            state = checkpoint.read_state(state_path, fingerprint)
            try:
                self.module.load_state_dict(state["module"])
            except (
                RuntimeError
            ):  # of other keys or shapes: a network of the user's own was changed meanwhile
                raise UsageError(
                    f"{state_path} is of another network by this name: remove it to start anew"
                ) from None
            self.optimizer.load_state_dict(state["optimizer"])
            done, loss = state["epochs"], state["loss"]
        for epoch in range(done + 1, self.recipe.epochs + 1):
            with torch.random.fork_rng(devices=[]):
                loss = self._epoch(epoch)
            if epoch < self.recipe.epochs:
                state = {
                    "fingerprint": fingerprint,
                    "epochs": epoch,
                    "loss": loss,
                    "module": self.module.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                }
                checkpoint.save_state(state_path, state)
        self.module.eval()
        return loss

    def _epoch(self, epoch: int) -> float:
        # Seeded anew for each epoch, so that a resumed training draws what an unbroken one would.
        epoch_seed = int.from_bytes(hashlib.sha256(f"{self.seed}/{epoch}".encode()).digest()[:7])
        torch.manual_seed(epoch_seed)  # dropout
        generator = torch.Generator().manual_seed(epoch_seed)
        order = torch.randperm(len(self.part), generator=generator).numpy()
        train_mode(self.module)
        total_loss, seen = 0.0, 0
        shuffled = self.part.subset(order)
        for images, labels in shuffled.batches(self.recipe.batch_size, self.input_shape):
            if len(labels) == 1 and seen:
                continue  # left over: one image has no spread to normalise by where maps are of one pixel
            self._set_learning_rate((epoch - 1 + seen / len(self.part)) / self.recipe.epochs)
            inputs = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
            loss = self._step(augment(inputs, self.recipe, generator), torch.from_numpy(labels))
            total_loss += loss * len(labels)
            seen += len(labels)
            if self.progress:
                self.progress(
                    Progress(epoch, self.recipe.epochs, seen, len(self.part), total_loss / seen)
                )
        return total_loss / seen

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.module(images)
        # Networks with auxiliary classifiers return their logits too while they train.
        outputs = [logits] if isinstance(logits, torch.Tensor) else list(logits)
        loss = self.loss_function(outputs[0], labels.to(self.device))
        for auxiliary in outputs[1:]:
            loss = loss + _AUXILIARY_WEIGHT * self.loss_function(auxiliary, labels.to(self.device))
        value: float = loss.item()
        if not torch.isfinite(loss):
            raise DeploykitError(
                f"training diverged (loss {value}): look for values out of range in the images, give another "
                "--seed, or start from trained weights with --from"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        return value

    def _set_learning_rate(self, done: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(done)


def train_mode(module: torch.nn.Module) -> None:
    """Switch to training, but keep the running statistics of normalisation whose values are frozen."""
    module.train()
    for part in module.modules():
        own = list(part.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            part.eval()


def count_correct(
    module: torch.nn.Module, part: Part, input_shape: tuple[int, int, int], device: str = "cpu"
) -> tuple[int, int]:
    """How many images of `part` the network classifies right (top 1), and how many there were."""
    was_training = module.training
    module.eval()
    correct = total = 0
    try:
        with torch.inference_mode():
            for images, labels in part.batches(_BATCH, input_shape):
                logits = module(torch.from_numpy(images).to(device))
                hits = logits.argmax(dim=1).cpu() == torch.from_numpy(labels)
                correct += int(hits.sum())
                total += len(labels)
    finally:
        module.train(was_training)
    return correct, total


def _optimizer(module: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.peak_learning_rate)
