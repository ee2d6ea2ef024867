"""The study's rows are stored until they go stale, and its report says what they say."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from deploykit import env
from deploykit.bench.scenario import Policy
from deploykit.codec import to_json
from deploykit.columns import NAMES
from deploykit.data import by_name
from deploykit.spec import ModelSpec
from deploykit.workflow.configuration import Configuration
from deploykit.zoo.weights import shipped
from studies.fashion_mnist import __main__ as command
from studies.fashion_mnist import rows as study_rows
from studies.fashion_mnist.cases import EPOCHS, JOURNAL, Case, Outcome, plan
from studies.fashion_mnist.plot import draw
from studies.fashion_mnist.report import Report
from studies.fashion_mnist.rows import PRECISIONS, Measured, evaluate, training_rows

BRIEF = Policy(warmup_s=0.02, warmup_max_s=0.2, window_s=0.01, min_s=0.05, max_s=0.5, block_s=0.02)
DIGITS = Case("lenet5-digits", ModelSpec("lenet5"), "digits")
CLOTHES = Case("lenet5-fashion-mnist", ModelSpec("lenet5"), epochs=EPOCHS)

installed = pytest.mark.skipif(
    not by_name.DEBIAN_FOLDER.is_dir(), reason="Fashion-MNIST is not installed here"
)


def folder_with(path: Path, *cases: Case) -> Path:
    """A study's folder in which these are trained."""
    path.mkdir()
    for case in cases:
        shutil.copy(shipped()[case.name], path)
    return path


def made_up(spec: ModelSpec, top1: Sequence[float], macs: int, ms: Sequence[float]) -> Measured:
    """A network with figures that can be computed by heart."""
    rows = {}
    for precision, share, latency_ms in zip(PRECISIONS, top1, ms, strict=True):
        rows[precision] = {
            "status": "ok",
            "model": spec.name,
            "alpha": f"{spec.alpha:g}",
            "rho": str(spec.rho),
            "precision": precision,
            "macs": str(macs),
            "parameters": str(macs // 10),
            "onnx_bytes": "4000000" if precision == "fp32" else "1000000",
            "latency_p50_ms": str(latency_ms),
            "top1": str(share),
            "top1_low": str(share - 0.01),
            "top1_high": str(share + 0.01),
            "top1_agreement": "0.98",
            "mcnemar_p": "0.001" if abs(share - top1[0]) > 0.005 else "0.9",
        }
    return Measured(Case(spec.label, spec), rows)


SMALL_RHO = Fraction(4, 7)
GRID = [
    made_up(ModelSpec("mobilenet"), (0.90, 0.90, 0.90), 1000, (1.0, 1.0, 0.5)),
    made_up(ModelSpec("mobilenet", 1.0, SMALL_RHO), (0.88, 0.88, 0.88), 400, (0.5, 0.5, 0.25)),
    made_up(ModelSpec("mobilenet", 0.5), (0.86, 0.86, 0.86), 250, (0.5, 0.5, 0.4)),
    made_up(ModelSpec("mobilenet", 0.5, SMALL_RHO), (0.85, 0.85, 0.80), 100, (0.2, 0.2, 0.1)),
]


def report_of(measured: Sequence[Measured], trainings: Sequence[dict[str, Any]] = ()) -> str:
    return Report(measured, trainings, env.capture()).text()


def line_of(text: str, start: str) -> list[str]:
    """The cells of the table row that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_network_is_measured_in_every_precision_and_stored(
    tmp_path, shared_store, monkeypatch
) -> None:
    monkeypatch.setattr(study_rows, "CALIBRATION_IMAGES", 20)  # digits have fewer
    folder = folder_with(tmp_path / "study", DIGITS)
    said: list[str] = []
    absent = Case("absent", ModelSpec("lenet5"))
    for _ in range(2):
        (measured,) = evaluate([DIGITS, absent], folder, shared_store, BRIEF, say=said.append)
    assert said == ["[1/1] lenet5-digits"]  # the second call had nothing to measure
    assert list(measured.rows) == list(PRECISIONS)
    for precision, row in measured.rows.items():
        assert (row["status"], row["test_images"]) == ("ok", "500")
        assert float(row["top1_low"]) < float(row["top1"]) < float(row["top1_high"])
        assert ("top1_agreement" in row and "mcnemar_p" in row) or precision == "fp32"
    assert measured.rows["int8"]["calibration"].endswith("images of digits")


class Quick:
    """A profiler that measures nothing."""

    def __init__(self, *_: object) -> None: ...

    def rows(self, wanted: Sequence[Configuration]) -> list[dict[str, Any]]:
        return [{"status": "ok", "precision": one.precision} for one in wanted]


@pytest.mark.parametrize("change", ["nothing", "policy", "checkpoint", "row", "remeasure"])
def test_stale_rows_are_measured_again(tmp_path, shared_store, monkeypatch, change: str) -> None:
    monkeypatch.setattr(study_rows, "Profiler", Quick)
    folder = folder_with(tmp_path / "study", DIGITS)
    evaluate([DIGITS], folder, shared_store, BRIEF)
    policy = replace(BRIEF, min_s=0.06) if change == "policy" else BRIEF
    if change == "checkpoint":
        shutil.copy(shipped()["lenet5-fashion-mnist"], folder / "lenet5-digits.safetensors")
    if change == "row":
        lines = (folder / "rows.csv").read_text().splitlines(keepends=True)
        (folder / "rows.csv").write_text("".join(lines[:-1]))
    said: list[str] = []
    evaluate(
        [DIGITS], folder, shared_store, policy, remeasure=change == "remeasure", say=said.append
    )
    assert said == ([] if change == "nothing" else ["[1/1] lenet5-digits"])


def test_the_report_says_what_a_multiplier_costs_with_the_other_held() -> None:
    text = report_of(GRID)
    assert line_of(text, "Top-1, fp32")[1:] == ["ρ = 1", "ρ = 4/7"]
    assert "| α = 0.5 | 86.0% | 85.0% |" in text
    step, points, spread, _, macs, fp32_ms, _ = line_of(text, "α 1 → 0.5")
    assert (step, points, spread) == ("α 1 → 0.5", "-3.50", "-4.00 … -3.00")
    assert (macs, fp32_ms) == ("0.25", "0.45")  # the root of 0.5 times 0.4
    assert line_of(text, "ρ 1 → 4/7")[1] == "-1.50"


def test_the_report_tells_a_change_of_accuracy_from_none() -> None:
    text = report_of(GRID)
    table = text[text.index("## What int8 costs") :]
    changed, unchanged = line_of(table, "mobilenet α=0.5 ρ=4/7"), line_of(table, "mobilenet")
    assert changed[1:6] == ["-5.00", "98.0%", "0.0010", "0.0040", "changed"]
    assert unchanged[5:] == ["no change shown", "2.00", "4.00"]
    assert "fp16 changes the accuracy of 0 of 4 networks" in text


def test_every_table_with_accuracy_calls_it_a_proxy_for_imagenet() -> None:
    text = report_of(GRID)
    for section in text.split("\n## ")[1:]:
        if "top-1" in section.lower() or "accuracy" in section.lower():
            assert "proxy for ImageNet" in section or section.startswith("Training"), section
    assert text.splitlines()[0].endswith("a proxy for ImageNet")


def test_a_network_that_failed_is_counted_and_left_out() -> None:
    broken = made_up(ModelSpec("squeezenet1_0"), (0.5, 0.5, 0.5), 50, (1, 1, 1))
    broken.rows["int8"]["status"] = "failed"
    text = report_of([*GRID, broken])
    assert "squeezenet1_0" not in text
    assert "1 networks have rows that failed and are left out" in text


def test_transfer_is_told_as_the_mean_over_seeds() -> None:
    trainings = [
        {
            "case": f"mobilenet-a0.25-digits-tenth-{way}-{seed}",
            "dataset": "digits",
            "top1": top1,
            "train_images": "110",
            "epochs": "40",
            "test_images": 500,
        }
        for way, tops in (("scratch", (0.9, 0.8, 0.7)), ("head", (0.6, 0.6, 0.6)))
        for seed, top1 in enumerate(tops)
    ]
    text = report_of(GRID, trainings)
    assert line_of(text, "from random weights")[1:] == ["80.0%", "90.0%, 80.0%, 70.0%"]
    assert "the classifier alone trained | 60.0% |" in text
    assert "all trained on" not in text
    assert "the classifier alone trained: -20.0 points" in text
    assert "the seeds alone lie 20.0 points apart" in text


def test_doubtful_timings_are_counted() -> None:
    shaky = made_up(ModelSpec("squeezenet1_0"), (0.5, 0.5, 0.5), 50, (1, 1, 1))
    shaky.rows["fp32"]["stability"] = "unstable: load"
    assert "The timing of 1 of 15 rows is doubtful" in report_of([*GRID, shaky])
    assert "doubtful" not in report_of(GRID)


def test_the_picture_is_drawn_and_says_what_it_is_a_proxy_for() -> None:
    pytest.importorskip("matplotlib")
    pictures = draw(GRID)
    assert pictures["study.png"].startswith(b"\x89PNG")
    assert b"proxy for ImageNet" in pictures["study.svg"]
    assert b"\xce\xb1 = 0.5" in pictures["study.svg"]
    assert draw(GRID) == pictures  # the same bytes
    assert draw([]) == {}


def test_trainings_are_told_from_their_checkpoints_and_the_journal(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "study", CLOTHES, DIGITS)
    (folder / JOURNAL).write_bytes(to_json([Outcome(CLOTHES.name, "trained", train_s=12.5)]))
    first, second, *rest = training_rows([CLOTHES, Case("absent", CLOTHES.spec), DIGITS], folder)
    assert not rest
    assert (first["case"], first["train_s"], first["epochs"]) == (CLOTHES.name, 12.5, str(EPOCHS))
    assert first["top1_low"] < first["top1"] < first["top1_high"]
    assert (second["dataset"], second["train_s"]) == ("digits", None)


@installed
def test_the_command_measures_what_is_trained_and_writes_all_reports(
    tmp_path, shared_store, capsys
) -> None:
    pytest.importorskip("matplotlib")
    folder, reports = folder_with(tmp_path / "study", CLOTHES), tmp_path / "reports"
    options = command.parser().parse_args(
        [
            *("--folder", str(folder), "--reports", str(reports)),
            *("--store", str(shared_store.root), "--quick", "--jobs", "1"),
        ]
    )
    said: list[str] = []
    assert command.study(options, said.append, [CLOTHES]) == 0
    assert "1 of 1 networks are trained" in said
    assert {path.name for path in reports.iterdir()} == {
        *("study.csv", "study.md", "study.png", "study.svg", "study_training.csv", "env.json")
    }
    with (reports / "study.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == NAMES
    assert [(row["precision"], row["test_images"]) for row in rows] == [
        (precision, "10000") for precision in PRECISIONS
    ]
    assert "lenet5" in (reports / "study.md").read_text()


def test_without_all_trainings_there_is_no_report_unless_asked_for(tmp_path) -> None:
    folder = tmp_path / "study"
    options = command.parser().parse_args(
        ["--folder", str(folder), "--reports", str(tmp_path / "r"), "--budget", "-1", "--jobs", "1"]
    )
    said: list[str] = []
    assert command.study(options, said.append) == 0
    assert f"0 of {len(plan())} networks are trained" in said
    assert "call it again to go on" in said[-1]
    assert not (tmp_path / "r").exists()
