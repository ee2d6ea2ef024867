"""How a network is to be converted: the images that ranges come from, and the layers that stay in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from deploykit.data import open_dataset
from deploykit.errors import UnknownName, UsageError
from deploykit.graph.calibrate import METHODS, Calibration, synthetic_calibration
from deploykit.workflow.network import Network, input_chw

#: Images that calibration takes when nobody says how many.
DEFAULT_IMAGES = 100
DEFAULT_SYNTHETIC_IMAGES = 8
#: Bounds on what calibration runs at once: images, and bytes of their activations.
MAX_BATCH = 8
BATCH_BYTES = 2**29


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
        images: how many images of it; None takes `DEFAULT_IMAGES`, or `DEFAULT_SYNTHETIC_IMAGES` of made-up ones.
        synthetic: whether made-up images are allowed where there is no data.
        seed: of the generator that makes images up.
        keep: the layers that stay in float32.
    """

    data: str | None = None
    method: str = "minmax"
    images: int | None = None
    synthetic: bool = False
    seed: int = 0
    keep: KeepChoice = field(default_factory=KeepChoice)

    def check(self) -> None:
        """Refuse what can't be, before any work is done for it.

        Raises:
            UnknownName, UsageError, MissingDependency: no such method or data set, or it can't be read here.
        """
        if self.method not in METHODS:
            raise UnknownName("calibration method", self.method, METHODS)
        if self.images is not None and self.images < 1:
            raise UsageError(f"calibration needs at least one image, not {self.images}")
        if self.data is not None:
            open_dataset(self.data)


def calibration_of(network: Network, choice: CalibrationChoice) -> Calibration:
    """The images that `choice` means for a network.

    Raises:
        UsageError: there are none, or they don't fit the network.
    """
    model = network.model
    data = choice.data or network.dataset
    # Random weights have seen no data, so none is more right for them than noise is.
    synthetic = choice.synthetic or model.spec.weights == "random"
    if data is not None:
        shape = input_chw(model)
        if shape is None:
            raise UsageError(
                f"{model.spec.label} takes no images, so {data} can't calibrate it: "
                "give --synthetic-calibration"
            )
        part = open_dataset(data).calibration
        count = choice.images or min(DEFAULT_IMAGES, len(part))
        return Calibration.from_part(
            part,
            shape,
            count=count,
            batch_size=_batch(network),
            data=data,
            method=choice.method,
        )
    if not synthetic:
        raise UsageError(
            f"int8 needs images to calibrate {model.spec.label}: give --data DATASET, or "
            "--synthetic-calibration for an engine whose accuracy means nothing"
        )
    return synthetic_calibration(
        model.inputs[0].with_batch(1)[1:],
        seed=choice.seed,
        count=choice.images or DEFAULT_SYNTHETIC_IMAGES,
        batch_size=_batch(network),
        method=choice.method,
    )


def _batch(network: Network) -> int:
    """Images that calibration runs at once: fewer where each has many activations."""
    activation_bytes = int(network.facts["activation_bytes"])
    return max(1, min(MAX_BATCH, BATCH_BYTES // max(1, activation_bytes)))
