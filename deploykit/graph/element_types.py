"""ONNX's element types by number, their short names and sizes, without importing ONNX.

The numbers are part of the file format (`TensorProto.DataType`), so that modules can name types in constants
and still start without the package.
"""

from __future__ import annotations

import math
from enum import IntEnum
from functools import cache

from deploykit.lazy import onnx


class ElementType(IntEnum):
    """The types of `TensorProto.DataType` that this package names."""

    UNDEFINED = 0
    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    DOUBLE = 11
    BFLOAT16 = 16
    FLOAT8E4M3FN = 17
    UINT4 = 21
    INT4 = 22


#: Types of real numbers that values are computed in.
FLOATS = frozenset(
    {ElementType.FLOAT, ElementType.FLOAT16, ElementType.BFLOAT16, ElementType.DOUBLE}
)

_SHORT_NAMES: dict[int, str] = {
    ElementType.FLOAT: "fp32",
    ElementType.FLOAT16: "fp16",
    ElementType.BFLOAT16: "bf16",
    ElementType.DOUBLE: "fp64",
    ElementType.INT8: "int8",
    ElementType.UINT8: "int8",
    ElementType.INT16: "int16",
    ElementType.UINT16: "int16",
    ElementType.INT4: "int4",
    ElementType.UINT4: "int4",
}


def type_name(element_type: int) -> str:
    """Give the short name of an ONNX element type: "fp16", "int8"; any FP8 is "fp8"."""
    if element_type in _SHORT_NAMES:
        return _SHORT_NAMES[element_type]
    name = onnx_name(element_type).lower()
    return "fp8" if name.startswith("float8") else name


def onnx_name(element_type: int) -> str:
    """Give ONNX's own name of an element type, such as "FLOAT16"."""
    return str(onnx.TensorProto.DataType.Name(element_type))  # type: ignore[arg-type, unused-ignore]


@cache
def element_bits(element_type: int) -> int:
    """Give the size of one value of an ONNX type in bits; 0 where it has none (strings)."""
    name = onnx_name(element_type)
    for suffix, bits in (("INT4", 4), ("FLOAT4E2M1", 4), ("INT2", 2)):
        if name.endswith(suffix):
            return bits
    if element_type in (ElementType.STRING, ElementType.UNDEFINED):
        return 0
    return int(onnx.helper.tensor_dtype_to_np_dtype(element_type).itemsize) * 8


def tensor_bytes(elements: int, element_type: int) -> int:
    """Give the size of a tensor of that many values in bytes."""
    return math.ceil(elements * element_bits(element_type) / 8)
