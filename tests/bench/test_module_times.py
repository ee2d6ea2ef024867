"""Times of a PyTorch network's modules."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from deploykit.backends import get
from deploykit.bench.module_times import BETWEEN, Hooks, module_times
from deploykit.spec import BuildOptions
from deploykit.workflow.build import build_network
from deploykit.workflow.calibration import CalibrationChoice
from deploykit.workflow.network import obtain_network


class Slow(nn.Module):
    def forward(self, values):
        time.sleep(0.005)
        return values


class Twice(nn.Module):
    """One module that runs twice, in a module of its own, and one that never does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(Slow())
        self.quick = nn.Identity()
        self.unused = nn.Linear(2, 2)

    def forward(self, values):
        return self.quick(self.inner(self.inner(values)))


def test_time_is_added_up_over_all_runs_of_a_module_and_only_of_innermost_ones():
    network = Twice().eval()
    with Hooks(network) as hooks:
        network(torch.zeros(2))
        first = hooks.take()
        assert hooks.take() == {}  # each run is taken once
    assert set(first) == {"inner.0", "quick"}
    assert first["inner.0"] >= 10e6 > first["quick"]
    network(torch.zeros(2))
    assert hooks.take() == {}


@pytest.fixture
def engine(shared_store):
    from deploykit.spec import ModelSpec

    network = obtain_network(ModelSpec("lenet5", weights="trained"), shared_store)
    choice = CalibrationChoice()
    return build_network(network, "fp32", get("torch"), BuildOptions(), choice, shared_store)


def test_every_module_of_an_engine_has_its_time_and_the_rest_comes_last(engine):
    found = module_times(engine.engine.path.parent, threads=1, rounds=2, span_s=0.02)
    times = found.times
    assert times.names[:3] == ("features.0", "features.1", "features.2")
    assert times.names[-1] == BETWEEN
    assert found.types[:2] == ("Conv2d", "Tanh")
    assert len(times.nodes_ms) == len(times.names) == len(found.types)
    assert all(ms >= 0 for ms in times.nodes_ms)
    assert times.nodes_ms[0] > times.nodes_ms[-2] > 0  # the first convolution, the last product
    assert times.call_ms == 0
    assert times.whole_ms > 0
