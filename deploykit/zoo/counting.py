"""Parameters, multiply-accumulates and activations of a PyTorch module, from shapes alone where these suffice.

The operators that PyTorch runs are watched on the meta device, where tensors have shapes but no values. A module
that branches on values, or makes tensors of its own on the CPU, is watched there on seeded values instead.
Counted are convolutions and matrix products, without bias, as in `deploykit.spec.Counts`; operators are
reported under the names that they have in ONNX where there is one.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from deploykit.errors import UsageError, one_line
from deploykit.spec import Counts, OperatorCounts, length_remarks
from deploykit.text import aside

from .copies import shapes_of, values_of
from .packed import frozen_weights, packed_product, packed_weights
from .wrappers import raised_text, set_eval, several_inputs

#: PyTorch's operators that take work to count, under ONNX's names.
_PRODUCTS = {
    "convolution": "Conv",
    "_convolution": "Conv",
    "conv_tbc": "Conv",
    "addmm": "Gemm",
    "mm": "MatMul",
    "bmm": "MatMul",
    "baddbmm": "MatMul",
    "mv": "MatMul",
    "dot": "MatMul",
    "vdot": "MatMul",
    "addmv": "MatMul",
    "addbmm": "MatMul",
    "linear": "Gemm",
    "_trilinear": "Einsum",
    "affine_grid_generator": "AffineGrid",
    "_int_mm": "MatMulInteger",
    "mkldnn_rnn_layer": "LSTM",
    "deform_conv2d": "DeformConv",
}

#: Whose operators the tables here are about: what somebody else calls linear need not be PyTorch's.
_NAMESPACES = frozenset({"aten", "prims", "quantized", "quantized_decomposed", "torchvision"})

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
    "reflection_pad1d": "Pad",
    "reflection_pad2d": "Pad",
    "replication_pad2d": "Pad",
    "index_select": "Gather",
    "index": "GatherND",
    "gather": "GatherElements",
    "embedding": "Gather",
    "sort": "TopK",
    "topk": "TopK",
    "argmax": "ArgMax",
    "cumsum": "CumSum",
    "var_mean": "ReduceMean",
    "max_pool1d": "MaxPool",
    "upsample_nearest1d": "Resize",
    "upsample_linear1d": "Resize",
    "im2col": "Gather",
    "_softmax": "Softmax",
    "_log_softmax": "LogSoftmax",
    "native_dropout": "Dropout",
    "arange": "Range",
    "_safe_softmax": "Softmax",
    "_weight_norm_interface": "WeightNorm",
    "stack": "Concat",
    "rsub": "Sub",
    "sign": "Sign",
    "amax": "ReduceMax",
    "prelu": "PRelu",
    "_prelu_kernel": "PRelu",
    "zeros": "ConstantOfShape",
    "upsample_nearest2d": "Resize",
    "upsample_bilinear2d": "Resize",
    "upsample_bicubic2d": "Resize",
    "grid_sampler_2d": "GridSample",
    "tril": "Trilu",
    "triu": "Trilu",
    "roll": "Concat",
    "pixel_shuffle": "DepthToSpace",
    "pixel_unshuffle": "SpaceToDepth",
    "index_put": "ScatterND",
    "fill": "Identity",
    "_adaptive_avg_pool3d": "AveragePool",
    "adaptive_max_pool2d": "MaxPool",
    "adaptive_max_pool3d": "MaxPool",
    "max_pool3d_with_indices": "MaxPool",
    "fractional_max_pool2d": "MaxPool",
    "max_unpool2d": "MaxUnpool",
    "all": "ReduceMin",
    "any": "ReduceMax",
    "amin": "ReduceMin",
    "argmin": "ArgMin",
    "aminmax": "ReduceMax",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "median": "TopK",
    "kthvalue": "TopK",
    "argsort": "TopK",
    "prod": "ReduceProd",
    "std": "ReduceMean",
    "var": "ReduceMean",
    "std_mean": "ReduceMean",
    "norm": "ReduceL2",
    "linalg_vector_norm": "ReduceL2",
    "logsumexp": "ReduceLogSumExp",
    "cumprod": "CumProd",
    "cummax": "CumSum",
    "cummin": "CumSum",
    "logcumsumexp": "CumSum",
    "glu": "Swish",
    "_fused_rms_norm": "RMSNormalization",
    "native_channel_shuffle": "Transpose",
    "flip": "Slice",
    "repeat": "Tile",
    "repeat_interleave": "Tile",
    "replication_pad1d": "Pad",
    "replication_pad3d": "Pad",
    "reflection_pad3d": "Pad",
    "scatter": "ScatterElements",
    "scatter_add": "ScatterElements",
    "scatter_reduce": "ScatterElements",
    "index_add": "ScatterElements",
    "index_copy": "ScatterElements",
    "index_fill": "ScatterElements",
    "masked_scatter": "Where",
    "slice_scatter": "ScatterND",
    "select_scatter": "ScatterND",
    "masked_select": "Compress",
    "nonzero": "NonZero",
    "_unique2": "Unique",
    "take": "GatherElements",
    "_embedding_bag": "Gather",
    "one_hot": "OneHot",
    "bucketize": "ArgMax",
    "searchsorted": "ArgMax",
    "diagonal_copy": "Gather",
    "diag_embed": "ScatterND",
    "col2im": "Col2Im",
    "grid_sampler_3d": "GridSample",
    "_upsample_nearest_exact1d": "Resize",
    "_upsample_nearest_exact2d": "Resize",
    "_upsample_bilinear2d_aa": "Resize",
    "_upsample_bicubic2d_aa": "Resize",
    "upsample_nearest3d": "Resize",
    "upsample_trilinear3d": "Resize",
    "full": "ConstantOfShape",
    "full_like": "ConstantOfShape",
    "ones": "ConstantOfShape",
    "ones_like": "ConstantOfShape",
    "zeros_like": "ConstantOfShape",
    "new_zeros": "ConstantOfShape",
    "new_ones": "ConstantOfShape",
    "new_full": "ConstantOfShape",
    "zero": "ConstantOfShape",
    "scalar_tensor": "ConstantOfShape",
    "eye": "EyeLike",
    "linspace": "Range",
    "rand": "RandomUniform",
    "rand_like": "RandomUniform",
    "randn": "RandomNormal",
    "randn_like": "RandomNormal",
    "bernoulli": "Bernoulli",
    "_assert_async": "Identity",
    "rrelu_with_noise": "LeakyRelu",
    "log_sigmoid_forward": "Log",
    "_pack_padded_sequence": "Compress",
    "_pad_packed_sequence": "Compress",
    "quantize_per_tensor": "QuantizeLinear",
    "quantize_per_channel": "QuantizeLinear",
    "dequantize": "DequantizeLinear",
    "_fused_moving_avg_obs_fq_helper": "QuantizeLinear",
    "fake_quantize_per_tensor_affine_cachemask": "QuantizeLinear",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": "QuantizeLinear",
    "fake_quantize_per_channel_affine_cachemask": "QuantizeLinear",
    "fractional_max_pool3d": "MaxPool",
    "max_unpool3d": "MaxUnpool",
    "_upsample_nearest_exact3d": "Resize",
    "embedding_renorm": "ReduceL2",
    "renorm": "ReduceL2",
    "nansum": "ReduceSum",
    "count_nonzero": "ReduceSum",
    "trace": "ReduceSum",
    "nanmedian": "TopK",
    "mode": "TopK",
    "isin": "Equal",
    "unique_consecutive": "Unique",
    "unique_dim": "Unique",
    "histc": "ScatterElements",
    "bincount": "ScatterElements",
    "put": "ScatterElements",
    "index_reduce": "ScatterElements",
    "diagonal_scatter": "ScatterND",
    "_unsafe_index_put": "ScatterND",
    "_unsafe_index": "GatherND",
    "block_diag": "Concat",
    "linalg_cross": "Mul",
    "polar": "Cos",
    "complex": "Concat",
    "tril_indices": "Range",
    "triu_indices": "Range",
    "normal": "RandomNormal",
    "uniform": "RandomUniform",
    "exponential": "RandomUniform",
    "randint": "RandomUniform",
    "randint_like": "RandomUniform",
    "randperm": "RandomUniform",
    "multinomial": "Multinomial",
    "nms": "NonMaxSuppression",
    "roi_align": "RoiAlign",
    "ps_roi_align": "RoiAlign",
    "roi_pool": "MaxRoiPool",
    "ps_roi_pool": "MaxRoiPool",
}

#: Operators that make another view of the same memory, or only note something: no work, no bytes.
_VIEWS = frozenset(
    "view _unsafe_view reshape t transpose permute expand slice select squeeze unsqueeze split "
    "split_with_sizes chunk unbind alias detach as_strided flatten lift_fresh empty "
    "empty_strided new_empty_strided _reshape_alias unfold narrow unsafe_split unsafe_split_with_sizes "
    "select_backward diagonal view_as _conj "
    "transpose_ squeeze_ unsqueeze_ t_ detach_ empty_like new_empty item _local_scalar_dense is_nonzero "
    "view_as_real view_as_complex _record_function_enter_new _record_function_exit _linalg_check_errors".split()
)

#: PyTorch's layers of convolution by their names, which scripts have left.
_CONVOLUTION = re.compile(r"Conv(Transpose)?[123]d")

#: How PyTorch stores sparse matrices beside lists of places.
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)

#: Where PyTorch has attention that is compiled when it is called, which nothing that watches operators may be, and
#: what keeps it from that.
_FLEXIBLE, _UNCOMPILED = (
    "torch.nn.attention.flex_attention",
    "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG",
)

#: Compositions of attention that PyTorch may run as one operator.
_ATTENTION = re.compile(r"_scaled_dot_product_\w*attention\w*")


def count_module(module: nn.Module, input_shape: tuple[int, ...]) -> Counts:
    """Count `module` for one input of `input_shape`; see `deploykit.zoo.count_module`.

    The module itself is not changed: one with lazy layers stays lazy.

    Raises:
        UsageError: it can't be run on an input of that shape.
    """
    watch, skeleton = _watched(module, input_shape)
    parameters = _parameters_by_operator(skeleton)
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
    packed = [t for owner in skeleton.modules() for t in packed_weights(owner)]
    others = (*packed, *frozen_weights(skeleton))
    tensors = (*skeleton.parameters(), *skeleton.buffers(), *others)
    held = {id(t): t for t in tensors if not nn.parameter.is_lazy(t)}.values()
    return Counts(
        parameters=sum(parameters.values()),
        macs=sum(watch.macs.values()),
        activation_bytes=sum(watch.activation_bytes.values()),
        weight_bytes=sum(t.numel() * t.element_size() for t in held),
        by_operator=by_operator,
        uncounted=dict(watch.uncounted),
        remarks=(
            *(f"{name}: there is no rule for it" for name in sorted(watch.uncounted)),
            *length_remarks(watch.steps),
            *_unreached(skeleton),
        ),
    )


def _watched(module: nn.Module, input_shape: tuple[int, ...]) -> tuple[_Watch, nn.Module]:
    """Run a copy of the module on one image under a watch, on the meta device, else on the CPU.

    One with a table of embeddings may take numbers of its rows; it is run on these where it refuses an image.
    """
    kinds = [_floating_type(module)]
    if kinds[0].is_complex:
        kinds.append(torch.float32)  # complex weights behind a transform of real images
    if any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in module.modules()):
        kinds.append(torch.int64)
    failures: list[BaseException] = []
    for device in ("meta", "cpu"):
        for dtype in kinds:
            try:
                copied = shapes_of(module) if device == "meta" else values_of(module)
                return _run(copied, input_shape, device, dtype)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # whatever a module may raise on tensors without values
                failures.append(error.with_traceback(None))  # which would hold on to the copy
    # A table says of what is no whole number that it is none; what fails on whole numbers says more.
    first = next((e for e in failures[-len(kinds) :] if "'indices'" not in str(e)), failures[-1])
    if isinstance(first, SystemExit):
        raise UsageError(
            f"{type(module).__name__} calls sys.exit({first.code!r}) when it is run, and nothing is counted: take "
            "that out"
        )
    raise UsageError(
        f"{type(module).__name__} fails on an input of shape {(1, *input_shape)}: {_said(first)}; "
        f"{_remedy(module)}"
    ) from first


def _said(error: BaseException) -> str:
    """What an error says, in one line; that of a script stands behind where it happened, or nowhere."""
    text, first = str(error).strip(), raised_text(error)
    if "TorchScript interpreter" in first:
        first = text.rpartition("RuntimeError:")[2].strip() or "a step of its script fails"
    return one_line(first, 200)


def _remedy(module: nn.Module) -> str:
    """What to do about a module that fails: those that want several inputs can have but one."""
    if several := several_inputs(module):
        return several
    script = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
    other = ", or count the module that the script was made of" if script else ""
    return f"give the shape of its input without the batch as input_shape, such as (C, H, W){other}"


def _run(
    skeleton: nn.Module, input_shape: tuple[int, ...], device: str, dtype: torch.dtype
) -> tuple[_Watch, nn.Module]:
    set_eval(skeleton)
    with aside(), torch.random.fork_rng(devices=[]), torch.no_grad(), _plain_attention():
        torch.default_generator.manual_seed(0)  # for those that draw numbers
        if any(nn.parameter.is_lazy(p) for p in (*skeleton.parameters(), *skeleton.buffers())):
            skeleton(_example(input_shape, device, dtype))  # gives lazy layers their shapes
        example = _example(input_shape, device, dtype)
        watch = _Watch(skeleton)
        with watch, _steps_into(watch.steps, skeleton):
            skeleton(example)
    return watch, skeleton


def _floating_type(module: nn.Module) -> torch.dtype:
    """The type that the module computes in."""
    types = [t.dtype for t in (*module.parameters(), *module.buffers())]
    floating = (dtype for dtype in types if dtype.is_floating_point)
    return next(floating, next((dtype for dtype in types if dtype.is_complex), torch.float32))


def _example(input_shape: tuple[int, ...], device: str, dtype: torch.dtype) -> Tensor:
    """One image of that type."""
    if device == "meta":
        return torch.empty(1, *input_shape, device=device, dtype=dtype)
    if not (dtype.is_floating_point or dtype.is_complex):
        return torch.zeros(1, *input_shape, dtype=dtype)  # the first row, which every table has
    random = torch.Generator().manual_seed(0)
    return torch.randn(1, *input_shape, generator=random).to(dtype)


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Have encoders run as the layers they consist of, not as one operator, and attention without compiling it."""
    before = torch.backends.mha.get_fastpath_enabled()
    flexible = sys.modules.get(_FLEXIBLE)  # who has it in a network has imported it
    compiles = not getattr(flexible, _UNCOMPILED, True)
    torch.backends.mha.set_fastpath_enabled(False)
    if compiles:
        setattr(flexible, _UNCOMPILED, True)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
        if compiles:
            setattr(flexible, _UNCOMPILED, False)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in PyTorch
    """Sees every operator that PyTorch runs on more than weights, and adds up what it costs.

    What is computed from weights alone (as spectral normalisation does) is none of an image's work, as in graphs.
    """

    #: Those that take functions, as `torch.cond` does, come here as well; PyTorch refuses to run them otherwise.
    supports_higher_order_operators = True

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: Counter[str] = Counter()
        self.macs: Counter[str] = Counter()
        self.activation_bytes: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        self.steps: dict[str, set[int]] = {}
        self._branches = 0
        # Told by their memory, which views share.
        held = [
            t
            for t in (*module.parameters(), *module.buffers())
            if not nn.parameter.is_lazy(t)  # of a layer that was never run
        ]
        self._fixed = {_storage(tensor) for tensor in held}

    def _is_fixed(self, args: Any, kwargs: Any, result: Any) -> bool:
        """Whether an operator read weights and what is made of them alone; what it made is then fixed too."""
        read = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        made = {_storage(t) for t in tree_flatten(result)[0] if isinstance(t, Tensor)}
        fixed = bool(read) and all(_storage(t) in self._fixed for t in read)
        if fixed:
            self._fixed |= made
        else:
            self._fixed -= made  # written to, or memory that something else had before
        return fixed

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # the signature is PyTorch's
        if isinstance(func, torch._ops.HigherOrderOperator):
            return self._of_functions(func, args, kwargs or {})
        if self._branches:  # where PyTorch no longer takes compositions apart, as it does outside
            with self:
                result = func.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        operator = func.overloadpacket.__name__
        if operator == "native_batch_norm" and args[0].is_meta:
            result = _normalised(args[0])
        else:
            result = func(*args, **(kwargs or {}))
        if self._is_fixed(args, kwargs, result) or operator in _VIEWS:
            return result
        ours = func.namespace in _NAMESPACES
        if packed := packed_product(func, args, result):
            name = packed[0]
            self.macs[name] += packed[1]
        elif ours and (operator in _PRODUCTS or _ATTENTION.fullmatch(operator)):
            name = _PRODUCTS.get(operator, "Attention")
            if any(isinstance(one, Tensor) and _is_sparse(one) for one in args):
                self.uncounted[operator] += 1  # how many of its products there are, values tell
            else:
                self.macs[name] += _macs(operator, args, result)
        else:
            # In-place variants end in an underscore, those of eval mode tell so.
            known = operator.removeprefix("_native_").removesuffix("_legit_no_training").rstrip("_")
            candidates = (operator, known, f"native_{known}") if ours else ()
            name = next((_OTHERS[one] for one in candidates if one in _OTHERS), operator)
            # What works value by value has no products, under whichever name.
            if name == operator and torch.Tag.pointwise not in func.tags:
                self.uncounted[operator] += 1
        self.nodes[name] += 1
        # Of several results (values and indices of a pool, statistics of a norm) the first is the output.
        output = result[0] if isinstance(result, tuple) else result
        if isinstance(output, Tensor):
            self.activation_bytes[name] += output.numel() * output.element_size()
        return result

    def _of_functions(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operator of operators; what is inside those that are not known here makes a lower bound.

        Raises:
            RuntimeError: a condition has no value, as on the meta device.
        """
        name = func.name()
        if name == "cond":
            condition, then, otherwise, operands = args
            self._branches += 1
            try:
                with self:  # while it looks at one operator, a mode sees no others
                    return (then if condition else otherwise)(*operands)
            finally:
                self._branches -= 1
        result = func(*args, **kwargs)
        self.nodes[name] += 1
        output = result[0] if isinstance(result, tuple) else result
        if name == "flex_attention":
            self.macs[name] += _macs("_scaled_dot_product_attention", args, result)
        else:
            self.uncounted[name] += 1
        if isinstance(output, Tensor):
            self.activation_bytes[name] += output.numel() * output.element_size()
        return result


@contextlib.contextmanager
def _steps_into(steps: dict[str, set[int]], module: nn.Module) -> Iterator[None]:
    """Note in `steps`, by the kind of layer, how many steps of a sequence recurrent layers take meanwhile."""

    def note(layer: Any, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor) and args[0].dim() > 1:
            axis = 1 if layer.batch_first and args[0].dim() == 3 else 0
            name = layer.mode.partition("_")[0]  # RNN_TANH and RNN_RELU are one operator
            steps.setdefault(name, set()).add(int(args[0].shape[axis]))

    recurrent = [part for part in module.modules() if isinstance(part, nn.RNNBase)]
    handles = [part.register_forward_pre_hook(note) for part in recurrent]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _normalised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a batch normalisation puts out on the meta device: the like of its input, and two statistics.

    PyTorch composes it there of a dozen operators of Python's, which takes more time than all else that is counted.
    That its weights fit the input was checked before.
    """
    return torch.empty_like(x), x.new_empty(x.shape[1]), x.new_empty(x.shape[1])


def _storage(tensor: Tensor) -> int:
    """What tells the memory of a tensor from that of others; a sparse one lies where its values do."""
    held: Any = tensor
    if tensor.layout == torch.sparse_coo:
        held = tensor._values()
    elif _is_sparse(tensor):
        held = tensor.values()
    return int(held.untyped_storage()._cdata)


def _is_sparse(tensor: Tensor) -> bool:
    """Whether only some of its values are stored."""
    return tensor.is_sparse or tensor.layout in _COMPRESSED


def _macs(operator: str, args: Any, result: Any) -> int:
    """Multiply-accumulates of one product, by the shapes of its operands."""
    if operator == "conv_tbc":  # weights of taps, channels in and out
        return int(result.numel() * args[1].shape[0] * args[1].shape[1])
    if operator in ("convolution", "_convolution"):
        x, weight, transposed = args[0], args[1], args[6]
        # Each value of the output (of the input, when transposed) meets one filter.
        return int((x if transposed else result).numel() * math.prod(weight.shape[1:]))
    if operator == "deform_conv2d":
        return int(result.numel() * math.prod(args[1].shape[1:]))
    if operator in ("dot", "vdot"):
        return int(args[0].numel())
    if operator == "addbmm":
        return int(args[1].numel() * args[2].shape[-1])
    if operator == "mkldnn_rnn_layer":  # one direction of one layer: steps, batch, values
        steps = args[0].shape[0] * args[0].shape[1]
        return int(steps * (args[1].numel() + args[2].numel()))
    if operator == "affine_grid_generator":  # a point with a one behind it, for each coordinate
        return int(result.numel() * (result.shape[-1] + 1))
    if operator == "_trilinear":
        return _trilinear_macs(args)
    if _ATTENTION.fullmatch(operator):
        query, key, value = args[:3]
        batch = math.prod(query.shape[:-2])
        return int(batch * query.shape[-2] * key.shape[-2] * (query.shape[-1] + value.shape[-1]))
    left = args[1] if operator in ("addmm", "baddbmm", "addmv") else args[0]
    return int(result.numel() * left.shape[-1])


def _trilinear_macs(args: Any) -> int:
    """A bilinear layer: every pair of inputs meets a weight, and the sums over the first meet the second again."""
    first, weight, second = args[0], args[1], args[2]
    rows = first.numel() // first.shape[-1]
    outputs = weight.shape[0]
    return int(rows * outputs * (first.shape[-1] * second.shape[-1] + second.shape[-1]))


def _parameters_by_operator(module: nn.Module) -> Counter[str]:
    """Parameters under the operator that uses them; a shared one counts once."""
    by_operator: Counter[str] = Counter()
    seen: set[int] = set()
    for owner in module.modules():
        for parameter in owner.parameters(recurse=False):
            if id(parameter) not in seen and not nn.parameter.is_lazy(parameter):
                seen.add(id(parameter))
                by_operator[_operator_of(owner)] += parameter.numel()
        by_operator[_operator_of(owner)] += sum(t.numel() for t in packed_weights(owner))
    by_operator["Constant"] += sum(t.numel() for t in frozen_weights(module))
    return +by_operator


def _unreached(module: nn.Module) -> Iterator[str]:
    """A remark for each layer that would have got its size by being run, and was not."""
    for name, part in module.named_modules():
        if any(nn.parameter.is_lazy(p) for p in part.parameters(recurse=False)):
            yield f"{name}: a lazy layer that forward does not reach has no parameters yet"


def _operator_of(owner: nn.Module) -> str:
    # A script tells of which class the module was that it was made of.
    name = str(getattr(owner, "original_name", type(owner).__name__))
    if isinstance(owner, nn.modules.conv._ConvNd) or _CONVOLUTION.fullmatch(name):
        return "Conv"
    if isinstance(owner, nn.Linear) or name == "Linear":
        return "Gemm"
    if isinstance(owner, nn.modules.batchnorm._BatchNorm) or name.startswith("BatchNorm"):
        return "BatchNormalization"
    return name
