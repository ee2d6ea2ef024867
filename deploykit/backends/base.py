"""What a backend and a session are: builders of engines from ONNX graphs, and what runs them and times the runs."""

from __future__ import annotations

import contextlib
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from deploykit import codec, env
from deploykit.errors import UnknownName, UsageError, one_line
from deploykit.lazy import np
from deploykit.row import Note
from deploykit.spec import (
    END_TO_END,
    BuildOptions,
    Engine,
    OnnxModel,
    Reason,
    RunOptions,
    TensorSpec,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploykit.graph.recipes import PrecisionRecipe

    #: One set of inputs, by name.
    Feeds = Mapping[str, NDArray[Any]]

#: What one run can do: the forward pass, or forward and backward, which only some backends know.
FORWARD = "forward"
FORWARD_BACKWARD = "forward_backward"
PASSES = (FORWARD, FORWARD_BACKWARD)
#: Parts of an engine that can be timed one by one.
TimedParts = Literal["nodes", "modules", "layers", "operators"]


@dataclass(frozen=True)
class Bound:
    """One set of inputs, ready to be run again and again.

    Attributes:
        run: one run, called with `argument`; all that it does is timed.
        argument: beside the function itself, as a `functools.partial` around it would cost 20 ns in each sample.
        prepare: called before each run, outside of what is timed; None where there is nothing to do.
        elapsed_ns: nanoseconds of the last run by a clock of the device's own; None where the host's clock
            counts.
        release: gives back the buffers; called once.
    """

    run: Callable[[Any], object]
    argument: Any = None
    prepare: Callable[[], object] | None = None
    elapsed_ns: Callable[[], int] | None = None
    release: Callable[[], object] | None = None


class SessionBase(ABC):
    """A loaded engine, ready to run; leaving it as a context manager closes it.

    Attributes:
        inputs, outputs: of the engine.
        boundary: what a sample spans: "end_to_end" (host buffer to host buffer) or "device" (events around
            the compute).
        threads: that it computes with; None where that is no number of its own.
        compile_s: seconds that its first runs spent compiling, up to now; None where nothing is compiled.
        enqueue: when a run on a device is enqueued, in words; None where there is no queue.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    boundary: str = END_TO_END
    threads: int | None = None
    compile_s: float | None = None
    enqueue: str | None = None

    _bound_for: Sequence[Feeds] | None = None
    _bound: tuple[Bound, ...] = ()
    _turn = 0

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a reader of the row should know of the runs."""
        return ()

    @abstractmethod
    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name; not for timing."""

    @abstractmethod
    def bind(self, feeds: Feeds) -> Bound:
        """Prepare one set of inputs as far as is not to be timed.

        Raises:
            BuildFailed: the engine can't be run with them.
        """

    def measure_as(self, boundary: str | None, *, cuda_graph: bool) -> None:
        """Let samples span a boundary (None: the present one), or runs be CUDA graphs; called before any is bound.

        Raises:
            UsageError: they can't.
        """
        if boundary not in (None, self.boundary) or cuda_graph:
            raise UsageError(
                "this session can only be measured as it is: leave --boundary and --cuda-graph out"
            )

    def share(self) -> Self | None:
        """A session for another stream on what this one has loaded, closed first; None where each loads anew."""
        return None

    def phases(self, feeds: Sequence[Feeds], runs: int) -> Mapping[str, NDArray[np.float64]] | None:
        """Milliseconds of the parts of `runs` runs on a device, by the column of each; None without a device.

        They are taken apart from the samples, as the marks between the parts cost time themselves.

        Args:
            feeds: as for `sample`.
            runs: how many.
        """
        return None

    def operator_times(self, feeds: Sequence[Feeds], runs: int) -> Mapping[str, float] | None:
        """Mean milliseconds of a run by what the runtime calls its operators; None where it tells none.

        Backends whose `timed_parts` are "operators" have sessions that tell them.

        Args:
            feeds: as for `sample`; the first is run.
            runs: how many.
        """
        return None

    def sampling(self) -> AbstractContextManager[None]:
        """The state that binding and timed runs need around them; nothing where a session has none."""
        return contextlib.nullcontext()

    def sample(self, feeds: Sequence[Feeds], n: int) -> NDArray[np.int64]:
        """Run `n` times and return each run's time, in nanoseconds.

        The sets of inputs are bound at the first call with the same `feeds` object and take turns, so that one
        set can't live in a cache for ever. Turns go on from call to call: a slow network, or an arriving
        request, is one run per call.
        """
        samples_ns = np.zeros(n, dtype=np.int64)
        with self.sampling():
            if feeds is not self._bound_for:
                self._bind_all(feeds)
            sets = len(self._bound)
            first = self._turn % sets
            in_turn = self._bound[first:] + self._bound[:first]
            turns = itertools.cycle([(b.prepare, b.run, b.argument, b.elapsed_ns) for b in in_turn])
            clock, samples = time.perf_counter_ns, samples_ns.data
            for i, (prepare, run, argument, elapsed_ns) in enumerate(itertools.islice(turns, n)):
                if prepare is not None:
                    prepare()
                start_ns = clock()
                output = run(argument)
                end_ns = clock()
                samples[i] = end_ns - start_ns if elapsed_ns is None else elapsed_ns()
                del output  # here, so that freeing it is not timed
            self._turn = (first + n) % sets
        return samples_ns

    def _bind_all(self, feeds: Sequence[Feeds]) -> None:
        self.unbind()
        for one in feeds:
            self._bound += (self.bind(one),)
        self._bound_for = feeds

    def unbind(self) -> None:
        """Give back what is bound."""
        bound, self._bound, self._bound_for = self._bound, (), None
        for one in bound:
            if one.release is not None:
                one.release()

    def close(self) -> None:
        """Give back what the session holds; it can't be used afterwards."""
        self.unbind()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


#: What run options need to change anything.
THREADS, HARDWARE_THREADS = "threads", "hardware threads"


@dataclass(frozen=True)
class RunOption:
    """Something that a runtime can be told when it loads an engine; it is no part of the engine.

    Attributes:
        name: that `--option` takes, such as "ort.allow_spinning".
        values: it can have.
        default: what it has where nobody says.
        meaning: one phrase.
        tuned: whether `tune` tries its other values.
        needs: without what it changes nothing: more than one thread, or a core's second hardware thread.
    """

    name: str
    values: tuple[str, ...]
    default: str
    meaning: str
    tuned: bool = True
    needs: str = ""

    def matters(self, threads: int) -> bool:
        """Whether it can change anything on this machine for a session of so many threads."""
        if self.needs == THREADS:
            return threads > 1
        return self.needs != HARDWARE_THREADS or env.has_hardware_threads()

    def check(self, value: str) -> None:
        """Refuse a value that it can't have.

        Raises:
            UsageError: names those it can.
        """
        if value not in self.values:
            known = f"{', '.join(self.values[:-1])} or {self.values[-1]}"
            raise UsageError(f"--option {self.name} takes {known}, not {one_line(value, 40)!r}")


def engine_inputs(engine: Engine) -> tuple[TensorSpec, ...]:
    """The inputs of the graph that an engine was built from, as its manifest describes them."""
    return codec.from_values(engine.manifest.get("inputs", ()), tuple[TensorSpec, ...])


class BackendBase(ABC):
    """A builder and runner of engines; graphs for it are made by the recipes of its target.

    Attributes:
        name: the value of the `backend` column, such as "onnxruntime".
        target: whose precision recipes it takes, such as "cpu". The first backend of a target, in the order
            of the registry, is the target's own.
        filename: the name of the engine's file in the store.
        emulated: precisions that it may accept but compute in another type by design, with that type;
            not a mismatch.
        precisions: names of the precisions that it takes; None is all that its target has.
        passes: that a session can run.
        revision: part of every engine's key, raised when `build` makes something else of the same graph.
        build_options: names of the fields of `BuildOptions` that shape its engines; `build` gets the others at
            their defaults, and they are no part of an engine's key.
        caches: an existing folder in which a builder may keep what it learns, such as the times of kernels, for
            the next build; None keeps nothing.
        boundaries: what a sample can span, the default first.
        cuda_graphs: whether runs can be CUDA graphs.
        builds_without_device: whether an engine is worth building where its device is not, to be run elsewhere.
        timed_parts: what parts of its engines can be timed one by one: "nodes" of the engine, by the profile
            of ONNX Runtime, "modules" of PyTorch's, by hooks, or "layers" of TensorRT's, by its profiler; only
            its "operators", by OpenVINO's names (`SessionBase.operator_times`); None where they can't.
        run_options: what sessions can be told; those that are told reach `open`.
        compiled: whether an engine is compiled when it is loaded, which takes many seconds.
    """

    name: str
    target: str
    filename: str
    precisions: tuple[str, ...] | None = None
    passes: tuple[str, ...] = (FORWARD,)
    revision: int | None = None
    build_options: tuple[str, ...] = ()
    caches: Path | None = None
    boundaries: tuple[str, ...] = (END_TO_END,)
    cuda_graphs: bool = False
    builds_without_device: bool = True
    compiled: bool = False
    timed_parts: TimedParts | None = None
    run_options: tuple[RunOption, ...] = ()

    @property
    def emulated(self) -> Mapping[str, str]:
        """See the class; a backend's own is an attribute, or a property where the machine decides."""
        return {}

    @abstractmethod
    def available(self) -> Reason | None:
        """None where engines can be built here, else what is missing."""

    @abstractmethod
    def device(self) -> str | Reason:
        """The device that engines would run on, or why they can't run here."""

    @abstractmethod
    def version(self) -> str:
        """Version of the builder; part of every engine's key."""

    @abstractmethod
    def build(self, model: OnnxModel, options: BuildOptions, path: Path) -> Mapping[str, Any]:
        """Build an engine at `path`.

        Returns:
            Facts for the manifest, among them `compute_types`: for each type that convolutions and matrix
            products compute in, the names of those nodes, as read back from what was built.

        Raises:
            BuildFailed: the graph is refused, or what was built can't be read back.
        """

    @abstractmethod
    def open(
        self, engine: Engine, threads: int | None, run_pass: str, options: RunOptions = ()
    ) -> SessionBase:
        """What `load` returns; `run_pass` is one of `passes`, `options` are of `run_options`, none at its default.

        A backend without `run_options` is never given `options`.
        """

    def load(
        self,
        engine: Engine,
        threads: int | None = None,
        run_pass: str = FORWARD,
        options: RunOptions = (),
    ) -> SessionBase:
        """A session on `engine`.

        Args:
            engine: that this backend built.
            threads: to compute with; None is the backend's default, on processors one per usable core.
            run_pass: what one timed run does.
            options: of the runtime; all others are at their defaults.

        Raises:
            UnknownName, UsageError: see `check_pass` and `chosen_options`.
            MissingDependency: no device for it is here.
            BuildFailed: the engine does not load.
        """
        self.check_pass(run_pass)
        told = self.chosen_options(options)
        rest = (told,) if told else ()
        session = self.open(engine, threads, run_pass, *rest)
        known = {spec.name: spec for spec in engine_inputs(engine)}
        session.inputs = tuple(
            replace(one, shape=spec.shape, dtype=spec.dtype)
            if (one := known.get(spec.name)) is not None
            else spec
            for spec in session.inputs
        )
        return session

    def check_pass(self, name: str) -> None:
        """Refuse a pass that this backend can't run.

        Raises:
            UnknownName: there is no such pass.
            UsageError: this backend does not have it.
        """
        if name not in PASSES:
            raise UnknownName("pass", name, PASSES)
        if name not in self.passes:
            from deploykit.backends import builtin

            others = " or ".join(backend.name for backend in builtin() if name in backend.passes)
            raise UsageError(
                f"{self.name} has no {name} pass, it runs {FORWARD} only: use --backend {others}"
            )

    def chosen_options(self, options: RunOptions) -> RunOptions:
        """The options as a row has them: sorted, those at their defaults left out.

        Raises:
            UnknownName: this backend has no option of that name.
            UsageError: it can't have that value.
        """
        known = {option.name: option for option in self.run_options}
        chosen = []
        for name, value in sorted(dict(options).items()):
            if name not in known:
                raise UnknownName(f"option of {self.name}", name, known, "it has none")
            known[name].check(value)
            if value != known[name].default:
                chosen.append((name, value))
        return tuple(chosen)

    def on_gpu(self) -> bool:
        """Whether its engines run on an NVIDIA device here."""
        return False

    def check_measured_as(self, boundary: str | None, *, cuda_graph: bool) -> None:
        """Refuse a boundary, or CUDA graphs, that this backend's sessions don't have.

        Raises:
            UsageError: names the backends that do.
        """
        from deploykit.backends import builtin

        if boundary is not None and boundary not in self.boundaries:
            others = " or ".join(one.name for one in builtin() if boundary in one.boundaries)
            raise UsageError(
                f"{self.name} has no --boundary {boundary}, only {' and '.join(self.boundaries)}: use "
                f"--backend {others}"
            )
        if cuda_graph and not self.cuda_graphs:
            others = " or ".join(one.name for one in builtin() if one.cuda_graphs)
            raise UsageError(f"{self.name} has no CUDA graphs: use --backend {others}")

    def host(self) -> str | None:
        """What engines are specific to beside the builder; part of their key. None where nothing is."""
        return None

    def prepare(self) -> None:  # noqa: B027, a default that does nothing is meant
        """Import the runtime, so that its own memory does not count as that of the first engine."""

    def foreign(self, engine: Engine) -> Reason | None:
        """Why an engine can't run on this device, though the backend can; None where it can, or nobody knows."""
        return None

    def largest_batch(self, engine: Engine) -> int | None:
        """The largest batch that an engine was built for; None where the runtime sets no bound."""
        return None

    def usage(self, model: OnnxModel, options: BuildOptions) -> str | None:
        """Python that loads an engine of `model` and runs it without deploykit; None where nothing else can.

        Its manifest has it, and such an engine can be put anywhere by `deploykit build -o`.
        """
        return None

    def recipes(self) -> Sequence[PrecisionRecipe]:
        """Precision recipes that come with this backend, for its target, beside those of `graph.precision`.

        A recipe of `graph.precision` is taken over by `dataclasses.replace(find_recipe(...), targets=(...))`.
        """
        return ()

    def offered(self) -> list[str]:
        """Names of the precisions that engines can be built in.

        A recipe that another backend brought for its target is offered where `precisions` names it.
        """
        from deploykit.graph.precision import precisions
        from deploykit.graph.recipes import from_sources

        found = precisions(self.target)
        if self.precisions is not None:
            return [recipe.name for recipe in found if recipe.name in self.precisions]
        brought = {recipe.name for recipe in from_sources() if self.target in recipe.targets}
        others = brought - {recipe.name for recipe in self.recipes()}
        return [recipe.name for recipe in found if recipe.name not in others]


def check_offered(backends: Sequence[BackendBase], wanted: Sequence[str]) -> None:
    """Refuse a precision that none of the backends has.

    Raises:
        UnknownName: there is no such precision.
        UsageError: names it, and what they have.
    """
    from deploykit.graph.precision import precisions

    for precision in wanted:
        if any(precision in backend.offered() for backend in backends):
            continue
        known = list(dict.fromkeys(recipe.name for recipe in precisions()))
        if precision not in known:
            raise UnknownName("precision", precision, known)
        has = "; ".join(
            f"{backend.name} has {', '.join(backend.offered())}" for backend in backends
        )
        raise UsageError(f"no {precision} on this backend: {has}")
