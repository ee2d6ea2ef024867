"""ONNX Runtime on the CPU: the embedded default.

An engine is the graph after all of ONNX Runtime's optimisations, saved as it will be executed: what is
read back from it is what runs, and loading it again repeats no optimisation. It is specific to the
instruction sets of the machine that built it, which are therefore part of its key.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.backends import usage
from deploykit.backends.base import THREADS, BackendBase, Bound, RunOption, SessionBase
from deploykit.backends.onnxruntime_types import read_back
from deploykit.errors import (
    BuildFailed,
    DeploykitError,
    InvalidModel,
    OutputFailed,
    PrecisionMismatch,
    UsageError,
)
from deploykit.graph.nodes import has_subgraphs, nodes_below
from deploykit.graph.normalise import inline_functions
from deploykit.graph.precision.hard_swish import hard_swishes_in_integers
from deploykit.graph.precision.rounding import kept_names, rounds_bodies, unrounded, with_rounding
from deploykit.graph.read_write import (
    APART_BYTES,
    embed,
    external_files,
    is_apart,
    weights_path,
    write_model,
)
from deploykit.graph.recipes import AS_IS
from deploykit.graph.values import numpy_type
from deploykit.lazy import install_line, onnx, ort
from deploykit.ort_session import (
    input_specs,
    installed_version,
    native_name,
    open_session,
    session_options,
    tensor_spec,
)
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason, RunOptions
from deploykit.writing import working_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.backends.base import Feeds

#: Rewrites that would undo a recipe: this one quantises the weights of a convolution or product that was left in
#: float32 between two quantised ones.
_AGAINST_RECIPES = ("WeightBiasQuantization",)
#: How far the graph is rewritten: names, in the order of --optimization-level, and what ONNX Runtime calls them.
_LEVELS: Mapping[str, str] = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
#: How ONNX Runtime begins what its kernels say of a graph that is sound, and what it says where memory ran out.
_IN_KERNELS, _NO_MEMORY = "Exception during initialization", "alloc"
#: How ONNX Runtime says that the optimised graph could not be written; it names no reason on a full disk.
_NO_REASON = "Protobuf serialization failed"
_WRITE_FAILED = (_NO_REASON, "No space left", "Read-only file system")
#: The option that is no entry of a session's configuration.
_MODE = "ort.execution_mode"
#: What the others are called there.
_ENTRIES: Mapping[str, str] = {
    "ort.allow_spinning": "session.intra_op.allow_spinning",
    "ort.denormal_as_zero": "session.set_denormal_as_zero",
    "ort.dynamic_block_base": "session.dynamic_block_base",
}


class OnnxRuntimeCpu(BackendBase):
    """Builds and runs engines with ONNX Runtime's CPU provider."""

    name = "onnxruntime"
    target = "cpu"
    filename = "engine.onnx"
    # x86 has no FP16 convolution kernels in ONNX Runtime: the graph is computed in FP32 and rounded.
    emulated: Mapping[str, str] = {"fp16": "fp32"}
    revision = 3
    build_options = ("optimization_level",)
    timed_parts = "nodes"
    run_options = (
        RunOption(
            "ort.allow_spinning",
            ("0", "1"),
            "1",
            "whether threads wait for work by spinning, which is quick to wake and takes cores from others",
            needs=THREADS,
        ),
        RunOption(
            "ort.dynamic_block_base",
            ("0", "4"),
            "0",
            "parts that each thread's share of a node is cut into, so that one that lost its core holds up less",
            needs=THREADS,
        ),
        RunOption(
            "ort.execution_mode",
            ("sequential", "parallel"),
            "sequential",
            "one node after the other, or branches at once in threads between nodes, as many as within them",
            needs=THREADS,
        ),
        RunOption(
            "ort.denormal_as_zero",
            ("0", "1"),
            "0",
            "whether numbers too small for float32's full precision count as zero",
        ),
    )

    def available(self) -> Reason | None:
        """None where ONNX Runtime is installed."""
        if installed_version() is None:
            return Reason("ONNX Runtime is not installed", install_line("cpu"))
        return None

    def device(self) -> str | Reason:
        """The processor."""
        return env.device_name()

    def version(self) -> str:
        """The installed version, from package metadata."""
        return installed_version() or "none"

    def host(self) -> str:
        """What an engine is specific to: the architecture and the instruction sets kernels are picked by."""
        facts = env.machine()
        return " ".join([facts["architecture"], *facts["features"]])

    def prepare(self) -> None:
        """Import the runtime, so that its own memory does not count as that of the first engine."""
        _ = ort.__version__

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Optimise the graph for this processor and save it as it will run; see `BackendBase.build`."""
        name = native_name(path)
        if name is None:
            raise OutputFailed(
                f"ONNX Runtime can't write to {path.parent.parent}, whose name is not UTF-8; choose another store "
                "with --store"
            )

        def refused(reason: str) -> DeploykitError:
            if any(sign in reason for sign in _WRITE_FAILED):
                if _NO_REASON in reason:
                    reason = "ONNX Runtime tells no reason, most likely the disk is full"
                return OutputFailed(
                    f"can't write the engine {path.name}: {reason}; free some space in the store, "
                    "or choose another with --store"
                )
            return BuildFailed(
                f"ONNX Runtime {self.version()} refuses {model.spec.label}: {reason}"
            )

        with working_folder(path.parent) as folder:
            source = without_initialiser_inputs(model.path, folder)
            rounded = None
            if model.precision in self.emulated:
                rounded = with_half_rounding(source, folder)
            elif model.precision == "int8":
                source = with_integer_gates(source, folder)
            source = rounded or source
            head = without_weights(source)
            level = _save_optimised(
                source,
                path,
                name,
                refused,
                _level_names(options.optimization_level),
                check=has_subgraphs(head),
                without=() if model.precision == AS_IS else _AGAINST_RECIPES,
            )
        types = read_back(path, head)
        if rounded is not None:
            kept = model.recipe.get("kept", ())
            check_rounded(path, kept_names(without_weights(str(model.path)), kept) if kept else ())
        facts = {"compute_types": types, "host": self.host(), "rounded": rounded is not None}
        return facts if level is None else facts | {"optimisation": level}

    def usage(self, model: OnnxModel, options: BuildOptions) -> str:
        """See `BackendBase.usage`."""
        return usage.onnxruntime(self.filename, model.inputs, options.batch_opt)

    def open(
        self, engine: Engine, threads: int | None, run_pass: str, options: RunOptions = ()
    ) -> OnnxRuntimeSession:
        """A session on the saved graph, with no further optimisation."""
        return OnnxRuntimeSession(engine.path, threads, told=options)


def _tell(options: Any, told: RunOptions, threads: int) -> None:
    """Set run options in the options of a session."""
    for name, value in told:
        if name in _ENTRIES:
            options.add_session_config_entry(_ENTRIES[name], value)
        elif name == _MODE:
            options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
            options.inter_op_num_threads = threads


def _level_names(asked: int | None) -> tuple[str, ...]:
    """The level of optimisation that was asked for, and those below it, by ONNX Runtime's names."""
    if asked is not None and asked >= len(_LEVELS):
        raise UsageError(
            f"ONNX Runtime has optimization levels 0 to {len(_LEVELS) - 1}, none, basic, extended and all: give "
            f"--optimization-level one of these, not {asked}"
        )
    return tuple(reversed(tuple(_LEVELS)[: None if asked is None else asked + 1]))


def _save_optimised(
    source: str | bytes,
    path: Path,
    name: str,
    refused: Callable[[str], DeploykitError],
    level_names: Sequence[str],
    *,
    check: bool,
    without: Sequence[str] = (),
) -> str | None:
    """Write the optimised graph to `path`.

    Of graphs with an If or Loop, ONNX Runtime can save what it can't load again (a body that reads what was
    merged away), and what it rewrote its own kernels may refuse (a cubic Resize with channels last); such a one is
    saved as a lower level of optimisation leaves it.

    Args:
        source: the graph's path or bytes.
        path: to write to.
        name: of it, as ONNX Runtime takes names.
        refused: makes the error of a graph that does not load.
        level_names: the level to save at, and those to take after it, by the names of `_LEVELS`.
        check: whether to load what was saved.
        without: rewrites of ONNX Runtime's to leave out.

    Returns:
        The level that it was saved at, where that is not the first.
    """
    options = session_options(optimise=True)
    options.optimized_model_filepath = name
    if without:
        options.add_session_config_entry(
            "optimization.disable_specified_optimizers", ";".join(without)
        )
    if isinstance(source, str) and external_files(without_weights(source), Path(source)):
        for key, value in (
            ("initializers_file_name", weights_path(path).name),
            ("initializers_min_size_in_bytes", str(APART_BYTES)),
        ):
            options.add_session_config_entry(f"session.optimized_model_external_{key}", value)
    first: BuildFailed | None = None
    for level_name in level_names:
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level_name])
        try:
            open_session(source, options, refused)  # opening it writes the optimised graph
        except BuildFailed as error:
            first = first or error
            if _IN_KERNELS not in str(error) or _NO_MEMORY in str(error):
                break
            continue
        if not check or _loads(path):
            return None if level_name == level_names[0] else level_name
    raise first or refused("it saves the graph in a form that it can't load again, at every level")


def _loads(path: Path) -> bool:
    try:
        open_session(path, session_options(optimise=False), BuildFailed)
    except BuildFailed:
        return False
    return True


def without_initialiser_inputs(path: Path, folder: Path | None = None) -> str | bytes:
    """The model to hand to ONNX Runtime: the file, or its bytes with constants no longer listed as inputs.

    Old files list weights among the inputs; ONNX Runtime then takes them for replaceable and optimises
    nothing that touches them. Functions are written out as conversions do, so that the engine's nodes and
    tensors have the names that layers are found by.

    Args:
        path: of the model.
        folder: takes the file of a model that is too large for bytes.
    """
    head = onnx.load(str(path), load_external_data=False)
    constants = {tensor.name for tensor in head.graph.initializer}
    listed = not constants.isdisjoint(value.name for value in head.graph.input)
    if not listed and not head.functions:
        return str(path)
    inputs = [value for value in head.graph.input if value.name not in constants]
    del head.graph.input[:]
    head.graph.input.extend(inputs)
    head.ir_version = max(head.ir_version, 4)  # before 4, every constant had to be an input
    embed(head, path)
    with contextlib.suppress(InvalidModel):  # ONNX Runtime may know how, or says why not
        inline_functions(head)
    return _handed(head, folder)


def _handed(model: onnx.ModelProto, folder: Path | None) -> str | bytes:
    """A model as bytes, or as the path of a file in `folder` where its weights stand apart."""
    if folder is None or not is_apart(model):
        return bytes(model.SerializeToString())
    path = Path(tempfile.mkdtemp(dir=folder)) / "model.onnx"
    write_model(model, path)
    return str(path)


def without_weights(source: str | bytes) -> onnx.ModelProto:
    """The graph that is handed to ONNX Runtime; weights in files beside it are not read."""
    if isinstance(source, bytes):
        return onnx.load_from_string(source)
    return onnx.load(source, load_external_data=False)


def with_half_rounding(source: str | bytes, folder: Path | None = None) -> str | bytes | None:
    """The model with float16 written as float32 and roundings that ONNX Runtime keeps; None if it can't be.

    Left to itself, ONNX Runtime rounds only the weights: it removes the casts between its float32 kernels.

    Args:
        source: path or bytes of the model.
        folder: takes the file of a model that is too large for bytes.
    """
    model = without_weights(source)
    if isinstance(source, str):
        embed(model, Path(source))
    if not rounds_bodies(model):
        return None
    with_rounding(model)
    return _handed(model, folder)


def with_integer_gates(source: str | bytes, folder: Path | None = None) -> str | bytes:
    """The model with each hard swish between bytes in a form for which ONNX Runtime has integer kernels.

    Args:
        source: path or bytes of the model.
        folder: takes the file of a model that is too large for bytes.
    """
    model = without_weights(source)
    if not any(node.op_type == "HardSwish" for node in nodes_below(model.graph.node)):
        return source
    if isinstance(source, str):
        embed(model, Path(source))
    return _handed(model, folder) if hard_swishes_in_integers(model) else source


def check_rounded(path: Path, kept: Collection[str]) -> None:
    """Raise PrecisionMismatch where the optimised graph has lost a rounding between two products."""
    lost = unrounded(without_weights(str(path)), kept)
    if lost:
        raise PrecisionMismatch(
            f"ONNX Runtime removed the rounding to fp16 before {lost[0]} and {len(lost) - 1} others; "
            "use fp32, or another version of it"
        )


class OnnxRuntimeSession(SessionBase):
    """One loaded graph; inputs and outputs live in host memory.

    Args:
        path: of the graph.
        threads: to compute with; None is one per usable core.
        optimise: whether the runtime optimises the graph, which an engine already is.
        profile: beginning of the path of a profile that the runtime writes of each run; None writes none.
        told: run options that are not at their defaults.
    """

    threads: int

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        *,
        optimise: bool = False,
        profile: Path | None = None,
        told: RunOptions = (),
    ) -> None:
        self.threads = threads or max(1, int(env.usable_cores()))
        options = session_options(optimise=optimise, threads=self.threads)
        _tell(options, told, self.threads)
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        self._session = open_session(
            path,
            options,
            lambda reason: BuildFailed(f"ONNX Runtime can't load {path}: {reason}; build it again"),
        )
        self.inputs = input_specs(self._session)
        self.outputs = tuple(tensor_spec(value) for value in self._session.get_outputs())

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name.

        Raises:
            BuildFailed: one is of a type that numpy has not.
        """
        self._require_outputs(text=True)
        values = self._session.run(None, dict(feeds))
        return {spec.name: value for spec, value in zip(self.outputs, values, strict=True)}

    def _require_outputs(self, *, text: bool) -> None:
        """Refuse outputs of types that numpy has not; of text, which it has in a way, unless `text` allows it."""
        allowed = ("string",) if text else ()
        found = next(
            (s for s in self.outputs if s.dtype not in allowed and numpy_type(s.dtype) is None),
            None,
        )
        if found is not None:
            raise BuildFailed(
                f"output {found.name!r} is of type {found.dtype}, which is neither bound nor compared: leave it "
                "out with onnx.utils.extract_model"
            )

    def bind(self, feeds: Feeds) -> Bound:
        """A run over host buffers of its own, outputs included.

        Raises:
            BuildFailed: an output is text, or of a type that numpy has not.
        """
        self._require_outputs(text=False)
        outputs = self.run(
            feeds
        )  # their shapes at this batch, so that buffers are allocated only here
        binding = self._session.io_binding()
        new = ort.OrtValue.ortvalue_from_numpy
        for name, array in feeds.items():
            binding.bind_ortvalue_input(name, new(array))
        for name, array in outputs.items():
            binding.bind_ortvalue_output(name, new(array))
        return Bound(self._session.run_with_iobinding, binding)

    def end_profile(self) -> Path:
        """Stop writing the profile that was asked for, and say where it is; later runs go without."""
        return Path(self._session.end_profiling())

    def close(self) -> None:
        """Drop the session and its buffers."""
        super().close()
        del self._session
