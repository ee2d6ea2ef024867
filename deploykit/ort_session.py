"""Opening ONNX Runtime: the one place where sessions are made, for whatever they are to compute.

Every session runs on the CPU provider, but for those of `open_on_device`, and says nothing on stderr: what a user
can act on is in the error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deploykit import env
from deploykit.errors import BuildFailed, DeploykitError, one_line
from deploykit.lazy import onnx, ort
from deploykit.spec import TensorSpec, stored_about, stored_inputs

PROVIDER = "CPUExecutionProvider"
#: Wheels that bring the module `onnxruntime`; only one of them can be installed.
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")
_FATAL = 4
#: In the error of a graph in which shapes contradict each other.
_INFERRED = "ShapeInferenceError"
_SIZE = "deploykit_size_"


def installed_version() -> str | None:
    """The version that is installed, from package metadata; None where there is none."""
    return next((v for name in DISTRIBUTIONS if (v := env.package_version(name))), None)


def session_options(*, optimise: bool, threads: int | None = None) -> Any:
    """Options of a session, for the caller to add to before `open_session`.

    Args:
        optimise: whether the runtime rewrites the graph as far as it can, or runs it as it stands.
        threads: to compute one operator with; None leaves it to the runtime.

    Raises:
        MissingDependency: ONNX Runtime is not installed.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def open_session(
    source: str | Path | bytes, options: Any, refused: Callable[[str], DeploykitError]
) -> Any:
    """A session on a graph.

    Args:
        source: path or bytes of the graph.
        options: from `session_options`.
        refused: makes the error of a graph that does not load from the runtime's reason, one line.

    Raises:
        MissingDependency: ONNX Runtime is not installed.
        BuildFailed: it took another provider.
        DeploykitError: what `refused` makes.
    """
    model = source if isinstance(source, bytes) else _by_name(Path(source))
    make = ort.InferenceSession
    try:
        session = make(model, options, providers=[PROVIDER])
    except (
        Exception
    ) as error:  # the runtime has an error class per status code, without a common base
        freed = _with_open_sizes(source) if _INFERRED in str(error) else None
        try:
            session = None if freed is None else make(freed, options, providers=[PROVIDER])
        except Exception:
            session = None
        if session is None:
            raise refused(one_line(error)) from error
    providers = session.get_providers()
    if providers != [PROVIDER]:
        raise BuildFailed(f"ONNX Runtime took {providers} instead of {PROVIDER}; reinstall it")
    return session


def _with_open_sizes(source: str | Path | bytes) -> bytes | None:
    """The model with the sizes of its inputs left open, each named after the size; None where it has no branches.

    The runtime infers shapes in both branches of an If and refuses the one that is not for these sizes.
    """
    model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(source)
    graph = model.graph
    if not any(entry.HasField("g") for node in graph.node for entry in node.attribute):
        return None
    for value in graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value > 0:
                dim.dim_param = f"{_SIZE}{dim.dim_value}"
    del graph.value_info[:]
    return bytes(model.SerializeToString())


def open_on_device(path: Path, options: Any, providers: Sequence[Any] | None = None) -> Any:
    """A session on other providers, which may take some nodes only, or not be in it: ask what it has.

    Args:
        path: of the graph.
        options: from `session_options`.
        providers: to ask in their order, names or pairs of a name and options; None takes those of `options`.

    Raises:
        Exception: whatever the runtime raises.
    """
    if providers is None:
        return ort.InferenceSession(_by_name(path), options)
    # Where it may fall back, a session that can't be made is one on the processor instead.
    return ort.InferenceSession(_by_name(path), options, providers=providers, enable_fallback=0)


def native_name(path: Path) -> str | None:
    """The name by which the runtime finds the file, as UTF-8 whatever the locale; None where it is not UTF-8."""
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError:
        return None


def _by_name(path: Path) -> str | bytes:
    return native_name(path) or path.read_bytes()


def tensor_spec(value: Any) -> TensorSpec:
    """Name, shape and numpy's type of an input or output, as the runtime describes it."""
    kind = str(value.type).removeprefix("tensor(").removesuffix(")")
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    sizes = (_size(dim) if isinstance(dim, str) else dim for dim in value.shape)
    return TensorSpec(value.name, tuple(sizes), dtype)


def _size(name: str) -> int | str:
    """The size after which `_with_open_sizes` named a dimension, or the name of another one."""
    size = name.removeprefix(_SIZE)
    return int(size) if size != name and size.isdigit() else name


def input_specs(session: Any) -> tuple[TensorSpec, ...]:
    """The inputs of a session's graph, constants left out, with what its metadata says of them beside."""
    stored = stored_inputs(session.get_modelmeta().custom_metadata_map)
    specs = map(tensor_spec, session.get_inputs())
    return tuple(stored_about(spec, stored) for spec in specs)
