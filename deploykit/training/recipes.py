"""How each family of networks is trained: small recipes for small images, and the augmentation they ask for.

AdamW (Loshchilov & Hutter, arXiv:1711.05101) with one cycle of the learning rate (Smith & Topin,
arXiv:1708.07120) trains every family here in few epochs; what differs is how large a step a family bears,
which depends mostly on whether it normalises its activations.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

from deploykit.lazy import torch


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes a training beside the network, the data and the seed.

    Attributes:
        epochs: passes over the training part.
        batch_size: number of images in each step.
        peak_learning_rate: the highest of the cycle, reached after `warmup` of all steps; from there it falls
            to zero along a cosine.
        weight_decay: on weight matrices and kernels; never on biases and normalisation.
        label_smoothing: share of the target that is spread over all classes.
        rotate_deg, scale, shift: how far images are randomly turned, scaled (share) and shifted (share of
            the side) for augmentation.
        flip: whether half of the images are mirrored.
        clip_norm: the gradient's largest norm.
        threads: of PyTorch; None is its own number. It is part of the recipe because sums are made in
            another order with another number, so that weights differ.
    """

    epochs: int
    batch_size: int
    peak_learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: float = 0.25
    label_smoothing: float = 0.1
    rotate_deg: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    flip: bool = False
    clip_norm: float = 1.0
    threads: int | None = None

    def learning_rate(self, done: float) -> float:
        """The learning rate when a share of `done`, 0..1, of all images of all epochs has been seen.

        Half a cosine up from a 25th of the peak during warm-up, then half a cosine down to zero.
        """
        if done < self.warmup:
            rise = (1 - math.cos(math.pi * done / self.warmup)) / 2
            return self.peak_learning_rate * (1 + 24 * rise) / 25
        fall = (done - self.warmup) / (1 - self.warmup)
        return self.peak_learning_rate * (1 + math.cos(math.pi * fall)) / 2

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in asdict(self).items())


#: The peak of the learning rate at a batch of 32, for families without normalisation; all others get
#: `_NORMALISED`. With AdamW it grows with the root of the batch size.
_PEAK_LEARNING_RATES = {
    "lenet": 4e-3,
    "squeezenet": 5e-4,
    "alexnet": 2e-4,
    "zfnet": 2e-4,
    "vgg": 2e-4,
    "mlp": 1e-3,
}
_NORMALISED = 8e-3


def recipe_for(family: str, dataset: str, epochs: int | None = None) -> Recipe:
    """The recipe for a family of networks on a data set.

    Args:
        family: of the architecture, as the catalogue has it.
        dataset: its name, such as "digits" or "npz:own.npz".
        epochs: at least 1; None is the recipe's own number.
    """
    if dataset == "digits":
        # A thousand images: many short epochs. Digits must not be mirrored. Chosen by cross-validation
        # within the train part, where smoothed labels were no better. One thread: batches are too
        # small to share, and the same weights come out on machines with any number of cores.
        shape = Recipe(
            epochs=40,
            batch_size=32,
            label_smoothing=0.0,
            rotate_deg=10,
            scale=0.1,
            shift=0.06,
            threads=1,
        )
    elif dataset == "fashion-mnist":
        shape = Recipe(epochs=8, batch_size=128, scale=0.05, shift=0.05, flip=True)
    elif dataset.startswith("imagefolder:"):
        shape = Recipe(epochs=20, batch_size=64, rotate_deg=5, scale=0.15, shift=0.08, flip=True)
    else:
        # Of a user's own arrays nothing is known: an image may mean something else when it is turned.
        shape = Recipe(epochs=20, batch_size=64, shift=0.05)
    peak = _PEAK_LEARNING_RATES.get(family, _NORMALISED) * math.sqrt(shape.batch_size / 32)
    return replace(shape, peak_learning_rate=peak, epochs=epochs or shape.epochs)


def augment(images: torch.Tensor, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    """Each image transformed by its own random affine map, sampled bilinearly, edges extended.

    Args:
        images: (N, C, H, W), on any device.
        recipe: how far images are turned, scaled and shifted, and whether they are mirrored.
        generator: on the CPU; the same state gives the same transformations on every device.
    """
    if not (recipe.rotate_deg or recipe.scale or recipe.shift or recipe.flip):
        return images
    count = len(images)
    angle, factor, across, down, side = torch.rand(5, count, generator=generator)
    angle = (2 * angle - 1) * math.radians(recipe.rotate_deg)
    factor = 1 + (2 * factor - 1) * recipe.scale
    mirror = torch.ones(count)
    if recipe.flip:
        mirror[side < 0.5] = -1
    # affine_grid's coordinates span -1..1 over the side, so a share of the side counts twice.
    maps = torch.stack(
        [
            torch.stack([factor * angle.cos() * mirror, -factor * angle.sin()], dim=1),
            torch.stack([factor * angle.sin() * mirror, factor * angle.cos()], dim=1),
        ],
        dim=1,
    )
    shifts = torch.stack([2 * across - 1, 2 * down - 1], dim=1) * (2 * recipe.shift)
    theta = torch.cat([maps, shifts[:, :, None]], dim=2).to(images.device, images.dtype)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
