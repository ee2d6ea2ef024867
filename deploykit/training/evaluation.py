"""The share of images that a PyTorch network classifies right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from deploykit.data import Part

_BATCH = 256


def count_correct(
    module: nn.Module, part: Part, input_shape: tuple[int, int, int], device: str = "cpu"
) -> tuple[int, int]:
    """How many images of `part` the network classifies right (top 1), and how many there were."""
    import torch

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
