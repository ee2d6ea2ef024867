"""What a claim has measured for it: networks, and in which precisions, on which backends, at which batches."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from deploykit.claims.networks import Network
from deploykit.errors import UsageError


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rows that a claim takes: the product of all of these.

    Attributes:
        networks: by name, or name and multipliers, of the catalogue; "module:factory" for another.
        precisions, backends, batches, passes, threads: as `deploykit profile` takes them; no threads are all cores.
        optimization_levels: of builders, as `deploykit profile --optimization-level` has one; none is the default.
    """

    networks: tuple[Network, ...]
    precisions: tuple[str, ...] = ("fp32",)
    backends: tuple[str, ...] = ("onnxruntime",)
    batches: tuple[int, ...] = (1,)
    passes: tuple[str, ...] = ("forward",)
    threads: tuple[int, ...] = ()
    optimization_levels: tuple[int, ...] = ()

    def check(self) -> None:
        """Refuse what can't be measured, which would have no rows and leave the claim undecided for ever.

        Raises:
            UsageError: a list is empty, there is no such backend, precision or pass, or a backend does not have it;
                or a batch is of no image.
        """
        from deploykit.backends import get
        from deploykit.backends.base import check_offered

        for name in ("networks", "precisions", "backends", "batches", "passes"):
            if not getattr(self, name):
                raise UsageError(f"'{name}' is an empty list: name one, or leave it out")
        wanted = [get(name) for name in self.backends]
        check_offered(wanted, self.precisions)
        for backend in wanted:
            for name in self.passes:
                backend.check_pass(name)
        if min(self.batches) < 1:
            raise UsageError(f"'batches' has {min(self.batches)}: give at least 1")


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
