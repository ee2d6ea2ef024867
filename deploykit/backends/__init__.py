"""The registry of backends; each is imported when it is asked for.

Third parties add one by the entry point group `deploykit.backends`: a callable that returns a `Backend`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable

from deploykit.backends.protocol import Backend, Session
from deploykit.errors import UnknownName, UsageError

ENTRY_POINT_GROUP = "deploykit.backends"

_BUILTIN = {
    "onnxruntime": "deploykit.backends.onnxruntime:OnnxRuntimeCpu",
    "openvino": "deploykit.backends.openvino:OpenVinoCpu",
    "torch": "deploykit.backends.pytorch:TorchEager",
    "torch-compile": "deploykit.backends.pytorch:TorchCompile",
    "tensorrt-rtx": "deploykit.backends.tensorrt:tensorrt_rtx",
    "tensorrt": "deploykit.backends.tensorrt:tensorrt",
}
#: The backend that builds and runs what each target's recipes make.
TARGETS = {"cpu": "onnxruntime", "tensorrt-rtx": "tensorrt-rtx", "tensorrt": "tensorrt"}


def _third_party() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def names() -> list[str]:
    """All backends that can be asked for, whether or not they work here."""
    return [*_BUILTIN, *sorted(set(_third_party()) - set(_BUILTIN))]


def get(name: str) -> Backend:
    """The backend called `name`.

    Raises:
        UnknownName: there is none.
        UsageError: a third party's entry point does not load.
    """
    place = _BUILTIN.get(name)
    if place is not None:
        module, _, attribute = place.partition(":")
        make: Callable[[], Backend] = getattr(importlib.import_module(module), attribute)
        return make()
    point = _third_party().get(name)
    if point is None:
        raise UnknownName("backend", name, names())
    try:
        backend: Backend = point.load()()
    except Exception as error:
        raise UsageError(
            f"the backend {name!r} of {point.value} does not load: {error}; reinstall or remove its package"
        ) from error
    return backend


def for_target(target: str) -> Backend:
    """The backend that builds for `target`.

    Raises:
        UnknownName: no backend does.
    """
    if target in TARGETS:
        return get(TARGETS[target])
    for name in _third_party():
        backend = get(name)
        if backend.target == target:
            return backend
    raise UnknownName("target", target, TARGETS)


__all__ = ["ENTRY_POINT_GROUP", "TARGETS", "Backend", "Session", "for_target", "get", "names"]
