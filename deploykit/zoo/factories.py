"""Networks of the user's own, named `module:function`."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit.errors import UsageError, one_line
from deploykit.lazy import torch
from deploykit.reading import open_file
from deploykit.spec import ModelSpec
from deploykit.text import aside

from . import weights
from .catalogue import refuse_files
from .wrappers import unwrapped

if TYPE_CHECKING:
    from torch import nn


def create_from_factory(spec: ModelSpec) -> nn.Module:
    """Call the factory that `spec` names and return what it makes, with the values that it gave.

    A name may also stand for a network that the user's code made already.

    The factory gets `num_classes` and `alpha` if it has such parameters and `spec`, or a checkpoint that deploykit
    trained for it, sets them. It runs under `spec.seed`; the caller's random state is untouched. A file as weights
    is loaded.

    Raises:
        UsageError: it can't be imported or called, raises, or returns no `torch.nn.Module`, or one that is wholly
            in another floating-point type than float32.
        InvalidModel: the weights don't fit.
    """
    factory = _factory(spec.name)
    keywords = _keywords(factory, spec)
    with torch.random.fork_rng(devices=[]), _settings_kept():
        torch.manual_seed(spec.seed)
        try:
            with aside(), _folder_kept():
                module = _copy_of(factory) or factory(**keywords)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the user's code may raise anything, and leave Python
            raise UsageError(
                f"{spec.name} raised {_line(error)}: try it in Python first"
            ) from error
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"{spec.name} returned {_kind(module)}: it must return a torch.nn.Module")
    module = unwrapped(module)
    if spec.weights != "random":
        if spec.weights in weights.KEYWORDS or weights.is_trained(spec.weights):
            raise UsageError(
                f"there are no {spec.weights} weights for {spec.name}: give a file, or leave it out"
            )
        path = weights.existing(spec.weights)
        weights.fill(module, weights.read_state(path), str(path))
    require_float32(module, spec.name)
    return module


@contextlib.contextmanager
def _folder_kept() -> Iterator[None]:
    """Come back from wherever the user's own code goes: paths that were given are relative to here."""
    here = Path.cwd()
    try:
        yield
    finally:
        os.chdir(here)


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Put back what the user's own code sets for all of PyTorch, which what follows would run under."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    is_grad_enabled = torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(is_grad_enabled)
        if torch.get_default_device() != device:  # else setting it would slow down every call
            torch.set_default_device(None if device.type == "cpu" else device)


def code_sha256(spec: ModelSpec) -> str:
    """SHA-256 of what can be seen of the code of a network of the user's own, which is made for it.

    They are the files of its factory and of the classes of its parts, and the names, types and shapes of weights;
    what those files import beside is not seen.

    Raises:
        UsageError: as `create_from_factory`.
    """
    module = create_from_factory(replace(spec, weights="random"))
    digest = hashlib.sha256()
    names = {spec.name.partition(":")[0], *(type(part).__module__ for part in module.modules())}
    for name in sorted(names):
        place = getattr(sys.modules.get(name), "__file__", None)
        if place is not None:
            with contextlib.suppress(OSError), open_file(place) as file:  # it may lie in an archive
                digest.update(name.encode() + b"\0" + file.read())
    for key, value in module.state_dict().items():
        lazy = torch.nn.parameter.is_lazy(value)
        shape = "open" if lazy else "x".join(map(str, value.shape))
        digest.update(f"{key} {value.dtype} {shape}\n".encode())
    return digest.hexdigest()


def require_float32(module: nn.Module, name: str) -> None:
    """Refuse a module that is wholly in another floating-point type; one that mixes types does so on purpose.

    A precision is written into the graph later: weights that were rounded before would pass for exact ones.

    Raises:
        UsageError: names the type, and what to do.
    """
    types = {p.dtype for p in module.parameters() if p.is_floating_point()}
    if len(types) == 1 and torch.float32 not in types:
        kind = str(types.pop()).removeprefix("torch.")
        raise UsageError(
            f"{name} is a module in {kind}: return it in float32, as .float() makes it, and give other types by "
            "--precision"
        )


def require_values(module: nn.Module, name: str) -> None:
    """Refuse a module that has shapes for weights alone, which can be counted and nothing else.

    Raises:
        UsageError: names the first such weight, and what to do.
    """
    held = (*module.named_parameters(), *module.named_buffers())
    missing = next((key for key, value in held if value.is_meta), None)
    if missing is not None:
        raise UsageError(
            f"{name} is a module whose {missing} has no values, as it is on PyTorch's meta device: make it on the "
            "CPU, or load its weights"
        )


def input_shape_of_factory(spec: ModelSpec) -> tuple[int, int, int]:
    """Channels, height and width: of `resolution_px` if given, else an attribute `input_shape`.

    The attribute may belong to the factory or to the module that it makes, as (C, H, W) or (N, C, H, W).

    Raises:
        UsageError: nothing tells.
    """
    if spec.resolution_px is not None:
        return _scaled((3, spec.resolution_px, spec.resolution_px), spec)
    try:
        declared = getattr(_factory(spec.name), "input_shape", None)
        if declared is None:
            declared = getattr(create_from_factory(spec), "input_shape", None)
    except UsageError:
        raise
    except Exception as error:  # what computes the attribute is the user's code, too
        raise UsageError(
            f"input_shape of {spec.name} raised {_line(error)}: mend it, or give --resolution"
        ) from error
    if declared is None:
        raise UsageError(
            f"the input of {spec.name} is not known: give --resolution (3 channels), or set an attribute "
            "input_shape = (channels, height, width) on the module"
        )
    try:
        shape = tuple(int(n) for n in declared)[-3:]
    except (TypeError, ValueError, OverflowError):
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise UsageError(
            f"input_shape of {spec.name} is {declared!r}: make it (channels, height, width)"
        )
    return _scaled((shape[0], shape[1], shape[2]), spec)


def _factory(name: str) -> Callable[..., Any]:
    """The factory of that name; its module may make settings when it is imported."""
    with _settings_kept():
        return load_factory(name)


def load_factory(
    name: str, what: str = "a function that returns the network"
) -> Callable[..., Any]:
    """Import the callable that `name`, "module:function", stands for; the current folder counts too.

    Args:
        name: the name of the callable in its module.
        what: it should be, for messages.

    Raises:
        UsageError: no such module or attribute, or it can't be called; or a file is named.
    """
    refuse_files(name)
    module_name, _, path = name.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    importlib.invalidate_caches()  # a file that was written just now is seen
    try:
        with aside(), _folder_kept():
            target: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise UsageError(
                f"no module {module_name!r} to import {name} from: run in its folder, or install it"
            ) from error
        raise UsageError(f"importing {module_name!r} raised {_line(error)}: install it") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the user's code may raise anything, and leave Python
        raise UsageError(f"importing {module_name!r} raised {_line(error)}: mend it") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    # One of the same name that is imported already, or comes first on the path, is seen by its place.
    place = f" ({target.__file__})" if getattr(target, "__file__", None) else ""
    for part in path.split("."):
        try:
            target = getattr(target, part)
        except AttributeError as error:
            raise UsageError(
                f"module {module_name!r}{place} has no {path!r}: name {what}"
            ) from error
    if not callable(target):
        raise UsageError(f"{name} is {_kind(target)}: name {what}")
    return target


def _copy_of(factory: Callable[..., Any]) -> nn.Module | None:
    """A copy of a network that was made already, which may be asked for once more; None for a function."""
    if not isinstance(factory, torch.nn.Module):
        return None
    from .copies import values_of  # which imports PyTorch

    return values_of(factory)


def takes_classes(name: str) -> bool:
    """Whether the factory of that name can be told how many classes its network is to have.

    Raises:
        UsageError: it can't be imported.
    """
    return _accepts(_factory(name), "num_classes")


def _accepts(factory: Callable[..., Any], keyword: str) -> bool:
    """Whether a factory has a parameter; a network that was made already has none."""
    try:
        made = isinstance(factory, torch.nn.Module)
        parameters = {} if made else inspect.signature(factory).parameters
    except (TypeError, ValueError):
        parameters = {}  # a callable that can't be inspected
    return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _keywords(factory: Callable[..., Any], spec: ModelSpec) -> dict[str, Any]:
    """The settings of `spec` and of its checkpoint, all of which the factory has parameters for."""
    wanted: dict[str, Any] = {}
    classes = spec.num_classes
    if classes is None and _accepts(factory, "num_classes"):
        classes = _trained_classes(spec)
    if classes is not None:
        wanted["num_classes"] = classes
    if spec.alpha != 1:
        wanted["alpha"] = spec.alpha
    for keyword in wanted:
        if not _accepts(factory, keyword):
            raise UsageError(f"{spec.name} has no parameter {keyword!r}: add it, or leave it out")
    return wanted


def _trained_classes(spec: ModelSpec) -> int | None:
    """How many classes the weights of `spec` tell apart, where a training of deploykit's says so in them."""
    path = Path(spec.weights)
    if spec.weights in weights.KEYWORDS or path.suffix != ".safetensors" or not path.is_file():
        return None
    stored = weights.metadata(path)
    text = stored.get("num_classes", "")
    return int(text) if "deploykit" in stored and text.isdecimal() else None


def _scaled(shape: tuple[int, int, int], spec: ModelSpec) -> tuple[int, int, int]:
    channels, height, width = shape
    scaled = (channels, round(height * spec.rho), round(width * spec.rho))
    if min(scaled) < 1:
        raise UsageError(f"rho {spec.rho} leaves nothing of {height}x{width} px: give a larger one")
    return scaled


def _line(error: BaseException) -> str:
    text = str(error).strip()
    first = one_line(text.splitlines()[0], 160) if text else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _kind(value: object) -> str:
    if value is None:
        return "None"
    return f"an object of class {type(value).__name__}"
