"""Scales, zero points and QuantizeLinear/DequantizeLinear pairs: the arithmetic of 8-bit graphs.

real = scale * (stored - zero_point), as ONNX defines it. Ranges always contain zero, so that zero (padding,
ReLU's floor) is represented exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploykit.graph.edit import GraphEditor
from deploykit.graph.element_types import ElementType
from deploykit.lazy import np

#: The scale of a tensor that was zero over all calibration images, or of a channel whose weights are all
#: zero, which have no range of their own.
EMPTY_SCALE = 2.0**-20

#: The smallest scale that is written otherwise: runtimes multiply two of them, which must stay a normal float32.
SMALLEST_SCALE = 2.0**-60

#: int32 accumulators hold the bias in steps of input scale times weight scale; some room is left for sums.
_BIAS_LIMIT = 2.0**30

#: The steps of two weights together that times 255 fit int16.
PAIR_STEPS = 128


@dataclass(frozen=True)
class Quantiser:
    """How one tensor is stored: scale, zero point and ONNX's element type of the stored values."""

    scale: float
    zero_point: int
    data_type: int


def scale_of(step: float) -> float:
    """A step between stored values as it is written, also where it is zero."""
    return max(step, SMALLEST_SCALE) if step > 0.0 else EMPTY_SCALE


def asymmetric_u8(low: float, high: float) -> Quantiser:
    """uint8 over [low, high], widened to contain zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(scale_of((high - low) / 255.0))
    # Rounded up, the top value would lie above a Clip's bound, which then could not be left out.
    if low == 0.0 and float(scale) * 255.0 > high and float(scale) > SMALLEST_SCALE:
        scale = np.nextafter(scale, np.float32(0))
    zero_point = int(np.clip(np.rint(-low / float(scale)), 0, 255))
    return Quantiser(float(scale), zero_point, ElementType.UINT8)


def symmetric_s8(low: float, high: float) -> Quantiser:
    """int8 with zero point 0 over [-m, m], m the larger of |low| and |high|."""
    scale = np.float32(scale_of(max(abs(low), abs(high)) / 127.0))
    return Quantiser(float(scale), 0, ElementType.INT8)


def channel_scales(weight: np.ndarray, axis: int | None, largest: float) -> np.ndarray:
    """One float32 scale per channel of a weight, or one for all: its largest value is stored as `largest`."""
    others = tuple(a for a in range(weight.ndim) if a != axis)
    peak = np.max(np.abs(weight), axis=others, initial=0.0).astype(np.float64)
    scales = np.where(peak > 0.0, np.maximum(peak / largest, SMALLEST_SCALE), EMPTY_SCALE)
    return np.asarray(scales, dtype=np.float32)


def scales_with_room(scales: np.ndarray, bias: np.ndarray | None, input_scale: float) -> np.ndarray:
    """Weight scales raised where the bias, in steps of input scale times weight scale, overflows int32."""
    if bias is None:
        return scales
    least = np.abs(bias.astype(np.float64)) / (float(input_scale) * _BIAS_LIMIT)
    return np.asarray(np.maximum(scales, least), dtype=np.float32)


def scales_of_pairs(scales: np.ndarray, weight: np.ndarray, axis: int | None) -> np.ndarray:
    """Weight scales raised where two products that are added first, each by up to 255, would not fit int16.

    Kernels add products of neighbours along what is summed over, a convolution's with the channels next to each
    other or the window's values; which of them make a pair depends on the place where a kernel starts.
    """
    if axis is None:  # matrices, rows times columns
        rows = np.moveaxis(weight, -2, -1)
        orders = [rows.reshape(1, -1, rows.shape[-1])]
    else:
        first = np.moveaxis(weight, axis, 0)
        channels = len(first)
        orders = [first.reshape(channels, 1, -1)]
        if first.ndim > 2:
            orders.append(np.moveaxis(first, 1, -1).reshape(channels, 1, -1))
    largest = np.zeros(scales.shape, np.float64)
    for values in orders:
        for sign in (1.0, -1.0):
            one = np.maximum(values * sign, 0.0).astype(np.float64)
            pairs = one[..., 1:] + one[..., :-1]
            largest = np.maximum(largest, pairs.max(axis=(1, 2), initial=0.0).reshape(scales.shape))
    # Rounding may add half a step to each.
    return np.asarray(np.maximum(scales, largest / (PAIR_STEPS - 1.0)), np.float32)


def along(scales: np.ndarray, axis: int | None, rank: int) -> np.ndarray:
    """Scales in the shape in which they meet a weight of that rank: one per channel of `axis`, or one for all."""
    return scales if axis is None else scales.reshape([-1 if a == axis else 1 for a in range(rank)])


def quantise_s8(weight: np.ndarray, scales: np.ndarray, axis: int | None) -> np.ndarray:
    """A weight in int8 steps of its scales, symmetric in [-127, 127]."""
    steps = np.rint(weight / along(scales, axis, weight.ndim))
    return np.asarray(np.clip(steps, -127, 127).astype(np.int8))


class QdqWriter:
    """Puts pairs of QuantizeLinear and DequantizeLinear into a graph, one pair per tensor."""

    def __init__(self, editor: GraphEditor) -> None:
        self.editor = editor
        self._weights: dict[tuple[str, int | None, bytes], str] = {}

    def parameters(
        self, base: str, scale: float, zero_point: int, data_type: int
    ) -> tuple[str, str]:
        """Store one scale and zero point; returns their names."""
        kinds: dict[int, type[np.generic]] = {
            ElementType.UINT8: np.uint8,
            ElementType.INT8: np.int8,
        }
        scale_name = self.editor.add_initializer(f"{base}_scale", np.asarray(scale, np.float32))
        if data_type in kinds:
            zero = self.editor.add_initializer(
                f"{base}_zero_point", np.asarray(zero_point, dtype=kinds[data_type])
            )
        else:
            zero = self.editor.add_initializer(
                f"{base}_zero_point", np.zeros((), np.uint8), data_type
            )
        return scale_name, zero

    def pair(self, tensor: str, quantiser: Quantiser, readers: Sequence[object] | None) -> None:
        """Let `readers` of a tensor (all, and the graph's output, when None) read it quantised."""
        editor = self.editor
        source = tensor
        is_output = readers is None and tensor in editor.outputs
        if readers is None:
            chosen = [node for node, _ in editor.consumers(tensor)]
        else:
            wanted = {id(node) for node in readers}
            chosen = [node for node, _ in editor.consumers(tensor) if id(node) in wanted]
        if is_output:
            producer = editor.producer(tensor)
            assert producer is not None, (
                "a graph's input that is its output has no producer to quantise"
            )
            source = editor.rename_output(producer, tensor, f"{tensor}_float")
        scale, zero = self.parameters(
            tensor, quantiser.scale, quantiser.zero_point, quantiser.data_type
        )
        stored = editor.add_node(
            "QuantizeLinear", [source, scale, zero], f"{tensor}_quantized",
            name=f"{tensor}_QuantizeLinear",
        )  # fmt: skip
        restored = editor.add_node(
            "DequantizeLinear", [stored, scale, zero],
            tensor if is_output else f"{tensor}_dequantized",
            name=f"{tensor}_DequantizeLinear", exact_output=is_output,
        )  # fmt: skip
        if not is_output:
            editor.redirect(tensor, restored, chosen)
            if readers is None:
                editor.redirect_in_bodies(tensor, restored)

    def constant(self, name: str, value: np.ndarray, quantiser: Quantiser) -> str:
        """Store a constant operand quantised with one scale; returns its dequantised name."""
        kind = np.uint8 if quantiser.data_type == ElementType.UINT8 else np.int8
        info = np.iinfo(kind)
        steps = np.rint(value / quantiser.scale) + quantiser.zero_point
        stored = self.editor.add_initializer(
            f"{name}_quantized", np.clip(steps, info.min, info.max).astype(kind)
        )
        scale, zero = self.parameters(
            name, quantiser.scale, quantiser.zero_point, quantiser.data_type
        )
        return self.editor.add_node(
            "DequantizeLinear", [stored, scale, zero], f"{name}_dequantized",
            name=f"{name}_DequantizeLinear",
        )  # fmt: skip

    def weight(
        self,
        name: str,
        value: np.ndarray,
        axis: int | None,
        scales: np.ndarray,
        steps: np.ndarray | None = None,
    ) -> str:
        """Store a weight as int8 with a scale per channel of `axis`, or one; returns its dequantised name.

        `steps` are its values in int8, where they are not the nearest ones.
        """
        key = (name, axis, scales.tobytes())
        if key not in self._weights:
            values = quantise_s8(value, scales, axis) if steps is None else steps
            stored = self.editor.add_initializer(f"{name}_quantized", values)
            scale = self.editor.add_initializer(f"{name}_scale", scales)
            zero = self.editor.add_initializer(
                f"{name}_zero_point", np.zeros(scales.shape, np.int8)
            )
            self._weights[key] = self.editor.add_node(
                "DequantizeLinear", [stored, scale, zero], f"{name}_dequantized",
                name=f"{name}_DequantizeLinear", axis=1 if axis is None else axis,
            )  # fmt: skip
        return self._weights[key]

    def weight_e4m3(
        self, name: str, stored: np.ndarray, axis: int | None, scales: np.ndarray
    ) -> str:
        """Store a weight that is in E4M3 already, a scale per channel, or one; returns its dequantised name."""
        key = (name, axis, scales.tobytes())
        if key not in self._weights:
            kind = ElementType.FLOAT8E4M3FN
            values = self.editor.add_initializer(f"{name}_quantized", stored, kind)
            scale = self.editor.add_initializer(f"{name}_scale", scales)
            zeros = np.zeros(scales.shape, np.uint8)
            zero = self.editor.add_initializer(f"{name}_zero_point", zeros, kind)
            self._weights[key] = self.editor.add_node(
                "DequantizeLinear", [values, scale, zero], f"{name}_dequantized",
                name=f"{name}_DequantizeLinear", axis=1 if axis is None else axis,
            )  # fmt: skip
        return self._weights[key]

    def bias(self, name: str, value: np.ndarray, scales: np.ndarray) -> str:
        """Store a bias as int32 in steps of `scales` (one per channel); returns its dequantised name."""
        limit = 2**31 - 1
        steps = np.rint(value.astype(np.float64) / scales.astype(np.float64))
        stored = self.editor.add_initializer(
            f"{name}_quantized", np.clip(steps, -limit, limit).astype(np.int32)
        )
        scale = self.editor.add_initializer(f"{name}_scale", scales.astype(np.float32))
        zero = self.editor.add_initializer(f"{name}_zero_point", np.zeros(scales.shape, np.int32))
        return self.editor.add_node(
            "DequantizeLinear", [stored, scale, zero], f"{name}_dequantized",
            name=f"{name}_DequantizeLinear", axis=0,
        )  # fmt: skip
