"""Whether an exported file computes what the torch module computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploykit.errors import BuildFailed, DriftFailed, one_line
from deploykit.lazy import ort
from deploykit.ort_session import open_session, session_options

if TYPE_CHECKING:
    import torch

#: Batch sizes to compare at: one image, and a batch that is neither 1 nor the tracing's 2.
BATCHES = (1, 3)

#: Largest error allowed, as a part of the largest output; float32 sums in another order stay below.
TOLERANCE = 1e-4

Images = Mapping[int, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]


def require_runtime() -> None:
    """Import ONNX Runtime.

    Raises:
        MissingDependency: it is not installed.
    """
    _ = ort.__version__


def seeded_images(input_shape: tuple[int, ...], seed: int = 0) -> Images:
    """Draw a batch of images for each of `BATCHES`, of the scale that normalised photographs have."""
    random = np.random.default_rng(seed)
    return {n: random.standard_normal((n, *input_shape), dtype=np.float32) for n in BATCHES}


def torch_outputs(module: torch.nn.Module, images: Images, label: str) -> Images:
    """Run the module on each batch of images.

    Raises:
        BuildFailed: it raised, or gave anything but one tensor whose first dimension is the batch.
    """
    import torch

    outputs = {}
    for batch, array in images.items():
        try:
            with torch.inference_mode():
                output = module(torch.from_numpy(array))
        except Exception as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise BuildFailed(
                f"{label} fails on an input of shape {array.shape}: {line[:200]}; "
                "check the network's input shape"
            ) from error
        if not isinstance(output, torch.Tensor):
            raise BuildFailed(
                f"{label} gives {type(output).__name__} where one tensor of logits is wanted; "
                "let its forward return the logits only"
            )
        if output.ndim == 0 or output.shape[0] != batch:
            raise BuildFailed(
                f"{label} turns a batch of {batch} into shape {tuple(output.shape)}; "
                "keep the batch as the first dimension"
            )
        outputs[batch] = output.float().numpy()
    return outputs


def verify(path: Path, images: Images, expected: Images, label: str) -> dict[str, float]:
    """Run the file under ONNX Runtime and compare with what torch gave.

    Returns the largest absolute error, and the largest relative to the largest output.

    Raises:
        MissingDependency: ONNX Runtime is not installed.
        DriftFailed: an output is not finite, all are zero, or an error is above `TOLERANCE`.
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
        found = {n: session.run(None, {session.get_inputs()[0].name: images[n]})[0] for n in images}
    except Exception as error:
        raise refused(one_line(error)) from error
    largest_abs, largest_rel = 0.0, 0.0
    for batch, reference in expected.items():
        if not np.isfinite(reference).all() or not np.isfinite(found[batch]).all():
            raise DriftFailed(
                f"the outputs of {label} are not finite at batch {batch}; check its weights"
            )
        scale = float(np.abs(reference).max())
        if scale == 0.0 or found[batch].shape != reference.shape:
            raise DriftFailed(
                f"the outputs of {label} can't be compared at batch {batch} (shape "
                f"{found[batch].shape}, torch {reference.shape}, largest {scale:g}); check its weights"
            )
        error_abs = float(np.abs(found[batch].astype(np.float64) - reference).max())
        if error_abs > TOLERANCE * scale:
            raise DriftFailed(
                f"the exported {label} differs from torch by {error_abs / scale:.2g} of the largest "
                f"output at batch {batch}, more than {TOLERANCE:g}; report this network"
            )
        largest_abs = max(largest_abs, error_abs)
        largest_rel = max(largest_rel, error_abs / scale)
    return {"max_abs_error": largest_abs, "max_rel_error": largest_rel}
