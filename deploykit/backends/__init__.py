"""The registry of backends; each is imported when it is asked for.

A package adds one by the entry point group `deploykit.backends`: a callable without arguments, such as a
class, that gives a `BackendBase`. A backend whose target is new brings the recipes for it (see
`BackendBase.recipes`); nothing else has to be registered.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator

from deploykit.backends.base import BackendBase, SessionBase
from deploykit.errors import UnknownName, UsageError, one_line
from deploykit.graph.precision import precisions
from deploykit.graph.recipes import PrecisionRecipe, add_source
from deploykit.lazy import entry_points, metadata

ENTRY_POINT_GROUP = "deploykit.backends"

#: What is built in, in the order of listings. The first one of a target is that target's own.
_BUILTIN = {
    "onnxruntime": "deploykit.backends.onnxruntime:OnnxRuntimeCpu",
    "openvino": "deploykit.backends.openvino:OpenVinoCpu",
    "torch": "deploykit.backends.pytorch:TorchEager",
    "torch-compile": "deploykit.backends.pytorch:TorchCompile",
    "tensorrt-rtx": "deploykit.backends.tensorrt:tensorrt_rtx",
    "tensorrt": "deploykit.backends.tensorrt:tensorrt",
    "onnxruntime-cuda": "deploykit.backends.onnxruntime_gpu:OnnxRuntimeCuda",
    "onnxruntime-tensorrt": "deploykit.backends.onnxruntime_gpu:OnnxRuntimeTensorRT",
    "onnxruntime-rtx": "deploykit.backends.onnxruntime_gpu:OnnxRuntimeRtx",
    "torch-cuda": "deploykit.backends.pytorch:TorchCuda",
    "torch-compile-cuda": "deploykit.backends.pytorch:TorchCompileCuda",
}
#: The backend whose fp32 the outputs and predictions of all others are compared with.
_REFERENCE = "onnxruntime"


def _third_party() -> dict[str, metadata.EntryPoint]:
    points = entry_points(ENTRY_POINT_GROUP)
    return {point.name: point for point in points if point.name not in _BUILTIN}


def names() -> list[str]:
    """All backends that can be asked for, whether or not they work here."""
    return [*_BUILTIN, *sorted(_third_party())]


def builtin() -> Iterator[BackendBase]:
    """The backends of this package, in the order of listings."""
    return map(get, _BUILTIN)


def loadable() -> list[BackendBase]:
    """All backends but those of other packages that do not load, which is said where one is asked for by name."""
    return [backend for backend, _ in _working()]


def get(name: str) -> BackendBase:
    """The backend called `name`.

    Raises:
        UnknownName: there is none.
        UsageError: another package's entry point does not load, or gives no backend.
    """
    place = _BUILTIN.get(name)
    if place is not None:
        module, _, attribute = place.partition(":")
        make: Callable[[], BackendBase] = getattr(importlib.import_module(module), attribute)
        return make()
    point = _third_party().get(name)
    if point is None:
        raise UnknownName("backend", name, names())
    return _loaded(point)


def _loaded(point: metadata.EntryPoint) -> BackendBase:
    try:
        backend = point.load()()
        if not isinstance(backend, BackendBase):
            raise TypeError(f"it gives a {type(backend).__name__}, not a BackendBase")
        for attribute in ("name", "target", "filename"):
            if not isinstance(getattr(backend, attribute, None), str):
                raise TypeError(f"{type(backend).__name__} has no {attribute}, which is a text")
        if backend.name != point.name:
            raise TypeError(f"it calls itself {backend.name!r}: give both one name")
    except Exception as error:
        raise UsageError(
            f"the backend {point.name!r} of {point.value} does not load: {one_line(error)}; "
            "reinstall or remove its package"
        ) from error
    return backend


def reference() -> BackendBase:
    """The backend whose fp32 the outputs and predictions of all others are compared with."""
    return get(_REFERENCE)


def for_target(target: str) -> BackendBase:
    """The backend that builds for `target`: the first one that has it.

    Raises:
        UnknownName: no backend does.
    """
    known = []
    for backend, _ in _working():
        if backend.target == target:
            return backend
        known.append(backend.target)
    raise UnknownName("target", target, dict.fromkeys(known))


def _working() -> Iterator[tuple[BackendBase, str]]:
    """All backends with the package that each comes from ("" for this one), as name and version.

    A backend of another package that does not load is left out: that is said where it is asked for by name,
    and must not break what others do.
    """
    for backend in builtin():
        yield backend, ""
    for point in _third_party().values():
        try:
            backend = _loaded(point)
        except UsageError:
            continue
        yield backend, f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _brought_recipes() -> Iterator[PrecisionRecipe]:
    """The recipes that backends bring themselves, each for its backend's target."""
    for backend, origin in _working():
        for recipe in backend.recipes():
            yield dataclasses.replace(recipe, targets=(backend.target,), origin=origin)


add_source(_brought_recipes)

__all__ = [
    "ENTRY_POINT_GROUP",
    "BackendBase",
    "SessionBase",
    "builtin",
    "for_target",
    "get",
    "loadable",
    "names",
    "precisions",
    "reference",
]
