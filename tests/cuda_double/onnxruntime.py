"""ONNX Runtime's providers for NVIDIA devices as a double: the real runtime computes, on its CPU provider.

A session takes the providers and options that a real one does (tests/backends/provider_options.json has their
names, read from the wheels) and refuses others. What is bound are addresses of the double of CUDA; a run is
enqueued into the stream that the session was given and computes when something waits for it. Captured graphs keep
the addresses that they were captured with. A profile is the CPU provider's, with the names of providers put in.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

import cuda_double

#: The real one.
real_session = ort.InferenceSession
VARIABLE = "ONNXRUNTIME_DOUBLE"
PROCESSOR = "CPUExecutionProvider"
RECORDED = json.loads(
    (Path(__file__).parents[1] / "backends" / "provider_options.json").read_text(encoding="utf-8")
)
GPU_WHEEL, PLAIN_WHEEL = "onnxruntime-gpu", "onnxruntime"


@dataclass
class Behaviour:
    """What the double shows; travels to child processes as JSON in an environment variable.

    Attributes:
        installed: versions by distribution, None for one that is not; others are as they are.
        offered: what `get_available_providers` answers.
        loads: whether providers load; without, sessions fall back to the processor and say nothing.
        left: nodes, by name, that the first provider leaves to the processor; "*" is all.
        compiles: whether opening a session writes a file into the folder of compiled engines.
        one_graph: whether a session keeps a single graph, which every later run is, whatever name it gives.
        makes_outputs: whether such a run allocates outputs that are bound to no address.
    """

    installed: dict[str, str | None] = field(
        default_factory=lambda: {GPU_WHEEL: "1.31.1", PLAIN_WHEEL: None}
    )
    offered: list[str] = field(
        default_factory=lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider", PROCESSOR]
    )
    loads: bool = True
    left: list[str] = field(default_factory=list)
    compiles: bool = True
    one_graph: bool = False
    makes_outputs: bool = True


class _Value:
    """An output; one that nothing was computed into has no shape."""

    def __init__(self, shape: tuple[int, ...] | None) -> None:
        self._shape = shape

    def shape(self) -> list[int]:
        if self._shape is None:
            raise RuntimeError("Only OrtValues that are Tensors/SparseTensors are supported")
        return list(self._shape)


class _Binding:
    """Addresses on the device by input and output; an output without one is allocated by the session."""

    def __init__(self) -> None:
        self.inputs: dict[str, tuple[int, tuple[int, ...], Any]] = {}
        self.outputs: dict[str, tuple[int, tuple[int, ...], Any] | None] = {}
        self.made: list[_Value] = []

    def bind_input(self, name, device, device_id, element_type, shape, buffer_ptr):
        assert (device, device_id) == ("cuda", 0)
        self.inputs[name] = (buffer_ptr, tuple(shape), np.dtype(element_type))

    def bind_output(
        self, name, device, device_id=0, element_type=None, shape=None, buffer_ptr=None
    ):
        assert (device, device_id) == ("cuda", 0)
        bound = None if buffer_ptr is None else (buffer_ptr, tuple(shape), np.dtype(element_type))
        self.outputs[name] = bound

    def get_outputs(self):
        return self.made


class Session:
    """What `onnxruntime.InferenceSession` is, for the providers of a device."""

    def __init__(
        self, behaviour: Behaviour, real: type, path: Any, options: Any, asked: Any
    ) -> None:
        self.behaviour = behaviour
        self.asked = [(one, {}) if isinstance(one, str) else one for one in asked]
        for name, given in self.asked:
            unknown = set(given) - set(RECORDED["options"].get(name, ()))
            if unknown:
                raise RuntimeError(f"unknown provider option {sorted(unknown)} of {name}")
            assert all(isinstance(value, str) for value in given.values())
        own = self.asked[0][1]
        self.stream = int(own.get("user_compute_stream", "0"))
        self.captures = "1" in (own.get(k) for k in ("enable_cuda_graph", "trt_cuda_graph_enable"))
        self._real = real(path, options, providers=[PROCESSOR])
        self._graphs: dict[str, Any] = {}
        folder = own.get("trt_engine_cache_path") or own.get("nv_runtime_cache_path")
        if folder and behaviour.loads and behaviour.compiles:
            Path(folder, "subgraph.engine").touch()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self):
        return [name for name, _ in self.asked] if self.behaviour.loads else [PROCESSOR]

    def io_binding(self):
        return _Binding()

    def run_with_iobinding(self, binding: _Binding, run_options: Any = None) -> None:
        double = cuda_double.current
        inputs, outputs = dict(binding.inputs), dict(binding.outputs)
        if all(bound is None for bound in outputs.values()):
            zeros = {name: np.zeros(shape, kind) for name, (_, shape, kind) in inputs.items()}
            values = self._real.run(list(outputs), zeros)
            replays = self._graphs and self.behaviour.one_graph
            known = self.behaviour.makes_outputs or not replays
            binding.made = [_Value(value.shape if known else None) for value in values]
            return
        graph = self._graph_of(run_options)
        if graph is not None:
            # A captured graph reads and writes where it did when it was captured, whatever is bound now.
            inputs, outputs = self._graphs.setdefault(graph, (inputs, outputs))

        def compute() -> None:
            feeds = {
                name: double.view(address, _nbytes(shape, kind)).view(kind).reshape(shape)
                for name, (address, shape, kind) in inputs.items()
            }
            values = self._real.run(list(outputs), feeds)
            for value, (address, shape, kind) in zip(values, outputs.values(), strict=True):
                double.view(address, _nbytes(shape, kind)).view(kind).reshape(shape)[...] = value

        uses = [(a, _nbytes(s, k)) for a, s, k in (*inputs.values(), *outputs.values())]
        double.launch(self.stream, "session", compute, uses)
        double.calls.append("run_with_iobinding")
        waits = run_options is None or not _entry(
            run_options, "disable_synchronize_execution_providers"
        )
        if waits:
            double.synchronise(self.stream)

    def _graph_of(self, run_options: Any) -> str | None:
        if not self.captures or run_options is None:
            return None
        named = next(
            (e for k in RECORDED["run"] if "graph" in k and (e := _entry(run_options, k))), "0"
        )
        if self.behaviour.one_graph and (self._graphs or named != "-1"):
            return "0"
        return None if named == "-1" else named

    def end_profiling(self):
        path = Path(self._real.end_profiling())
        events = json.loads(path.read_text(encoding="utf-8"))
        for event in events:
            if event.get("cat") == "Node" and "provider" in event.get("args", {}):
                name = event["name"].removesuffix("_kernel_time")
                left = {name, "*"} & set(self.behaviour.left)
                event["args"]["provider"] = PROCESSOR if left else self.asked[0][0]
        path.write_text(json.dumps(events), encoding="utf-8")
        return str(path)


def _nbytes(shape: tuple[int, ...], kind: Any) -> int:
    return int(np.prod(shape)) * kind.itemsize


def _entry(run_options: Any, key: str) -> str:
    try:
        return str(run_options.get_run_config_entry(key))
    except Exception:  # the runtime raises where there is none
        return ""


def install(behaviour: Behaviour | None = None, monkeypatch: Any = None) -> Behaviour:
    """Put the double in the place of ONNX Runtime's sessions on a device, here and in child processes.

    Args:
        behaviour: what it shows; None takes that of the environment, in a child.
        monkeypatch: pytest's, which undoes it; None in a child.
    """
    if behaviour is None:
        behaviour = Behaviour(**json.loads(os.environ[VARIABLE]))
    real, version = real_session, importlib.metadata.version

    def session(path, options=None, providers=None, **given):
        if providers is None or list(providers) == [PROCESSOR]:
            return real(path, options, providers=providers, **given)
        assert given.get("enable_fallback") == 0
        return Session(behaviour, real, path, options, providers)

    def version_of(name: str) -> str:
        if name not in behaviour.installed:
            return version(name)
        if behaviour.installed[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return behaviour.installed[name]

    put = monkeypatch.setattr if monkeypatch is not None else setattr
    put(ort, "InferenceSession", session)
    put(ort, "get_available_providers", lambda: list(behaviour.offered))
    put(importlib.metadata, "version", version_of)
    if monkeypatch is not None:
        monkeypatch.setenv(VARIABLE, json.dumps(asdict(behaviour)))
    return behaviour
