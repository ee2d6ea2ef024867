"""Heavy packages by name, imported when something of them is first used.

`from deploykit.lazy import np, torch` costs nothing until `np.zeros` or `torch.nn` is reached, so that commands
which need neither start at once. To a type checker each name is the package itself. A package that is not
installed is one line with the command that installs it.

Modules whose classes derive from a heavy package's (the networks of the zoo) import it directly: they are
themselves imported where they are used.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from deploykit.errors import MissingDependency

#: Extra that brings each package which is not among deploykit's own dependencies, and the package's own name.
EXTRAS = {
    "torch": ("export", "PyTorch"),
    "onnx_ir": ("export", "onnx-ir"),
    "onnxscript": ("export", "ONNX Script"),
    "onnxruntime": ("cpu", "ONNX Runtime"),
    "openvino": ("openvino", "OpenVINO"),
    "matplotlib": ("report", "matplotlib"),
    "PIL": ("data", "Pillow"),
    "tensorrt": ("tensorrt", "TensorRT"),
    "tensorrt_rtx": ("rtx", "TensorRT for RTX"),
    "cuda": ("cuda", "cuda-bindings"),
    "pynvml": ("cuda", "nvidia-ml-py"),
    "pycuda": ("pycuda", "PyCUDA"),
}


#: The folder above the package: a clone, or where wheels are installed.
_CLONE = Path(__file__).resolve().parents[1]


def install_line(extra: str) -> str:
    """The command that installs an extra of this package, as messages print it.

    It names the clone that this package runs from, since another project has its name on the public index. Where it
    runs from a wheel, there is no clone to name, and the command lists what the extra holds.
    """
    if (_CLONE / "pyproject.toml").is_file():
        here = Path.cwd() == _CLONE
        return f'pip install "{"." if here else _CLONE}[{extra}]"'
    marker = re.compile(rf"""extra\s*==\s*['"]{re.escape(extra)}['"]""")
    wanted = [
        line.partition(";")[0].strip()
        for line in metadata.requires("deploykit") or []
        if marker.search(line)
    ]
    return " ".join(["pip install", *(f'"{requirement}"' for requirement in wanted)])


class LazyModule(ModuleType):
    """Stands for a package until an attribute of it is asked for; then for whatever `sys.modules` holds."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            # Tools that inspect a module's globals ask every value for these; that is no use of the package.
            raise AttributeError(f"{self.__name__} is not imported yet and has no {name}")
        module = sys.modules.get(self.__name__) or self._import()
        try:
            return getattr(module, name)
        except AttributeError:
            # A package need not import its own modules: `rich.table` is there once somebody imports it.
            path = f"{self.__name__}.{name}"
            with contextlib.suppress(ModuleNotFoundError):
                return importlib.import_module(path)
            raise

    def _import(self) -> ModuleType:
        try:
            return importlib.import_module(self.__name__)
        except ImportError as error:
            extra, title = EXTRAS.get(self.__name__.partition(".")[0], ("", self.__name__))
            remedy = install_line(extra) if extra else f"pip install {self.__name__}"
            text = " ".join(str(error).split())[:80]
            raise MissingDependency(f"{title} is not installed ({text}): {remedy}") from error


def entry_points(group: str) -> tuple[metadata.EntryPoint, ...]:
    """The entry points of a group that installed packages offer, looked for again where a folder has changed.

    Reading them takes some 20 ms, and a build asks for them ten times.
    """
    folders = []
    for folder in sys.path:
        with contextlib.suppress(OSError, ValueError):
            folders.append((folder, Path(folder).stat().st_mtime_ns))
    return _entry_points(group, metadata.entry_points, tuple(folders))


@functools.lru_cache(maxsize=8)
def _entry_points(
    group: str,
    find: Callable[..., Iterable[metadata.EntryPoint]],
    folders: tuple[tuple[str, int], ...],
) -> tuple[metadata.EntryPoint, ...]:
    return tuple(find(group=group))


def callable_package(name: str, function: str) -> None:
    """Let a package of deploykit be called as a function of the Python API, such as `deploykit.claims(...)`.

    A name can't be both, the package and a function beside it: importing the package would hide the function. What
    the call needs is imported by it.

    Args:
        name: of the package, which is being imported.
        function: of `deploykit.api`.
    """

    class Callable(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            # By a name that is put together: what imports this module makes nothing by way of the API.
            api = importlib.import_module(".api", __package__)
            return getattr(api, function)(*args, **kwargs)

    sys.modules[name].__class__ = Callable


if TYPE_CHECKING:
    from importlib import metadata

    import numpy as np
    import onnx
    import onnx_ir as ir
    import onnxruntime as ort
    import onnxscript
    import openvino
    import pandas as pd
    import rich.box
    import rich.console
    import rich.markup
    import rich.padding
    import rich.progress
    import rich.table
    import rich.text
    import torch
else:
    metadata = LazyModule("importlib.metadata")
    np = LazyModule("numpy")
    onnx = LazyModule("onnx")
    ir = LazyModule("onnx_ir")
    onnxscript = LazyModule("onnxscript")
    ort = LazyModule("onnxruntime")
    openvino = LazyModule("openvino")
    pd = LazyModule("pandas")
    rich = LazyModule("rich")
    torch = LazyModule("torch")

__all__ = [
    "EXTRAS",
    "LazyModule",
    "callable_package",
    "entry_points",
    "install_line",
    "ir",
    "metadata",
    "np",
    "onnx",
    "onnxscript",
    "openvino",
    "ort",
    "pd",
    "rich",
    "torch",
]
