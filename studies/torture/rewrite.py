"""Mutations of a network's structure: the file stays a message, and what it says is wrong or asks for much."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper

from studies.torture.damage import EDGES

#: Numbers for dimensions, axes, pads and whatever else a graph counts by.
NUMBERS = (
    -(2**63), -(2**31), -1000, -7, -2, -1, 0, 1, 2, 3, 7, 64, 224, 4096, 65_536, 2**20, 2**28,
    2**31 - 1, 2**31, 2**32, 10**12, 2**62, 2**63 - 1,
)  # fmt: skip
OPERATORS = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Relu", "Softmax", "Reshape", "Transpose", "Concat",
    "Split", "Slice", "Gather", "Expand", "Tile", "Pad", "Resize", "ConstantOfShape", "Range",
    "NonZero", "TopK", "OneHot", "If", "Loop", "Scan", "LSTM", "GRU", "BatchNormalization",
    "LayerNormalization", "GroupNormalization", "InstanceNormalization", "QuantizeLinear",
    "DequantizeLinear", "Cast", "CastLike", "Einsum", "CumSum", "Unique", "Compress", "ScatterND",
    "SequenceConstruct", "SequenceAt", "SplitToSequence", "ConcatFromSequence", "Optional", "StringSplit",
    "DFT", "STFT", "MelWeightMatrix", "RandomNormal", "Multinomial", "Bernoulli", "Dropout", "Identity",
    "Constant", "Squeeze", "Unsqueeze", "Flatten", "Upsample", "MaxUnpool", "GridSample", "RoiAlign",
    "NonMaxSuppression", "QLinearConv", "MatMulInteger", "DynamicQuantizeLinear", "Attention", "NoSuch",
)  # fmt: skip
DOMAINS = (
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "com.microsoft",
    "here",
    "there",
    "ai.onnx.preview.training",
)
METADATA = (
    '{"name":"lenet5","alpha":1e308,"rho":"1"}', '{"name":null}', "[" * 5000, "{}", "null", '"', "1e999999",
    '{"name":"lenet5","alpha":1.0,"rho":"1/0"}', '{"name":"../x","alpha":NaN,"rho":"0","seed":"a"}',
    '{"name":"lenet5","alpha":1.0,"rho":"1","num_classes":10e30,"weights":"/dev/zero","seed":-1}',
    '{"precision":"int8","calibration":7,"kept":{"a":1}}', '{"int8_steps":[[[[]]]]}', "\x00", "9" * 10_000,
    '{"x":{"values":"file:/etc/passwd#0","layout":"NHWC"}}', '{"x":{"values":"range(1e400,0)"}}', '{"x":7}',
)  # fmt: skip
KEYS = (
    "deploykit.spec",
    "deploykit.recipe",
    "deploykit.inputs",
    "deploykit.verified",
    "pkg.torch.onnx",
    "",
)
LOCATIONS = (
    "", ".", "..", "../weights.bin", "/dev/zero", "/etc/passwd", "weights.bin\x00", "nowhere.bin", "x" * 5000,
    "model.onnx", "loop", "pipe", "folder", "out", "weights.bin/", "./weights.bin", "/proc/self/mem",
)  # fmt: skip


def _messages(message: Any) -> Iterator[Any]:
    """A message and all within it."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from _messages(inner)


def _of_type(model: onnx.ModelProto, kind: type, chance: random.Random) -> Any:
    """One message of a type that the model holds; None where there is none."""
    found = [message for message in _messages(model) if isinstance(message, kind)]
    return chance.choice(found) if found else None


def _graph(model: onnx.ModelProto, chance: random.Random) -> Any:
    return model.graph if chance.random() < 0.7 else _of_type(model, onnx.GraphProto, chance)


def _node(model: onnx.ModelProto, chance: random.Random) -> Any:
    return _of_type(model, onnx.NodeProto, chance)


def _any_field(model: onnx.ModelProto, chance: random.Random) -> None:
    """Give any field of any message another value of its type."""
    message = chance.choice(list(_messages(model)))
    field = chance.choice(message.DESCRIPTOR.fields)
    value = getattr(message, field.name)
    if hasattr(value, "append") or hasattr(value, "add"):
        if len(value) and chance.random() < 0.5:
            del value[chance.randrange(len(value))]
        elif field.type == field.TYPE_MESSAGE:
            if len(value) and chance.random() < 0.7:
                value.add().CopyFrom(chance.choice(list(value)))
            else:
                value.add()
        else:
            value.append(_scalar(field, chance))
    elif field.type == field.TYPE_MESSAGE:
        if chance.random() < 0.6:
            message.ClearField(field.name)
        else:
            value.SetInParent()
    else:
        setattr(message, field.name, _scalar(field, chance))


def _scalar(field: Any, chance: random.Random) -> Any:
    if field.type == field.TYPE_STRING:
        return chance.choice(
            ("", "x", "w1", "y", "\x1b[31mred", "[/red]", "ä" * 300, "a\nb", "../x", "batch")
        )
    if field.type == field.TYPE_BYTES:
        return chance.choice((b"", b"\xff" * 7, bytes(64), b"SAME_UPPER", b"NOTSET", b"\xff\xfe"))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return chance.choice((0.0, -1.0, 1e38, float("inf"), float("nan"), 1e-45))
    if field.type == field.TYPE_INT64:
        return chance.choice(NUMBERS)
    if field.type == field.TYPE_UINT64:
        return chance.choice(EDGES)
    if field.type == field.TYPE_ENUM:
        return chance.choice((0, 1, 2, 6, 7, 9, 16, 23, 99, 2**31 - 1, -1))
    return chance.choice([number for number in NUMBERS if -(2**31) <= number < 2**31])


def _dimension(model: onnx.ModelProto, chance: random.Random) -> None:
    dim = _of_type(model, onnx.TensorShapeProto.Dimension, chance)
    if dim is None:
        return
    if chance.random() < 0.3:
        dim.dim_param = chance.choice(("batch", "n", "", "?", "a+b", "x" * 300))
    else:
        dim.dim_value = chance.choice(NUMBERS)


def _stored(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change a stored tensor: its dimensions, its type, or what it holds."""
    tensor = _of_type(model, TensorProto, chance)
    if tensor is None:
        return
    kind = chance.randrange(6)
    if kind == 0 and tensor.dims:
        tensor.dims[chance.randrange(len(tensor.dims))] = chance.choice(NUMBERS)
    elif kind == 1:
        tensor.dims.append(chance.choice(NUMBERS))
    elif kind == 2:
        tensor.data_type = chance.choice((0, *range(1, 27), 99, -1))
    elif kind == 3:
        tensor.raw_data = chance.choice((b"", b"\x00" * 4, b"\xff" * 4096, tensor.raw_data[:-1]))
    elif kind == 4:
        tensor.float_data.append(float("nan"))
    elif tensor.raw_data:
        part = chance.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f"))
        tensor.raw_data = (
            part * (len(tensor.raw_data) // 4) + tensor.raw_data[: len(tensor.raw_data) % 4]
        )


def _count(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change a whole number that the graph is shaped by: a target, an axis, pads, times, trips."""
    found = [
        tensor
        for tensor in _messages(model)
        if isinstance(tensor, TensorProto) and len(tensor.int64_data)
    ]
    if found:
        values = chance.choice(found).int64_data
        values[chance.randrange(len(values))] = chance.choice(NUMBERS)


def _attribute(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    if node is None:
        return
    kind = chance.randrange(6)
    if not node.attribute or kind == 0:
        schema = None
        if onnx.defs.has(node.op_type):
            schema = onnx.defs.get_schema(node.op_type)
        name = chance.choice(sorted(schema.attributes)) if schema and schema.attributes else "axis"
        node.attribute.append(helper.make_attribute(name, chance.choice(NUMBERS)))
        return
    entry = chance.choice(node.attribute)
    if kind == 1:
        node.attribute.remove(entry)
    elif kind == 2:
        node.attribute.add().CopyFrom(entry)
    elif kind == 3:
        entry.type = chance.choice(range(15))
    elif entry.ints:
        if chance.random() < 0.3:
            entry.ints.append(chance.choice(NUMBERS))
        else:
            entry.ints[chance.randrange(len(entry.ints))] = chance.choice(NUMBERS)
    else:
        entry.i = chance.choice(NUMBERS)


def _operator(model: onnx.ModelProto, chance: random.Random) -> None:
    node = _node(model, chance)
    if node is not None:
        node.op_type = chance.choice(OPERATORS)
        if chance.random() < 0.15:
            node.domain = chance.choice(DOMAINS)


def _wiring(model: onnx.ModelProto, chance: random.Random) -> None:
    """Let a node read or make another tensor, fewer or more."""
    graph, node = _graph(model, chance), _node(model, chance)
    if graph is None or node is None:
        return
    names = [name for other in graph.node for name in (*other.input, *other.output)]
    names += ["", "x", "y", "nowhere", *(tensor.name for tensor in graph.initializer)]
    side = chance.choice((node.input, node.input, node.output))
    kind = chance.randrange(3)
    if kind == 0 or not side:
        side.append(chance.choice(names))
    elif kind == 1:
        del side[chance.randrange(len(side))]
    else:
        side[chance.randrange(len(side))] = chance.choice(names)


def _nodes(model: onnx.ModelProto, chance: random.Random) -> None:
    """Leave a node out, tell it twice, or turn the order round."""
    graph = _graph(model, chance)
    if graph is None or not graph.node:
        return
    kind = chance.randrange(4)
    if kind == 0:
        del graph.node[chance.randrange(len(graph.node))]
    elif kind == 1:
        graph.node.add().CopyFrom(chance.choice(graph.node))
    elif kind == 2:
        turned = list(graph.node)
        chance.shuffle(turned)
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in turned]
        del graph.node[:]
        graph.node.extend(copies)
    elif graph.initializer:
        del graph.initializer[chance.randrange(len(graph.initializer))]


def _growth(model: onnx.ModelProto, chance: random.Random) -> None:
    """Let a tensor grow: doubled many times, filled, tiled or expanded to sizes that no machine has."""
    graph = model.graph
    if not graph.node or not graph.output:
        return
    kind = chance.randrange(6)
    last = graph.output[0].name
    if kind == 0:
        times = chance.choice((5, 20, 30, 40, 62))
        for step in range(times):
            name = f"d{step}"
            graph.node.append(helper.make_node("Concat", [last, last], [name], axis=0))
            last = name
        graph.output[0].name = last
        return
    size = [chance.choice(NUMBERS[6:]) for _ in range(chance.randrange(1, 4))]
    graph.initializer.append(helper.make_tensor("grown_size", TensorProto.INT64, [len(size)], size))
    operator = ("ConstantOfShape", "Expand", "Tile", "RandomNormal", "Range")[kind - 1]
    if operator == "RandomNormal":
        node = helper.make_node(operator, [], ["grown"], shape=size)
    elif operator == "Range":
        values = [("from", 0), ("to", size[0]), ("by", chance.choice((1, 1, 0, -1)))]
        for name, value in values:
            graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [], [value]))
        node = helper.make_node(operator, [name for name, _ in values], ["grown"])
    else:
        node = helper.make_node(
            operator, ["grown_size"] if kind == 1 else [last, "grown_size"], ["grown"]
        )
    graph.node.append(node)
    if chance.random() < 0.7:
        graph.node.append(helper.make_node("ReduceSum", ["grown"], ["grown_sum"], keepdims=0))
        graph.output[0].name = "grown_sum"


def _nesting(model: onnx.ModelProto, chance: random.Random) -> None:
    """Put branches into branches, or let a Loop go on for ever."""
    graph = model.graph
    if not graph.output or not graph.node:
        return
    last = graph.output[0].name
    if chance.random() < 0.4:
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["c"], ["again"]),
                helper.make_node("Identity", ["s"], ["t"]),
            ],
            "forever",
            [
                helper.make_tensor_value_info("i", TensorProto.INT64, []),
                helper.make_tensor_value_info("c", TensorProto.BOOL, []),
                helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("again", TensorProto.BOOL, []),
                helper.make_tensor_value_info("t", TensorProto.FLOAT, None),
            ],
        )
        graph.initializer.append(helper.make_tensor("on", TensorProto.BOOL, [], [True]))
        trips = chance.choice((2**62, 2**31, 50_000, -1))
        graph.initializer.append(helper.make_tensor("trips_", TensorProto.INT64, [], [trips]))
        first = chance.choice(("trips_", ""))
        graph.node.append(helper.make_node("Loop", [first, "on", last], ["looped"], body=body))
        graph.output[0].name = "looped"
        return
    inner = helper.make_graph(
        [helper.make_node("Identity", [last], ["b0"])],
        "b0",
        [],
        [helper.make_tensor_value_info("b0", TensorProto.FLOAT, None)],
    )
    for depth in range(1, chance.choice((3, 20, 60, 90))):
        # With both branches each time, the file would double with each depth.
        both = {"then_branch": inner, "else_branch": inner} if depth < 4 else {"then_branch": inner}
        node = helper.make_node("If", ["on"], [f"b{depth}"], **both)
        inner = helper.make_graph(
            [node],
            f"b{depth}",
            [],
            [helper.make_tensor_value_info(f"b{depth}", TensorProto.FLOAT, None)],
        )
    graph.initializer.append(helper.make_tensor("on", TensorProto.BOOL, [], [True]))
    graph.node.append(
        helper.make_node("If", ["on"], ["nested"], then_branch=inner, else_branch=inner)
    )
    graph.output[0].name = "nested"


def _function(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change what functions are called and call: themselves, each other, nothing."""
    if not model.functions:
        _operator(model, chance)
        return
    function = chance.choice(model.functions)
    kind = chance.randrange(5)
    if kind == 0:
        node = chance.choice(function.node) if function.node else function.node.add()
        node.domain, node.op_type = function.domain, function.name
    elif kind == 1:
        function.domain = chance.choice(DOMAINS)
    elif kind == 2:
        function.name = chance.choice(("Relu", "Scaled", "", "Block"))
    elif kind == 3:
        del function.opset_import[:]
    else:
        model.functions.add().CopyFrom(function)


def _versions(model: onnx.ModelProto, chance: random.Random) -> None:
    kind = chance.randrange(4)
    if kind == 0:
        model.ir_version = chance.choice((0, 1, 3, 4, 9, 13, 99, 2**62, -1))
    elif kind == 1 and model.opset_import:
        model.opset_import[0].version = chance.choice(
            (0, 1, 5, 7, 9, 11, 13, 17, 21, 24, 99, 2**62, -1)
        )
    elif kind == 2:
        model.opset_import.append(
            helper.make_opsetid(chance.choice(DOMAINS), chance.choice((1, 20, 99)))
        )
    else:
        del model.opset_import[:]


def _metadata(model: onnx.ModelProto, chance: random.Random) -> None:
    model.metadata_props.add(key=chance.choice(KEYS), value=chance.choice(METADATA))


def _outside(model: onnx.ModelProto, chance: random.Random) -> None:
    """Let a tensor lie in another file, at a place and of a length that may not be."""
    tensor = _of_type(model, TensorProto, chance)
    if tensor is None:
        return
    if not tensor.external_data:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    else:
        del tensor.external_data[:]
    tensor.external_data.add(
        key="location", value=chance.choice((*LOCATIONS, "weights.bin", "weights.bin"))
    )
    for key in ("offset", "length"):
        if chance.random() < 0.6:
            tensor.external_data.add(
                key=key, value=str(chance.choice((*NUMBERS, "", "x", "1e3", "0x10")))
            )


def _sparse(model: onnx.ModelProto, chance: random.Random) -> None:
    """Store a tensor sparsely, with indices that may lie outside."""
    sparse = model.graph.sparse_initializer.add(
        dims=[chance.choice(NUMBERS), chance.choice((3, 4))]
    )
    sparse.values.CopyFrom(helper.make_tensor("sparse", TensorProto.FLOAT, [2], [1.0, 2.0]))
    indices = [chance.choice(NUMBERS), chance.choice((0, 1, 11))]
    sparse.indices.CopyFrom(helper.make_tensor("at", TensorProto.INT64, [2], indices))
    node = _node(model, chance)
    if node is not None and node.input:
        node.input[-1] = "sparse"


#: Kinds of mutation by name, and how often each comes.
KINDS: Mapping[str, tuple[Callable[[onnx.ModelProto, random.Random], None], int]] = {
    "any field": (_any_field, 6),
    "dimension": (_dimension, 4),
    "stored tensor": (_stored, 4),
    "count": (_count, 4),
    "attribute": (_attribute, 5),
    "operator": (_operator, 4),
    "wiring": (_wiring, 5),
    "nodes": (_nodes, 3),
    "growth": (_growth, 3),
    "nesting": (_nesting, 1),
    "function": (_function, 2),
    "versions": (_versions, 2),
    "metadata": (_metadata, 2),
    "outside": (_outside, 2),
    "sparse": (_sparse, 1),
}


def rewrite(model: onnx.ModelProto, chance: random.Random) -> str:
    """Mutate a model once, in place; the name of what was done."""
    (kind,) = chance.choices(list(KINDS), [weight for _, weight in KINDS.values()])
    KINDS[kind][0](model, chance)
    return kind
