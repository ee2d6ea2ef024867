"""How a network is to be converted, as options say it: images for ranges, and layers that stay in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from deploykit.errors import UsageError


@dataclass(frozen=True)
class KeepChoice:
    """Layers that stay in float32 where the rest is converted.

    Attributes:
        nodes: names of ONNX nodes; `*` and `?` match as in file names.
        op_types: operator types, such as "Gemm".
        drift: this many convolutions and products, those whose conversion alone costs the outputs most.
    """

    nodes: tuple[str, ...] = ()
    op_types: tuple[str, ...] = ()
    drift: int = 0

    def __bool__(self) -> bool:
        return bool(self.nodes or self.op_types or self.drift)

    def check(self, precisions: Sequence[str]) -> None:
        """Refuse to keep what is not converted.

        Raises:
            UsageError: nothing but fp32 is asked for.
        """
        if self and set(precisions) <= {"fp32"}:
            raise UsageError(
                "--keep leaves layers in fp32, and all are with --precision fp32: "
                "give another precision, such as int8"
            )


@dataclass(frozen=True)
class CalibrationChoice:
    """How the ranges of a quantised graph are to be found.

    Attributes:
        data: a data set whose calibration part is used; None takes the one the weights were trained on.
        method: "minmax", "percentile", "entropy" or "mse".
        images: how many images of it; None takes all that were given for calibration (`DEFAULT_IMAGES` where nobody
            said which those are and others are to be judged), or `DEFAULT_SYNTHETIC_IMAGES` of made-up ones.
        synthetic: whether made-up images are allowed where there is no data.
        seed: of the generator that makes images up.
        keep: the layers that stay in float32.
        strict: whether a layer that the runtime leaves in another precision fails the build.
        judged: whether a metric is computed on the test part, which then stays out of calibration.
    """

    data: str | None = None
    method: str = "minmax"
    images: int | None = None
    synthetic: bool = False
    seed: int = 0
    keep: KeepChoice = field(default_factory=KeepChoice)
    strict: bool = False
    judged: bool = False


@dataclass(frozen=True)
class Goal:
    """What a network must still do.

    Attributes:
        max_drop: top-1 accuracy that it may lose against fp32, a share, on the calibration part.
        min_snr_db: or: signal-to-noise ratio of the outputs against fp32, in dB.
    """

    max_drop: float | None = None
    min_snr_db: float | None = None

    def __post_init__(self) -> None:
        if (self.max_drop is None) == (self.min_snr_db is None):
            raise UsageError("give one of --max-accuracy-drop and --min-snr-db")

    def holds(self, value: float) -> bool:
        """Whether a drop, or a ratio, is good enough."""
        if self.max_drop is not None:
            return value <= self.max_drop + 1e-12
        return value >= (self.min_snr_db or 0.0)
