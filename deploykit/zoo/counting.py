"""Parameters, multiply-accumulates and activations of a PyTorch module, from shapes alone.

The operators that PyTorch runs are watched on the meta device, where tensors have shapes but no values.
Counted are convolutions and matrix products, without bias, as in `deploykit.spec.Counts`; operators are
reported under the names that they have in ONNX where there is one.
"""

from __future__ import annotations

import copy
import math
from collections import Counter, defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from deploykit.spec import Counts, OperatorCounts

#: PyTorch's operators that take work to count, under ONNX's names.
_PRODUCTS = {
    "convolution": "Conv",
    "addmm": "Gemm",
    "mm": "MatMul",
    "bmm": "MatMul",
    "baddbmm": "MatMul",
}

#: Operators known to hold neither convolution nor matrix product.
_OTHERS = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "sum": "ReduceSum",
    "where": "Where",
    "neg": "Neg",
    "relu": "Relu",
    "relu_": "Relu",
    "hardtanh": "Clip",
    "hardtanh_": "Clip",
    "clamp": "Clip",
    "clamp_min": "Clip",
    "sigmoid": "Sigmoid",
    "sigmoid_": "Sigmoid",
    "tanh": "Tanh",
    "silu": "Swish",
    "silu_": "Swish",
    "gelu": "Gelu",
    "leaky_relu": "LeakyRelu",
    "hardswish": "HardSwish",
    "hardsigmoid": "HardSigmoid",
    "exp": "Exp",
    "sqrt": "Sqrt",
    "native_batch_norm": "BatchNormalization",
    "cudnn_batch_norm": "BatchNormalization",
    "native_layer_norm": "LayerNormalization",
    "native_group_norm": "GroupNormalization",
    "max_pool2d_with_indices": "MaxPool",
    "avg_pool2d": "AveragePool",
    "avg_pool3d": "AveragePool",
    "_adaptive_avg_pool2d": "AveragePool",
    "mean": "ReduceMean",
    "cat": "Concat",
    "clone": "Identity",
    "_to_copy": "Cast",
    "copy_": "Identity",
    "constant_pad_nd": "Pad",
    "index_select": "Gather",
    "_softmax": "Softmax",
    "_log_softmax": "LogSoftmax",
    "native_dropout": "Dropout",
    "arange": "Range",
}

#: Operators that make another view of the same memory: no work, no bytes.
_VIEWS = frozenset(
    "view _unsafe_view reshape t transpose permute expand slice select squeeze unsqueeze split "
    "split_with_sizes chunk unbind alias detach as_strided flatten lift_fresh empty "
    "_reshape_alias unfold narrow".split()
)


def count_module(module: nn.Module, input_shape: tuple[int, int, int]) -> Counts:
    """Count `module` for one image of `input_shape` (C, H, W); see `deploykit.zoo.count_module`."""
    skeleton = _meta_copy(module).eval()
    watch = _Watch()
    with torch.no_grad(), watch:
        skeleton(torch.empty(1, *input_shape, device="meta"))

    parameters = _parameters_by_operator(module)
    names = sorted({*watch.nodes, *parameters})
    by_operator = {
        name: OperatorCounts(
            nodes=watch.nodes[name],
            macs=watch.macs[name],
            parameters=parameters[name],
            activation_bytes=watch.activation_bytes[name],
        )
        for name in names
    }
    held = {id(t): t for t in (*module.parameters(), *module.buffers())}.values()
    return Counts(
        parameters=sum(parameters.values()),
        macs=sum(watch.macs.values()),
        activation_bytes=sum(watch.activation_bytes.values()),
        weight_bytes=sum(t.numel() * t.element_size() for t in held),
        by_operator=by_operator,
        uncounted=dict(watch.uncounted),
    )


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in PyTorch
    """Sees every operator that PyTorch runs and adds up what it costs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: Counter[str] = Counter()
        self.macs: Counter[str] = Counter()
        self.activation_bytes: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # the signature is PyTorch's
        result = func(*args, **(kwargs or {}))
        operator = func.overloadpacket.__name__
        if operator in _VIEWS:
            return result
        if operator in _PRODUCTS:
            name = _PRODUCTS[operator]
            self.macs[name] += _macs(operator, args, result)
        else:
            known = operator.removeprefix("_native_").removesuffix("_legit_no_training")
            name = _OTHERS.get(operator) or _OTHERS.get(f"native_{known}") or operator
            if name == operator:
                self.uncounted[operator] += 1
        self.nodes[name] += 1
        # Of several results (values and indices of a pool, statistics of a norm) the first is the output.
        output = result[0] if isinstance(result, tuple) else result
        if isinstance(output, Tensor):
            self.activation_bytes[name] += output.numel() * output.element_size()
        return result


def _macs(operator: str, args: Any, result: Tensor) -> int:
    """Multiply-accumulates of one product, by the shapes of its operands."""
    if operator == "convolution":
        x, weight, transposed = args[0], args[1], args[6]
        # Each value of the output (of the input, when transposed) meets one filter.
        return int((x if transposed else result).numel() * math.prod(weight.shape[1:]))
    left = args[1] if operator in ("addmm", "baddbmm") else args[0]
    return int(result.numel() * left.shape[-1])


def _parameters_by_operator(module: nn.Module) -> Counter[str]:
    """Parameters under the operator that uses them; a shared one counts once."""
    by_operator: Counter[str] = Counter()
    seen: set[int] = set()
    for owner in module.modules():
        for parameter in owner.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                by_operator[_operator_of(owner)] += parameter.numel()
    return by_operator


def _operator_of(owner: nn.Module) -> str:
    if isinstance(owner, nn.modules.conv._ConvNd):
        return "Conv"
    if isinstance(owner, nn.Linear):
        return "Gemm"
    if isinstance(owner, nn.modules.batchnorm._BatchNorm):
        return "BatchNormalization"
    return type(owner).__name__


def _meta_copy(module: nn.Module) -> nn.Module:
    """The same module with shapes for weights, without copying the weights on the way."""
    memo: dict[int, Any] = defaultdict()
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
        )
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(module, memo)
