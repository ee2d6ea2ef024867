"""deploykit: export, quantise, build, measure and fact-check convolutional networks for deployment.

The functions below are the Python API; each imports what it needs when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploykit.errors import DeploykitError

if TYPE_CHECKING:
    from deploykit.api import (
        BuildOptions,
        Loaded,
        ModelSpec,
        Store,
        best_mix,
        build,
        check,
        check_claims,
        compare,
        count,
        create_model,
        doctor,
        export,
        layers,
        layers_to_keep,
        list_models,
        load,
        model_info,
        profile,
        quantize,
        run,
        stored,
        train,
        tune,
        write_report,
    )

__all__ = [
    "BuildOptions",
    "DeploykitError",
    "Loaded",
    "ModelSpec",
    "Store",
    "best_mix",
    "build",
    "check",
    "check_claims",
    "compare",
    "count",
    "create_model",
    "doctor",
    "export",
    "layers",
    "layers_to_keep",
    "list_models",
    "load",
    "model_info",
    "profile",
    "quantize",
    "run",
    "stored",
    "train",
    "tune",
    "write_report",
]
#: Values that live in one small module: to name one imports nothing of the rest.
_VALUES = {"BuildOptions": "spec", "ModelSpec": "spec", "Store": "store"}
#: Packages that are called as functions of the API: a name can't be both.
_CALLABLE = ("claims", "report")


def __getattr__(name: str) -> object:
    """Find what the API offers where it is defined, when it is first used."""
    import importlib

    if name in _VALUES:
        return getattr(importlib.import_module(f"deploykit.{_VALUES[name]}"), name)
    if name in __all__:
        return getattr(importlib.import_module("deploykit.api"), name)
    if name in _CALLABLE:
        return importlib.import_module(f"deploykit.{name}")
    if name == "__version__":
        from deploykit.env import package_version

        return package_version("deploykit")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_CALLABLE, "__version__"]
