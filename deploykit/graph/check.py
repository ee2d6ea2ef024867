"""Whether a model that was read is one to work with, and one line saying why where it is not.

Two things can be wrong: damage that protobuf reads over, such as names that are no text, unknown types and
impossible sizes; and a whole file whose graph is not valid. On some graphs ONNX's checker or inference ends the
process: commands read files in one of its own (`bench.contain`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploykit.errors import InvalidModel, one_line
from deploykit.graph.element_types import ElementType, tensor_bytes
from deploykit.graph.nodes import (
    all_nodes,
    all_tensors,
    attribute,
    attribute_graphs,
    graph_inputs,
    is_standard,
    node_name,
    nodes_below,
    opset,
    tensor_values,
)
from deploykit.graph.operators import LAYER_NORM_SINCE, is_contributed
from deploykit.graph.shapes import elements, skeleton
from deploykit.lazy import np, onnx

#: Bytes of one input for one image, the limit of the protobuf messages that tensors are exchanged in.
MAX_INPUT_BYTES = 2**31 - 1

#: Dimensions of a tensor, the limit of numpy, through which runtimes are fed.
MOST_DIMENSIONS = 64
#: Nodes of a graph with its functions written out.
MOST_NODES = 1_000_000

#: Fields of free text, on which nothing depends.
_REMARKS = frozenset({"doc_string", "metadata_props", "producer_version"})


def drop_remarks(model: onnx.ModelProto) -> bool:
    """Take the remarks that are not UTF-8, at which runtimes fail, out of a model; whether there were any."""
    damaged = False
    for message, names in (
        (model, ("doc_string", "producer_name", "producer_version")),
        (model.graph, ("doc_string",)),
    ):
        for name in names:
            if isinstance(getattr(message, name), bytes):
                message.ClearField(name)
                damaged = True
    readable = [
        p for p in model.metadata_props if isinstance(p.key, str) and isinstance(p.value, str)
    ]
    if len(readable) < len(model.metadata_props):
        copies = [onnx.StringStringEntryProto(key=p.key, value=p.value) for p in readable]
        del model.metadata_props[:]
        model.metadata_props.extend(copies)
        damaged = True
    return damaged


def require_sound(model: onnx.ModelProto, path: Path) -> None:
    """Refuse what can't be in a file that is whole.

    Raises:
        InvalidModel: a name is not UTF-8, an element type is none of ONNX's, a node outside of functions refers to
            a function's attribute, functions call themselves or make more than `MOST_NODES` or are called with more
            than they take or make, or an input is larger than `MAX_INPUT_BYTES`.
    """
    for text in _texts(model):
        if isinstance(text, bytes):
            raise InvalidModel(
                f"{path}: the name {text[:40]!r} in it is not UTF-8 text; the file is damaged, copy it again"
            )
    known = set(onnx.TensorProto.DataType.values())
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    typed = [
        (v.name, v.type.tensor_type.elem_type) for v in values if v.type.HasField("tensor_type")
    ]
    for name, element_type in [*typed, *((t.name, t.data_type) for t in all_tensors(model))]:
        if element_type not in known:
            raise InvalidModel(
                f"{path}: {name!r} has the element type {element_type}, which ONNX has not; "
                "the file is damaged, copy it again"
            )
    _check_references(model, path)
    _check_functions(model, path)
    _check_calls(model, path)
    require_sizes(model, path)


def require_sizes(model: onnx.ModelProto, path: Path) -> None:
    """Refuse inputs larger than `MAX_INPUT_BYTES`.

    Raises:
        InvalidModel: names the input, and its size.
    """
    for value in model.graph.input:
        tensor = value.type.tensor_type
        dims = [max(1, dim.dim_value) for dim in tensor.shape.dim]
        try:
            size = tensor_bytes(math.prod(dims), tensor.elem_type)
        except (KeyError, TypeError, ValueError):  # strings have no size
            continue
        if size is not None and size > MAX_INPUT_BYTES:
            raise InvalidModel(
                f"{path}: input {value.name!r} of shape {dims} takes {size / 2**30:.3g} GiB, more than a tensor "
                "can have; export the model with the input's true size, or give smaller ones"
            )


def _texts(message: Any) -> Iterator[str | bytes]:
    """All texts in a message and those within it but free remarks; weights are not looked into."""
    for field, value in message.ListFields():
        if field.name in _REMARKS:
            continue
        if field.type == field.TYPE_STRING:
            yield from [value] if isinstance(value, str | bytes) else value
        elif field.type == field.TYPE_MESSAGE:
            for inner in [value] if hasattr(value, "ListFields") else value:
                if isinstance(inner, onnx.TensorProto):
                    yield inner.name
                else:
                    yield from _texts(inner)


#: ONNX's own operator sets, and the contributed operators that ONNX Runtime ships with.
KNOWN_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft"}
)

#: Stands for ONNX's domain where exporters write the operators of plugins in it.
_FOREIGN = "deploykit.foreign"

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
        count = len(value.type.tensor_type.shape.dim)
        if count > MOST_DIMENSIONS:
            raise InvalidModel(
                f"{path}: {value.name!r} has {count} dimensions, more than the {MOST_DIMENSIONS} that a tensor can "
                "have; export the model again"
            )
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


def _check_references(model: onnx.ModelProto, path: Path) -> None:
    """Refuse nodes outside of functions that take the value of an attribute from a function's call."""
    for node in nodes_below(model.graph.node):
        for one in node.attribute:
            if one.ref_attr_name:
                raise InvalidModel(
                    f"{path}: node {node_name(node)!r} ({node.op_type}) takes its {one.name!r} from the call of a "
                    "function, and is in none; export the model again"
                )


def _check_functions(model: onnx.ModelProto, path: Path) -> None:
    """Refuse functions that call themselves, or each other so often that they can't be written out."""
    calls = {
        (function.domain, function.name): [
            (node.domain, node.op_type) for node in nodes_below(function.node)
        ]
        for function in model.functions
    }
    nodes: dict[tuple[str, str], int] = {}
    waiting, begun = list(calls), set[tuple[str, str]]()
    while waiting:
        top = waiting[-1]
        called = [call for call in calls[top] if call in calls]
        missing = [] if top in nodes else [call for call in called if call not in nodes]
        if missing and top in begun:
            raise InvalidModel(
                f"{path}: its function {top[1]!r} calls itself, which has no end; export the model again"
            )
        begun.add(top)
        waiting += missing
        if not missing:
            nodes[top] = sum(nodes.get(call, 1) for call in calls[top])
            waiting.pop()
    total = sum(nodes.get((node.domain, node.op_type), 1) for node in nodes_below(model.graph.node))
    if total > MOST_NODES and calls:
        raise InvalidModel(
            f"{path}: with its functions written out it has {total:,} nodes, more than the {MOST_NODES:,} that can "
            "be worked with; export the model again without functions"
        )


def _check_calls(model: onnx.ModelProto, path: Path) -> None:
    """Refuse calls of functions that give them more than they take, or want more than they make."""
    own = {(f.domain, f.name, f.overload): f for f in model.functions}
    for node in all_nodes(model) if own else ():
        called = own.get((node.domain, node.op_type, node.overload))
        if called is not None and (
            len(node.input) > len(called.input) or len(node.output) > len(called.output)
        ):
            raise InvalidModel(
                f"{path}: node {node_name(node)!r} of {len(node.input)} inputs and {len(node.output)} outputs "
                f"calls the function {called.name!r} of {len(called.input)} and {len(called.output)}; export the "
                "model again"
            )


def _check_bodies(model: onnx.ModelProto, path: Path) -> None:
    """Refuse an If, a Loop or a Scan whose body takes or makes other numbers of tensors than the node."""
    for node in all_nodes(model):
        if not is_standard(node) or node.op_type not in ("If", "Loop", "Scan"):
            continue
        name = node_name(node)
        states = len(node.input) - 2
        for body in attribute_graphs(node):
            made, taken = len(body.output), len(body.input)
            if node.op_type == "If":
                fits = made >= len(node.output)
            elif node.op_type == "Loop":
                fits = made >= max(states, len(node.output)) + 1 and taken >= 2
            else:
                fits = made >= len(node.output) and _fits_scan(node, taken)
            if not fits or not node.output:
                raise InvalidModel(
                    f"{path}: node {name!r} ({node.op_type}) of {len(node.input)} inputs and {len(node.output)} "
                    f"outputs has a body of {taken} and {made}, which don't go together; export the model again"
                )


def _fits_scan(node: onnx.NodeProto, taken: int) -> bool:
    """Whether a Scan splits what it reads as its body takes it; that of opset 8 counts its lengths, too."""
    scanned = int(attribute(node, "num_scan_inputs", 0))
    axes = attribute(node, "scan_input_axes") or ()
    all_made = attribute(node, "scan_output_axes")
    states = len(node.input) - scanned
    return (
        0 < scanned <= len(node.input)
        and taken in (len(node.input), len(node.input) - 1)
        and len(axes) in (0, scanned)
        and (not all_made or len(all_made) >= len(node.output) - states)
    )


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
        is_float = tensor.data_type in _NUMPY_FLOATS
        # The bytes of raw values were counted before; of others there may be any number.
        if not is_float and _is_raw(tensor):
            continue
        try:
            values = tensor_values(tensor)
        except (ValueError, TypeError, KeyError, ArithmeticError) as error:
            raise InvalidModel(
                f"{path}: weight {tensor.name!r} does not hold what its shape {list(tensor.dims)[:8]} needs "
                f"({one_line(error, 100)}); the file is damaged, copy it again"
            ) from None
        if is_float and _has_nan(values):
            raise InvalidModel(
                f"{path}: weight {tensor.name!r} has values that are not a number (NaN), "
                "so its outputs would be too; train or export it again"
            )


def _is_raw(tensor: onnx.TensorProto) -> bool:
    return tensor.HasField("raw_data") or tensor.data_location == onnx.TensorProto.EXTERNAL


def _has_nan(values: np.ndarray) -> bool:
    # A sum is NaN where any value is, and needs no mask as large as the weights; inf - inf is rare.
    with np.errstate(all="ignore"):
        total = np.sum(values)
    return bool(np.isnan(total) and np.isnan(values).any())


def _check_structure(model: onnx.ModelProto, path: Path, *, foreign: bool) -> None:
    problem = structure_problem(model, foreign=foreign)
    if problem is not None:
        raise InvalidModel(
            f"{path}: not a valid ONNX graph: {one_line(problem)}; export the model again"
        )


def structure_problem(model: onnx.ModelProto, *, foreign: bool = False) -> str | None:
    """What ONNX's checker has against a graph that no runtime would take either, in one line; None if nothing.

    The checker alone wants a shape, be it an empty one, of every output, and turns down GroupNormalization as
    opset 18 has it, for its definition was mended in 21; runtimes take both. Nor does it know what ONNX Runtime
    keeps in ONNX's domain.

    Args:
        model: the graph.
        foreign: whether operators that nobody here knows may stand in it.
    """
    light = skeleton(model)
    for part in (light, *light.functions) if foreign else ():
        part.opset_import.append(onnx.helper.make_opsetid(_FOREIGN, 1))
    for value in [*light.graph.input, *light.graph.output]:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    for node in all_nodes(light):
        if node.op_type == "GroupNormalization" and is_standard(node):
            _stand_in(node)
        elif is_standard(node) and (is_contributed(node) or _is_early_norm(node, light)):
            node.op_type = "Identity"
            del node.attribute[:], node.input[1:], node.output[1:]
        elif foreign and is_standard(node) and not onnx.defs.has(node.op_type):
            node.domain = (
                _FOREIGN  # a plugin's; the checker asks nothing of a domain that it does not know
            )
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


def _is_early_norm(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    """Whether it is a LayerNormalization before ONNX had one: ONNX Runtime writes its own in ONNX's domain."""
    return node.op_type == "LayerNormalization" and opset(model) < LAYER_NORM_SINCE


def _stand_in(node: onnx.NodeProto) -> None:
    """A normalisation of the same inputs that no opset deprecates; the checker looks at no shapes."""
    node.op_type = "InstanceNormalization"
    epsilon = [entry for entry in node.attribute if entry.name == "epsilon"]
    del node.attribute[:]
    node.attribute.extend(epsilon)


def check(model: onnx.ModelProto, path: Path, *, foreign: bool = False) -> None:
    """Check a model with its weights inside.

    Args:
        model: that was read.
        path: of its file.
        foreign: whether operators that nobody here knows, and no runtime here could run, may stand in it.

    Raises:
        InvalidModel: negative dimensions of weights, an operator of an unknown domain, invalid or cyclic
            nodes, bodies that don't go together with their nodes, weights whose bytes do not fit their shapes or
            that are not a number, no input, or an input or output that is not a tensor. The message is one line.
    """
    require_sound(model, path)
    _check_tensors(model, path)
    if not foreign:
        _check_domains(model, path)
    _check_ports(model, path)
    _check_structure(model, path, foreign=foreign)
    _check_bodies(model, path)
    _check_values(model, path)
