"""What a claim has measured for it: networks, and in which precisions, on which backends, at which batches."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from deploykit.claims.networks import Network


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows that a claim takes: the product of all of these.

    Attributes:
        networks: by name, or name and multipliers, of the catalogue; "module:factory" for another.
        precisions, backends, batches, passes: as `deploykit profile` takes them.
        threads: of runtimes, as `deploykit profile --threads` takes them; none is one per usable core.
        optimization_levels: of builders, as `deploykit profile --optimization-level` has one; none is the default.
    """

    networks: tuple[Network, ...]
    precisions: tuple[str, ...] = ("fp32",)
    backends: tuple[str, ...] = ("onnxruntime",)
    batches: tuple[int, ...] = (1,)
    passes: tuple[str, ...] = ("forward",)
    threads: tuple[int, ...] = ()
    optimization_levels: tuple[int, ...] = ()


def together(measures: Iterable[Measure]) -> list[Measure]:
    """The same rows with none of them twice: one entry for all networks of one product of the rest."""
    networks: dict[Measure, list[Network]] = {}
    for one in measures:
        found = networks.setdefault(msgspec.structs.replace(one, networks=()), [])
        known = {network.spec for network in found}
        found += [network for network in one.networks if network.spec not in known]
    return [
        msgspec.structs.replace(rest, networks=tuple(found)) for rest, found in networks.items()
    ]
