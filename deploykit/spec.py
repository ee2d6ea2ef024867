"""The values that travel between the layers: frozen, standard library only, units in their names."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from deploykit.errors import UsageError

#: A dimension of a tensor: a number, the name of a symbolic one, or None where nothing is known.
Dim = int | str | None
#: What a timed run can span: host buffer to host buffer, or the compute between two events on the device.
END_TO_END, DEVICE = BOUNDARIES = ("end_to_end", "device")
#: What a runtime is told when it loads an engine: names and values, sorted by name; () is its defaults.
RunOptions = tuple[tuple[str, str], ...]
#: Key of a graph's metadata under which values and layouts of its inputs stand.
INPUTS_KEY = "deploykit.inputs"


def options_text(options: RunOptions) -> str:
    """Options as the column `options` has them: "ort.allow_spinning=0 ort.execution_mode=parallel"."""
    return " ".join(f"{name}={value}" for name, value in options)


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and element type of a graph's input or output.

    `dtype` is numpy's name for the type ("float32"); a symbolic dimension is its name. Of an input, `values` says
    how it is made up where no data is given ("range(0,255)", see `graph.values`; "" is the default of its type),
    and `layout` is "NHWC" where it takes images with their channels last. `fixed_axis` is where its
    batch stands if all its sizes are fixed; `tells_batch` is whether the graph inside says that it is one, which
    the sizes of inputs and outputs alone would not. `single` is whether it takes one image or recording whole,
    without an axis for more of them.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    values: str = ""
    layout: str = ""
    fixed_axis: int = 0
    tells_batch: bool = False
    single: bool = False

    @property
    def batch_axis(self) -> int | None:
        """The axis of the batch: the first symbolic dimension of an input; None where all are fixed."""
        return next((axis for axis, d in enumerate(self.shape) if not isinstance(d, int)), None)

    @property
    def image_axis(self) -> int:
        """The axis that has an entry for each image: of the batch, free or fixed."""
        axis = self.batch_axis
        return self.fixed_axis if axis is None else axis

    def with_batch(self, batch: int) -> tuple[int, ...]:
        """The concrete shape at `batch`: of the first symbolic dimension and those of its name; others are 1."""
        axis = self.batch_axis
        if axis is None:
            return tuple(d for d in self.shape if isinstance(d, int))
        symbol = self.shape[axis]
        sizes = []
        for place, dim in enumerate(self.shape):
            is_batch = place == axis or (symbol is not None and dim == symbol)
            sizes.append(dim if isinstance(dim, int) else batch if is_batch else 1)
        return tuple(sizes)

    @property
    def dynamic_batch(self) -> bool:
        """Whether a dimension is symbolic."""
        return self.batch_axis is not None


def told_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """The fixed batch that the graph inside tells; None where it leaves that to the sizes of inputs and outputs."""
    sizes = (spec.shape[spec.fixed_axis] for spec in inputs if spec.tells_batch)
    return next((size for size in sizes if isinstance(size, int)), None)


def has_batch(spec: TensorSpec, inputs: Sequence[TensorSpec]) -> bool:
    """Whether an input has an entry for each image; one without is the same for all that are run at once.

    Beside inputs whose batch is free that is one with fixed sizes alone, beside inputs of one image, or all of one
    batch, one of another size on the axis of the batch, such as a table of anchors. A scalar has no entries, and
    what has one dimension, such as a threshold, does not tell the batch of the others. A batch that the graph tells
    counts before all that.
    """
    if not spec.shape or spec.single:
        return False
    if any(one.dynamic_batch for one in inputs):
        return spec.dynamic_batch
    # As for a fixed batch, inputs of one dimension, such as a threshold, don't tell where others do.
    told = [one for one in inputs if len(one.shape) > 1] or inputs
    sizes = {one.shape[one.fixed_axis] for one in told if len(one.shape) > one.fixed_axis}
    batch: Dim = told_batch(inputs)
    if batch is None:
        batch = 1 if 1 in sizes else sizes.pop() if len(sizes) == 1 else None
    return batch is None or spec.shape[spec.fixed_axis : spec.fixed_axis + 1] == (batch,)


def stored_inputs(metadata: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Values, layout and axis of a fixed batch, by input, as `graph.inputs` wrote them; nothing of another hand."""
    try:
        stored = json.loads(metadata.get(INPUTS_KEY, "{}"))
        return {
            str(name): {
                key: str(about[key])
                for key in ("values", "layout", "batch", "images", "single")
                if key in about
            }
            for name, about in stored.items()
        }
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}


def stored_about(spec: TensorSpec, stored: Mapping[str, Mapping[str, str]]) -> TensorSpec:
    """An input with what `stored_inputs` says of it."""
    facts = input_facts(stored.get(spec.name, {}))
    if facts["fixed_axis"] >= len(spec.shape):  # of another hand
        facts |= {"fixed_axis": 0, "tells_batch": False}
    return replace(spec, **facts)


def input_facts(about: Mapping[str, str]) -> dict[str, Any]:
    """What `stored_inputs` says of an input, as fields of its `TensorSpec`."""
    tells = about.get("images") in ("0", "1", "2", "3")
    axis = about["images"] if tells else about.get("batch", "0")
    return {
        "values": about.get("values", ""),
        "layout": about.get("layout", ""),
        "fixed_axis": int(axis) if axis in ("1", "2", "3") else 0,
        "tells_batch": tells,
        "single": about.get("single") == "yes",
    }


@dataclass(frozen=True)
class InputChoice:
    """What is said of a network's inputs beside its file.

    Attributes:
        shapes: sizes by input, None where a size is left as the file has it; the name "" is the only input.
        dims: sizes by the name of a free dimension, also "height", "width" and "batch".
        values: how inputs are made up, by input; see `graph.values`.
        layout: "NHWC" or "NCHW" of image inputs; None finds out.
    """

    shapes: tuple[tuple[str, tuple[int | None, ...]], ...] = ()
    dims: tuple[tuple[str, int], ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    layout: str | None = None

    def __bool__(self) -> bool:
        return self != InputChoice()


@dataclass(frozen=True)
class ModelFile:
    """A network in a file of the user's own, and what is said of its inputs.

    `label` tells it from another file of the same name, such as "a/net" from "b/net"; empty where there is none.
    """

    path: Path
    inputs: InputChoice = field(default_factory=InputChoice)
    label: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.label}{self.path.suffix}" if self.label else self.path.name

    @property
    def stem(self) -> str:
        """The file's name without its ending, which is the network's."""
        return self.label or self.path.stem

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class ModelSpec:
    """Which network: a catalogue name and everything that shapes it.

    `rho` acts on `resolution_px` (the canonical input of the architecture when None): the input is
    round(resolution_px * rho). `num_classes` None means the architecture's own. `weights` is
    "random" (seeded), "trained", "torchvision", "timm", or the path of a checkpoint.
    """

    name: str
    alpha: float = 1.0
    rho: Fraction = Fraction(1)
    num_classes: int | None = None
    weights: str = "random"
    resolution_px: int | None = None
    seed: int = 0

    @property
    def label(self) -> str:
        """A name for files and tables: `mobilenet`, `mobilenet-a0.5`, `mobilenet-a0.5-r6_7`."""
        parts = [self.name]
        if self.alpha != 1.0:
            parts.append(f"a{self.alpha:g}")
        if self.rho != 1:
            parts.append(f"r{self.rho.numerator}_{self.rho.denominator}")
        if self.resolution_px is not None:
            parts.append(f"{self.resolution_px}px")
        return "-".join(parts)


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX file that was read and found sound, and what is known of it.

    Attributes:
        path: the file; weights are inside it.
        sha256: of the file's bytes, hexadecimal.
        spec: the network it came from; for a file of the user's own, the name is its stem.
        precision: what its convolutions and matrix products are written in.
        inputs, outputs: of the graph, initialisers left out.
        recipe: how it was made: exporter versions, or calibration method, data, count and ranges.
    """

    path: Path
    sha256: str
    spec: ModelSpec
    precision: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)


#: The sizes of an input by its name: the least, those that an engine is tuned for, and the largest.
ShapeRange = tuple[str, tuple[int | None, ...], tuple[int | None, ...], tuple[int | None, ...]]


#: The highest level of optimisation that a builder has.
MOST_OPTIMIZATION = 5


@dataclass(frozen=True)
class BuildOptions:
    """What shapes an engine beside its graph; a backend follows those that its `build_options` names.

    Attributes:
        batch_min, batch_opt, batch_max: batches that the engine takes where the graph leaves the batch open, and
            the one that it is tuned for.
        shapes: inputs of which more than the batch stays open, each with its least shape, the one that the engine
            is tuned for and its largest; empty ones, and None in them, are the graph's own.
        compute_capability: the NVIDIA device to build for, such as "8.6"; None is the builder's default.
        optimization_level: of TensorRT's builder, 0 to `MOST_OPTIMIZATION`, or of ONNX Runtime's rewrites of the
            graph, 0 (none) to 3 (all); None is the default, which is 3 in both.
        workspace_mib: limit of the memory that layers may take while they compute; None is the device's.
        version_compatible: whether later versions of TensorRT can load the engine.
        hardware_compatibility: "ampere+" or "same-compute-capability"; None is the device that it is built on.
        sparse: whether weights that are sparse in the pattern 2:4 may be computed as such.
        tactic_sources: libraries that the builder may take kernels from, by TensorRT's names; None is its default.
        channels_last: whether PyTorch's images lie in memory with their channels last.
        compile_mode: of `torch.compile`; None is its default.
        timing_cache: whether kernels' times are kept for later builds, where the builder measures any.
    """

    batch_min: int = 1
    batch_opt: int = 1
    batch_max: int = 1
    shapes: tuple[ShapeRange, ...] = ()
    compute_capability: str | None = None
    optimization_level: int | None = None
    workspace_mib: int | None = None
    version_compatible: bool = False
    hardware_compatibility: str | None = None
    sparse: bool = False
    tactic_sources: tuple[str, ...] | None = None
    timing_cache: bool = True
    channels_last: bool = False
    compile_mode: str | None = None

    def check_batch(self, batch: int) -> None:
        """Refuse a batch that the engine will not take.

        Raises:
            UsageError: it is out of range.
        """
        if not self.batch_min <= batch <= self.batch_max:
            raise UsageError(
                f"engines for batches {self.batch_min} to {self.batch_max} don't take batch {batch}: change "
                "--min-batch or --max-batch, or leave them out"
            )

    def restricted_to(self, names: Collection[str]) -> BuildOptions:
        """The options of these names; all others are as if nobody had given them."""
        return BuildOptions(**{name: getattr(self, name) for name in names})

    def differences(self, batch: int) -> str:
        """What sets an engine apart from the plain one for a batch: options by their names on the command line.

        Args:
            batch: that the engine is run at; one that is built for it alone has no range of batches.
        """
        words = []
        batches = (self.batch_min, self.batch_opt, self.batch_max)
        if set(batches) not in ({batch}, {1}):  # 1 is what those that follow no batch have
            names = ("min-batch", "opt-batch", "max-batch")
            words += [f"{name}={size}" for name, size in zip(names, batches, strict=True)]
        for name, *shapes in self.shapes:
            for which, shape in zip(("min", "opt", "max"), shapes, strict=True):
                if shape:
                    sizes = "x".join("?" if size is None else str(size) for size in shape)
                    words.append(
                        f"{which}-shape={name}={sizes}" if name else f"{which}-shape={sizes}"
                    )
        for option in fields(self):
            value, name = getattr(self, option.name), option.name.replace("_", "-")
            if option.name.startswith(("batch_", "shapes")) or value == option.default:
                continue
            if isinstance(value, bool):
                words.append(name if value else f"no-{name}")
            else:
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                words.append(f"{name.removesuffix('-mib')}={text}")
        return " ".join(words)


@dataclass(frozen=True)
class Engine:
    """A built engine in the store: its file, its key and its manifest (as stored in manifest.json)."""

    path: Path
    key: str
    manifest: Mapping[str, Any]

    @property
    def precision_actual(self) -> str:
        """The type that convolutions and matrix products compute in, read back from the engine."""
        return str(self.manifest["precision_actual"])


@dataclass(frozen=True)
class Reason:
    """Why something is not available here, and the line that would change that.

    `missing` tells a package ("package") from a device ("device").
    """

    text: str
    remedy: str
    missing: str = "package"

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


@dataclass(frozen=True)
class OperatorCounts:
    """Totals of one operator type over a graph: how many nodes, their MACs and their output bytes."""

    nodes: int
    macs: int
    parameters: int
    activation_bytes: int


@dataclass(frozen=True)
class Counts:
    """What a network holds and what one image costs, counted from its structure.

    Attributes:
        parameters: trainable values; BatchNorm's running statistics are not among them.
        macs: multiply-accumulates of convolutions and matrix products for a batch of one, without
            bias, normalisation, pooling. One MAC is two FLOPs.
        activation_bytes: sum of the sizes of all nodes' outputs for a batch of one, in the graph's types.
        weight_bytes: bytes of all stored constants, as stored.
        by_operator: per operator type, sums that add up to the totals.
        uncounted: operator types (with domain where not ONNX's own) that multiply, or may, and were left out of
            `macs`, with the number of nodes: there is no rule for them, or it is not known what shapes they have
            or how often they run. Where there are any, `macs` is a lower bound.
        unsized: operator types whose outputs are left out of `activation_bytes`, as their shapes are not known.
        chosen: operator types of which values decide what runs, so that the branch with more work was counted: a
            run may take fewer MACs.
        remarks: what there is to know of the counts: why something is uncounted, which branch was taken.
    """

    parameters: int
    macs: int
    activation_bytes: int
    weight_bytes: int
    by_operator: Mapping[str, OperatorCounts] = field(default_factory=dict)
    uncounted: Mapping[str, int] = field(default_factory=dict)
    unsized: Mapping[str, int] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_lower_bound(self) -> bool:
        """Whether the network takes more MACs than were counted."""
        return bool(self.uncounted)


#: A remark lists at most this many different lengths.
_MOST_LISTED = 4


def length_remarks(lengths: Mapping[str, Collection[int]]) -> list[str]:
    """What there is to know of MACs that grow with the length of a sequence, a remark for each operator.

    Args:
        lengths: by operator: the steps that recurrent layers take, or how often the body of a Loop or Scan runs.
    """
    remarks = []
    for name, found in sorted(lengths.items()):
        ordered = sorted(found)
        listed = " and ".join(map(str, ordered))
        if len(ordered) > _MOST_LISTED:
            listed = f"{ordered[0]} to {ordered[-1]}"
        what = "runs of its body" if name in ("Loop", "Scan") else "steps of its sequence"
        remarks.append(f"{name}: macs are for {listed} {what}")
    return remarks
