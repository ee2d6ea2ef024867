"""Whether a model that was read is one to work with, and one line saying why where it is not."""

from __future__ import annotations

from pathlib import Path

from deploykit.errors import DriftFailed, InvalidModel
from deploykit.graph.damage import require_sound
from deploykit.graph.element_types import ElementType, tensor_bytes
from deploykit.graph.nodes import all_nodes, all_tensors, graph_inputs, is_standard
from deploykit.graph.shapes import elements, skeleton
from deploykit.lazy import np, onnx

#: ONNX's own operator sets, and the contributed operators that ONNX Runtime ships with.
KNOWN_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft"}
)

#: Floats that numpy itself has.
_NUMPY_FLOATS = frozenset({ElementType.FLOAT, ElementType.FLOAT16, ElementType.DOUBLE})


def _check_domains(model: onnx.ModelProto, path: Path) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for node in all_nodes(model):
        if node.domain not in KNOWN_DOMAINS and (node.domain, node.op_type) not in own:
            raise InvalidModel(
                f"{path}: operator {node.op_type!r} of the custom domain {node.domain!r} has no "
                "known meaning here; export the model with standard ONNX operators"
            )


def _check_ports(model: onnx.ModelProto, path: Path) -> None:
    inputs = graph_inputs(model.graph)
    for value in [*inputs, *model.graph.output]:
        if not value.type.HasField("tensor_type"):
            raise InvalidModel(
                f"{path}: {value.name!r} is not a tensor, and only tensors can be fed and "
                "compared; export the model with tensors as inputs and outputs"
            )
    if not inputs:
        raise InvalidModel(
            f"{path}: has no input, so there is nothing to run it on; export it with its inputs"
        )
    if not model.graph.output:
        raise InvalidModel(f"{path}: has no output; export the model again")


def _stored_bytes(tensor: onnx.TensorProto) -> int | None:
    """Bytes that raw data must have; None where the values stand in a typed field."""
    unsized = (ElementType.STRING, ElementType.UNDEFINED)
    if not tensor.HasField("raw_data") or tensor.data_type in unsized:
        return None
    return tensor_bytes(elements(tensor), tensor.data_type)


def _check_tensors(model: onnx.ModelProto, path: Path) -> None:
    for tensor in all_tensors(model):
        if any(dim < 0 for dim in tensor.dims):
            raise InvalidModel(
                f"{path}: weight {tensor.name!r} has a negative dimension {list(tensor.dims)}; "
                "export the model again"
            )
        try:
            expected = _stored_bytes(tensor)
        except (KeyError, TypeError, ValueError):
            continue  # a type this onnx does not know is for the checker to name
        if expected is not None and expected != len(tensor.raw_data):
            raise InvalidModel(
                f"{path}: weight {tensor.name!r} holds {len(tensor.raw_data)} bytes where its "
                f"shape {list(tensor.dims)} needs {expected}; the file is damaged, copy it again"
            )


def _check_values(model: onnx.ModelProto, path: Path) -> None:
    for tensor in all_tensors(model):
        if tensor.data_type not in _NUMPY_FLOATS:
            continue
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise InvalidModel(
                f"{path}: weight {tensor.name!r} does not hold what its shape {list(tensor.dims)[:8]} needs "
                f"({' '.join(str(error).split())[:100]}); the file is damaged, copy it again"
            ) from None
        if _has_nan(values):
            raise DriftFailed(
                f"{path}: weight {tensor.name!r} has values that are not a number (NaN), "
                "so its outputs would be too; train or export it again"
            )


def _has_nan(values: np.ndarray) -> bool:
    # A sum is NaN where any value is, and needs no mask as large as the weights; inf - inf is rare.
    with np.errstate(all="ignore"):
        total = np.sum(values)
    return bool(np.isnan(total) and np.isnan(values).any())


def _check_structure(model: onnx.ModelProto, path: Path) -> None:
    problem = structure_problem(model)
    if problem is not None:
        raise InvalidModel(
            f"{path}: not a valid ONNX graph: {problem[:300]}; export the model again"
        )


def structure_problem(model: onnx.ModelProto) -> str | None:
    """What ONNX's checker has against a graph that no runtime would take either, in one line; None if nothing.

    The checker alone wants a shape, be it an empty one, of every output, and turns down GroupNormalization as
    opset 18 has it, for its definition was mended in 21; runtimes take both.
    """
    light = skeleton(model)
    for value in [*light.graph.input, *light.graph.output]:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    for node in all_nodes(light):
        if node.op_type == "GroupNormalization" and is_standard(node):
            _stand_in(node)
    try:
        onnx.checker.check_model(light)
    except onnx.checker.ValidationError as error:
        text = str(error)
        if "topologically sorted" in text:
            text = "its nodes form a cycle or use a tensor that nothing before them makes: " + text
        return " ".join(text.split())
    except (ValueError, RuntimeError, TypeError) as error:  # damage beyond what it has words for
        return f"ONNX's checker ends with {type(error).__name__}: {' '.join(str(error).split())}"
    return None


def _stand_in(node: onnx.NodeProto) -> None:
    """A normalisation of the same inputs that no opset deprecates; the checker looks at no shapes."""
    node.op_type = "InstanceNormalization"
    kept = [entry for entry in node.attribute if entry.name == "epsilon"]
    del node.attribute[:]
    node.attribute.extend(kept)


def check(model: onnx.ModelProto, path: Path) -> None:
    """Check a model with its weights inside.

    Raises:
        InvalidModel: negative dimensions of weights, an operator of an unknown domain, invalid or cyclic
            nodes, weights whose bytes do not fit their shapes, no input, or an input
            or output that is not a tensor. The message is one line.
        DriftFailed: a weight is not a number.
    """
    require_sound(model, path)
    _check_tensors(model, path)
    _check_domains(model, path)
    _check_ports(model, path)
    _check_structure(model, path)
    _check_values(model, path)
