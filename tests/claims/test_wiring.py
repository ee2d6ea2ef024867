from __future__ import annotations

import torch
from torch import Tensor, nn

from deploykit.claims import wiring
from deploykit.claims.networks import Network


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(3, 4, 1)
        self.drop = nn.Dropout()
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([torch.relu_(self.first(x)), self.second(x)], 1)
        x = x + x.mean((2, 3), keepdim=True)
        return self.head(self.drop(x.mean((2, 3))))


def traced() -> tuple[wiring.Operation, ...]:
    with torch.device("meta"):
        module = Joined().eval()
    return wiring.trace_operations(module, (3, 8, 8))


def test_operations_know_what_they_read():
    operations = traced()
    names = [each.name for each in operations]
    assert names[:4] == ["conv", "relu", "conv", "concat"]
    join = wiring.joins(operations)[0]
    assert [operations[index].name for index in join.reads] == ["relu", "conv"]
    assert join.shapes == ((4, 8, 8), (4, 8, 8))
    assert join.shape == (8, 8, 8)
    added = next(each for each in operations if each.name == "add")
    assert added.shapes == ((8, 8, 8), (8, 1, 1))
    assert operations[0].module == "first"
    assert operations[0].reads == (-1,)
    assert operations[2].kernel == (1, 1)


def test_readers_look_through_what_changes_no_value():
    operations = traced()
    readers = wiring.readers(operations)
    average = [each for each in operations if each.name == "average"][-1]
    assert [each.name for each in readers[average.index]] == ["linear"]


def test_depth_is_the_longest_way_and_leaves_excitation_out():
    assert wiring.depth(traced()) == 2
    assert wiring.depth(Network.named("googlenet").wiring) == 22
    assert wiring.depth(Network.named("se_resnet50").wiring) == 50


def test_branches_are_what_concatenations_join():
    assert wiring.branches(Network.named("googlenet").wiring) == [4] * 9
