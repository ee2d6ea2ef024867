"""Running a graph with one of ONNX Runtime's providers for NVIDIA devices, and finding out what it really computed.

ONNX Runtime falls back without a word: a provider that does not load leaves the session on the processor, and a
node that the provider does not take is computed there. After a session is opened its providers are asked for, and
its first run is profiled, which tells the provider of every node that ran.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploykit import codec
from deploykit.backends.base import engine_inputs
from deploykit.backends.device_session import Buffers, DeviceSession
from deploykit.backends.onnxruntime_layers import plain_name
from deploykit.cuda import open_device
from deploykit.errors import BuildFailed, MissingDependency, one_line
from deploykit.graph.count import product_macs
from deploykit.graph.nodes import node_name
from deploykit.graph.view import GraphView
from deploykit.lazy import ort
from deploykit.ort_session import PROVIDER as PROCESSOR
from deploykit.ort_session import session_options, tensor_spec
from deploykit.row import Note
from deploykit.spec import Engine, TensorSpec
from deploykit.writing import working_folder

if TYPE_CHECKING:
    from deploykit.backends.base import Bound, Feeds
    from deploykit.backends.onnxruntime_gpu import OnnxRuntimeCuda

#: A row of which a larger share of the MACs was computed on the processor is none of the device.
MOST_ON_PROCESSOR = 0.5
#: Nodes that a note names at most.
NAMED = 5
#: A byte that fills outputs before a run that is to write them, and the fewest that no run leaves all alike so.
_UNWRITTEN, _FEWEST = 0xA5, 4
#: The folder beside an engine for what its provider compiles.
COMPILED = "compiled"


def products_of(graph: GraphView) -> dict[str, Any]:
    """What tells the work of a node that the runtime names: MACs by product, and products by what they make.

    Where a product was merged with what follows it, on the processor, the runtime calls it by the tensor in which
    both end.
    """
    macs = {name: count for name, count in product_macs(graph).items() if count != 0}
    tensors: dict[str, str] = {}
    for node in graph.nodes:
        if node_name(node) in macs:
            tensors[node.output[0]] = node_name(node)
        elif node.input and node.input[0] in tensors and graph.read_only_by(node.input[0], node):
            tensors[node.output[0]] = tensors[node.input[0]]
    return {"macs": macs, "tensors": tensors}


@dataclass(frozen=True)
class Placement:
    """Which provider computed which nodes, as the profile of a run tells.

    Attributes:
        nodes: names by the provider, in the order in which they ran.
    """

    nodes: Mapping[str, tuple[str, ...]]

    @classmethod
    def of_profile(cls, text: str) -> Placement:
        """Read a profile of ONNX Runtime, JSON; of several runs each node counts once."""
        nodes: dict[str, dict[str, None]] = {}
        for event in json.loads(text):
            name = str(event.get("name", ""))
            provider = event.get("args", {}).get("provider")
            if event.get("cat") == "Node" and name.endswith("_kernel_time") and provider:
                nodes.setdefault(str(provider), {})[name.removesuffix("_kernel_time")] = None
        return cls({provider: tuple(names) for provider, names in nodes.items()})

    def elsewhere(self, wanted: str, products: Mapping[str, Any]) -> dict[str, str]:
        """The products that another provider than the wanted one computed, with its name."""
        return {
            product: provider
            for provider, names in self.nodes.items()
            if provider != wanted
            for product in _share(names, products)[1]
        }

    def notes(self, wanted: str, products: Mapping[str, Any], label: str) -> tuple[Note, ...]:
        """What a row has to say of nodes that another provider than the wanted one computed.

        Args:
            wanted: the provider that was asked for.
            products: of the graph, as `products_of` tells them.
            label: what errors call the network.

        Raises:
            BuildFailed: the processor computed most of it.
        """
        total = sum(len(names) for names in self.nodes.values())
        if not self.nodes.get(wanted):
            where = ", ".join(self.nodes) or "nothing"
            raise BuildFailed(
                f"{wanted} took no node of {label}, {where} did: use --backend onnxruntime, or another precision"
            )
        on_processor = self.nodes.get(PROCESSOR, ())
        share, working = _share(on_processor, products)
        if share > MOST_ON_PROCESSOR:
            raise BuildFailed(
                f"{share:.0%} of the MACs of {label} ran on the processor, as {wanted} did not take "
                f"{_named(working)}; use --backend onnxruntime, or another precision"
            )
        notes = []
        for provider, names in self.nodes.items():
            if provider != wanted:
                where = "the processor" if provider == PROCESSOR else provider
                work, _ = _share(names, products)
                text = (
                    f"{wanted} did not take {len(names)} of {total} nodes, which ran on {where} "
                    f"({work:.1%} of the MACs): {_named(names)}"
                )
                notes.append(Note("runtime", text))
        return tuple(notes)


def _share(names: Sequence[str], products: Mapping[str, Any]) -> tuple[float, list[str]]:
    """The share of the MACs that nodes have (of the products, where MACs are not known), and their products."""
    macs, tensors = products.get("macs", {}), products.get("tensors", {})
    known = {name: count for name, count in macs.items() if count is not None}
    weights: Mapping[str, int] = known if len(known) == len(macs) else dict.fromkeys(macs, 1)
    plain = map(plain_name, names)
    working = dict.fromkeys(one if one in macs else tensors.get(one) for one in plain)
    found = [name for name in working if name is not None]
    total = sum(weights.values())
    return (sum(weights[name] for name in found) / total if total else 0.0), found


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


class OnnxRuntimeGpuSession(DeviceSession):
    """One graph with one provider on the first device that CUDA sees.

    It is opened by `measure_as`, or by the first run: whether runs are CUDA graphs is an option of the session.

    Args:
        backend: that knows the provider.
        engine: the graph and its manifest.
        optimised: where to write the graph as the provider runs it; None writes none.
        timing: whether the times of kernels are kept for other builds.

    Attributes:
        placement: which provider computed which nodes; None before the first run.
    """

    def __init__(
        self,
        backend: OnnxRuntimeCuda,
        engine: Engine,
        optimised: Path | None = None,
        *,
        timing: bool = False,
    ) -> None:
        device = open_device()
        super().__init__(device, device.close)
        self._backend, self._engine, self._timing = backend, engine, timing
        self._optimised = optimised
        self.inputs = engine_inputs(engine)
        self.outputs = codec.from_values(engine.manifest["outputs"], tuple[TensorSpec, ...])
        self._graph = False
        self._session: Any = None
        self._graph_ids = itertools.count(1)
        self._profiles: contextlib.ExitStack | None = None
        self._notes: tuple[Note, ...] = ()
        self.placement: Placement | None = None

    @property
    def notes(self) -> tuple[Note, ...]:
        """What other providers computed, and what FP32 means here."""
        return (*self._notes, Note("runtime", "TF32 is off: float32 products are those of float32"))

    def measure_as(self, boundary: str | None, *, cuda_graph: bool) -> None:
        """See `SessionBase.measure_as`."""
        if self._session is not None and cuda_graph != self._graph:
            self._drop_scratch()
            self._forget()
        self.boundary, self._graph = boundary or self.boundary, cuda_graph
        self._open()

    def _label(self) -> str:
        facts = self._engine.manifest
        return f"{facts['model']['label']} {facts.get('precision', '')}".strip()

    def _open(self) -> Any:
        """The session of ONNX Runtime, opened at the first call.

        Raises:
            MissingDependency: the provider does not load.
            BuildFailed: it refuses the graph.
        """
        if self._session is not None:
            return self._session
        backend, path = self._backend, self._engine.path
        options = session_options(optimise=True)
        self._profiles = contextlib.ExitStack()
        profiles = self._profiles.enter_context(working_folder())
        options.enable_profiling = True
        options.profile_file_prefix = str(profiles / "profile")
        if (
            self._optimised is not None and not backend.compiles
        ):  # what is compiled can't be written as a graph
            options.optimized_model_filepath = str(self._optimised)
        before = self._compiled()
        start_s = time.perf_counter()
        providers = backend.providers(self._engine, self._stream.pointer, self._graph, self._timing)
        try:
            session = backend.make_session(path, options, providers)
        except MissingDependency:
            raise
        except (
            Exception
        ) as error:  # the runtime has an error class per status code, without a common base
            unloadable = backend.why_not_loaded()
            if unloadable:
                raise backend.not_loaded(unloadable) from error
            raise BuildFailed(
                f"{backend.provider} refuses {self._label()}: {one_line(error)}; leave --cuda-graph out, or use "
                "another backend or precision"
                if self._graph
                else f"{backend.provider} refuses {self._label()}: {one_line(error)}; use another backend or "
                "precision"
            ) from error
        if backend.provider not in session.get_providers():
            raise backend.not_loaded()
        self._session = session
        if self._compiled() != before:
            self.compile_s = (self.compile_s or 0.0) + time.perf_counter() - start_s
        return session

    def _compiled(self) -> frozenset[str]:
        """What the provider keeps beside the engine: something new there was compiled now."""
        folder = self._engine.path.parent / COMPILED
        return frozenset(one.name for one in folder.iterdir()) if folder.is_dir() else frozenset()

    def _least_batch(self, spec: TensorSpec) -> int:
        options = self._engine.manifest.get("options", {})
        return int(options.get("batch_min", 1)) if "batch_min" in self._backend.build_options else 1

    def _attach(self, buffers: Buffers) -> Mapping[str, tuple[tuple[int, ...], Any]]:
        """Run once with outputs that ONNX Runtime allocates, which tells their shapes at these inputs."""
        session = self._open()
        self._copy_in(buffers)
        self._stream.synchronise()
        binding = session.io_binding()
        for name, pair in buffers.inputs.items():
            array = pair.host.array
            binding.bind_input(name, "cuda", 0, array.dtype.type, list(array.shape), pair.address)
        for spec in self.outputs:
            binding.bind_output(spec.name, "cuda", 0)
        types = {value.name: tensor_spec(value).dtype for value in session.get_outputs()}
        try:
            session.run_with_iobinding(binding, self._run_options(captured=False))
            made = zip((s.name for s in self.outputs), binding.get_outputs(), strict=True)
            shapes = {name: (tuple(value.shape()), types[name]) for name, value in made}
        except Exception as error:
            way_out = "leave --cuda-graph out, or use" if self._graph else "use"
            raise BuildFailed(
                f"{self._backend.provider} can't run {self._label()} at {buffers.shapes}: {one_line(error)}; "
                f"{way_out} another batch or backend"
            ) from error
        self._stream.synchronise()
        self._look_at_profile()
        buffers.bound = binding
        return shapes

    def _attach_outputs(self, buffers: Buffers) -> None:
        binding = buffers.bound
        for name, pair in buffers.outputs.items():
            array = pair.host.array
            binding.bind_output(name, "cuda", 0, array.dtype.type, list(array.shape), pair.address)
        buffers.bound = (binding, self._run_options(captured=False))

    def _ready(self, buffers: Buffers) -> None:
        """Let runs of these buffers be captured: as their addresses are, under a name that no others have."""
        buffers.bound = (buffers.bound[0], self._run_options(captured=True))

    def bind(self, feeds: Feeds) -> Bound:
        """See `DeviceSession.bind`; what was captured is held to be a run of these buffers."""
        bound = super().bind(feeds)
        if self._graph:
            try:
                self._check_graph(bound.argument)
            except BaseException:
                bound.argument.release()
                raise
        return bound

    def _check_graph(self, buffers: Buffers) -> None:
        """Refuse a graph of other buffers: some providers keep one for a session, whatever name a run gives.

        Raises:
            BuildFailed: a run leaves an output as it was.
        """
        for pair in buffers.outputs.values():
            pair.host.flat[...] = _UNWRITTEN
            if pair.device is not None:
                self._stream.copy(pair.device, pair.host)
        self._round_trip(buffers)
        for name, pair in buffers.outputs.items():
            if pair.host.nbytes >= _FEWEST and bool((pair.host.flat == _UNWRITTEN).all()):
                raise BuildFailed(
                    f"{self._backend.provider} runs the CUDA graph of other inputs, which leaves output {name} of "
                    f"{self._label()} as it was; leave --cuda-graph out, or use another backend"
                )

    def _run_options(self, *, captured: bool) -> Any:
        options = ort.RunOptions()
        # The stream is the session's own: who wants what is in it waits for that.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        if self._graph:
            named = str(next(self._graph_ids)) if captured else self._backend.no_graph
            options.add_run_config_entry(
                self._backend.graph_id, named or str(next(self._graph_ids))
            )
        return options

    def _launch(self, buffers: Buffers) -> None:
        binding, options = buffers.bound
        try:
            self._session.run_with_iobinding(binding, options)
        except Exception as error:
            raise BuildFailed(
                f"{self._backend.provider} failed in a run of {self._label()}: {one_line(error)}"
            ) from error

    def _look_at_profile(self) -> None:
        """Read where the nodes of the first run were computed; later runs are not profiled."""
        if self._profiles is None:
            return
        path = Path(self._session.end_profiling())
        self.placement = Placement.of_profile(path.read_text(encoding="utf-8"))
        self._profiles.close()
        self._profiles = None
        products = self._engine.manifest.get("products", {})
        self._notes = self.placement.notes(self._backend.provider, products, self._label())

    def _forget(self) -> None:
        self._session = None
        if self._profiles is not None:
            self._profiles.close()
            self._profiles = None

    def close(self) -> None:
        """Give back the session, its buffers and the device."""
        self.unbind()
        self._drop_scratch()
        self._forget()
        super().close()
