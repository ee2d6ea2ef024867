"""The network inside what people wrap around it to compile, spread or export it, and what has to be wrapped."""

from __future__ import annotations

import contextlib
import inspect

from deploykit.lazy import torch

#: Attributes under which a wrapper has its network, by the names of the wrappers' classes.
_INSIDE = {
    "OptimizedModule": "_orig_mod",  # torch.compile
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",  # torch.optim.swa_utils, for moving averages too
}


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The network itself: wrappers compute the same, and have other names of layers and no `input_shape`."""
    while type(module).__module__.startswith("torch."):
        inside = getattr(module, _INSIDE.get(type(module).__name__, ""), None)
        if not isinstance(inside, torch.nn.Module):
            break
        module = inside
    return module


def set_eval(module: torch.nn.Module) -> None:
    """Switch a module to evaluation; one of `torch.export` is in one mode for good, and stays as it is."""
    with contextlib.suppress(NotImplementedError):
        module.eval()


def raised_text(error: BaseException) -> str:
    """The first line of what a module's code raised, with its name where it is no `Exception`, as of sys.exit."""
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, Exception) and first:
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def several_inputs(module: torch.nn.Module) -> str:
    """What to do about a module whose forward takes more than the one tensor it is given; blank for others."""
    wanted: list[str] = []
    with contextlib.suppress(TypeError, ValueError):  # a forward that can't be inspected
        wanted = [
            name
            for name, parameter in inspect.signature(module.forward).parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
    if len(wanted) < 2:
        return ""
    return (
        f"its forward takes {', '.join(wanted)}: wrap it in a module whose forward takes one tensor and makes the "
        "others"
    )
