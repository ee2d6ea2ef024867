"""PyTorch as a backend: what the network costs before it is exported, eager or by `torch.compile`.

An engine is the module's weights in one file, with the spec that makes the network again. PyTorch needs the
network itself, so graphs of the user's own have none; a module is taken only if it computes what the graph
that everything else is built from computes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploykit import codec, env
from deploykit.backends.base import PASSES, BackendBase, SessionBase, TimedParts
from deploykit.lazy import install_line, torch
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason, TensorSpec


class TorchEager(BackendBase):
    """Runs the network as PyTorch does when nothing is asked of it, operator by operator."""

    name = "torch"
    target = "cpu"
    filename = "engine.safetensors"
    precisions = ("fp32",)
    passes = PASSES
    timed_parts: TimedParts | None = "modules"
    compiled = False

    def available(self) -> Reason | None:
        """None where PyTorch is installed."""
        if env.package_version("torch") is None:
            return Reason("PyTorch is not installed", install_line("export"))
        return None

    def device(self) -> str | Reason:
        """The first NVIDIA device where PyTorch sees one, else the processor."""
        return torch.cuda.get_device_name(0) if self.on_gpu() else env.device_name()

    def on_gpu(self) -> bool:
        """Whether PyTorch sees an NVIDIA device; it takes seconds to import, and can see none that CUDA doesn't."""
        if not env.gpu_names():
            return False
        self.prepare()
        return torch.cuda.is_available()

    def version(self) -> str:
        """The installed version, from package metadata."""
        return env.package_version("torch") or "none"

    def prepare(self) -> None:
        """Import PyTorch, so that its own memory does not count as that of the first engine."""
        _ = torch.__version__

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Make the module again, compare it with the graph and save it; see `BackendBase.build`.

        Raises:
            UsageError: the graph is a file of the user's own.
            DriftFailed: the module computes something else than the graph.
        """
        self.prepare()
        from deploykit.backends.torch_modules import compute_types, create_verified, save_module

        module = create_verified(model)
        inputs = tuple(torch.zeros(spec.with_batch(1)) for spec in model.inputs)
        types = compute_types(module, inputs)
        save_module(module, model.spec, path)
        return {"compute_types": types}

    def open(self, engine: Engine, threads: int | None, run_pass: str) -> SessionBase:
        """A session on the module."""
        self.prepare()
        from deploykit.backends.torch_modules import restore_module
        from deploykit.backends.torch_session import TorchSession

        return TorchSession(
            restore_module(engine.path),
            codec.from_values(engine.manifest["inputs"], tuple[TensorSpec, ...]),
            codec.from_values(engine.manifest["outputs"], tuple[TensorSpec, ...]),
            threads=threads,
            run_pass=run_pass,
            compiled=self.compiled,
        )


class TorchCompile(TorchEager):
    """Runs what `torch.compile` makes of the network.

    Compiled at the first run of each shape, before the clock starts; the row's `build_s` has it in.
    """

    name = "torch-compile"
    compiled = True
    timed_parts = None

    def available(self) -> Reason | None:
        """None where PyTorch and, for code on the processor, a C++ compiler are installed."""
        compiler = os.environ.get("CXX", "g++")
        reason = super().available()
        if reason is None and not env.gpu_names() and shutil.which(compiler) is None:
            return Reason(
                f"torch.compile needs a C++ compiler, and there is no {compiler}",
                "apt-get install g++, or set CXX",
            )
        return reason
