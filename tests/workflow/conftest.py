from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from planted import Planted
from tunings import SMALL as TWO_ENGINES
from tunings import tuning

from deploykit.bench.race import Entrant
from deploykit.spec import ModelSpec
from deploykit.store import Store
from deploykit.workflow import races
from deploykit.workflow.network import Network, obtain_network

TRAINED = ModelSpec("lenet5", weights="trained")
SMALL = ModelSpec("mobilenet", alpha=0.25, rho=Fraction(4, 7))


@pytest.fixture
def trained(shared_store: Store) -> Network:
    """LeNet-5 with the weights that come with the package: it knows its data set."""
    return obtain_network(TRAINED, shared_store)


@pytest.fixture
def untrained(shared_store: Store) -> Network:
    """A small MobileNet with random weights."""
    return obtain_network(SMALL, shared_store)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a race be among planted latencies, by the words in a candidate's name: a busy machine has others."""

    def of(**values: float) -> None:
        def planted(entrants: Sequence[Entrant], **rest: object) -> dict[str, Planted]:
            return {
                one.name: Planted(
                    next((v for word, v in values.items() if word in one.name.split()), 1.0), seed
                )
                for seed, one in enumerate(entrants)
            }

        monkeypatch.setattr(races, "lanes", planted)

    of()
    return of


@pytest.fixture
def plant_names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, list[Planted]]]:
    """Plant latencies by candidates' whole names; gives the lanes that are made, by name."""

    def of(value: Callable[[str], float]) -> dict[str, list[Planted]]:
        made: dict[str, list[Planted]] = {}

        def planted(entrants: Sequence[Entrant], **rest: object) -> dict[str, Planted]:
            lanes = {one.name: Planted(value(one.name), n) for n, one in enumerate(entrants)}
            for name, lane in lanes.items():
                made.setdefault(name, []).append(lane)
            return lanes

        monkeypatch.setattr(races, "lanes", planted)
        return made

    return of


@pytest.fixture
def prepared(shared_store: Store) -> None:
    """The engines of `tunings.SMALL` in the store, so that building takes nothing of a short budget."""
    tuning(shared_store, replace(TWO_ENGINES, budget_s=600.0))._built()
