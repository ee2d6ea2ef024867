"""PyTorch networks as engines: their weights in one file, made again from the spec; what they compute in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from deploykit import codec, zoo
from deploykit.errors import (
    BuildFailed,
    DeploykitError,
    DriftFailed,
    OutputFailed,
    UsageError,
    one_line,
)
from deploykit.lazy import np
from deploykit.spec import ModelSpec, OnnxModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Key of the spec in the file's metadata.
_SPEC = "deploykit.spec"
#: Operators that multiply, by the start of their names.
_PRODUCTS = (
    "convolution",
    "mkldnn_convolution",
    "addmm",
    "mm",
    "bmm",
    "baddbmm",
    "addmv",
    "mv",
    "linear",
    "_scaled_dot_product",
    # What the CPU has one kernel of: recurrent layers, whole attention blocks, bilinear layers.
    "mkldnn_rnn_layer",
    "_native_multi_head_attention",
    "_transformer_encoder_layer_fwd",
    "_trilinear",
)
_NAMES = {
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "int8",
    torch.uint8: "int8",
}


def create_verified(model: OnnxModel) -> nn.Module:
    """The module that `model` was exported from, shown to compute what the graph does.

    Raises:
        UsageError: the graph is a file of the user's own, of which there is no module.
        DriftFailed, BuildFailed: the module computes something else than the graph, or does not run.
        MissingDependency: torch or, for the comparison, ONNX Runtime is not installed.
    """
    from deploykit.graph import export

    module = create_module(model)
    images = export.seeded_images(tuple(model.inputs[0].with_batch(1)[1:]))
    expected = export.torch_outputs(module, images, model.spec.label)
    export.verify(model.path, images, expected, model.spec.label)
    return module


def require_like_fp32(
    outputs: Mapping[int, NDArray[Any]], expected: Mapping[int, NDArray[Any]], said: str
) -> None:
    """Refuse outputs that are another network's than those of the module in float32 on the processor.

    How far a precision takes them from float32 is a row's drift; here only what can't be rounding is refused.

    Args:
        outputs: of what was built, by batch.
        expected: in float32, by batch.
        said: what was built, in words.

    Raises:
        DriftFailed: they are not finite, of another shape, or their error is larger than they are.
    """
    for batch, wanted in expected.items():
        found = outputs[batch]
        if found.shape != wanted.shape or not np.isfinite(found).all():
            what = "not finite" if found.shape == wanted.shape else f"of shape {found.shape}"
            raise DriftFailed(
                f"{said}: outputs are {what} at batch {batch}; use another precision, or check the weights"
            )
        exact = wanted.astype(np.float64)
        signal, noise = float((exact**2).sum()), float(((found - exact) ** 2).sum())
        if noise > signal:
            raise DriftFailed(
                f"{said}: the error of the outputs at batch {batch} is larger than they are in fp32 on the "
                "processor; use another precision or backend"
            )


def create_module(model: OnnxModel) -> nn.Module:
    """The module that `model` was exported from, in eval mode.

    Raises:
        UsageError: the graph is a file of the user's own, of which there is no module.
        MissingDependency: torch is not installed.
    """
    if model.spec.weights == "file":
        raise UsageError(
            f"{model.spec.label} is a finished graph, PyTorch needs the network itself: give a name of the "
            "catalogue or module:factory, or another --backend"
        )
    return zoo.create(model.spec).eval()


def save_module(module: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Write a module's weights with the spec that makes the network again.

    Raises:
        OutputFailed: `path` can't be written.
    """
    from safetensors.torch import save_model

    text = json.dumps(codec.to_values(spec), sort_keys=True)
    try:
        save_model(module, str(path), {_SPEC: text})
    except Exception as error:  # safetensors raises an error class of its own, in Rust
        raise OutputFailed(
            f"can't write the engine {path.name}: {one_line(error)}; free some space in the store, "
            "or choose another with --store"
        ) from error


def restore_module(path: Path) -> nn.Module:
    """The module in a file that `save_module` wrote, in eval mode.

    Raises:
        BuildFailed: the file is damaged, or its network is no longer what it was.
        UsageError, InvalidModel: the user's factory or checkpoint is gone.
    """
    from safetensors.torch import load_model

    from deploykit.zoo import weights

    try:
        spec = codec.from_json(weights.metadata(path)[_SPEC], ModelSpec)
    except (DeploykitError, KeyError, codec.MalformedMessage) as error:
        raise BuildFailed(f"{path} does not load: {one_line(error)}; build it again") from error
    # Values come from the file: to draw random ones first would take longer than to load these.
    named = ":" not in spec.name
    module = zoo.create(spec, device="meta").to_empty(device="cpu") if named else zoo.create(spec)
    try:
        load_model(module, str(path))
    except Exception as error:
        raise BuildFailed(
            f"{path} does not fit {spec.label} as it is now: {one_line(error)}; build it again"
        ) from error
    return module.eval()


class _Listener(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every product with the module that it was called in."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.within: list[str] = []
        self.by_type: dict[str, list[str]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        if name.startswith(_PRODUCTS):
            # The last operand is the weight, where there is one; a bias comes before the operands.
            operands = [a for a in args if isinstance(a, torch.Tensor) and a.ndim > 1]
            dtype = operands[-1].dtype
            kind = _NAMES.get(dtype, str(dtype).removeprefix("torch."))
            self.by_type.setdefault(kind, []).append(self.within[-1] if self.within else name)
        return func(*args, **(kwargs or {}))


def compute_types(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> dict[str, list[str]]:
    """The modules that multiply, by the type of what they multiply, of one forward pass.

    Args:
        module: in eval mode.
        inputs: of the pass.
    """
    listener = _Listener()

    def enter(name: str, *_: Any) -> None:
        listener.within.append(name)

    def leave(*_: Any) -> None:
        listener.within.pop()

    hooks: list[Any] = []
    for name, part in module.named_modules():
        entering: Callable[..., None] = partial(enter, name or type(module).__name__)
        hooks += [
            part.register_forward_pre_hook(entering),
            part.register_forward_hook(leave),
        ]
    try:
        # Not inference mode: there, composite operators would arrive whole, under names of their own.
        with torch.no_grad(), listener:
            module(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return listener.by_type
