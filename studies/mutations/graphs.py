"""Graphs that come out wrong: of an export, and of a conversion to half precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from deploykit.claims import Claim
from deploykit.graph import export, precision
from deploykit.lazy import ir, onnx
from deploykit.spec import OnnxModel
from studies.mutations.modules import module_of, replaced

#: Evaluates within it as if graphs came out so.
GraphChange = Callable[[Claim], AbstractContextManager[None]]


@contextlib.contextmanager
def export_of_other_weights(claim: Claim) -> Iterator[None]:
    """The largest tensor of weights is a tenth larger in the exported graph."""
    trace = export.trace

    def off(*arguments: Any) -> ir.Model:
        model = trace(*arguments)
        weights = {
            one: one.const_value for one in model.graph.initializers.values() if one.const_value
        }
        largest = max(weights, key=lambda one: weights[one].size)
        largest.const_value = ir.tensor(weights[largest].numpy() * 1.1, name=largest.name)
        return model

    with replaced(claim, export, {"trace": off}):
        yield


@contextlib.contextmanager
def half_with_wide_weights(claim: Claim) -> Iterator[None]:
    """Weights stand in float32 in the file of a graph in half precision."""
    convert = precision.convert

    def wide(*arguments: Any) -> OnnxModel:
        made = convert(*arguments)
        proto = onnx.load(made.path)
        for one in proto.graph.initializer:
            if one.data_type == onnx.TensorProto.FLOAT16:
                values = onnx.numpy_helper.to_array(one).astype("float32")
                one.CopyFrom(onnx.numpy_helper.from_array(values, one.name))
        Path(made.path).write_bytes(proto.SerializeToString())
        return made

    with replaced(claim, precision, {"convert": wide}):
        yield


def graph_changes(claim: Claim) -> list[GraphChange]:
    """Those of what the claim's check makes: none where it makes no graph."""
    makes = vars(module_of(claim)).values()
    return [
        change
        for change, maker in (
            (export_of_other_weights, export),
            (half_with_wide_weights, precision),
        )
        if any(one is maker for one in makes)
    ]
