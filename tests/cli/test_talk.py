"""What a command tells before, while and after it works: plans, logs, pages, options of a project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploykit.bench import channel, contain
from deploykit.cli import progress
from deploykit.cli.progress import Steps, duration
from deploykit.errors import OutputFailed
from deploykit.row import Finding, Row
from deploykit.workflow import rows
from deploykit.workflow.profile import Profiler

SPREAD = Finding("spread", "the median is only known to 9%", "measure longer")


@pytest.fixture
def measured(monkeypatch):
    """Profiles are made up: fp32 takes 8 ms, all else 3 ms, and is doubtful."""

    def rows(self, configurations):
        for one in configurations:
            self.say(f"measure {one.text}")
            ms = 8.0 if one.precision == "fp32" else 3.0
            times = {"latency_p50_ms": ms, "latency_p50_low_ms": ms, "latency_p50_high_ms": ms}
            cells = {
                "status": "ok",
                "model": "lenet5",
                "backend": one.backend,
                "repeat": one.repeat,
            }
            findings = () if one.precision == "fp32" else (SPREAD,)
            yield Row(cells | times | {"precision": one.precision}, findings=findings)

    monkeypatch.setattr(Profiler, "rows", rows)


PROFILE = ("profile", "lenet5", "--precision", "int8,fp32", "--quick")


def test_a_profile_ends_with_what_was_found(run, measured):
    ended = run(*PROFILE)
    assert ended.code == 0, ended.err
    assert ended.out.rstrip().endswith(
        "int8 is perhaps 2.67 (2.59 to 2.74) times faster than fp32 on lenet5; doubtful: wide interval"
    )
    assert "[2/2] lenet5 int8 onnxruntime: 3.00? ms, doubtful: wide interval" in ended.err


def test_what_was_measured_is_shown_though_its_page_can_not_be_written(run, measured, monkeypatch):
    def refuse(*arguments, **documents):
        raise OutputFailed("can't write report page.md: no space left on device")

    monkeypatch.setattr("deploykit.cli.profile_command.write_documents", refuse)
    ended = run(*PROFILE, "--markdown", "page.md")
    assert ended.code == 4
    assert "no space left" in ended.err.splitlines()[-1]
    assert "times faster than fp32 on lenet5" in ended.out


def test_a_dry_run_tells_the_rows_and_does_nothing(run, measured, monkeypatch):
    monkeypatch.setattr(Profiler, "rows", None)
    ended = run(*PROFILE, "--dry-run", "--csv", "rows.csv")
    assert ended.code == 0, ended.err
    assert "2 rows; measuring takes" in ended.out
    assert "Nothing was done." in ended.out
    assert not Path("rows.csv").exists()


def test_a_dry_run_of_the_main_job_tells_its_rows(run):
    ended = run("run", "--dry-run", "--reports", "reports")
    assert ended.code == 0, ended.err
    assert "30 rows; measuring takes" in ended.out
    assert "mobilenet α=0.5" in ended.out
    assert not Path("reports").exists()


#: Commands that say what they would do, and what each says of it.
PLANS = {
    ("profile", "lenet5", "--precision", "fp32,int8"): "2 rows; measuring takes about",
    ("profile", "lenet5", "--iterations", "20"): "1 row; measuring takes at least",
    ("run",): "30 rows; measuring takes about",
    ("export", "lenet5", "mobilenet", "--alpha", "1,0.5", "-o", "onnx/"): "onnx/mobilenet-a0.5.onnx",
    ("build", "lenet5", "mlp", "--precision", "fp32,int8", "-o", "out/"): "out/mlp-int8-onnxruntime.onnx",
    ("tune", "lenet5", "--backend", "onnxruntime", "--budget", "30s"): "it takes up to 30 s",
    ("train", "lenet5", "--data", "digits", "--epochs", "3"): "lenet5-digits.safetensors",
}  # fmt: skip


@pytest.mark.parametrize("arguments", PLANS, ids=" ".join)
def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(run, monkeypatch, arguments):
    monkeypatch.setattr(contain, "contained", None)
    monkeypatch.setattr(channel, "Channel", None)
    monkeypatch.setattr(rows, "ceilings", None)
    before = sorted(Path().rglob("*"))
    ended = run(*arguments, "--dry-run")
    assert ended.code == 0, ended.err
    assert PLANS[arguments] in ended.out
    assert "Nothing was done." in ended.out
    planned = json.loads(run(*arguments, "--dry-run", "--json").out)
    assert len(planned) >= 1
    assert all(isinstance(one, dict) for one in planned)
    assert sorted(Path().rglob("*")) == before


def test_without_a_roofline_no_ceilings_are_measured_to_tell_how_long_it_takes(
    run, measured, monkeypatch
):
    monkeypatch.setattr(rows, "ceilings", None)
    ended = run("profile", "lenet5", "--iterations", "20", "--no-roofline")
    assert ended.code == 0, ended.err


def test_a_dry_run_says_which_files_would_be_replaced(run):
    Path("lenet5.onnx").write_bytes(b"mine")
    ended = run("export", "lenet5", "mlp", "--dry-run")
    told = {line.split()[0]: line for line in ended.out.splitlines() if line}
    assert "is replaced" in told["lenet5"]
    assert "is replaced" not in told["mlp"]
    assert Path("lenet5.onnx").read_bytes() == b"mine"


def test_a_dry_run_of_a_training_tells_its_recipe_and_what_it_would_go_on_from(run):
    asked = ("train", "lenet5", "--data", "digits", "--dry-run", "--json")
    (plan,) = json.loads(run(*asked).out)
    assert plan == {
        "network": "lenet5",
        "data": "digits",
        "epochs": 40,
        "batch": 32,
        "device": "cpu",
        "start": "random weights",
        "goes on": "",
        "file": "lenet5-digits.safetensors",
        "replaces": False,
    }
    for name in ("mine.safetensors", "mine.safetensors.resume"):
        Path(name).write_bytes(b"mine")
    more = ("-o", "mine.safetensors", "--epochs", "3", "--from", "trained")
    (plan,) = json.loads(run(*asked, *more).out)
    assert (plan["epochs"], plan["start"], plan["goes on"]) == (3, "trained", "")
    assert (plan["file"], plan["replaces"]) == ("mine.safetensors", True)
    (plan,) = json.loads(run(*asked, *more, "--resume").out)
    assert plan["goes on"] == "mine.safetensors.resume"
    assert Path("mine.safetensors.resume").read_bytes() == b"mine"


def test_a_dry_run_of_a_training_refuses_a_place_that_can_not_be_written(run):
    asked = ("train", "lenet5", "--data", "digits", "-o", "missing/net.safetensors")
    planned, trained = run(*asked, "--dry-run"), run(*asked)
    assert (planned.code, planned.err) == (trained.code, trained.err)
    assert planned.code == 4
    assert "its folder does not exist" in planned.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("build", "lenet5", "--precision", "int9"),
        ("build", "lenet5", "mlp", "-o", "one.onnx"),
        ("export", "lenet6"),
        ("tune", "lenet5", "--max-accuracy-drop", "200%"),
        ("train", "lenet5", "--data", "npz:none.npz"),
    ],
    ids=lambda of: of[0],
)
def test_a_dry_run_refuses_what_the_command_refuses_before_its_work(run, arguments):
    refused = run(*arguments, "--dry-run")
    assert refused.code == 2
    assert refused.err.splitlines()[-1] == run(*arguments).err.splitlines()[-1]


def test_verbose_gives_times_and_the_log_has_every_step(run, measured):
    ended = run(*PROFILE, "--verbose", "--log", "profile.log")
    assert ended.code == 0, ended.err
    lines = Path("profile.log").read_text().splitlines()
    assert "$ deploykit" in lines[0]
    assert sum("measure lenet5" in line for line in lines) == 2
    shown = [line for line in ended.err.splitlines() if "measure lenet5" in line]
    assert all(line[2] == line[5] == ":" for line in shown)
    assert len(shown) == 2


def test_a_log_that_can_not_be_written_is_one_line(run, measured):
    ended = run(*PROFILE, "--log", "missing/profile.log")
    assert ended.code == 4
    assert "missing/profile.log can't be written" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_profile_is_written_as_a_page_and_added_to_that_of_a_job(run, measured, monkeypatch):
    summary = Path("summary.md")
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ended = run(*PROFILE, "--markdown", "page.md")
    assert ended.code == 0, ended.err
    page = Path("page.md").read_text()
    assert "- int8 is perhaps" in page
    assert "3.00?" in page
    assert "the median is only known to 9%" in page
    assert summary.read_text() == "before\n"  # it was not asked for
    run(*PROFILE, "--step-summary")
    assert summary.read_text() == f"before\n{page}\n"


def test_that_the_machine_can_not_be_described_is_found_before_anything_is_measured(run, measured):
    Path("rows-samples").mkdir()
    Path("rows-samples/env.json").write_text("{")
    ended = run(*PROFILE, "--csv", "rows.csv", "--json")
    assert ended.code == 4
    assert "env.json can't be read" in ended.err
    assert ended.out == ""
    assert not Path("rows.csv").exists()


def test_what_was_measured_is_shown_though_the_machine_can_not_be_described_any_more(
    run, measured, monkeypatch
):
    described = iter([None])

    def describe(samples, store):
        if next(described, "again") is not None:
            raise OutputFailed("env.json can't be read")

    monkeypatch.setattr("deploykit.workflow.run.describe_machine", describe)
    ended = run(*PROFILE, "--csv", "rows.csv", "--json")
    assert ended.code == 4
    assert "env.json can't be read" in ended.err
    assert [row["precision"] for row in json.loads(ended.out)] == ["fp32", "int8"]


def test_outside_of_a_job_a_step_summary_is_said_to_be_none(run, measured, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    ended = run(*PROFILE, "--step-summary")
    assert ended.code == 0
    assert "$GITHUB_STEP_SUMMARY is not set" in ended.err


def test_claims_are_written_as_a_page(run):
    ended = run("claims", "squeezenet-year", "--markdown", "-")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("# Claims\n\nOf 1 claims, 1 in context; none is unexpected.")


PROJECT = """
[tool.deploykit]
precision = ["fp32", "int8"]
[tool.deploykit.profile]
quick = true
"""


def test_a_project_keeps_options_which_the_command_line_overrules(run, measured):
    Path("pyproject.toml").write_text(PROJECT)
    ended = run("profile", "lenet5")
    assert "note: precision, quick from [tool.deploykit] of pyproject.toml" in ended.err
    assert "int8" in ended.out
    assert "int8" not in run("profile", "lenet5", "--precision", "fp32").out


@pytest.mark.parametrize(
    "text", ["", "[tool.other]\na = 1\n", "no TOML [tool.deploykit", "[tool]\n"]
)
def test_a_project_without_such_options_changes_nothing(run, measured, text):
    Path("pyproject.toml").write_text(text)
    ended = run(*PROFILE)
    assert ended.code == 0, ended.err
    assert "pyproject" not in ended.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.deploykit]\nprecison = 'int8'\n", "did you mean precision"),
        ("[tool.other]\n", "no table [tool.deploykit]"),
    ],
)
def test_what_is_wrong_with_a_projects_options_is_one_line(run, measured, text, said):
    Path("pyproject.toml").write_text(text)
    ended = run("profile", "lenet5", "--config", "pyproject.toml")
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (80, "80 s"), (200, "3 min"), (7800, "2 h 10 min"), (7200, "2 h")],
)
def test_a_time_to_go_is_told_in_words(seconds, text):
    assert duration(seconds) == text


def test_the_time_to_go_follows_from_what_is_done(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Steps(3) as steps:
        steps.announce(120)
        steps.say("first")
        assert steps.left == ""
        now[0] = 60.0
        steps.finished("one")
        now[0] = 120.0
        steps.finished("two")
        steps.finished("three")
    assert capsys.readouterr().err.splitlines() == [
        "3 steps: measuring takes about 2 min",
        "[1/3] first",
        "[1/3] one; about 2 min to go",
        "[2/3] two; about 60 s to go",
        "[3/3] three",
    ]
