"""The networks that the store holds: what a command without a MODEL is about."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from deploykit.errors import UsageError
from deploykit.spec import ModelSpec
from deploykit.store import Store
from deploykit.workflow.plan import DEFAULT_MODELS, Source, Variants


def stored_sources(store: Store) -> list[Source]:
    """The networks that the store has graphs of, in the order of their names.

    A user's own file counts as long as it is where it was.
    """
    found: list[Source] = []
    for entry in store.entries("onnx"):
        manifest = entry.manifest
        if "counts" not in manifest:  # another precision of a network that is listed itself
            continue
        if "origin" in manifest:
            if Path(manifest["origin"]).is_file():
                found.append(Path(manifest["origin"]))
            continue
        stored = dict(manifest["network"])
        found.append(ModelSpec(**stored | {"rho": Fraction(stored["rho"])}))
    return list(dict.fromkeys(found))


def sources_without_names(store: Store, variants: Variants) -> list[Source]:
    """What a profile of no MODEL in particular is about: the store's networks, else the default ones.

    Raises:
        UsageError: there are options that shape a network, but no network is named.
    """
    if variants != Variants():
        raise UsageError("--alpha, --rho, --weights and their like need a MODEL: name one")
    return stored_sources(store) or list(DEFAULT_MODELS)
