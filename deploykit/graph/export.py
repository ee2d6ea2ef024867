"""From a torch module to an ONNX file that was shown to compute the same: traced, tidied, checked, verified."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploykit import env, zoo
from deploykit.errors import BuildFailed, DriftFailed, one_line
from deploykit.graph import tidy
from deploykit.graph.check import check
from deploykit.graph.origin import set_origin
from deploykit.graph.read_write import (
    APART_BYTES,
    describe,
    load_model,
    max_bytes,
    replacing,
    require_writable,
    save_model,
    weights_path,
    write_model,
)
from deploykit.lazy import ir, np, onnx, onnxscript, ort, torch
from deploykit.ort_session import open_session, session_options
from deploykit.spec import ModelSpec, OnnxModel
from deploykit.text import aside
from deploykit.writing import output_errors, working_folder
from deploykit.zoo.wrappers import raised_text, set_eval, several_inputs

#: Weights in the graph's own file must leave room for the graph in the 2 GB that it may have.
_MAX_WEIGHT_BYTES = 2**31 - 2**24

#: ONNX 20 is read by ONNX Runtime from 1.17 and TensorRT from 10, and has FP8 and FP16 scales in
#: its quantisation operators.
OPSET = 20

INPUT_NAME = "input"
OUTPUT_NAME = "logits"
BATCH_NAME = "batch"

#: The exporter tells on this logger, once per operator and export, that torchvision is absent.
_NOISY_LOGGERS = (
    "torch.onnx._internal.exporter._registration",
    "torch.export",
    "torch.fx.experimental.symbolic_shapes",
    "onnxscript",
)

#: Batch sizes to compare at: one image, and a batch that is neither 1 nor the tracing's 2.
BATCHES = (1, 3)

#: Largest error allowed, as a part of the largest output; float32 sums in another order stay below.
TOLERANCE = 1e-4

#: Seed of what a module draws while it is run, its lazy weights for one.
DRAWN_WITH = 0

Images = Mapping[int, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]


@contextlib.contextmanager
def _evaluating(module: torch.nn.Module, seed: int = DRAWN_WITH) -> Iterator[None]:
    """Run `module` in eval mode meanwhile, and leave mode, buffers and PyTorch's random state as they were.

    What is computed while a module runs may stay in its buffers, as ranges that are observed do.
    """
    training = [part for part in module.modules() if part.training]
    kept = {name: buffer.clone() for name, buffer in _buffers(module).items()}
    set_eval(module)
    try:
        with torch.random.fork_rng(devices=[]), aside():
            torch.default_generator.manual_seed(
                seed
            )  # and no device's, which nobody would put back
            yield
    finally:
        for part in training:
            part.training = True
        now = _buffers(module)
        with torch.inference_mode():
            for name, before in kept.items():
                is_there = name in now and now[name].shape == before.shape
                if is_there and not torch.equal(now[name], before):
                    now[name].copy_(before)


def _buffers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    lazy = torch.nn.parameter.is_lazy
    return {name: buffer for name, buffer in module.named_buffers() if not lazy(buffer)}


def export_module(
    module: torch.nn.Module,
    input_shape: tuple[int, ...],
    path: str | os.PathLike[str],
    spec: ModelSpec,
    *,
    tolerance: float = TOLERANCE,
) -> OnnxModel:
    """Export a torch module to an ONNX file with a dynamic batch, and verify it at batch 1 and 3.

    Weights of more than 2 GB stand in a second file, `weights_path(path)`.

    The input is named "input" (N, C, H, W), the output "logits" (N, ...), float32. Nodes are named
    after their modules. Equal modules give equal bytes, on any machine with the same versions of the
    exporter. The module is run in eval mode and left in the mode it was in.

    Args:
        module: takes one float32 tensor (N, *input_shape) and returns one tensor (N, ...).
        input_shape: of one image: (C, H, W).
        path: of the file to write; its folder must exist.
        spec: what to call the network; written into the file.
        tolerance: largest error that is allowed, as a part of the largest output.

    Raises:
        MissingDependency: torch, onnxscript or onnxruntime is not installed.
        BuildFailed: the module can't be expressed in ONNX, or does not keep the batch.
        DriftFailed: ONNX Runtime gives other outputs than torch; nothing is left at `path`.
        UsageError, OutputFailed: `path` can't be written.
    """
    require_writable(path)
    require_exporter()
    require_runtime()
    images = seeded_images(input_shape)
    with _evaluating(module):
        expected = torch_outputs(module, images, spec.label)
        graph = trace(module, input_shape, spec.label)
    tidy.simplify(graph)
    tidy.clean(graph)
    recipe = {
        "kind": "export",
        "exporter": exporter_versions(),
        "opset": OPSET,
        "precision": "fp32",
    }
    if tidy.weight_bytes(graph) > min(max_bytes(), _MAX_WEIGHT_BYTES):
        with working_folder(Path(path).parent) as folder:
            traced = folder / "traced.onnx"
            proto = _with_weights_apart(graph, traced)
            del graph
            set_origin(proto, spec, recipe)
            check(proto, Path(path))
            errors = _verified(module, traced, images, expected, spec.label, tolerance)
            model = describe(proto, path, save_model(proto, path), spec)
    else:
        proto = ir.serde.serialize_model(graph)
        set_origin(proto, spec, recipe)
        with replacing(path) as draft:
            check(proto, Path(path))
            sha256 = write_model(proto, draft)
            model = describe(proto, path, sha256, spec)
            del proto, graph
            errors = _verified(module, draft, images, expected, spec.label, tolerance)
    verified = {"batches": list(BATCHES), "tolerance": tolerance, **errors}
    return dataclasses.replace(model, recipe={**recipe, "verified": verified})


def _with_weights_apart(graph: ir.Model, path: Path) -> onnx.ModelProto:
    """Write a traced graph to `path` and its large weights beside it; the model as it is read from there.

    A protobuf message holds 2 GB, so that such weights never come into one.
    """
    with output_errors("traced network", path):
        ir.external_data.unload_from_model(
            graph, path.parent, weights_path(path).name, size_threshold_bytes=APART_BYTES
        )
        path.write_bytes(ir.serde.serialize_model(graph).SerializeToString())
    return load_model(path)


def export_model(
    spec: ModelSpec, path: str | os.PathLike[str], *, tolerance: float = TOLERANCE
) -> OnnxModel:
    """Create a network of the catalogue and export it; see `export_module`.

    Raises:
        UnknownName, UsageError, InvalidModel: the network or its weights are not to be had.
        and all that `export_module` raises.
    """
    require_writable(path)
    require_exporter()
    require_runtime()
    shape = zoo.input_shape(spec)
    return export_module(zoo.create(spec), shape, path, spec, tolerance=tolerance)


# ---- tracing


def require_exporter() -> None:
    """Import what exporting needs.

    Raises:
        MissingDependency: torch or onnxscript is not installed.
    """
    _ = torch.__version__, onnxscript.__version__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what PyTorch's exporter logs, warns of and prints off stderr: its error says what is wrong."""
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        # On a branch on values it prints the graph as far as it came, pages of it.
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _one_tf32() -> Iterator[None]:
    """Let cuDNN's parts agree on TF32 while a network is traced, which computes nothing on a device.

    The exporter asks for one answer of all parts, by PyTorch's older interface, and fails where they were set
    apart, as `torch.backends.fp32_precision` alone does.
    """
    cudnn = torch.backends.cudnn
    try:
        _ = cudnn.allow_tf32
    except RuntimeError:
        pass
    else:
        yield
        return
    parts: list[Any] = [torch.backends, cudnn.conv, cudnn.rnn]  # type: ignore[attr-defined]
    before = [part.fp32_precision for part in parts]
    for part, value in zip(parts, ("none", "tf32", "tf32"), strict=True):
        part.fp32_precision = value
    try:
        yield
    finally:
        # What holds for all first: it would be put over the parts.
        for part, value in zip(parts, before, strict=True):
            part.fp32_precision = value


def _reason(error: BaseException) -> str:
    """Find the first telling line of an exporter's error, which runs over pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0] if lines else type(error).__name__, 200)


def trace(module: torch.nn.Module, input_shape: tuple[int, ...], label: str) -> ir.Model:
    """Trace `module` with a dynamic batch; nothing is optimised, and no weight is copied.

    Args:
        module: in eval mode; takes one float tensor and gives one tensor.
        input_shape: of one image, without the batch: (C, H, W).
        label: what to call the network in errors.

    Raises:
        MissingDependency: torch or onnxscript is not installed.
        BuildFailed: the exporter could not express the network, or it fixes the batch size.
    """
    require_exporter()
    # A batch of 1 would be taken for a constant.
    example = torch.zeros(2, *input_shape)
    options: dict[str, Any] = {
        "dynamo": True,
        "optimize": False,
        "opset_version": OPSET,
        "input_names": [INPUT_NAME],
        "output_names": [OUTPUT_NAME],
        "dynamic_shapes": _by_argument(module, {0: torch.export.Dim(BATCH_NAME)}),
        "external_data": False,
        "verbose": False,
    }
    try:
        with _quiet(), _one_tf32(), torch.no_grad():
            program = torch.onnx.export(module, (example,), **options)
    except Exception as error:
        raise BuildFailed(
            f"torch can't export {label}: {_reason(error)}; {_remedy(module)}"
        ) from error
    if program is None:
        raise BuildFailed(f"torch exported nothing for {label}; update torch")
    if any(
        value.shape is not None and value.shape.is_static(0) for value in program.model.graph.inputs
    ):
        raise BuildFailed(
            f"{label} can be exported for a batch of {len(example)} alone, the one that it was traced with; let "
            "its forward take any batch: without a loop over images, chunk, split or int() of x.shape[0]"
        )
    return program.model


def _by_argument(module: torch.nn.Module, shape: Any) -> tuple[Any, ...]:
    """The one input's dynamic shape as the exporter wants it: one level deeper where forward takes `*args`."""
    try:
        first = next(iter(inspect.signature(module.forward).parameters.values()), None)
    except (TypeError, ValueError):  # a forward that can't be inspected
        return (shape,)
    return ((shape,),) if first is not None and first.kind is first.VAR_POSITIONAL else (shape,)


def _remedy(module: torch.nn.Module) -> str:
    """What to do about a module that can't be exported, by what it is or holds."""
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            return "export the module that the script was made of"
        if ".quantization." in type(part).__module__ or ".quantized." in type(part).__module__:
            return (
                "export the network as it was in float, and have it quantised by --precision int8"
            )
    if any(torch.nn.utils.parametrize.is_parametrized(part) for part in module.modules()):
        return (
            "write its parametrizations into the weights first, by "
            "torch.nn.utils.parametrize.remove_parametrizations"
        )
    return "check that the network takes any batch size and does not branch on values"


def exporter_versions() -> dict[str, str]:
    """Name the packages that shape an export, with their versions."""
    return {
        "torch": torch.__version__,
        "onnxscript": onnxscript.__version__,
        "onnx": onnx.__version__,
    }


# ---- verifying


def require_runtime() -> None:
    """Import ONNX Runtime.

    Raises:
        MissingDependency: it is not installed.
    """
    _ = ort.__version__


def seeded_images(input_shape: tuple[int, ...], seed: int = 0) -> Images:
    """Draw a batch of images for each of `BATCHES`, of the scale that normalised photographs have.

    Raises:
        UsageError: there is not the memory for them.
    """
    random = np.random.default_rng(seed)
    size_bytes = sum(BATCHES) * math.prod(input_shape) * 4
    shape = "x".join(map(str, input_shape))
    env.require_memory(size_bytes, f"checking an export on {sum(BATCHES)} images of {shape}")
    return {n: random.standard_normal((n, *input_shape), dtype=np.float32) for n in BATCHES}


def torch_outputs(module: torch.nn.Module, images: Images, label: str) -> Images:
    """Run the module on each batch of images.

    Raises:
        BuildFailed: it raised, or gave anything but one tensor of real numbers whose first dimension is the batch.
    """
    outputs = {}
    for batch, array in images.items():
        try:
            with _quiet(), torch.inference_mode():
                output = module(torch.from_numpy(array))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the user's code may raise anything, and leave Python
            line = raised_text(error)
            remedy = several_inputs(module) or "check the network's input shape"
            raise BuildFailed(
                f"{label} fails on an input of shape {array.shape}: {one_line(line, 200)}; {remedy}"
            ) from error
        if not isinstance(output, torch.Tensor):
            raise BuildFailed(
                f"{label} gives {type(output).__name__} where one tensor of logits is wanted; "
                "let its forward return the logits only"
            )
        if output.is_complex():
            raise BuildFailed(
                f"{label} gives complex numbers, which no runtime takes from a network; let its forward return "
                "their parts, as torch.view_as_real makes them"
            )
        if output.ndim == 0 or output.shape[0] != batch:
            raise BuildFailed(
                f"{label} turns a batch of {batch} into shape {tuple(output.shape)}; "
                "keep the batch as the first dimension"
            )
        outputs[batch] = output.float().numpy()
    return outputs


def _verified(
    module: torch.nn.Module,
    path: Path,
    images: Images,
    expected: Images,
    label: str,
    tolerance: float,
) -> dict[str, float]:
    """As `verify`; a module that draws its outputs at random is told so."""
    try:
        return verify(path, images, expected, label, tolerance)
    except DriftFailed as error:
        with _evaluating(module, seed=1 + DRAWN_WITH):
            again = torch_outputs(module, images, label)
        if all(np.allclose(again[n], expected[n], TOLERANCE, equal_nan=True) for n in images):
            raise
        raise DriftFailed(
            f"{label} gives other outputs each time that it is run on the same images; let it draw nothing in eval "
            "mode (F.dropout takes training=self.training)"
        ) from error


def verify(
    path: Path, images: Images, expected: Images, label: str, tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Run the file under ONNX Runtime and compare with what torch gave.

    Returns the largest absolute error, and the largest relative to the largest output.

    Raises:
        MissingDependency: ONNX Runtime is not installed.
        DriftFailed: an output is not finite, all are zero, or an error is above `tolerance`.
        BuildFailed: ONNX Runtime refused the file.
    """
    options = session_options(optimise=False)
    # The graph as it stands is what is verified; without packed copies of the weights, a session
    # takes half the memory.
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.enable_cpu_mem_arena = False

    def refused(reason: str) -> BuildFailed:
        return BuildFailed(
            f"ONNX Runtime refuses the exported {label}: {reason}; "
            "report this network, or change the operator it names"
        )

    session = open_session(path, options, refused)
    try:
        computed = {
            n: session.run(None, {session.get_inputs()[0].name: images[n]})[0] for n in images
        }
    except Exception as error:
        raise refused(one_line(error)) from error
    largest_abs, largest_rel = 0.0, 0.0
    for batch, reference in expected.items():
        if not np.isfinite(reference).all() or not np.isfinite(computed[batch]).all():
            raise DriftFailed(
                f"the outputs of {label} are not finite at batch {batch}; check its weights"
            )
        scale = float(np.abs(reference).max())
        if scale == 0.0 or computed[batch].shape != reference.shape:
            raise DriftFailed(
                f"the outputs of {label} can't be compared at batch {batch} (shape "
                f"{computed[batch].shape}, torch {reference.shape}, largest {scale:g}); check its weights"
            )
        error_abs = float(np.abs(computed[batch].astype(np.float64) - reference).max())
        if error_abs > tolerance * scale:
            raise DriftFailed(
                f"the exported {label} differs from torch by {error_abs / scale:.2g} of the largest "
                f"output at batch {batch}, more than {tolerance:g}; report this network"
            )
        largest_abs = max(largest_abs, error_abs)
        largest_rel = max(largest_rel, error_abs / scale)
    return {"max_abs_error": largest_abs, "max_rel_error": largest_rel}
