from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from deploykit.claims.networks import Network
from deploykit.claims.tracing import trace


def test_traced_layers_add_up_to_the_counts():
    for name in ("alexnet", "mobilenet", "squeezenet1_0"):
        network = Network.named(name)
        assert sum(layer.macs for layer in network.layers) == network.macs
        assert sum(layer.parameters for layer in network.layers) == network.parameters


def test_layers_come_in_the_order_they_are_called():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.second = nn.Conv2d(4, 2, 3, device="meta")
            self.first = nn.Conv2d(3, 4, (1, 3), stride=(2, 1), device="meta")

        def forward(self, x):
            return self.second(self.first(x))

    layers = trace(Backwards(), (3, 9, 9))
    assert [layer.name for layer in layers] == ["first", "second"]
    assert layers[0].kernel == (1, 3)
    assert layers[0].stride == (2, 1)
    assert layers[0].output == (4, 5, 7)
    assert layers[0].macs == 4 * 5 * 7 * 3 * 3
    assert layers[0].parameters == 4 * 3 * 3 + 4


def test_tracing_leaves_no_hooks_behind():
    module = nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"))
    trace(module, (3, 8, 8))
    assert not module[0]._forward_hooks
    with pytest.raises(RuntimeError):
        trace(module, (5, 8, 8))
    assert not module[0]._forward_hooks
    assert module(torch.empty(1, 3, 8, 8, device="meta")).shape == (1, 4, 6, 6)


def test_a_network_is_named_with_or_without_multipliers():
    assert Network.named("mobilenet").name == "mobilenet"
    small = Network.named({"name": "mobilenet", "alpha": 0.5, "rho": "6/7"})
    assert small.name == "mobilenet-a0.5-r6_7"
    assert small.input_shape == (3, 192, 192)
    assert small.macs < Network.named("mobilenet").macs / 3
    assert small.scaled(rho=Fraction(4, 7)).name == "mobilenet-r4_7"


@pytest.mark.parametrize(
    "value",
    [3, {"alpha": 0.5}, {"name": "mobilenet", "beta": 1}, {"name": "mobilenet", "rho": "1/0"}],
)
def test_what_names_no_network_is_refused(value):
    with pytest.raises(ValueError, match="expected"):
        Network.named(value)


def test_a_factory_has_no_multipliers():
    assert Network.named({"name": "m:f"}).name == "m:f"
    with pytest.raises(ValueError, match="neither alpha nor rho"):
        Network.named({"name": "m:f", "alpha": 0.5})


def test_operators_that_a_network_lacks_are_none():
    assert Network.named("vgg11").nodes("Concat") == 0
    assert Network.named("googlenet").nodes("Concat") == 9
