"""Training a network, from the seed to the checkpoint."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from deploykit import zoo
from deploykit.env import package_version
from deploykit.errors import DeploykitError, MissingDependency, OutputFailed, UsageError
from deploykit.training import checkpoint, transfer
from deploykit.training.augment import augment
from deploykit.training.evaluation import count_correct
from deploykit.training.recipes import Recipe, recipe_for
from deploykit.training.result import Progress, TrainResult

if TYPE_CHECKING:
    import torch
    from torch import nn

    from deploykit.data import Dataset, Part
    from deploykit.types import ModelSpec


def train(
    spec: ModelSpec,
    dataset: Dataset,
    *,
    out: Path | str,
    epochs: int | None = None,
    seed: int = 0,
    resume: bool = False,
    from_checkpoint: Path | str | None = None,
    freeze: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
    recipe: Recipe | None = None,
    device: str = "cpu",
) -> TrainResult:
    """Train a network on a data set's train part and store it with its accuracy on the test part.

    The weights of the last epoch are kept: nothing is chosen by looking at the test part. With the same
    arguments, versions and number of threads the checkpoint's tensors are the same, interrupted or not.
    After each epoch the state is stored beside `out` as `NAME.resume`; it is removed at the end.

    Args:
        spec: the network; `num_classes` None means the data set's own number. Its weights don't matter.
        dataset: the data.
        out: the checkpoint to write (safetensors); replaced if it is there, and only at the end.
        epochs: passes over the train part; None is the recipe's own number.
        seed: of the initial weights, the order of images, augmentation and dropout.
        resume: go on from `NAME.resume` if there is one.
        from_checkpoint: weights to start from (transfer learning); parameters of other shapes, such as
            the head's, start anew.
        freeze: patterns of parameter names to keep as they are, such as "features.*".
        progress: called after each batch; an exception that it raises ends training, which can be resumed.
        recipe: other than the family's own; its epochs count unless `epochs` is given.
        device: where PyTorch trains.

    Raises:
        UsageError: settings that can't be, a state of another training, data that doesn't fit.
        InvalidModel: `from_checkpoint` is damaged or of another network.
        OutputFailed: `out` can't be written; found before training begins.
    """
    out = Path(out)
    _check_writable(out)
    if epochs is not None and epochs < 1:
        raise UsageError(f"{epochs} epochs are not possible: give at least 1")
    family = ""  # a user's own `module:factory` belongs to none
    if ":" not in spec.name:
        architecture = zoo.lookup(spec.name)
        spec, family = replace(spec, name=architecture.name), architecture.family
    recipe = recipe or recipe_for(family, dataset.name)
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    spec = replace(spec, weights="random", seed=seed)
    if spec.num_classes is None:
        spec = replace(spec, num_classes=len(dataset.classes))
    assert spec.num_classes is not None
    dataset.require_classes(spec.num_classes)
    for part in (dataset.train, dataset.test):
        if not len(part):
            raise UsageError(f"{part.name} has no images: give a data set that has that part")
    input_shape = zoo.input_shape(spec)
    _require_torch()
    import torch

    module = zoo.create(spec, device=device)
    # Depthwise convolutions above all train faster so; PyTorch's stubs lack the keyword.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    initialised: tuple[str, ...] = ()
    start_hash = ""
    if from_checkpoint is not None:
        tensors = checkpoint.read_tensors(Path(from_checkpoint))
        initialised = transfer.take_over(module, tensors, str(from_checkpoint))
        start_hash = hashlib.sha256(Path(from_checkpoint).read_bytes()).hexdigest()
    frozen = transfer.freeze(module, freeze)

    metadata = _metadata(spec, dataset, recipe, seed, start_hash, freeze)
    state_path = checkpoint.state_path(out)
    if not resume:
        state_path.unlink(missing_ok=True)
    begin = time.perf_counter()
    loss = _Run(module, dataset.train, input_shape, recipe, seed, device, progress).run(
        state_path, _fingerprint(metadata)
    )
    train_s = time.perf_counter() - begin

    correct, tested = count_correct(module, dataset.test, input_shape, device)
    metadata |= {
        "test_top1": f"{correct / tested:.6f}",
        "test_images": str(tested),
        "test_sha256": dataset.test.sha256,
    }
    sha256 = checkpoint.save_checkpoint(out, module.state_dict(), metadata)
    state_path.unlink(missing_ok=True)
    return TrainResult(
        path=out,
        sha256=sha256,
        top1=correct / tested,
        test_images=tested,
        train_images=len(dataset.train),
        epochs=recipe.epochs,
        train_s=train_s,
        loss=loss,
        initialised=initialised,
        frozen=frozen,
        metadata=metadata,
    )


class _Run:
    """The epochs of one training."""

    def __init__(
        self,
        module: nn.Module,
        part: Part,
        input_shape: tuple[int, int, int],
        recipe: Recipe,
        seed: int,
        device: str,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        import torch

        self.module, self.part, self.input_shape = module, part, input_shape
        self.recipe, self.seed, self.device, self.progress = recipe, seed, device, progress
        self.loss_function = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.optimizer = _optimizer(module, recipe)

    def run(self, state_path: Path, fingerprint: str) -> float:
        """Train what is left; returns the mean loss of the last epoch."""
        import torch

        done, loss = 0, float("nan")
        if state_path.exists():
            state = checkpoint.read_state(state_path, fingerprint)
            self.module.load_state_dict(state["module"])
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
        import torch

        # Seeded anew for each epoch, so that a resumed training draws what an unbroken one would.
        epoch_seed = int.from_bytes(hashlib.sha256(f"{self.seed}/{epoch}".encode()).digest()[:7])
        torch.manual_seed(epoch_seed)  # dropout
        generator = torch.Generator().manual_seed(epoch_seed)
        order = torch.randperm(len(self.part), generator=generator).numpy()
        transfer.train_mode(self.module)
        total_loss, seen = 0.0, 0
        shuffled = self.part.subset(order)
        for images, labels in shuffled.batches(self.recipe.batch_size, self.input_shape):
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
        import torch

        self.optimizer.zero_grad(set_to_none=True)
        logits = self.module(images)
        # Networks with auxiliary classifiers return their logits too while they train.
        outputs = [logits] if isinstance(logits, torch.Tensor) else list(logits)
        loss = self.loss_function(outputs[0], labels.to(self.device))
        for auxiliary in outputs[1:]:
            loss = loss + 0.3 * self.loss_function(auxiliary, labels.to(self.device))
        value: float = loss.item()
        if not torch.isfinite(loss):
            raise DeploykitError(f"training diverged (loss {value}): use a lower learning rate")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        return value

    def _set_learning_rate(self, done: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(done)


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingDependency("training needs torch: pip install 'deploykit[export]'") from None


def _check_writable(out: Path) -> None:
    """Fail before an hour of training, not after it."""
    if out.is_dir():
        raise OutputFailed(f"can't write checkpoint {out}: it is a folder; name a file in it")
    if not out.parent.is_dir():
        raise OutputFailed(
            f"can't write checkpoint {out}: its folder does not exist; make the folder first"
        )
    if not os.access(out.parent, os.W_OK):
        raise OutputFailed(f"can't write checkpoint {out}: its folder is read-only; choose another")


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    import torch

    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.peak_learning_rate)


def _metadata(
    spec: ModelSpec,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    start_hash: str,
    freeze: Sequence[str],
) -> dict[str, str]:
    """What is stored with the weights, all of it text."""
    _, base_px, _ = zoo.input_shape(replace(spec, rho=Fraction(1)))
    metadata = {
        "format": "pt",
        "model": spec.name,
        "alpha": f"{spec.alpha:g}",
        "rho": str(spec.rho),
        "resolution_px": str(base_px),
        "num_classes": str(spec.num_classes),
        "classes": json.dumps(dataset.classes, ensure_ascii=False),
        "dataset": dataset.name,
        "train_images": str(len(dataset.train)),
        "train_sha256": dataset.train.sha256,
        "recipe": str(recipe),
        "epochs": str(recipe.epochs),
        "seed": str(seed),
        "torch": package_version("torch") or "",
        "deploykit": package_version("deploykit") or "",
    }
    if start_hash:
        metadata["from_sha256"] = start_hash
    if freeze:
        metadata["freeze"] = " ".join(freeze)
    return metadata


def _fingerprint(metadata: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
