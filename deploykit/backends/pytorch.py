"""PyTorch as a backend: what the network costs before it is exported, eager or compiled, here or on a GPU.

An engine is the module's weights in one file, with the spec that makes the network again. PyTorch needs the
network itself, so graphs of the user's own have none; a module is taken only if it computes what the graph
that everything else is built from computes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import codec, env
from deploykit.backends.base import FORWARD, PASSES, BackendBase, RunOption, SessionBase, TimedParts
from deploykit.cuda import devices
from deploykit.errors import (
    BuildFailed,
    DeploykitError,
    MissingDependency,
    UsageError,
    one_line,
)
from deploykit.graph.precision import find_recipe
from deploykit.graph.recipes import PrecisionRecipe
from deploykit.lazy import install_line, torch
from deploykit.spec import (
    DEVICE,
    END_TO_END,
    BuildOptions,
    Engine,
    OnnxModel,
    Reason,
    RunOptions,
    TensorSpec,
)

if TYPE_CHECKING:
    from deploykit.backends.torch_session import Place


#: PyTorch's types by the precisions that networks are run in.
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
#: What a training pass goes back from; see `torch_session.LOSSES`.
LOSS = RunOption(
    "torch.loss",
    ("cross-entropy", "l2"),
    "cross-entropy",
    "what forward_backward goes back from: cross entropy, or half the sum of the squared outputs",
    tuned=False,
)
#: Instructions for bfloat16 that PyTorch's kernels on processors use.
_BF16_UNITS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
#: Run option: of torch.compile.
MODE = "torch.compile_mode"


class TorchEager(BackendBase):
    """Runs the network as PyTorch does when nothing is asked of it, operator by operator."""

    name = "torch"
    target = "cpu"
    filename = "engine.safetensors"
    precisions: tuple[str, ...] | None = ("fp32", "bf16")
    passes = PASSES
    timed_parts: TimedParts | None = "modules"
    compiled = False
    build_options: tuple[str, ...] = ()
    run_options: tuple[RunOption, ...] = (LOSS,)

    @property
    def emulated(self) -> Mapping[str, str]:
        """bfloat16 on a processor without arithmetic for it: computed in FP32 and rounded, operator by operator."""
        real = self.on_gpu() or _BF16_UNITS & set(env.machine()["features"])
        return {} if real else {"bf16": "fp32"}

    def available(self) -> Reason | None:
        """None where PyTorch is installed."""
        if env.package_version("torch") is None:
            return Reason("PyTorch is not installed", install_line("export"))
        return None

    def device(self) -> str | Reason:
        """The processor."""
        return env.device_name()

    def version(self) -> str:
        """The installed version, from package metadata."""
        return env.package_version("torch") or "none"

    def host(self) -> str | None:
        """What the precision read back belongs to: on a processor its instruction sets."""
        facts = env.machine()
        return None if self.on_gpu() else " ".join([facts["architecture"], *facts["features"]])

    def prepare(self) -> None:
        """Import PyTorch, so that its own memory does not count as that of the first engine."""
        _ = torch.__version__

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Make the module again, compare it with the graph and save it; see `BackendBase.build`.

        Raises:
            UsageError: the graph is a file of the user's own.
            DriftFailed: the module computes something else than the graph, in float32, or than itself in float32
                where it runs in another precision or on a device.
        """
        self.prepare()
        from deploykit.backends.torch_modules import (
            compute_types,
            create_module,
            create_verified,
            require_like_fp32,
            save_module,
        )
        from deploykit.graph.export import seeded_images, torch_outputs

        label = model.spec.label
        module = create_verified(model) if model.precision == "fp32" else create_module(model)
        save_module(module, model.spec, path)
        images = {1: seeded_images(tuple(model.inputs[0].with_batch(1)[1:]))[1]}
        ran = self._ran_on_device(model, options, path, images)
        expected = torch_outputs(module, images, label) if ran or model.precision != "fp32" else {}
        dtype = getattr(torch, DTYPES[model.precision])
        module = module.to(dtype=dtype)
        inputs = tuple(torch.zeros(spec.with_batch(1)) for spec in model.inputs)
        cast = (one.to(dtype) if one.is_floating_point() else one for one in inputs)
        try:
            types = compute_types(module, tuple(cast))
        except NotImplementedError as error:  # an operator without a kernel of this type
            raise BuildFailed(
                f"{label} {model.precision}: {self.name} can't run it: {one_line(error)}; use another precision or "
                "backend"
            ) from error
        rounded = model.precision in self.emulated
        if rounded:
            types = {self.emulated.get(kind, kind): names for kind, names in types.items()}
        where = "on the device" if ran else "on the processor"
        if expected:
            module.register_forward_pre_hook(lambda _, given: tuple(one.to(dtype) for one in given))
            found = ran or torch_outputs(module, images, label)
            require_like_fp32(found, expected, f"{label} {model.precision} by {self.name} {where}")
        return {
            "compute_types": types,
            "tf32": False,
            "rounded": rounded,
            "compared_with_fp32": where if expected else None,
        }

    def _ran_on_device(
        self, model: OnnxModel, options: BuildOptions, path: Path, images: Mapping[int, Any]
    ) -> dict[int, Any]:
        """Outputs of the engine at `path` by batch, where it runs on a device and there is one; else none."""
        return {}

    def open(
        self, engine: Engine, threads: int | None, run_pass: str, options: RunOptions = ()
    ) -> SessionBase:
        """A session on the module."""
        told = dict(options)
        freeze = told.get("torch.freeze") == "1"
        if freeze and run_pass != FORWARD:
            raise UsageError(
                f"--option torch.freeze=1 makes constants of the weights, and {run_pass} needs their gradients: "
                "leave it out"
            )
        self.prepare()
        from deploykit.backends.torch_modules import restore_module
        from deploykit.backends.torch_session import TorchSession

        built = engine.manifest.get("options", {})
        return TorchSession(
            restore_module(engine.path),
            codec.from_values(engine.manifest["inputs"], tuple[TensorSpec, ...]),
            codec.from_values(engine.manifest["outputs"], tuple[TensorSpec, ...]),
            threads=threads,
            run_pass=run_pass,
            compiled=self.compiled,
            compile_mode=told.get(MODE, built.get("compile_mode")) if self.compiled else None,
            freeze=freeze,
            loss=told.get(LOSS.name, LOSS.default),
            where=self.place(engine),
        )

    def place(self, engine: Engine) -> Place | None:
        """Where an engine runs, and in which type; None is the processor in float32."""
        from deploykit.backends.torch_session import Host

        dtype = DTYPES[str(engine.manifest["precision"])]
        return None if dtype == "float32" else Host(getattr(torch, dtype))


class TorchCompile(TorchEager):
    """Runs what `torch.compile` makes of the network.

    Compiled at the first run of each shape, before the clock starts; the row's `build_s` has it in.
    """

    name = "torch-compile"
    compiled = True
    timed_parts = None
    build_options: tuple[str, ...] = ("compile_mode",)
    run_options: tuple[RunOption, ...] = (
        RunOption(
            "torch.freeze",
            ("0", "1"),
            "0",
            "whether weights are constants to the compiler",
        ),
        LOSS,
        RunOption(
            MODE,
            ("default", "reduce-overhead", "max-autotune"),
            "default",
            "how torch.compile searches for quick code; where it is not told, as --compile-mode said",
        ),
    )

    def available(self) -> Reason | None:
        """None where PyTorch and, for code on the processor, a C++ compiler are installed."""
        compiler = os.environ.get("CXX", "g++")
        reason = super().available()
        if reason is None and not self.on_gpu() and shutil.which(compiler) is None:
            return Reason(
                f"torch.compile needs a C++ compiler, and there is no {compiler}",
                "apt-get install g++, or set CXX",
            )
        return reason


class _OnGpu(TorchEager):
    """Runs the network on the first NVIDIA device that CUDA shows, in float32, float16 or bfloat16."""

    target = "cuda"
    precisions = ("fp32", "fp16", "bf16")
    boundaries = (END_TO_END, DEVICE)
    cuda_graphs = True
    builds_without_device = False  # its engine is the exported program alone

    def recipes(self) -> Sequence[PrecisionRecipe]:
        """The one that its target lacks: ONNX Runtime's CUDA provider has no bfloat16 convolutions."""
        return [find_recipe("bf16", "tensorrt")]

    def on_gpu(self) -> bool:
        """Always."""
        return True

    def device(self) -> str | Reason:
        """The first NVIDIA device, or why PyTorch can't use one; its metadata tells, without importing it."""
        found = devices.find()
        if not found.gpus:
            return found.problem or devices.NO_DEVICE
        version = self.version()
        if "+cpu" in version:
            text = f"PyTorch {version} is built without CUDA"
            return Reason(text, "pip uninstall -y torch && pip install torch", missing="device")
        made_for = re.search(r"\+cu(\d+)\d", version)
        too_old = found.too_old(int(made_for[1])) if made_for else None
        return too_old or found.gpus[0].name

    def _ran_on_device(
        self, model: OnnxModel, options: BuildOptions, path: Path, images: Mapping[int, Any]
    ) -> dict[int, Any]:
        """See `TorchEager._ran_on_device`; not compiled, which takes minutes and is judged by the row's drift."""
        if isinstance(self.device(), Reason) or not torch.cuda.is_available():
            return {}
        facts = {
            "precision": model.precision,
            "options": codec.to_values(options),
            "inputs": codec.to_values(model.inputs),
            "outputs": codec.to_values(model.outputs),
        }
        name, output = model.inputs[0].name, model.outputs[0].name
        try:
            with TorchCuda().open(Engine(path, "", facts), None, FORWARD) as session:
                return {batch: session.run({name: one})[output] for batch, one in images.items()}
        except DeploykitError:
            raise
        except Exception as error:  # whatever PyTorch raises
            raise BuildFailed(
                f"{model.spec.label} {model.precision}: {self.name} can't run it: {one_line(error)}; use another "
                "precision or backend"
            ) from error

    def place(self, engine: Engine) -> Place:
        """The device, in the precision of the engine.

        Raises:
            MissingDependency: PyTorch sees no device.
        """
        from deploykit.backends.torch_session import Cuda

        require_gpu()
        options = engine.manifest.get("options", {})
        dtype = getattr(torch, DTYPES[str(engine.manifest["precision"])])
        return Cuda(dtype, channels_last=bool(options.get("channels_last")))


class TorchCuda(_OnGpu):
    """PyTorch on an NVIDIA device, operator by operator."""

    name = "torch-cuda"
    build_options = ("channels_last",)


class TorchCompileCuda(_OnGpu, TorchCompile):
    """What `torch.compile` makes of the network for an NVIDIA device."""

    name = "torch-compile-cuda"
    build_options = ("channels_last", "compile_mode")
    run_options = (LOSS,)
    compiled = True
    timed_parts = None


def require_gpu() -> str:
    """The name of the first NVIDIA device that CUDA shows, which PyTorch calls "cuda:0".

    Raises:
        MissingDependency: PyTorch is not installed, or can't use one, and why.
    """
    backend = TorchCuda()
    for reason in (backend.available(), device := backend.device()):
        if isinstance(reason, Reason):
            raise MissingDependency(str(reason))
    if not torch.cuda.is_available():
        raise MissingDependency(
            f"PyTorch {torch.__version__} (CUDA {torch.version.cuda or 'none'}) sees no device, though the "
            f"driver shows {device}; install a PyTorch for the driver's version of CUDA"
        )
    return str(device)


def device_of(text: str) -> str:
    """PyTorch's name of the device that `--device` means: "cpu", "cuda", or a GPU's number, which chooses it.

    Raises:
        UsageError: it is none of these, or there is no GPU of that number.
        MissingDependency: there is no GPU, or PyTorch can't use it.
    """
    if text == "cpu":
        return text
    if text.isdecimal():
        devices.select(int(text))
    elif text != "cuda":
        raise UsageError(f"--device takes cpu, cuda or the number of a GPU, not {text!r}")
    require_gpu()
    return "cuda:0"
