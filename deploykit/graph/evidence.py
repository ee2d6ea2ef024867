"""What tells of an input where the file does not: the nodes that read it, and a trial run.

Nodes tell an image's channels and their place, and the table that whole numbers look up in. A file may declare a
batch free that a Reshape inside fixes, and sizes may be taken that do not fit each other: that shows in a run only.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploykit.errors import DeploykitError, InvalidModel, one_line
from deploykit.graph.nodes import attribute, opset
from deploykit.graph.operators import Kind, operator_of
from deploykit.graph.values import make_values
from deploykit.graph.view import GraphView
from deploykit.lazy import np, onnx, ort
from deploykit.ort_session import input_specs, installed_version, open_session, session_options

#: Operators through which an image stays the image, its dimensions in their order.
_PASSING = frozenset(
    {"Identity", "Cast", "Add", "Sub", "Mul", "Div", "Clip", "Relu", "QuantizeLinear", "DequantizeLinear",
     "BatchNormalization", "Pad", "Neg"}
)  # fmt: skip
#: Further ones that stand before the first convolution of a network for sound or images.
_PREPARING = frozenset(
    """Abs Concat Exp InstanceNormalization LayerNormalization Log Max Min Pow Resize Slice Sqrt Transpose
    Where""".split()
)
_OVER_PLANES = frozenset({"AveragePool", "Conv", "ConvInteger", "MaxPool", "QLinearConv"})
#: Operators through which whole numbers stay the same numbers, whatever their shape.
_SAME_NUMBERS = frozenset(
    {"Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Transpose"}
)
_STEPS = 12
#: Operators whose output has the axes of what they read, in their order, whatever becomes of their sizes.
_SAME_AXES = _PASSING | {"Dropout", "LayerNormalization", "MatMul", "Sigmoid", "Slice", "Tanh"}
#: Those of them through which its channels or features stay too; what is padded are planes and steps.
_SAME_SIZES = _SAME_AXES - {"MatMul", "Slice"}
#: The opset from which on a Scan has no axis for a batch of its own.
_SCAN_WITHOUT_BATCH = 9
#: Tensors that are looked at on the way from an input to a layer that has a batch, at most.
_FOLLOWED = 50
#: Of images: gray, colour, colour with opacity.
IMAGE_CHANNELS = (1, 3, 4)


def readers_behind(
    view: GraphView, name: str, passing: frozenset[str]
) -> Iterator[tuple[onnx.NodeProto, int]]:
    """Yield the nodes that read a tensor, also behind nodes of the types `passing`, with the place of it."""
    waiting, seen = [(name, 0)], {name}
    while waiting:
        tensor, depth = waiting.pop()
        for node, slot in view.consumers(tensor):
            if node.op_type in passing and depth < _STEPS and node.output:
                if node.output[0] not in seen:
                    seen.add(node.output[0])
                    waiting.append((node.output[0], depth + 1))
            else:
                yield node, slot


def read_as(view: GraphView, name: str) -> tuple[str, onnx.NodeProto | None]:
    """The layout in which a node takes a 4-D input, and that node; "" and None where none tells."""
    for node, slot in readers_behind(view, name, _PASSING):
        if node.op_type == "Transpose":
            perm = list(attribute(node, "perm", ()))
            return ("NHWC" if perm == [0, 3, 1, 2] else "NCHW"), node
        if node.op_type in ("Conv", "ConvInteger", "QLinearConv") and slot == 0:
            return "NCHW", node
    return "", None


def is_convolved(view: GraphView, name: str) -> bool:
    """Whether a convolution or a pool reads a 4-D input, be it behind what makes a spectrogram of it."""
    behind = readers_behind(view, name, _PASSING | _PREPARING)
    return any(node.op_type in _OVER_PLANES and not slot for node, slot in behind)


def is_channels_last(view: GraphView, name: str, sizes: Sequence[int | None]) -> bool:
    """Whether a 4-D input takes images with their channels last, by the nodes behind it, else by its sizes."""
    layout, _ = read_as(view, name)
    if layout:
        return layout == "NHWC"
    return sizes[3] in IMAGE_CHANNELS and sizes[1] not in IMAGE_CHANNELS


def stated_sizes(view: GraphView, name: str, rank: int) -> dict[int, int]:
    """Sizes of an input by axis, as far as fixed weights that it meets state them: its channels or features."""
    stated: dict[int, int] = {}
    for node, slot, axes in _readers_of_axes(view, name, rank, _SAME_SIZES):
        weight = _dims(view, node.input[1]) if not slot and len(node.input) > 1 else None
        if weight is None or len(weight) < 2:
            continue
        if node.op_type in ("GRU", "LSTM", "RNN") and len(weight) == len(axes):
            axis, size = axes[-1], weight[-1]
        elif node.op_type == "Conv" and len(weight) == len(axes):
            axis, size = axes[1], weight[1] * int(attribute(node, "group", 1))
        elif node.op_type == "ConvTranspose" and len(weight) == len(axes):
            axis, size = axes[1], weight[0]
        elif node.op_type == "MatMul":
            axis, size = axes[-1], weight[-2]
        elif node.op_type == "Gemm" and not attribute(node, "transA", 0):
            axis, size = axes[-1], weight[1 if attribute(node, "transB", 0) else 0]
        else:
            continue
        if size > 0:
            stated.setdefault(axis, size)
    return stated


def makes_batch(view: GraphView, name: str) -> bool:
    """Whether an input of three dimensions gets a first one of size 1: it is one image, without a batch."""
    for node, slot in readers_behind(view, name, _PASSING | {"Transpose"}):
        if node.op_type != "Unsqueeze" or slot:
            continue
        axes = attribute(node, "axes")
        if axes is None and len(node.input) > 1:
            axes = view.constant(node.input[1])
        if axes is not None and [int(axis) for axis in axes] in ([0], [-4]):
            return True
    return False


def batch_seen_on(view: GraphView, name: str, rank: int) -> int | None:
    """The axis of an input that is the batch of a recurrent layer, which has one of its own; None where none tells.

    Sequences and states come to such a layer as (steps, batch, features) and (directions, batch, features), and
    sequences so to a Scan, which is how others write one.
    """
    for node, slot, axes in _readers_of_axes(view, name, rank):
        operator = operator_of(node)
        if len(axes) != 3:
            continue
        if operator is not None and operator.kind is Kind.RECURRENT:
            if slot in (0, 5, 6):
                return axes[0 if attribute(node, "layout", 0) else 1]
        elif node.op_type == "Scan" and _steps_first(view, node, slot):
            return axes[1]
    return None


def images_seen_on(view: GraphView, name: str, rank: int) -> int | None:
    """The axis of an input that a convolution or a pool has for its batch; None where none tells."""
    for node, slot, axes in _readers_of_axes(view, name, rank):
        operator = operator_of(node)
        over_planes = operator is not None and operator.kind in (Kind.CONVOLUTION, Kind.POOLING)
        if over_planes and not slot and len(axes) > 2:
            return axes[0]
    return None


def fixed_images(view: GraphView) -> dict[str, int]:
    """The axis of a fixed batch by input, where convolutions tell it and the places of it alone would not.

    Images are convolved one by one. That a run takes several of them, and not the frames or cut-outs of one, an
    output shows: it has as many entries on an axis, or a multiple of that where those of all stand one after the
    other. Empty where nothing tells, or where inputs and an output begin with the batch anyway.
    """
    shapes = {value.name: _sizes(value) for value in view.inputs}
    made = [_sizes(value) for value in view.graph.output]
    if not all(size > 0 for shape in shapes.values() for size in shape):
        return {}
    seen = {name: images_seen_on(view, name, len(shape)) for name, shape in shapes.items()}
    axes = {name: axis for name, axis in seen.items() if axis is not None}
    counts = {shapes[name][axis] for name, axis in axes.items()}
    # One image beside several is a template; alone it tells where it does not stand first, as behind its steps.
    counts = counts - {1} or {size for size in counts if any(axes.values())}
    if len(counts) != 1:
        return {}
    batch = counts.pop()
    begins = all(shape[0] == batch for shape in shapes.values() if len(shape) > 1)
    if begins and any(shape[:1] == [batch] for shape in made):
        return {}
    if not any(_shows(batch, shape) for shape in made):
        return {}
    return {name: axis for name, axis in axes.items() if shapes[name][axis] == batch}


def _shows(batch: int, shape: Sequence[int]) -> bool:
    """Whether an output has entries for as many images; one that begins with 1 has them for one."""
    if len(shape) < 2 or shape[0] == 1:
        return False
    # The last axis has what there is of each entry, such as the four sides of a box.
    return batch in shape[:-1] or (shape[0] > 0 and shape[0] % batch == 0)


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    """The sizes that a file states of an input or output, 0 for one that it leaves open."""
    return [max(0, int(dim.dim_value)) for dim in value.type.tensor_type.shape.dim]


def _readers_of_axes(
    view: GraphView, name: str, rank: int, passing: frozenset[str] = _SAME_AXES
) -> Iterator[tuple[onnx.NodeProto, int, list[int]]]:
    """Yield the nodes that read an input, also behind those of the types `passing` and those that turn its axes.

    With each come the place at which it reads, and the axes of the input that it finds there, in their order.
    """
    waiting, seen = [(name, list(range(rank)))], {name}
    while waiting and len(seen) < _FOLLOWED:
        tensor, axes = waiting.pop(0)
        for node, slot in view.consumers(tensor):
            yield node, slot, axes
            if not node.output or node.output[0] in seen:
                continue
            if node.op_type == "Transpose":
                turned = list(attribute(node, "perm", ()))
                if len(turned) == len(axes):
                    seen.add(node.output[0])
                    waiting.append((node.output[0], [axes[one] for one in turned]))
            elif node.op_type in passing and _keeps_axes(view, node, slot, rank):
                seen.add(node.output[0])
                waiting.append((node.output[0], axes))


def _steps_first(view: GraphView, node: onnx.NodeProto, slot: int) -> bool:
    """Whether what a Scan reads at a slot is a sequence whose steps it takes along the first axis."""
    scanned = int(attribute(node, "num_scan_inputs", 0))
    place = slot - len(node.input) + scanned
    # Without a state it is no recurrent layer: what it goes along may be images.
    if opset(view.model) < _SCAN_WITHOUT_BATCH or place < 0 or scanned == len(node.input):
        return False
    stated = list(attribute(node, "scan_input_axes", ()))
    return place >= len(stated) or stated[place] in (0, -3)


def _keeps_axes(view: GraphView, node: onnx.NodeProto, slot: int, rank: int) -> bool:
    """Whether what a node of `_SAME_AXES` makes has the axes of what it reads at `slot`."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div", "MatMul"):
        return slot == 0
    if node.op_type == "MatMul" and slot == 1:
        return False
    other = _dims(view, node.input[1 - slot])
    return other is not None and len(other) <= rank


def table_size(view: GraphView, name: str) -> int | None:
    """Rows of the smallest fixed table that an input of whole numbers looks up in; None where there is none."""
    sizes: list[int] = []
    for node, slot in readers_behind(view, name, _SAME_NUMBERS):
        if node.op_type == "EmbedLayerNormalization" and slot < 2:
            place = 4 if slot else 2  # of what follows a token and a segment
            table = _dims(view, node.input[place]) if place < len(node.input) else None
            sizes += table[:1] if table is not None else ()
        elif node.op_type in ("Gather", "GatherBlockQuantized") and slot == 1:
            name_of_axis = "axis" if node.op_type == "Gather" else "gather_axis"
            table, axis = _dims(view, node.input[0]), int(attribute(node, name_of_axis, 0))
            if table is not None and -len(table) <= axis < len(table):
                sizes.append(table[axis])
    return min((size for size in sizes if size > 0), default=None)


def _dims(view: GraphView, name: str) -> tuple[int, ...] | None:
    """The dimensions of a fixed tensor, also behind a change of its type."""
    for _ in range(_STEPS):
        tensor = view.initializer(name)
        if tensor is not None:
            return tuple(tensor.dims)
        node = view.producer(name)
        if node is None:
            return None
        if node.op_type == "Constant":
            value = attribute(node, "value")
            return None if value is None else tuple(value.dims)
        if node.op_type not in ("Identity", "Cast", "DequantizeLinear"):
            return None
        name = node.input[0]
    return None


#: Shapes of tensors by name.
Shapes = dict[str, tuple[int, ...]]


#: Seconds that a trial run may take: a Loop whose end depends on values may have none on made-up ones.
TRIAL_LIMIT_S = 15.0


def runs_at(
    model: Path, batches: Sequence[int], limit_s: float | None = None
) -> list[str | Shapes] | None:
    """Run a graph once at each of `batches`, on made-up inputs, its optimisations switched off.

    Returns:
        For each batch the shapes of its outputs by name, or what the runtime has against it, in one line; None
        where there is no runtime to ask, or a run was not done after `limit_s` seconds (else `TRIAL_LIMIT_S`),
        which tells nothing.
    """
    if installed_version() is None:
        return None
    try:
        session = open_session(model, session_options(optimise=False), InvalidModel)
    except InvalidModel as error:
        return [str(error)] * len(batches)
    specs = input_specs(session)
    names = [value.name for value in session.get_outputs()]
    said: list[str | Shapes] = []
    for batch in batches:
        generator = np.random.default_rng(0)
        feeds = {spec.name: make_values(spec, batch, generator) for spec in specs}
        try:
            outputs = run_within(session, names, feeds, limit_s)
        except (
            Exception
        ) as error:  # ONNX Runtime has a class per status code, without a common base
            said.append(one_line(error))
            continue
        if outputs is None:
            return None
        said.append({n: np.shape(v) for n, v in zip(names, outputs, strict=True)})
    return said


@contextlib.contextmanager
def blaming(model: Path, refused: Callable[[str], DeploykitError]) -> Iterator[None]:
    """Let an error that nobody foresaw be the file's where the runtime does not take the file either.

    What works on graphs relies on much that only a runtime checks, which not every file is given to before.

    Args:
        model: the file that is worked on.
        refused: makes the error from the runtime's reason, one line.
    """
    try:
        yield
    except (DeploykitError, OSError, MemoryError):
        raise
    except Exception as error:
        if installed_version() is None:
            raise
        try:
            open_session(model, session_options(optimise=False), InvalidModel)
        except InvalidModel as reason:
            raise refused(f"ONNX Runtime refuses the graph: {reason}; export it again") from error
        raise


def run_within(
    session: Any, names: Sequence[str], feeds: Mapping[str, Any], limit_s: float | None = None
) -> list[Any] | None:
    """The named outputs of a session of ONNX Runtime; None where it was not done after `limit_s` seconds.

    Args:
        session: of `ort_session`.
        names: of outputs.
        feeds: arrays by input.
        limit_s: None is `TRIAL_LIMIT_S`.

    Raises:
        Exception: whatever the runtime raises.
    """
    options = ort.RunOptions()
    late = threading.Timer(TRIAL_LIMIT_S if limit_s is None else limit_s, _end, (options,))
    late.start()
    try:
        return list(session.run(list(names), dict(feeds), options))
    except Exception:
        if options.terminate:
            return None
        raise
    finally:
        late.cancel()


def _end(options: ort.RunOptions) -> None:
    """Let the run that has these options end before its next node."""
    options.terminate = True
