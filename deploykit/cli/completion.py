"""What a shell offers for the values of options: networks, precisions, backends, of a list the last item.

`_DEPLOYKIT_COMPLETE=bash_source deploykit` prints what bash has to read; zsh_source and fish_source do the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: click's form of a function that completes a value.
Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _one_of(offered: Callable[[], Iterable[str]], *, listed: bool = True) -> Completer:
    """Completes a name; of a list with commas the last one, without those that are there already."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",") if listed else ("", "", incomplete)
        taken = set(before.split(","))
        return [
            CompletionItem(f"{before}{comma}{name}")
            for name in offered()
            if name.startswith(last) and name not in taken
        ]

    return complete


def _networks() -> Iterable[str]:
    from deploykit import zoo

    return [architecture.name for architecture in zoo.architectures()]


def _backends() -> Iterable[str]:
    from deploykit import backends

    return backends.names()


def _targets() -> Iterable[str]:
    from deploykit import backends

    return dict.fromkeys(backends.get(name).target for name in backends.names())


def _precisions() -> Iterable[str]:
    from deploykit.graph.precision import precisions

    return dict.fromkeys(recipe.name for recipe in precisions())


def _presets() -> Iterable[str]:
    from deploykit.workflow.choices import PRESETS

    return PRESETS


def models(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes a MODEL: networks of the catalogue, .onnx files, and the folders on the way to them."""
    from click.shell_completion import CompletionItem

    folder, slash, start = incomplete.rpartition("/")
    found = [] if slash else [name for name in _networks() if name.startswith(incomplete)]
    try:
        with os.scandir(folder + slash or ".") as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if not entry.name.startswith(start) or entry.name.startswith("."):
                    continue
                if entry.name.endswith(".onnx"):
                    found.append(f"{folder}{slash}{entry.name}")
                elif slash and entry.is_dir():
                    found.append(f"{folder}{slash}{entry.name}/")
    except OSError:
        pass  # there is no such folder: nothing to offer
    return [CompletionItem(name) for name in found]


precisions, backends, targets = map(_one_of, (_precisions, _backends, _targets))
preset = _one_of(_presets, listed=False)
weights = _one_of(lambda: ("random", "trained", "torchvision", "timm"), listed=False)
data = _one_of(
    lambda: ("digits", "fashion-mnist", "imagefolder:", "npz:"),
    listed=False,
)
methods = _one_of(lambda: ("minmax", "percentile", "entropy", "mse"), listed=False)


def let_fish_read_lists() -> None:
    """Let fish take a value whole: click's script for it ends a value at its first comma."""
    from click.shell_completion import FishComplete, add_completion_class

    class Fish(FishComplete):
        source_template = FishComplete.source_template.replace(
            'string split ","', 'string split --max 1 ","'
        )

    add_completion_class(Fish)
