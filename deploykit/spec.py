"""The values that travel between the layers: frozen, standard library only, units in their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

#: A dimension of a tensor: a number, the name of a symbolic one, or None where nothing is known.
Dim = int | str | None


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and element type of a graph's input or output.

    `dtype` is numpy's name for the type ("float32"); a symbolic dimension is its name.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str

    def with_batch(self, batch: int) -> tuple[int, ...]:
        """The concrete shape at `batch`: the first symbolic dimension is the batch, others are 1."""
        if not self.shape:
            return ()
        first, *rest = self.shape
        head = batch if not isinstance(first, int) else first
        return (head, *(d if isinstance(d, int) else 1 for d in rest))

    @property
    def dynamic_batch(self) -> bool:
        """Whether the first dimension is symbolic."""
        return bool(self.shape) and not isinstance(self.shape[0], int)


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


@dataclass(frozen=True)
class BuildOptions:
    """What shapes an engine beside its graph; part of the engine's key.

    `compute_capability` (TensorRT targets) is the device to build for, such as "8.6"; None is the
    builder's default. `batch_max` bounds the batch that an engine with a dynamic batch accepts.
    """

    batch_opt: int = 1
    batch_max: int = 8
    compute_capability: str | None = None


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
        remarks: what there is to know of the counts: why something is uncounted, which branch was taken.
    """

    parameters: int
    macs: int
    activation_bytes: int
    weight_bytes: int
    by_operator: Mapping[str, OperatorCounts] = field(default_factory=dict)
    uncounted: Mapping[str, int] = field(default_factory=dict)
    unsized: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def is_lower_bound(self) -> bool:
        """Whether the network takes more MACs than were counted."""
        return bool(self.uncounted)
