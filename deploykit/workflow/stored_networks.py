"""The networks that the store holds: what a command without a MODEL is about."""

from __future__ import annotations

from pathlib import Path

from deploykit.errors import UsageError
from deploykit.store import NetworkManifest, Store
from deploykit.workflow.plan import DEFAULT_MODELS, Source, Variants


def stored_sources(store: Store) -> list[Source]:
    """The networks that the store has graphs of, in the order of their names.

    A user's own file counts as long as it is where it was.
    """
    found: list[Source] = []
    for entry in store.entries(NetworkManifest):
        origin = entry.manifest.origin
        if origin is None:
            found.append(entry.manifest.network)
        elif Path(origin).is_file():
            found.append(Path(origin))
    return list(dict.fromkeys(found))


def sources_without_names(store: Store, variants: Variants) -> list[Source]:
    """What a profile of no MODEL in particular is about: the store's networks, else the default ones.

    Raises:
        UsageError: there are options that shape a network, but no network is named.
    """
    if variants != Variants():
        raise UsageError("--alpha, --rho, --weights and their like need a MODEL: name one")
    return stored_sources(store) or list(DEFAULT_MODELS)
