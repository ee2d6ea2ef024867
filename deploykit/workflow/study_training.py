"""What the study's trainings came to, one row each: from its journal and its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploykit.stats import wilson_interval
from deploykit.store import file_sha256
from deploykit.training.study import JOURNAL, Case
from deploykit.workflow.study_rows import checkpoint_of
from deploykit.zoo.weights import metadata

#: The columns of study_training.csv.
TRAINING_COLUMNS = (
    "case model alpha rho resolution_px dataset train_images start freeze epochs seed recipe "
    "top1 top1_low top1_high test_images train_s torch sha256"
).split()


def training_rows(cases: Iterable[Case], folder: Path) -> list[dict[str, Any]]:
    """A row for every case that is trained, in the cases' order.

    `train_s` is what the call that finished it took, with as many trainings beside it as there were.
    """
    took_s = {row["case"]: row.get("train_s") for row in _journal(folder)}
    rows = []
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


def _journal(folder: Path) -> list[dict[str, Any]]:
    path = folder / JOURNAL
    return list(json.loads(path.read_text())) if path.is_file() else []
