"""What a claim has measured for it: networks, and in which precisions, on which backends, at which batches."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec

from deploykit.claims.networks import Network
from deploykit.errors import UsageError
from deploykit.spec import MOST_OPTIMIZATION, ModelSpec


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
            UsageError: a list is empty; there is no such backend, precision or pass; no backend has the precision,
                or follows a level of optimisation; one does not have the pass; or a number is out of range.
        """
        from deploykit.backends import get
        from deploykit.backends.base import check_offered

        for name in ("networks", "precisions", "backends", "batches", "passes"):
            if not getattr(self, name):
                left_out = "" if name == "networks" else ", or leave it out"
                raise UsageError(f"'{name}' is an empty list: name one{left_out}")
        wanted = [get(name) for name in self.backends]
        check_offered(wanted, self.precisions)
        for backend in wanted:
            for name in self.passes:
                backend.check_pass(name)
        for name, numbers in (("batches", self.batches), ("threads", self.threads)):
            if min(numbers, default=1) < 1:
                raise UsageError(f"'{name}' has {min(numbers)}: give at least 1")
        for level in self.optimization_levels:
            if not 0 <= level <= MOST_OPTIMIZATION:
                raise UsageError(
                    f"'optimization_levels' has {level}: give 0 to {MOST_OPTIMIZATION}"
                )
        follow = [one for one in wanted if "optimization_level" in one.build_options]
        if self.optimization_levels and not follow:
            raise UsageError(
                f"'optimization_levels' are followed by none of {', '.join(self.backends)}: leave them out"
            )


def together(measures: Iterable[Measure]) -> list[Measure]:
    """The same rows with none of them twice, also where one claim takes them among others than another does.

    One entry has all networks of one product of the rest. Largest products come first, so that rows which one claim
    sets against each other are measured by one entry; what others have left of theirs is an entry row by row.
    """
    networks: dict[Measure, list[Network]] = {}
    known: set[tuple[ModelSpec, Measure]] = set()
    for one in sorted(measures, key=lambda each: len(_singles(each)), reverse=True):
        singles = _singles(one)
        for network in one.networks:
            missing = [each for each in singles if (network.spec, each) not in known]
            known |= {(network.spec, each) for each in missing}
            whole = len(missing) == len(singles)
            for entry in [msgspec.structs.replace(one, networks=())] if whole else missing:
                networks.setdefault(entry, []).append(network)
    return [
        msgspec.structs.replace(rest, networks=tuple(found)) for rest, found in networks.items()
    ]


def _singles(measure: Measure) -> list[Measure]:
    """A measure of each row of a network, without the network."""
    return [
        Measure((), (precision,), (backend,), (batch,), (run_pass,), threads, levels)
        for precision, backend, batch, run_pass, threads, levels in itertools.product(
            measure.precisions,
            measure.backends,
            measure.batches,
            measure.passes,
            _one_each(measure.threads),
            _one_each(measure.optimization_levels),
        )
    ]


def _one_each(values: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Each value by itself, or none where there is none, which stands for the default."""
    alone: list[tuple[int, ...]] = [(value,) for value in values]
    return alone or [()]
