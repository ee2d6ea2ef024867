"""The inputs of a user's graph made definite: after it, the batch is the only dimension of them that is free.

Which free dimension is the batch, what the others are fixed to, how values are made up and which layout images
have is decided here, once, when a file is taken in; everything after it reads the graph that this leaves.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from deploykit.errors import InvalidModel, UsageError
from deploykit.graph.element_types import FLOATS, ElementType
from deploykit.graph.evidence import (
    IMAGE_CHANNELS,
    batch_seen_on,
    fixed_images,
    is_channels_last,
    is_convolved,
    makes_batch,
    read_as,
    stated_sizes,
    table_size,
)
from deploykit.graph.nodes import graph_inputs, node_name
from deploykit.graph.normalise import declare_sizes
from deploykit.graph.shapes import skeleton, written_out
from deploykit.graph.values import check_values, parse_values
from deploykit.graph.view import GraphView
from deploykit.lazy import onnx
from deploykit.row import Note
from deploykit.spec import (
    INPUTS_KEY,
    InputChoice,
    TensorSpec,
    input_facts,
    stored_about,
    stored_inputs,
)

#: Height and width in px of image inputs that leave them free.
IMAGE_PX = 224
#: What the batch is called where the file has no name for it.
BATCH = "batch"

_BATCH_NAMES = re.compile(
    r"(?i)(n|b|none|((.*[_. -])?n?batch(es)?([_. -]?(size|dim|num|n|axis))?|bsz?)([_. -]?\d+)?)"
)
#: Names that converters invent for dimensions that had none.
_INVENTED = re.compile(r"(unk__\d+|\?|s\d+|.*_dynamic_axes_\d+|DynamicDimension\.\d+|.*_dim_\d+)")
#: What exporters write for a dimension that has no name.
_PLACEHOLDERS = frozenset({"?", "*", "-1", "None", "none"})
_SEQUENCE = re.compile(
    r"(?i)(t|l|s|time|seq.*|length|.*[_.](len|length|seq|time|steps|frames)|frames|steps)"
)
#: How names of dimensions are made of others, in so many characters at most, and the largest size that they state.
_OPERATIONS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
_LONGEST_SUM, _LARGEST_SIZE = 200, 1 << 31
#: How pixels of whole numbers are made up, by type.
_PIXELS = {
    ElementType.INT8: "range(-128,127)",
    ElementType.UINT16: "range(0,65535)",
    **dict.fromkeys((ElementType.INT16, ElementType.INT32, ElementType.INT64), "range(0,255)"),
}
#: Height and width of images, which are no batch on whichever axis they stand.
_PLANE = re.compile(r"(?i)(.*[_.])?(h|w|height|width|rows|cols|columns)")


def dims_of(value: onnx.ValueInfoProto) -> list[Any]:
    """The dimensions of an input or output, as the file has them."""
    return list(value.type.tensor_type.shape.dim)


def is_free(dim: Any) -> bool:
    """Whether a dimension has no size: a name, nothing at all, 0 or a negative number, as -1 for any."""
    return not dim.HasField("dim_value") or dim.dim_value <= 0


class _Dims:
    """The free dimensions of the inputs, by symbol; one without a name has "INPUT[axis]" for a symbol.

    `planes` has the axes of height and width of the inputs that are images, `seen` by input the axis that is the
    batch of a recurrent layer, if any.
    """

    def __init__(
        self,
        view: GraphView,
        inputs: Iterable[onnx.ValueInfoProto],
        planes: Mapping[str, tuple[int, int]],
    ) -> None:
        self.inputs = list(inputs)
        self.planes = planes
        self.seen = {v.name: batch_seen_on(view, v.name, len(dims_of(v))) for v in self.inputs}
        self.sizes: dict[str, int] = {}
        self.batch: set[str] = set()

    @staticmethod
    def symbol(value: onnx.ValueInfoProto, axis: int) -> str | None:
        dim = dims_of(value)[axis]
        if not is_free(dim):
            return None
        return str(dim.dim_param) if dim.dim_param else f"{value.name}[{axis}]"

    def symbols(self, value: onnx.ValueInfoProto) -> list[str | None]:
        return [self.symbol(value, axis) for axis in range(len(dims_of(value)))]

    def all(self) -> dict[str, None]:
        return {s: None for value in self.inputs for s in self.symbols(value) if s is not None}


def take_inputs(model: onnx.ModelProto, choice: InputChoice) -> list[Note]:
    """Make the inputs of a model definite, in place; see the module.

    Returns:
        What was taken for free dimensions that nothing was said of.

    Raises:
        UsageError: what is said names no input or dimension, contradicts the file, or does not suffice.
    """
    _drop_placeholders(model)
    inputs = graph_inputs(model.graph)
    _shape_the_shapeless(inputs, choice)
    view = _written_out(model)
    layouts = {v.name: _layout(view, v, choice) for v in inputs if len(dims_of(v)) == 4}
    planes = {name: _image_axes(layout) for name, layout in layouts.items() if layout}
    for value in inputs:
        if _is_single(view, value):
            planes[value.name] = (0, 1) if dims_of(value)[2].dim_value in IMAGE_CHANNELS else (1, 2)
    dims = _Dims(view, inputs, planes)
    _take_shapes(dims, choice)
    dims.batch = _batch_symbols(dims)
    _take_dims(dims, choice)
    dims.batch -= dims.sizes.keys()
    notes = _take_defaults(dims, view)
    _write(model, dims)
    if not any(is_free(dim) for value in inputs for dim in dims_of(value)):
        declare_sizes(model)
    _write_values(model, inputs, view, choice, layouts)
    return notes


def _written_out(model: onnx.ModelProto) -> GraphView:
    """A view of what tells of the inputs, be it in functions, where these can be written out."""
    if not model.functions:
        return GraphView(model)
    try:
        return GraphView(written_out(skeleton(model)), stored=model.graph.initializer)
    except InvalidModel:
        return GraphView(model)


def _drop_placeholders(model: onnx.ModelProto) -> None:
    """Leave dimensions without a name that exporters call "?" or the like: two of them are not of one size."""
    graph = model.graph
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for dim in dims_of(value):
            if dim.dim_param.strip() in _PLACEHOLDERS:
                dim.Clear()


def fix_batch(model: onnx.ModelProto, size: int) -> None:
    """Fix the batch of a model that `take_inputs` has made definite, in place."""
    graph = model.graph
    symbols = {d.dim_param for v in graph_inputs(graph) for d in dims_of(v) if is_free(d)}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        for dim in dims_of(value):
            if dim.dim_param and dim.dim_param in symbols:
                _set(dim, size)


def name_batch_of_outputs(
    model: onnx.ModelProto, one: Mapping[str, Sequence[int]], two: Mapping[str, Sequence[int]]
) -> bool:
    """Call a nameless dimension of an output the batch where a run tells: of size 1 at batch 1 and 2 at batch 2.

    Args:
        model: that `take_inputs` has made definite, with a batch; it is changed in place.
        one: shapes of the outputs at batch 1, by name.
        two: the shapes of the outputs at batch 2, by name.

    Returns:
        Whether there was any.
    """
    graph = model.graph
    batch = next((d.dim_param for v in graph_inputs(graph) for d in dims_of(v) if is_free(d)), "")
    named = False
    for value in graph.output:
        first, second = one.get(value.name, ()), two.get(value.name, ())
        shape = dims_of(value)
        if len(first) != len(shape) or len(second) != len(shape):
            continue
        if not batch or any(dim.dim_param == batch for dim in shape):
            continue
        for axis, dim in enumerate(shape):
            if is_free(dim) and (first[axis], second[axis]) == (1, 2):
                _set(dim, batch)
                named = True
                break
    return named


# ---- what is said


def _named(inputs: list[onnx.ValueInfoProto], name: str, option: str) -> onnx.ValueInfoProto:
    if not name and len(inputs) == 1:
        return inputs[0]
    requested = next((value for value in inputs if value.name == name), None)
    if requested is None:
        known = ", ".join(value.name for value in inputs) or "none"
        said = f"no input {name!r}" if name else "which input is not said"
        raise UsageError(f"{option}: {said}; the inputs are {known}: give {option} NAME=...")
    return requested


def _shape_the_shapeless(inputs: list[onnx.ValueInfoProto], choice: InputChoice) -> None:
    given = {_named(inputs, name, "--shape").name: shape for name, shape in choice.shapes}
    for value in inputs:
        tensor = value.type.tensor_type
        if tensor.HasField("shape"):
            continue
        if value.name not in given:
            raise UsageError(
                f"input {value.name!r} has no shape in the file: give --shape {value.name}=1x3x224x224, say"
            )
        for _ in given[value.name]:
            tensor.shape.dim.add()


def _take_shapes(dims: _Dims, choice: InputChoice) -> None:
    for name, shape in choice.shapes:
        value = _named(dims.inputs, name, "--shape")
        declared = dims_of(value)
        written = "x".join(
            str(d.dim_value) if not is_free(d) else d.dim_param or "?" for d in declared
        )
        text = "x".join("?" if size is None else str(size) for size in shape)
        if len(shape) != len(declared):
            raise UsageError(
                f"--shape {value.name}={text} has {len(shape)} dimensions, the file has {len(declared)} "
                f"({written or 'a scalar'}): give as many"
            )
        for axis, size in enumerate(shape):
            symbol = dims.symbol(value, axis)
            if size is None:
                continue
            if symbol is None:
                if declared[axis].dim_value != size:
                    raise UsageError(
                        f"--shape {value.name}={text}: dimension {axis} is fixed to "
                        f"{declared[axis].dim_value} in the file ({written}): give that, or export it again"
                    )
            elif dims.sizes.setdefault(symbol, size) != size:
                raise UsageError(
                    f"--shape {value.name}={text}: dimension {symbol} is {dims.sizes[symbol]} elsewhere: "
                    "give one size for it"
                )
    # A batch of 1 is what everyone writes there: --batch says how many, unless another number is given.
    for symbol in _batch_symbols(dims):
        if dims.sizes.get(symbol) == 1:
            del dims.sizes[symbol]


def _take_dims(dims: _Dims, choice: InputChoice) -> None:
    for name, size in choice.dims:
        symbols = {name} & dims.all().keys()
        if not symbols:
            symbols = _spoken(dims, name.lower())
        if not symbols:
            free = ", ".join(dims.all()) or "none"
            raise UsageError(f"--dim {name}={size}: no free dimension {name!r}; free are {free}")
        for symbol in symbols:
            if dims.sizes.setdefault(symbol, size) != size:
                raise UsageError(
                    f"--dim {name}={size}: --shape says {dims.sizes[symbol]}: give one"
                )


def _spoken(dims: _Dims, word: str) -> set[str]:
    """What "height", "width" and "batch" mean where the file has no such name."""
    if word == "batch":
        return set(dims.batch)
    places = {"height": 0, "h": 0, "width": 1, "w": 1}
    if word not in places:
        return set()
    axes = {name: plane[places[word]] for name, plane in dims.planes.items()}
    symbols = {dims.symbol(v, axes[v.name]) for v in dims.inputs if v.name in axes}
    return {symbol for symbol in symbols if symbol is not None}


def _image_axes(layout: str) -> tuple[int, int]:
    return (1, 2) if layout == "NHWC" else (2, 3)


def _is_single(view: GraphView, value: onnx.ValueInfoProto) -> bool:
    """Whether an input is one image, (C, H, W) or (H, W, C), which the graph itself makes a batch of."""
    return len(dims_of(value)) == 3 and _is_data(value) and makes_batch(view, value.name)


# ---- what a graph says of its inputs


def _is_plane(symbol: str) -> bool:
    return not symbol.endswith("]") and _PLANE.fullmatch(symbol) is not None


def _is_data(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.tensor_type.elem_type
    return len(dims_of(value)) > 1 and (kind in FLOATS or kind == ElementType.UINT8)


def _batch_symbols(dims: _Dims) -> set[str]:
    """The symbols that mean the batch, on one axis of an input at most.

    Names tell first, then recurrent layers, which have an axis for it; else it is the first dimension of the first
    data input.
    """
    ranked = [v for v in dims.inputs if dims_of(v)]
    ranked.sort(key=lambda value: not _is_data(value))  # stable: the first data input leads
    if not ranked:
        return set()
    symbols = [dims.symbols(value) for value in ranked]
    seen = [dims.seen[value.name] for value in ranked]
    named = {s for one in symbols for s in one if s is not None and _BATCH_NAMES.fullmatch(s)}
    if named:
        return _by_name(symbols, seen, named)
    lead = next((place for place, axis in enumerate(seen) if axis is not None), None)
    if lead is not None:
        return _by_layers(symbols, seen, lead)
    return _by_place(dims, ranked, symbols)


def _by_name(symbols: list[list[str | None]], seen: list[int | None], named: set[str]) -> set[str]:
    """The batch where names tell: dimensions without one are of as many, other names mean other things."""
    told = _likely(symbols, seen)
    others: set[str | None] = set()  # what stands beside the batch, such as the N of [batch, N, 3]
    for one, batch in zip(symbols, told, strict=True):
        mine = [s for s in one if s in named]
        others.update(s for s in mine if s != (batch if batch in mine else mine[0]))
    chosen: set[str] = set()
    for one, batch in zip(symbols, told, strict=True):
        mine = [s for s in one if s in named - others]
        if mine and mine[0] is not None:
            chosen.add(mine[0])
        elif batch is not None and _nameless(batch):
            chosen.add(batch)
    return chosen


def _likely(symbols: list[list[str | None]], seen: list[int | None]) -> list[str | None]:
    """By input where the batch stands most likely: where a layer has it, else first.

    Beside an input that a recurrent layer reads, one of a single free axis is a state, which has it there.
    """
    recurrent = any(axis is not None for axis in seen)
    told = []
    for one, axis in zip(symbols, seen, strict=True):
        free = [s for s in one if s is not None]
        state = free[0] if recurrent and axis is None and len(free) == 1 else None
        told.append(one[axis or 0] or state)
    return told


def _by_layers(symbols: list[list[str | None]], seen: list[int | None], lead: int) -> set[str]:
    """The batch where the input at place `lead` goes to a recurrent layer, and what is as many beside it."""
    batch = symbols[lead][seen[lead] or 0]
    if batch is None:
        return set()
    told = _likely(symbols, seen)
    return {batch, *(s for s in told if s is not None and _nameless(s))}


def _by_place(
    dims: _Dims, ranked: list[onnx.ValueInfoProto], symbols: list[list[str | None]]
) -> set[str]:
    """The batch where nothing but the order of dimensions tells."""
    firsts = [one[0] for one in symbols if one[0] is not None]
    lead = symbols[0][0]
    if lead is None or _is_plane(lead) or 0 in dims.planes.get(ranked[0].name, ()):
        return set()
    # A state [2, batch, H] that has no names either is of as many: there its only free dimension is meant.
    only = [free[0] for one in symbols if len(free := [s for s in one if s is not None]) == 1]
    states = [s for s in only if _nameless(s)]
    if _SEQUENCE.fullmatch(lead):  # steps first, then the batch
        second = symbols[0][1] if len(symbols[0]) == 3 and symbols[0][2] is None else None
        # By its name it is another thing, such as joints.
        if second is None or not _nameless(second):
            return set()
        seconds = {one[1] for one in symbols if len(one) > 2 and one[1] is not None}
        return {second, *states, *(s for s in seconds if _nameless(s))}
    states = states if _nameless(lead) else []
    return {lead, *(s for s in firsts if _nameless(s) or _nameless(lead)), *states}


def _nameless(symbol: str) -> bool:
    return symbol.endswith("]") or _INVENTED.fullmatch(symbol) is not None


def _layout(view: GraphView, value: onnx.ValueInfoProto, choice: InputChoice) -> str:
    if choice.layout is not None:
        _require_layout(view, value, choice.layout)
        return choice.layout
    if not _is_data(value):
        return ""
    sizes = [None if is_free(d) else int(d.dim_value) for d in dims_of(value)]
    return "NHWC" if is_channels_last(view, value.name, sizes) else "NCHW"


def _require_layout(view: GraphView, value: onnx.ValueInfoProto, layout: str) -> None:
    """Refuse a layout that the graph contradicts: a Conv takes its channels first, whatever was meant.

    Raises:
        UsageError: it does; names the node.
    """
    found, node = read_as(view, value.name)
    if node is None or node.op_type == "Transpose" or found == layout:
        return  # who turns the axes first may have any meaning of them
    raise UsageError(
        f"--layout {layout}: node {node_name(node)!r} ({node.op_type}) reads input {value.name!r} as {found}: "
        "leave --layout out, it is found from the graph"
    )


def _take_defaults(dims: _Dims, view: GraphView) -> list[Note]:
    taken: dict[str, int] = {}
    places = [
        (value, axis, symbol)
        for value in dims.inputs
        for axis, symbol in enumerate(dims.symbols(value))
        if symbol is not None
    ]
    # Stable: names that are made of others come behind these.
    for value, axis, symbol in sorted(places, key=lambda place: _is_made_of_others(place[2])):
        if symbol in dims.batch or symbol in dims.sizes or symbol in taken:
            continue
        size = IMAGE_PX if _is_plane(symbol) and _is_data(value) else 1
        if (computed := _computed(symbol, dims.batch, dims.sizes | taken)) is not None:
            size = computed
        elif (stated := stated_sizes(view, value.name, len(dims_of(value))).get(axis)) is not None:
            size = stated
        elif axis in dims.planes.get(value.name, ()):
            # A cache of keys or a mask has four dimensions too, and steps for one of them.
            may_be_steps = _SEQUENCE.fullmatch(symbol) or _looks_like_cache(dims, value)
            is_steps = may_be_steps and not is_convolved(view, value.name)
            size = 1 if is_steps else IMAGE_PX
        taken[symbol] = size
    dims.sizes |= taken
    if not taken:
        return []
    said = ", ".join(f"{symbol}={size}" for symbol, size in taken.items())
    return [
        Note("inputs", f"free in the file and taken as {said}", "give sizes with --shape or --dim")
    ]


def _looks_like_cache(dims: _Dims, value: onnx.ValueInfoProto) -> bool:
    """Whether an input is (batch, heads, steps, size) with heads and size fixed, and steps that have no name."""
    if len(dims_of(value)) != 4:
        return False
    _, heads, steps, size = dims.symbols(value)
    fixed = heads is None and size is None and steps is not None and _nameless(steps)
    return fixed and dims_of(value)[1].dim_value not in IMAGE_CHANNELS


def _is_made_of_others(symbol: str) -> bool:
    return any(sign in symbol for sign in "+-*/") and not _nameless(symbol)


def _computed(symbol: str, batch: set[str], sizes: Mapping[str, int]) -> int | None:
    """The size that a name such as "past + 1" states, for a batch of one; None where it states none."""

    def value(node: ast.AST) -> int | None:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name):
            return 1 if node.id in batch else sizes.get(node.id)
        operation = _OPERATIONS.get(type(node.op)) if isinstance(node, ast.BinOp) else None
        if operation is None or not isinstance(node, ast.BinOp):
            return None
        left, right = value(node.left), value(node.right)
        return None if left is None or right is None else operation(left, right)

    if len(symbol) > _LONGEST_SUM or not _is_made_of_others(symbol):
        return None
    try:
        size = value(ast.parse(symbol, mode="eval").body)
    except (ArithmeticError, RecursionError, SyntaxError, ValueError):
        return None
    return size if size is not None and 0 < size <= _LARGEST_SIZE else None


# ---- what is written


def _write(model: onnx.ModelProto, dims: _Dims) -> None:
    names = {str(s) for s in dims.batch if not _nameless(s)}
    batch = names.pop() if len(names) == 1 else BATCH
    if dims.batch and batch in dims.sizes:
        batch = "deploykit_batch"
    for value in dims.inputs:
        for axis, symbol in enumerate(dims.symbols(value)):
            if symbol is not None:
                _set(dims_of(value)[axis], batch if symbol in dims.batch else dims.sizes[symbol])
    for value in [*model.graph.output, *model.graph.value_info]:
        for dim in dims_of(value):
            name = str(dim.dim_param)
            if name in dims.batch:
                _set(dim, batch)
            elif name in dims.sizes:
                _set(dim, dims.sizes[name])
            elif dim.HasField("dim_value") and dim.dim_value < 0:
                dim.ClearField("dim_value")


def _set(dim: Any, size: int | str) -> None:
    dim.Clear()
    if isinstance(size, int):
        dim.dim_value = size
    else:
        dim.dim_param = size


def _write_values(
    model: onnx.ModelProto,
    inputs: list[onnx.ValueInfoProto],
    view: GraphView,
    choice: InputChoice,
    layouts: Mapping[str, str],
) -> None:
    """Put into the metadata how inputs are made up and laid out, where types and shapes do not say it."""
    given = {
        _named(inputs, name, "--input").name: parse_values(text, f"--input {name}=")
        for name, text in choice.values
    }
    known: dict[str, dict[str, str]] = {}
    images = fixed_images(view)
    for value in inputs:
        about: dict[str, str] = {}
        values = given.get(value.name) or _evident_values(view, value)
        if values:
            about["values"] = values
        if layouts.get(value.name) == "NHWC":
            about["layout"] = "NHWC"
        axis = batch_seen_on(view, value.name, len(dims_of(value)))
        if axis and not any(map(is_free, dims_of(value))):
            about["batch"] = str(axis)
        if value.name in images:
            about["images"] = str(images[value.name])
        if about:
            known[value.name] = about
            check_values(spec_of(value, about))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    before = dict(metadata)
    metadata.pop(INPUTS_KEY, None)
    if known:
        metadata[INPUTS_KEY] = json.dumps(known, sort_keys=True)
    if metadata != before:
        onnx.helper.set_model_props(model, metadata)


def _evident_values(view: GraphView, value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type.elem_type
    if kind != ElementType.STRING and not view.is_read(value.name):
        return "constant(0)"  # whatever it is: no data has to have it
    if kind in FLOATS or kind == ElementType.BOOL:
        return ""
    size = table_size(view, value.name)
    if size is not None:
        return f"tokens(0,{size})"
    if kind == ElementType.UINT8 and len(dims_of(value)) >= 3:
        return "range(0,255)"
    return _PIXELS.get(kind, "") if _takes_colours(view, value) else ""


def _takes_colours(view: GraphView, value: onnx.ValueInfoProto) -> bool:
    """Whether an input is convolved and has as many channels as colours, so that its whole numbers are pixels."""
    sizes = [int(dim.dim_value) for dim in dims_of(value)]
    if len(sizes) != 4 or not is_convolved(view, value.name):
        return False
    return sizes[3 if is_channels_last(view, value.name, sizes) else 1] in IMAGE_CHANNELS[1:]


# ---- what is read


def input_specs_of(model: onnx.ModelProto) -> list[TensorSpec]:
    """The inputs of a model, with what `take_inputs` wrote of them into its metadata."""
    stored = stored_inputs({entry.key: entry.value for entry in model.metadata_props})
    return [stored_about(spec_of(value), stored) for value in graph_inputs(model.graph)]


def spec_of(value: onnx.ValueInfoProto, about: Mapping[str, str] | None = None) -> TensorSpec:
    """Describe an input or output of a graph, with what is known of an input's values, layout and fixed batch."""
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type or ElementType.FLOAT)
    shape = tuple(
        (str(d.dim_param) or None) if is_free(d) else int(d.dim_value) for d in dims_of(value)
    )
    return TensorSpec(value.name, shape, dtype.name, **input_facts(about or {}))
