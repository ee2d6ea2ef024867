"""What a transposed convolution cuts off: its padding as numbers, which runtimes read alike.

Where the padding is only said by the size that the output is to have, or by the word SAME, they don't.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploykit.graph.nodes import attribute, is_standard
from deploykit.graph.view import GraphView, views_below
from deploykit.lazy import onnx


def padding_of(
    node: onnx.NodeProto,
    kernel: Sequence[int],
    strides: Sequence[int],
    size: Sequence[int] | None,
    *,
    longer: bool = False,
) -> tuple[list[int], list[int]] | None:
    """What a transposed convolution cuts off at the begin and the end of each axis, and adds at the end.

    Args:
        node: the ConvTranspose.
        kernel: sizes of its window, gaps between its values included.
        strides: along each axis.
        size: of the data along each axis; None where it is not known.
        longer: whether what an output has more than the window reaches is added at the end, as ONNX Runtime does.

    Returns:
        The pads, begins first, and the padding of the output; None where they depend on what is not known.
    """
    dims = len(kernel)
    more = [int(p) for p in attribute(node, "output_padding", [0] * dims)]
    said = attribute(node, "auto_pad", b"NOTSET")
    mode = said.decode() if isinstance(said, bytes) else said
    wanted = attribute(node, "output_shape")
    if wanted is not None:
        if size is None or len(wanted) < dims:
            return None
        sizes = [int(n) for n in wanted][-dims:]
        over = [
            s * (n - 1) + extra + k - out
            for s, n, extra, k, out in zip(strides, size, more, kernel, sizes, strict=True)
        ]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        over = [k + extra - s for k, extra, s in zip(kernel, more, strides, strict=True)]
    elif mode == "VALID":
        return [0] * 2 * dims, more
    else:
        return [int(p) for p in attribute(node, "pads", [0] * 2 * dims)], more
    if longer:
        more = [extra + max(0, -n) for extra, n in zip(more, over, strict=True)]
        over = [max(0, n) for n in over]
    if min(over) < 0:  # runtimes don't agree on what more there is
        return None
    # The odd one is cut off at the begin, unless more is to stand above.
    begins = [n // 2 if mode == "SAME_UPPER" else n - n // 2 for n in over]
    ends = [n - begin for n, begin in zip(over, begins, strict=True)]
    return [*begins, *ends], more


def write_out_padding(model: onnx.ModelProto) -> int:
    """Write the padding of transposed convolutions as numbers, in place, where it is said otherwise and known.

    Returns:
        How many were changed.
    """
    changed = 0
    for view in views_below(GraphView(model)):
        for node in view.nodes:
            if node.op_type == "ConvTranspose" and is_standard(node):
                changed += _write_out(view, node)
    return changed


def _write_out(view: GraphView, node: onnx.NodeProto) -> bool:
    said = attribute(node, "auto_pad", b"NOTSET")
    shaped = attribute(node, "output_shape") is not None
    if not shaped and said in (b"NOTSET", b"VALID", "NOTSET", "VALID"):
        return False
    weight = view.initializer(node.input[1])
    kernel = list(attribute(node, "kernel_shape", weight.dims[2:] if weight else ()))
    if not kernel:
        return False
    dilations = attribute(node, "dilations", [1] * len(kernel))
    strides = list(attribute(node, "strides", [1] * len(kernel)))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    data = view.shape(node.input[0]) if shaped and view.outer is None else None
    size = data[2:] if data is not None and len(data) == len(kernel) + 2 else None
    found = padding_of(node, spans, strides, size, longer=shaped)
    if found is None:
        return False
    pads, more = found
    kept = [a for a in node.attribute if a.name not in _REPLACED]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.append(onnx.helper.make_attribute("pads", pads))
    if any(more):
        node.attribute.append(onnx.helper.make_attribute("output_padding", more))
    return True


#: Attributes that say how much is cut off, in one way or another.
_REPLACED = frozenset({"auto_pad", "output_padding", "output_shape", "pads"})
