"""`run`, `claims` and `train` as commands: what they print and end with. What they compute is tested below them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
import pytest

from deploykit import env
from deploykit.claims import Outcome, PartResult, evaluate_claims
from deploykit.cli import cli
from deploykit.spec import ModelSpec
from deploykit.workflow import run as run_module

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(monkeypatch):
    """The main job on one network."""
    sources = (ModelSpec("lenet5", weights="trained"),)
    monkeypatch.setattr("deploykit.workflow.plan.DEFAULT_MODELS", sources)
    found = []

    class Once(run_module.Run):
        """The job, which measures for long: run once more it gives what it found the first time."""

        def __call__(self):
            if not found:
                found.append(super().__call__())
            return found[0]

    monkeypatch.setattr("deploykit.workflow.run.Run", Once)
    monkeypatch.setattr(env, "gpu_names", list)


def test_run_prints_what_it_found_and_where_it_is(run, small, own_claim, tmp_path):
    asked = ("run", "--quick", "--reports", "reports", "--claims", "mine.toml")
    ended = run(*asked)
    assert ended.code == 0
    assert "lenet5" in ended.out
    assert "Of 1 claims, 1 confirmed; none is unexpected" in ended.out
    assert "Reports in reports: profile.csv, claims.csv, summary.md, env.json" in ended.out
    assert "measure lenet5 int8 onnxruntime" in ended.err
    assert "no NVIDIA GPU here" in ended.err
    assert {path.name for path in tmp_path.iterdir()} == {"reports", "mine.toml"}
    shown = json.loads(run(*asked, "--json", "-q").out)
    assert len(shown["profile"]) == 6
    assert [verdict["id"] for verdict in shown["claims"]] == ["lenet"]


def test_a_verdict_that_nobody_expected_ends_with_1(run, monkeypatch):
    def surprising(ids, rows, **more):
        return [
            dataclasses.replace(verdict, outcome=Outcome([PartResult("x", False)], None, "No."))
            for verdict in evaluate_claims(ids, rows, **more)
        ]

    monkeypatch.setattr("deploykit.claims.evaluate_claims", surprising)
    ended = run("claims", "vgg-140m")
    assert ended.code == 1
    assert "unexpected: vgg-140m (is refuted, not confirmed" in ended.out
    (line,) = ended.err.splitlines()
    assert line.startswith("deploykit: unexpected: vgg-140m is refuted, not confirmed")


def test_train_writes_a_checkpoint_that_export_takes(run, tmp_path):
    arguments = ("train", "lenet5", "--data", "digits", "--epochs", "1", "-o", "net.safetensors")
    ended = run(*arguments)
    assert ended.code == 0
    assert ended.out.startswith("net.safetensors: ")
    assert "epoch 1/1" in ended.err
    weights = tmp_path / "net.safetensors"
    assert weights.stat().st_size < 300_000
    again = json.loads(run(*arguments, "--json", "-q").out)
    assert 0 < again["top1"] <= 1
    assert run("export", "lenet5", "--weights", "net.safetensors", "-q").code == 0


def test_the_main_job_leaves_a_checkout_clean():
    """What it writes by default is ignored by git; the reference reports are written by `make reference` alone."""
    command = cli.get_command(click.Context(cli), "run")
    (folder,) = [p.default for p in command.params if p.name == "reports"]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert f"/{folder}/" in ignored
    recipe = (ROOT / "Makefile").read_text().partition("\nrun: install")[2].partition("\n\n")[0]
    assert "--reports" not in recipe
