"""Training a network, from the request to the checkpoint."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from deploykit import zoo
from deploykit.cuda import DeviceMemoryExhausted
from deploykit.env import package_version
from deploykit.errors import UsageError, one_line
from deploykit.lazy import torch
from deploykit.store import file_sha256
from deploykit.training import checkpoint
from deploykit.training.epochs import Epochs, Progress, TrainResult, count_correct, threads
from deploykit.training.recipes import Recipe, recipe_for
from deploykit.zoo.factories import takes_classes

if TYPE_CHECKING:
    from deploykit.data import Dataset
    from deploykit.spec import ModelSpec


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
        spec: the network; `num_classes` None means the data set's own number, or that of a user's own network
            that can't be told one. Its weights don't matter.
        dataset: the data set: its train part is learned, its test part judges the result.
        out: the checkpoint to write, NAME.safetensors; replaced if it is there, and only at the end.
        epochs: passes over the train part; None is the recipe's own number.
        seed: of the initial weights, the order of images, augmentation and dropout.
        resume: go on from `NAME.resume` if there is one.
        from_checkpoint: weights to start from (transfer learning); parameters of other shapes, such as
            the head's, start anew.
        freeze: patterns of parameter names to keep as they are, such as "features.*".
        progress: called after each batch; an exception that it raises ends training, which can be resumed.
        recipe: other than the family's own; its epochs count unless `epochs` is given.
        device: PyTorch's name of the device that trains, such as "cpu" or "cuda:0"; another than the processor is
            named in the checkpoint's metadata, and gives the same tensors but for roundings.

    Raises:
        DeviceMemoryExhausted: the device is out of memory.
        UsageError: settings that can't be, a state of another training, data that doesn't fit.
        InvalidModel: `from_checkpoint` is damaged or of another network.
        OutputFailed: `out` can't be written; found before training begins.
    """
    out = Path(out)
    checkpoint.check_writable(out)
    if epochs is not None and epochs < 1:
        raise UsageError(f"{epochs} epochs are not possible: give at least 1")
    own, family = ":" in spec.name, ""  # a user's own `module:factory` belongs to none
    if not own:
        architecture = zoo.lookup(spec.name)
        spec, family = replace(spec, name=architecture.name), architecture.family
    recipe = recipe or recipe_for(family, dataset.name)
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    spec = replace(spec, weights="random", seed=seed)
    if spec.num_classes is None and (not own or takes_classes(spec.name)):
        spec = replace(spec, num_classes=len(dataset.classes))
    classes = spec.num_classes or len(dataset.classes)
    dataset.require_classes(classes)
    for part in (dataset.train, dataset.test):
        if not len(part):
            raise UsageError(f"{part.name} has no images: give a data set that has that part")
    input_shape = zoo.input_shape(spec)
    with _room_on(device):
        module = zoo.create(spec, device=device)
        if own:
            classes = _classes_of(module, input_shape, spec.name, device)
            dataset.require_classes(classes)
    # Depthwise convolutions above all train faster so; PyTorch's stubs lack the keyword.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    initialised: tuple[str, ...] = ()
    start_hash = ""
    if from_checkpoint is not None:
        tensors = checkpoint.read_tensors(Path(from_checkpoint))
        initialised = checkpoint.take_over(module, tensors, str(from_checkpoint))
        start_hash = file_sha256(Path(from_checkpoint))
    frozen = checkpoint.freeze(module, freeze)

    metadata = _metadata(spec, classes, dataset, recipe, seed, start_hash, freeze, device)
    state_path = checkpoint.state_path(out)
    if not resume:
        state_path.unlink(missing_ok=True)
    begin = time.perf_counter()
    training = Epochs(module, dataset.train, input_shape, recipe, seed, device, progress)
    with threads(recipe.threads), _room_on(device):
        loss = training.run(state_path, _fingerprint(metadata))
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


@contextmanager
def _room_on(device: str) -> Iterator[None]:
    """Say in one line that a device has no room, wherever PyTorch finds it out."""
    try:
        yield
    except torch.OutOfMemoryError as error:  # of a GPU
        raise DeviceMemoryExhausted(
            f"{device} is out of memory ({one_line(error, 120)}): end what else is on it, lower --resolution, "
            "or leave --device out"
        ) from error


def _classes_of(
    module: torch.nn.Module, input_shape: tuple[int, int, int], name: str, device: str
) -> int:
    """How many classes a network of the user's own tells apart, from what it makes of one image.

    Raises:
        UsageError: it does not take the image, or puts out something else than scores of classes.
    """
    size = " x ".join(map(str, input_shape))
    try:
        with torch.no_grad():
            scores = module(torch.zeros(1, *input_shape, device=device))
    except torch.OutOfMemoryError:  # which says nothing of the image's size
        raise
    except Exception as error:  # the user's code may raise anything
        raise UsageError(
            f"{name} raised {type(error).__name__} on an image of {size}: {one_line(error, 160)}; give "
            "--resolution, or set input_shape = (channels, height, width) on the module"
        ) from error
    if not isinstance(scores, torch.Tensor) or scores.ndim != 2 or len(scores) != 1:
        found = list(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise UsageError(
            f"{name} makes {found} of one image of {size}: training takes a module that returns one tensor of "
            "class scores, (batch, classes)"
        )
    return int(scores.shape[1])


def _metadata(
    spec: ModelSpec,
    classes: int,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    start_hash: str,
    freeze: Sequence[str],
    device: str,
) -> dict[str, str]:
    """What is stored with the weights, all of it text."""
    _, base_px, _ = zoo.input_shape(replace(spec, rho=Fraction(1)))
    metadata = {
        "format": "pt",
        "model": spec.name,
        "alpha": f"{spec.alpha:g}",
        "rho": str(spec.rho),
        "resolution_px": str(base_px),
        "num_classes": str(classes),
        "classes": json.dumps(dataset.classes, ensure_ascii=False),
        "dataset": dataset.name,
        "train_images": str(len(dataset.train)),
        "train_sha256": dataset.train.sha256,
        "recipe": str(recipe),
        "epochs": str(recipe.epochs),
        "seed": str(seed),
        # As it calls itself: metadata of the index's own builds lacks what CUDA they are for.
        "torch": str(torch.__version__),
        "deploykit": package_version("deploykit") or "",
    }
    if start_hash:
        metadata["from_sha256"] = start_hash
    if device != "cpu":  # another one rounds in other ways
        metadata["device"] = torch.cuda.get_device_name(device)
    if freeze:
        metadata["freeze"] = " ".join(freeze)
    return metadata


def _fingerprint(metadata: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
