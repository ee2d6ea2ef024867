"""OpenVINO on the processor.

An engine is the graph in the precision it was written in; OpenVINO chooses its kernels when the graph is loaded
and a batch is known. It could save what it compiled, but only with the batch left open, which was seen to double
the latency of LeNet-5; compiling takes less than a second for most networks, and is no part of any sample.

OpenVINO takes lower precisions for a matter of the machine: where there are bfloat16 instructions it computes FP32
graphs in bfloat16 unless told otherwise. Here the graph alone decides, and what was chosen is read back.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import env
from deploykit.errors import BuildFailed, MissingDependency, one_line
from deploykit.spec import BuildOptions, Engine, OnnxModel, Reason
from deploykit.store import output_errors

if TYPE_CHECKING:
    from deploykit.backends.openvino_session import OpenVinoSession

_INSTALL = 'pip install "deploykit[openvino]"'


def _import_openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise MissingDependency(
            f"OpenVINO is not installed ({one_line(error, 80)}): {_INSTALL}"
        ) from error
    return openvino


@cache
def _core() -> Any:
    return _import_openvino().Core()


def read(path: Path) -> Any:
    """The graph in a file, as OpenVINO's model.

    Raises:
        BuildFailed: OpenVINO can't read it.
    """
    openvino = _import_openvino()
    try:
        return _core().read_model(str(path))
    except Exception as error:
        raise BuildFailed(
            f"OpenVINO {openvino.__version__} refuses {path.name}: {one_line(error)}"
        ) from error


def compile_for(model: Any, shapes: Mapping[str, Sequence[int]], threads: int) -> Any:
    """What OpenVINO makes of a model for inputs of these shapes, to answer one request at a time.

    Raises:
        BuildFailed: the model does not take these shapes, or has an operator that OpenVINO lacks.
    """
    openvino = _import_openvino()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        # Two processes or streams that pin their threads pin them to the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        model.reshape({name: list(shape) for name, shape in shapes.items()})
        return _core().compile_model(model, "CPU", options)
    except Exception as error:
        raise BuildFailed(
            f"OpenVINO {openvino.__version__} can't compile the graph for {dict(shapes)}: "
            f"{one_line(error)}; try another batch or backend"
        ) from error


class OpenVinoCpu:
    """Builds and runs engines with OpenVINO's CPU plugin; its graphs follow the `cpu` recipes."""

    name = "openvino"
    target = "cpu"
    filename = "engine.onnx"
    # Asked for exact FP32, it widens FP16 weights once, when the graph is compiled.
    emulated: Mapping[str, str] = {"fp16": "fp32"}

    def available(self) -> Reason | None:
        """None where OpenVINO is installed."""
        if env.package_version("openvino") is None:
            return Reason("OpenVINO is not installed", _INSTALL)
        return None

    def device(self) -> str | Reason:
        """The processor."""
        return env.device_name()

    def version(self) -> str:
        """The installed version, from package metadata."""
        return env.package_version("openvino") or "none"

    def host(self) -> str:
        """What the precision read back belongs to: the architecture and its instruction sets."""
        facts = env.machine()
        return " ".join([facts["architecture"], *facts["features"]])

    def prepare(self) -> None:
        """Import the runtime, so that its own memory does not count as that of the first engine."""
        _core()

    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Compile the graph for the usual batch, read back what it computes in, keep it; see `Backend.build`."""
        from deploykit.backends.openvino_readback import compute_types, product_names

        read_model = read(model.path)
        products = product_names(read_model)
        shapes = {spec.name: spec.with_batch(options.batch_opt) for spec in model.inputs}
        compiled = compile_for(read_model, shapes, max(1, int(env.usable_cores())))
        found = compute_types(compiled.get_runtime_model(), products)
        with output_errors("engine", path):
            shutil.copyfile(model.path, path)
        return {"compute_types": found, "host": self.host()}

    def load(self, engine: Engine, threads: int | None = None) -> OpenVinoSession:
        """A session on the graph, compiled for a batch when one is first given; see `Backend.load`."""
        from deploykit.backends.openvino_session import OpenVinoSession

        return OpenVinoSession(engine.path, threads)
