"""What the parent asks of a worker process and what comes back, as JSON; standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploykit.bench.policy import Policy
from deploykit.codec import from_values
from deploykit.row import Note


@dataclass(frozen=True)
class AccuracyRequest:
    """Judge accuracy on a part of a data set.

    Attributes:
        dataset: as for `deploykit.data.open_dataset`.
        part: "train", "calibration" or "test".
        limit: only so many images; None is all.
        batch: images per run, where the graph leaves it open.
        reference: .npz of predictions to agree with, as another worker wrote it.
        predictions: where to write those of this engine.
    """

    dataset: str
    part: str = "test"
    limit: int | None = None
    batch: int = 32
    reference: Path | None = None
    predictions: Path | None = None


@dataclass(frozen=True)
class WorkerRequest:
    """One row's worth of measuring.

    Attributes:
        engine: folder of the engine, with its manifest.json.
        backend: name of the backend that runs it.
        batch: images per run.
        threads: of the runtime; None is its default.
        streams: concurrent requests, each with a session of its own.
        rate_per_s: requests that arrive per second, as a Poisson process; None sends each one as soon as
            the last is answered.
        policy: how long to measure.
        feeds: `{"kind": "synthetic", "seed": 0, "sets": 4}` or `{"kind": "dataset", "name": …}`.
        run_pass: what one run does: "forward", or "forward_backward" on backends that can.
        drift_reference: .npz of inputs and outputs that `deploykit.bench.reference` made.
        accuracy: on which data; None leaves accuracy out.
        samples_path: where to keep every sample, as a compressed .npz.
    """

    engine: Path
    backend: str
    batch: int = 1
    threads: int | None = None
    streams: int = 1
    rate_per_s: float | None = None
    policy: Policy = field(default_factory=Policy)
    feeds: Mapping[str, Any] = field(default_factory=lambda: {"kind": "synthetic", "seed": 0})
    run_pass: str = "forward"
    drift_reference: Path | None = None
    accuracy: AccuracyRequest | None = None
    samples_path: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; paths are made absolute."""
        accuracy = None
        if self.accuracy is not None:
            accuracy = {
                **vars(self.accuracy),
                "reference": _text(self.accuracy.reference),
                "predictions": _text(self.accuracy.predictions),
            }
        return {
            **vars(self),
            "engine": _text(self.engine),
            "policy": self.policy.to_json(),
            "feeds": dict(self.feeds),
            "drift_reference": _text(self.drift_reference),
            "accuracy": accuracy,
            "samples_path": _text(self.samples_path),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> WorkerRequest:
        """The request that `to_json` wrote."""
        accuracy = values.get("accuracy")
        if accuracy is not None:
            accuracy = AccuracyRequest(
                **{
                    **accuracy,
                    "reference": _path(accuracy.get("reference")),
                    "predictions": _path(accuracy.get("predictions")),
                }
            )
        return cls(
            **{
                **values,
                "engine": Path(values["engine"]),
                "policy": Policy.from_json(values.get("policy", {})),
                "drift_reference": _path(values.get("drift_reference")),
                "accuracy": accuracy,
                "samples_path": _path(values.get("samples_path")),
            }
        )


@dataclass(frozen=True)
class WorkerResult:
    """What a worker measured.

    Attributes:
        columns: values by the names of the profile's columns; None is blank.
        notes: why columns are blank, and what else to know of the row.
        details: what has no column: findings, memory by phase, McNemar's counts, conditions.
    """

    columns: Mapping[str, Any]
    notes: tuple[Note, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> WorkerResult:
        """The result in a worker's answer.

        Raises:
            KeyError: it lacks a part.
            MalformedMessage: its notes are none.
        """
        notes = from_values(answer["notes"], tuple[Note, ...])
        return cls(answer["columns"], notes, answer["details"])


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
