"""From a torch module to an ONNX graph whose weights are still the module's own tensors."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from deploykit.errors import BuildFailed, MissingDependency

if TYPE_CHECKING:
    import onnx_ir
    import torch

#: ONNX 20 is read by ONNX Runtime from 1.17 and TensorRT from 10, and has FP8 and FP16 scales in
#: its quantisation operators.
OPSET = 20

INPUT_NAME = "input"
OUTPUT_NAME = "logits"
BATCH_NAME = "batch"

#: The exporter tells on this logger, once per operator and export, that torchvision is absent.
_NOISY_LOGGERS = ("torch.onnx._internal.exporter._registration", "torch.export", "onnxscript")


def require_exporter() -> None:
    """Import what exporting needs.

    Raises:
        MissingDependency: torch or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401
        import torch.onnx  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            f"exporting needs the package {error.name!r}, which is not installed; "
            'run pip install "deploykit[export]"'
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """Find the first telling line of an exporter's error, which runs over pages."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def trace(module: torch.nn.Module, input_shape: tuple[int, ...], label: str) -> onnx_ir.Model:
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
    import torch

    # A batch of 1 would be taken for a constant.
    example = torch.zeros(2, *input_shape)
    options: dict[str, Any] = {
        "dynamo": True,
        "optimize": False,
        "opset_version": OPSET,
        "input_names": [INPUT_NAME],
        "output_names": [OUTPUT_NAME],
        "dynamic_shapes": ({0: torch.export.Dim(BATCH_NAME)},),
        "external_data": False,
        "verbose": False,
    }
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(module, (example,), **options)
    except Exception as error:
        raise BuildFailed(
            f"torch can't export {label}: {_reason(error)}; check that the network takes any batch "
            "size and does not branch on values"
        ) from error
    if program is None:
        raise BuildFailed(f"torch exported nothing for {label}; update torch")
    return program.model


def exporter_versions() -> dict[str, str]:
    """Name the packages that shape an export, with their versions."""
    import onnx
    import onnxscript
    import torch

    return {
        "torch": torch.__version__,
        "onnxscript": onnxscript.__version__,
        "onnx": onnx.__version__,
    }
