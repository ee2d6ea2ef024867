"""Small seeded recipes that give networks real accuracy.

    >>> from deploykit.data import open_dataset
    >>> from deploykit.training import train
    >>> from deploykit.spec import ModelSpec
    >>> result = train(ModelSpec("lenet5"), open_dataset("digits"), out="lenet5.safetensors")  # doctest: +SKIP

Importing this package imports no torch.
"""

from __future__ import annotations

from deploykit.training.epochs import Progress, TrainResult
from deploykit.training.loop import train
from deploykit.training.recipes import Recipe, recipe_for

__all__ = ["Progress", "Recipe", "TrainResult", "recipe_for", "train"]
