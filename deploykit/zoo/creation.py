"""From a spec to its network: its input's shape, and the module in eval mode with weights loaded or drawn."""

from __future__ import annotations

import importlib
import inspect
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from deploykit.errors import UsageError, one_line
from deploykit.lazy import torch
from deploykit.spec import ModelSpec

from . import weights
from .catalogue import Architecture, is_factory, lookup
from .factories import create_from_factory, input_shape_of_factory, require_values
from .wrappers import set_eval

if TYPE_CHECKING:
    from torch import nn


#: Begin of the names of this package's own modules, whose errors are its own faults.
_OURS = "deploykit."


def input_shape(spec: ModelSpec) -> tuple[int, int, int]:
    """Channels, height and width of the input that `spec` asks for: round(resolution * rho) squared.

    Raises:
        UsageError: alpha, rho, the resolution or num_classes can't be.
        UnknownName: there is no such architecture.
    """
    _check_multipliers(spec)
    if is_factory(spec.name):
        return input_shape_of_factory(spec)
    architecture = lookup(spec.name)
    _check_support(spec, architecture)
    base_px = _base_resolution_px(spec, architecture)
    resolution_px = round(base_px * spec.rho)
    if resolution_px != architecture.resolution_px and not architecture.has_rho:
        raise UsageError(
            f"{architecture.name} takes {architecture.resolution_px} px and no other size: "
            "leave out --resolution"
        )
    smallest_px = architecture.min_resolution_px
    if resolution_px < smallest_px:
        rho = Fraction(smallest_px, base_px)
        raise UsageError(
            f"an input of {resolution_px} px is too small for {architecture.name}: the smallest that "
            f"works is {smallest_px} px" + (f", rho {rho} of {base_px} px" if rho <= 1 else "")
        )
    return (architecture.channels, resolution_px, resolution_px)


def _base_resolution_px(spec: ModelSpec, architecture: Architecture) -> int:
    """The size that rho acts on: as asked for, else of the trained checkpoint, else canonical."""
    if spec.resolution_px is not None:
        return spec.resolution_px
    if spec.weights != "random":
        stored = weights.facts(spec)
        if "resolution_px" in stored:
            return int(stored["resolution_px"])
    return architecture.resolution_px


def create(spec: ModelSpec, *, device: str = "cpu") -> nn.Module:
    """Make the network of `spec` in eval mode, its weights loaded, or seeded when random.

    On `device="meta"` no weights are allocated, which is enough to count; those of a factory stay as it made
    them. Input is (N, C, H, W) float32 with the C, H, W of `input_shape(spec)`; output is the logits,
    (N, num_classes).

    Raises:
        UsageError: alpha, classes, weights or the factory can't be used so.
        InvalidModel: the checkpoint can't be read or belongs to another network.
        MissingDependency: torch, or the package that holds the weights, isn't installed.
    """
    _check_multipliers(spec)
    if is_factory(spec.name):
        made = create_from_factory(spec)
        set_eval(made)
        if device == "meta":  # one that looks at values is counted on them
            return made
        require_values(made, spec.name)
        return made.to(device)
    architecture = lookup(spec.name)
    _check_support(spec, architecture)
    module = _skeleton(spec, architecture)
    if device == "meta":
        return module
    if spec.weights == "random":
        # Shapes first, then values: the constructors' own initialisation would be thrown away.
        module.to_empty(device="cpu")
        initialise(module, seed=spec.seed, architecture=architecture)
    else:
        weights.load(module, spec, architecture)
    return module if torch.device(device).type == "cpu" else module.to(device)


def _skeleton(spec: ModelSpec, architecture: Architecture) -> nn.Module:
    """The network without storage, in eval mode."""
    keywords: dict[str, Any] = {"num_classes": spec.num_classes or architecture.num_classes}
    if architecture.has_alpha:
        keywords["alpha"] = spec.alpha
    if spec.weights != "random":
        stored = weights.facts(spec)
        if spec.num_classes is None and "num_classes" in stored:
            keywords["num_classes"] = int(stored["num_classes"])
    module_name, _, function = architecture.factory.partition(":")
    on_meta = torch.device(
        "meta"
    )  # before the family's module: where torch isn't installed, it is said here
    try:
        factory = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as error:
        if module_name.startswith(_OURS):
            raise
        raise UsageError(
            f"the network {architecture.name} does not load, its factory is {architecture.factory}: "
            f"{one_line(error, 160)}; reinstall or mend its package"
        ) from error
    if spec.weights == "torchvision" and "transform_input" in inspect.signature(factory).parameters:
        keywords["transform_input"] = True  # these weights expect pixels from -1 to 1
    try:
        with on_meta:
            module: nn.Module = factory(**keywords)
    except Exception as error:
        if module_name.startswith(_OURS):
            raise
        raise UsageError(
            f"the factory {architecture.factory} of {architecture.name} raised {type(error).__name__}: "
            f"{one_line(error, 160)}; it has to take {' and '.join(keywords)}"
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            f"the factory {architecture.factory} of {architecture.name} returned {type(module).__name__}: it has "
            "to return a torch.nn.Module"
        )
    return module.eval()


def _check_multipliers(spec: ModelSpec) -> None:
    """Refuse values that no network could take.

    Raises:
        UsageError: alpha or rho outside (0, 1], a resolution or num_classes below 1.
    """
    if not 0 < spec.alpha <= 1:
        raise UsageError(f"alpha {spec.alpha:g} is out of range: give a number above 0, at most 1")
    if not 0 < spec.rho <= 1:
        raise UsageError(f"rho {spec.rho} is out of range: give a number above 0, at most 1")
    if spec.num_classes is not None and spec.num_classes < 1:
        raise UsageError(f"num_classes {spec.num_classes} is out of range: give at least 1")
    if spec.resolution_px is not None and spec.resolution_px < 1:
        raise UsageError(f"resolution {spec.resolution_px} px is out of range: give at least 1")


def _check_support(spec: ModelSpec, architecture: Architecture) -> None:
    """Refuse a multiplier on an architecture that has none.

    Raises:
        UsageError: alpha or rho other than 1 where the architecture doesn't define it.
    """
    if spec.alpha != 1 and not architecture.has_alpha:
        raise UsageError(
            f"{architecture.name} has no width multiplier: leave out --alpha (mobilenet has one)"
        )
    if spec.rho != 1 and not architecture.has_rho:
        raise UsageError(
            f"{architecture.name} takes {architecture.resolution_px} px and no other size: "
            "leave out --rho"
        )


# ---- random weights whose activations keep the scale of a trained network's
#
# Networks are measured with random weights too, in FP16 as well, where activations that grow with depth would
# overflow and ones that vanish would hide errors. So: He-normal weights for the rectifiers that follow
# (He et al. 2015, eq. 10), zero biases, and BatchNorm's running statistics taken from one batch of noise that is
# sent through, as training would have left them.
#
# That alone leaves deep networks chaotic: a small change of the input grew 500 times in ResNet-152, 800 times in
# Inception-v4 and 4,000 times in EfficientNet-B7, so that no comparison of precisions meant anything. Trained
# networks are not so. Two constants keep the growth below 40 throughout the catalogue: residual branches end
# with a smaller scale, and BatchNorm shifts by half a standard deviation, so that rectifiers cut off less.

#: Images and their size for BatchNorm's statistics: small, yet with enough positions per channel
#: in the deepest layers that the variance is no accident (4 x 7 x 7 after a stride of 32).
_BATCH = 4
_RESOLUTION_PX = 224

#: Scale of the normalisation that ends a residual branch, which blocks name as their `branch_norm`.
_BRANCH_SCALE = 0.25
#: BatchNorm's shift, in the standard deviations of what it normalises.
_NORM_SHIFT = 0.5


def initialise(module: nn.Module, *, seed: int, architecture: Architecture) -> None:
    """Fill `module` in place, from `seed` alone; the caller's random state is untouched.

    Args:
        module: on the CPU, values not yet set; in eval mode, and left so.
        seed: equal seeds give equal weights.
        architecture: tells the input for BatchNorm's statistics.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            _fill(part, generator)
        for part in module.modules():
            norm = getattr(part, "branch_norm", None)
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.weight.fill_(_BRANCH_SCALE)
        norms = [m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        if norms:
            resolution_px = architecture.resolution_px
            if architecture.has_rho:
                wanted_px = max(_RESOLUTION_PX, architecture.min_resolution_px)
                resolution_px = min(wanted_px, resolution_px)
            shape = (_BATCH, architecture.channels, resolution_px, resolution_px)
            _estimate_statistics(module, norms, torch.randn(shape, generator=generator))


def _fill(part: nn.Module, generator: torch.Generator) -> None:
    """Draw the values of one module's own parameters and buffers."""
    # Its classes derive from PyTorch's, so that it is light to import only once PyTorch is there.
    from .blocks import Resettable

    if isinstance(part, torch.nn.Conv2d | torch.nn.Linear):
        fan_in = math.prod(part.weight.shape[1:])
        part.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
        if part.bias is not None:
            part.bias.zero_()
    elif isinstance(part, torch.nn.BatchNorm2d):
        part.reset_parameters()
        part.bias.fill_(_NORM_SHIFT)
    elif isinstance(part, Resettable):
        part.reset_values(generator)
    elif [*part.parameters(recurse=False), *part.buffers(recurse=False)]:
        raise UsageError(
            f"{type(part).__name__} has values of its own and no reset_values(generator) to start them with: add "
            "that method, or give weights"
        )


def _estimate_statistics(
    module: nn.Module, norms: list[nn.BatchNorm2d], images: torch.Tensor
) -> None:
    """Set the running statistics to those of `images`, each layer seeing its normalised predecessors."""
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        module(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.zero_()
