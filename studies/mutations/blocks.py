"""Residual blocks that are wired wrongly, for claims that compute something with a block by itself."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator

import torch.nn.functional as F  # noqa: N812, the customary name
from torch import Tensor

from deploykit.claims import Claim
from deploykit.zoo import resnet
from studies.mutations.modules import module_of, replaced


class _WithoutShortcut(resnet.BasicBlock):
    """The branch alone."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class _WithoutLastReLU(resnet.BasicBlock):
    """Nothing is cut off after the addition."""

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + x
        return added


#: By what is wrong with them.
WRONG_BLOCKS: dict[str, type[resnet.BasicBlock]] = {
    "block without shortcut": _WithoutShortcut,
    "block without its last ReLU": _WithoutLastReLU,
}


def makes_blocks(claim: Claim) -> bool:
    """Whether the claim's check makes a block of its own."""
    return resnet.BasicBlock.__name__ in inspect.getsource(module_of(claim))


@contextlib.contextmanager
def wrong_block(claim: Claim, block: type[resnet.BasicBlock]) -> Iterator[None]:
    """Have this one in place of each basic block."""
    with replaced(claim, resnet, {resnet.BasicBlock.__name__: block}):
        yield
