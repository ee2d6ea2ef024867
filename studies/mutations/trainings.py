"""What could come of trainings, made up: as a claim states it, against it, and on both sides of a figure."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from torch import nn

from deploykit.claims import Claim
from deploykit.claims.check import find_check, typed
from deploykit.claims.checks.trained import Contest
from deploykit.claims.effort import training
from deploykit.claims.proxies import Proxy
from deploykit.claims.surfaces import Located
from studies.mutations.modules import module_of, replaced
from studies.mutations.networks import each_changed


class _MadeUp:
    """What came of no training: every measure of it is the same number.

    Its probabilities, of ten images of class 0, are such that the mean over several seeds is right more often than
    each of them where `agrees`, and less often than the best where not.
    """

    def __init__(self, value: float, seed: int, agrees: bool) -> None:
        self.value = value
        self.labels = torch.zeros(10, dtype=torch.long)
        self.probabilities = torch.tensor([[0.6, 0.4]] * 10)
        if agrees:
            self.probabilities[seed % 10] = torch.tensor([0.45, 0.55])
        elif seed % 2:
            self.probabilities[5:] = torch.tensor([0.0, 1.0])

    def __getattr__(self, name: str) -> float:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.value


def levels(claim: Claim) -> list[float]:
    """What measures of trainings are about: figures on both sides of chance, and of what is stated."""
    stated = [] if isinstance(claim.stated, str) else [claim.stated * 3, claim.stated * 0.3]
    return [0.5, 0.05, *stated]


def stated_places(claim: Claim) -> dict[Proxy, int]:
    """Places of the proxies that a claim has compete: what has more by what is stated has the higher one."""
    check = find_check(claim.check)
    contests: Mapping[str, Contest] = typed(claim.arguments, check.kinds, (), "argument").get(
        "contests", {}
    )
    above = [
        (one.first, one.second) if one.relation == "more" else (one.second, one.first)
        for one in contests.values()
    ]
    places = {side: 0 for pair in above for side in pair}
    for _ in above:  # as many times as a chain can be long
        for more, less in above:
            places[more] = max(places[more], places[less] + 1)
    return places


@contextlib.contextmanager
def made_up_trainings(claim: Claim, *, turned: bool, level: float = 0.5) -> Iterator[None]:
    """Have what is trained, looked at or rounded come out as stated, or `turned` round; seeds differ little.

    Where no proxies compete, the order is that in which the claim's check asks for them.
    """
    places = stated_places(claim)
    order: list[Any] = []

    def place_of(one: Any) -> int:
        if one in places:
            return -places[one] if turned else places[one]
        if one not in order:
            order.append(one)
        return order.index(one) if turned else -order.index(one)

    def value_of(one: Any, seed: int) -> float:
        return level * (1 + 0.2 * place_of(one) + 0.002 * (seed % 3))

    def trained(proxy: Any, seed: int) -> _MadeUp:
        return _MadeUp(value_of(proxy, seed), seed, not turned)

    def right(network: Any, dataset: str, way: Any, images: int) -> torch.Tensor:
        share = 0.7 + 0.2 * max(-1, min(1, place_of(way)))
        return torch.arange(images) < share * images

    def part_of(proxy: Proxy, name: str) -> tuple[torch.Tensor, ...]:
        side_px = proxy.canvas_px or proxy.side_px
        labels = torch.zeros(10, dtype=torch.long)
        return torch.zeros(10, 1, side_px, side_px), labels, torch.zeros(10, 2, dtype=torch.long)

    check = module_of(claim)
    modules = [check, *(one for one in vars(check).values() if isinstance(one, types.ModuleType))]
    made_up = {
        "trained": trained,
        "right": right,
        "part_of": part_of,
        "make": lambda proxy, weights: nn.Identity(),
        "roughness": lambda proxy, network, directions, seed: value_of(proxy, seed),
        "located": lambda *arguments: Located(level, 0.0),
    }
    with contextlib.ExitStack() as stack:
        for module in modules:
            for name in made_up.keys() & vars(module).keys():
                if callable(getattr(module, name)):
                    stack.enter_context(mock.patch.object(module, name, made_up[name]))
        stack.enter_context(training(True))
        yield


def makes_networks(claim: Claim) -> bool:
    """Whether the claim's check makes networks of the catalogue, to train them."""
    return "create" in vars(module_of(claim))


@contextlib.contextmanager
def made_linear(claim: Claim) -> Iterator[None]:
    """Have the networks that a claim's check makes to train come without what bends between their layers."""
    check = module_of(claim)
    make = vars(check)["create"]

    def linear(*arguments: Any, **keywords: Any) -> nn.Module:
        module = make(*arguments, **keywords)
        return each_changed(module, nn.Sigmoid | nn.ReLU, lambda one: nn.Identity())  # type: ignore[arg-type]

    with replaced(claim, check, {"create": linear}):
        yield
