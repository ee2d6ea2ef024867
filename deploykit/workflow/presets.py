"""Well-known ways of measuring, by name: what `deploykit profile --preset` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploykit.errors import UnknownName


@dataclass(frozen=True)
class Preset:
    """A well-known way of measuring: the values that options have where none are given.

    Attributes:
        models: what is measured where no MODEL is named.
        options: values of the profile command's options, as they would be written there.
        summary: what it is, in one line.
    """

    models: tuple[str, ...]
    options: Mapping[str, str]
    summary: str


PRESETS: Mapping[str, Preset] = {
    "vgg-listing": Preset(
        models=("vgg16",),
        options={
            "backend": "torch",
            "batch": "32",
            "run_pass": "forward,forward_backward",
            "warmup_iterations": "10",
            "iterations": "100",
            "timeout": "14400",
        },
        summary="the classic listing: VGG-16 in PyTorch, 32 random images of 3x224x224, forward and forward+"
        "backward, 10 burn-in runs, mean and standard deviation of 100",
    ),
}


def preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        UnknownName: there is none.
    """
    if name not in PRESETS:
        raise UnknownName("preset", name, PRESETS)
    return PRESETS[name]
