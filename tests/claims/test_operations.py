from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from deploykit.claims import wiring
from deploykit.claims.networks import Network, changed
from deploykit.claims.operations import (
    IMAGE,
    Shortcut,
    between_convolutions,
    joined,
    peak_bytes,
    shortcuts,
    watch,
)


def watched(module, shape):
    return watch(wiring.trace_operations(module, shape))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1, device="meta")
        self.conv = nn.Conv2d(4, 4, 3, padding=1, device="meta")

    def forward(self, x):
        x = self.stem(x)
        return torch.cat(
            [functional.relu(self.conv(x) + x), x.mean((2, 3), keepdim=True).expand_as(x)], 1
        )


def test_operators_are_noted_with_what_they_read():
    operations = watched(Residual(), (3, 8, 8))
    assert [(one.kind, one.module, one.sources) for one in operations] == [
        ("conv", "stem", (IMAGE,)),
        ("conv", "conv", (0,)),
        ("add", "", (1, 0)),
        ("relu", "", (2,)),
        ("average", "", (0,)),
        ("concat", "", (3, 4)),
    ]
    assert [one.is_global_average for one in operations] == [False] * 4 + [True, False]
    assert shortcuts(operations) == [Shortcut((), True)]
    assert joined(operations, 5) == {3, 4}
    assert between_convolutions(operations, 1) == (["add", "relu", "concat"], None)


def test_what_is_needed_at_once_is_less_than_all():
    chain = nn.Sequential(*(nn.Conv2d(2, 2, 1, device="meta") for _ in range(5)), nn.ReLU())
    operations = watched(chain, (2, 4, 4))
    one = 2 * 4 * 4 * 4
    assert sum(operation.bytes for operation in operations) == 6 * one
    assert peak_bytes(operations) == 2 * one  # an input and an output; the ReLU writes in place


def test_what_is_read_later_stays():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(2, 2, 1, device="meta") for _ in range(3))

        def forward(self, x):
            first = self.convs[0](x)
            return self.convs[2](self.convs[1](first)) + first

    assert peak_bytes(watched(Skip(), (2, 4, 4))) == 3 * 2 * 4 * 4 * 4


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet"])
def test_results_add_up_to_the_counted_activations(name):
    network = Network.named(name)
    assert sum(one.bytes for one in network.operations) == network.counts.activation_bytes


def test_a_change_lasts_as_long_as_its_context_and_reaches_all_that_is_asked():
    def widen(module):
        return nn.Sequential(module, nn.Linear(10, 20, device="meta"))

    network = Network.named("lenet5")
    before = (network.parameters, len(network.layers), len(network.operations))
    with changed("lenet5", widen):
        after = (
            network.parameters,
            len(network.layers),
            len(network.operations),
            len(network.units),
        )
        assert Network.named("mlp").parameters == 203_530
    assert after == (before[0] + 220, before[1] + 1, before[2] + 1, 2)
    assert network.parameters == before[0]
