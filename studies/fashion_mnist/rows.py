"""The study's rows: a profile row per network and precision, stored until it goes stale, and one per training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deploykit import env
from deploykit.bench.scenario import Policy
from deploykit.code_digest import code_digest
from deploykit.columns import NAMES, SCHEMA_VERSION
from deploykit.report.csv import CsvReport, read_cells
from deploykit.row import Row, text_of
from deploykit.spec import ModelSpec
from deploykit.stats import wilson_interval
from deploykit.store import Store, file_sha256, key_of
from deploykit.workflow.choices import CalibrationChoice
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations
from deploykit.workflow.profile import Profiler
from deploykit.zoo.weights import metadata
from studies.fashion_mnist.cases import Case, training_times_s

PRECISIONS = ("fp32", "fp16", "int8")

#: Of the calibration part, which neither training nor the test sees.
CALIBRATION_IMAGES = 500

#: Rows that are finished, in the study's folder.
ROWS = "rows.csv"
#: Packages whose code a row rests on, beside what makes it a row: their parts find each other by name.
_MEASURING = tuple(f"deploykit.{name}" for name in ("zoo", "graph", "backends", "bench", "data"))
_KEY, _CASE = "key", "case"

#: Cells of a row as text, by column; blanks left out.
Cells = dict[str, str]

#: The columns of study_training.csv.
TRAINING_COLUMNS = (
    "case model alpha rho resolution_px dataset train_images start freeze epochs seed recipe "
    "top1 top1_low top1_high test_images train_s torch sha256"
).split()


@dataclass(frozen=True)
class Measured:
    """A trained network and its rows, by precision; cells as text, blanks left out."""

    case: Case
    rows: Mapping[str, Cells]


def evaluate(
    cases: Iterable[Case],
    folder: Path,
    store: Store,
    policy: Policy,
    *,
    remeasure: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> list[Measured]:
    """Measure every case whose checkpoint is in `folder`, in every precision of the study.

    Rows reach `rows.csv` in the folder network by network, and stay as long as the checkpoint, the code
    that measures, the machine and the policy are what they were.

    Args:
        cases: on one data set each; those without a checkpoint are left out.
        folder: the study's own, with its checkpoints and stored rows.
        store: takes graphs and engines.
        policy: how long each row is measured.
        remeasure: whether to measure again what is stored.
        say: called with each step, in words.

    Raises:
        OutputFailed: `folder` or `store` can't be written.
    """
    trained = [case for case in cases if checkpoint_of(case, folder).is_file()]
    report = CsvReport(str(folder / ROWS), (*NAMES, _CASE, _KEY))
    rows = {} if remeasure else _read(folder / ROWS)
    options = ProfileOptions(
        precisions=PRECISIONS,
        policy=policy,
        calibration=CalibrationChoice(images=CALIBRATION_IMAGES),
    )
    for place, case in enumerate(trained, 1):
        key = _key(checkpoint_of(case, folder), policy)
        if _whole(rows.get(case.name, []), key):
            continue
        say(f"[{place}/{len(trained)}] {case.name}")
        profiler = Profiler(store, options)
        wanted = enumerate_configurations([source_of(case, folder)], options)
        rows[case.name] = [_stored(row, case, key) for row in profiler.rows(wanted)]
        report.replace(row for c in trained for row in rows.get(c.name, []))
    return [
        Measured(case, {str(row["precision"]): row for row in rows[case.name]}) for case in trained
    ]


def checkpoint_of(case: Case, folder: Path) -> Path:
    """Where the study's training leaves the weights of a case."""
    return folder / f"{case.name}.safetensors"


def source_of(case: Case, folder: Path) -> ModelSpec:
    """The trained network of a case; what its checkpoint says of itself need not be said again."""
    return replace(case.spec, resolution_px=None, weights=str(checkpoint_of(case, folder)))


def _stored(row: Row, case: Case, key: str) -> Cells:
    """A row as it is read back, so that a report is the same whether its rows are new or stored."""
    cells = {name: text_of(row.get(name)) for name in NAMES} | {_CASE: case.name, _KEY: key}
    return {name: cell for name, cell in cells.items() if cell != ""}


def _read(path: Path) -> dict[str, list[Cells]]:
    """Rows of an earlier call by case; none where there is no such file, or it is not what was written."""
    if not path.is_file():
        return {}
    stored = [{name: cell for name, cell in row.items() if cell} for row in read_cells(path)]
    rows: dict[str, list[Cells]] = {}
    for row in stored:
        rows.setdefault(row.get(_CASE, ""), []).append(row)
    return rows


def _whole(rows: Sequence[Cells], key: str) -> bool:
    done = [row["precision"] for row in rows if row["status"] == "ok" and row.get(_KEY) == key]
    return done == list(PRECISIONS)


def _key(checkpoint: Path, policy: Policy) -> str:
    """Of everything that a row rests on."""
    return key_of(
        {
            "checkpoint": file_sha256(checkpoint),
            "calibration_images": CALIBRATION_IMAGES,
            "policy": asdict(policy),
            "schema": SCHEMA_VERSION,
            "columns": NAMES,
            "env": env.env_id(),
            "code": code_digest("deploykit.workflow.profile", *_MEASURING),
        }
    )


def training_rows(cases: Iterable[Case], folder: Path) -> list[dict[str, Any]]:
    """A row for every case that is trained, in the cases' order.

    `train_s` is what the call that finished it took, with as many trainings beside it as there were.
    """
    took_s = training_times_s(folder)
    rows: list[dict[str, Any]] = []
    for case in cases:
        path = checkpoint_of(case, folder)
        if not path.is_file():
            continue
        stored = metadata(path)
        top1, images = float(stored["test_top1"]), int(stored["test_images"])
        low, high = wilson_interval(round(top1 * images), images)
        named = {name: stored[name] for name in TRAINING_COLUMNS if name in stored}
        rows.append(
            named
            | {
                "case": case.name,
                "start": case.start,
                "top1": top1,
                "top1_low": low,
                "top1_high": high,
                "test_images": images,
                "train_s": took_s.get(case.name),
                "sha256": file_sha256(path),
            }
        )
    return rows
