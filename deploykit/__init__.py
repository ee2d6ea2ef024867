"""deploykit: export, quantise, build, measure and fact-check convolutional networks for deployment.

The functions below are the Python API; each imports what it needs when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploykit.errors import DeploykitError

if TYPE_CHECKING:
    from deploykit.workflow.api import (
        build,
        check_claims,
        count,
        create_model,
        export,
        list_models,
        model_info,
        profile,
        tune,
    )

__all__ = [
    "DeploykitError",
    "build",
    "check_claims",
    "count",
    "create_model",
    "export",
    "list_models",
    "model_info",
    "profile",
    "tune",
]


def __getattr__(name: str) -> object:
    """Find the API's functions where they are defined, when they are first used."""
    if name in __all__:
        from deploykit.workflow import api

        return getattr(api, name)
    if name == "__version__":
        from deploykit.env import package_version

        return package_version("deploykit")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
