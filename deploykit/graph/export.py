"""From a network to an ONNX file that was shown to compute the same."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deploykit.errors import BuildFailed
from deploykit.graph import tidying, tracing, verifying
from deploykit.graph.loading import describe, set_origin
from deploykit.graph.soundness import check
from deploykit.graph.writing import replacing, require_writable, write_model
from deploykit.spec import ModelSpec, OnnxModel

if TYPE_CHECKING:
    import torch

#: Weights must leave room for the graph in the 2 GB that an ONNX file may have.
_MAX_WEIGHT_BYTES = 2**31 - 2**24


@contextlib.contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def export_module(
    module: torch.nn.Module,
    input_shape: tuple[int, ...],
    path: str | os.PathLike[str],
    spec: ModelSpec,
) -> OnnxModel:
    """Export a torch module to one ONNX file with a dynamic batch, and verify it at batch 1 and 3.

    The input is named "input" (N, C, H, W), the output "logits" (N, ...), float32. Nodes are named
    after their modules. Equal modules give equal bytes, on any machine with the same versions of the
    exporter. The module is run in eval mode and left in the mode it was in.

    Args:
        module: takes one float32 tensor (N, *input_shape) and returns one tensor (N, ...).
        input_shape: of one image: (C, H, W).
        path: of the file to write; its folder must exist.
        spec: what to call the network; written into the file.

    Raises:
        MissingDependency: torch, onnxscript or onnxruntime is not installed.
        BuildFailed: the module can't be expressed in ONNX, or does not keep the batch.
        DriftFailed: ONNX Runtime gives other outputs than torch; nothing is left at `path`.
        UsageError, OutputFailed: `path` can't be written.
    """
    require_writable(path)
    tracing.require_exporter()
    verifying.require_runtime()
    import onnx_ir as ir

    images = verifying.seeded_images(input_shape)
    with _evaluating(module):
        expected = verifying.torch_outputs(module, images, spec.label)
        graph = tracing.trace(module, input_shape, spec.label)
    if tidying.weight_bytes(graph) > _MAX_WEIGHT_BYTES:
        raise BuildFailed(
            f"the weights of {spec.label} exceed the 2 GB of an ONNX file; choose a smaller alpha"
        )
    tidying.simplify(graph)
    tidying.clean(graph)
    recipe = {
        "kind": "export",
        "exporter": tracing.exporter_versions(),
        "opset": tracing.OPSET,
        "precision": "fp32",
    }
    proto = ir.serde.serialize_model(graph)
    set_origin(proto, spec, recipe)
    with replacing(path) as draft:
        check(proto, Path(path))
        sha256 = write_model(proto, draft)
        model = describe(proto, path, sha256, spec)
        del proto, graph
        errors = verifying.verify(draft, images, expected, spec.label)
    verified = {"batches": list(verifying.BATCHES), "tolerance": verifying.TOLERANCE, **errors}
    return dataclasses.replace(model, recipe={**recipe, "verified": verified})


def export_model(spec: ModelSpec, path: str | os.PathLike[str]) -> OnnxModel:
    """Create a network of the catalogue and export it; see `export_module`.

    Raises:
        UnknownName, UsageError, InvalidModel: the network or its weights are not to be had.
        and all that `export_module` raises.
    """
    from deploykit import zoo

    require_writable(path)
    tracing.require_exporter()
    verifying.require_runtime()
    shape = zoo.input_shape(spec)
    return export_module(zoo.create(spec), shape, path, spec)
