"""Starting from another data set's weights: what is taken over, and what is kept as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from deploykit.errors import InvalidModel, UsageError
from deploykit.lazy import torch


def take_over(
    module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: str
) -> tuple[str, ...]:
    """Copy into `module` every tensor that it has under the same name in the same shape.

    Returns the names of parameters that keep their initial values, such as a head with another number
    of classes.

    Raises:
        InvalidModel: most parameters have no counterpart: the checkpoint is of another network.
    """
    own = module.state_dict()
    fitting = {
        name: tensor
        for name, tensor in tensors.items()
        if name in own and own[name].shape == tensor.shape
    }
    names = [name for name, _ in module.named_parameters()]
    left = tuple(name for name in names if name not in fitting)
    if 2 * len(left) > len(names):
        raise InvalidModel(
            f"{path} fits {len(names) - len(left)} of the network's {len(names)} parameters: "
            f"give a checkpoint of the same architecture and alpha"
        )
    module.load_state_dict(fitting, strict=False)
    return left


def freeze(module: torch.nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """Keep parameters whose name fits a pattern (such as `features.*`) out of training.

    Returns their names.

    Raises:
        UsageError: a pattern fits none, or nothing would be left to train.
    """
    parameters = dict(module.named_parameters())
    frozen: set[str] = set()
    for pattern in patterns:
        fitting = {name for name in parameters if fnmatchcase(name, pattern)}
        if not fitting:
            example = next(iter(parameters))
            raise UsageError(
                f"no parameter fits the pattern {pattern!r}: names are like {example}, "
                f"so {example.split('.')[0]}.* would fit"
            )
        frozen |= fitting
    if len(frozen) == len(parameters):
        raise UsageError(f"freezing {' '.join(patterns)} leaves nothing to train: freeze less")
    for name in frozen:
        parameters[name].requires_grad_(False)
    return tuple(name for name in parameters if name in frozen)


def train_mode(module: torch.nn.Module) -> None:
    """Switch to training, but keep the running statistics of normalisation whose values are frozen."""
    module.train()
    for part in module.modules():
        own = list(part.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            part.eval()
