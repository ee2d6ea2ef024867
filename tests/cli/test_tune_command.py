"""`deploykit tune` from the outside: what it refuses and how, where its output goes, and going on after Ctrl-C."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import interrupts
import pytest
from answers import answer, candidate, typical
from test_bad_data import save_network

from deploykit.bench.request import WorkerRequest
from deploykit.bench.scenario import Constraint
from deploykit.cli import display
from deploykit.errors import BuildFailed
from deploykit.row import Finding, Note, Row
from deploykit.spec import ModelSpec
from deploykit.workflow import frontier, races
from deploykit.workflow.profile import Profiler
from deploykit.workflow.tuned import Question


@pytest.fixture
def tuned(monkeypatch):
    """Let networks have answers that are known, by their names; the questions are kept."""
    asked = []

    def of(*answers, broken_off=()):
        by_name = {one.source.name: one for one in answers if not isinstance(one, Exception)}

        class Tuning:
            def __init__(self, source, question, options, store, say, detail):
                self.source = source
                asked.append(question)
                say(f"{source.name}: begin")
                for number in range(100):
                    detail(f"round {number}")

            def forget(self):
                """Nothing was kept."""

            def __call__(self):
                if self.source.name in broken_off:
                    raise KeyboardInterrupt
                if self.source.name not in by_name:
                    raise BuildFailed(f"{self.source.name} can't be built")
                return by_name[self.source.name]

        monkeypatch.setattr(frontier, "Tuning", Tuning)
        return asked

    return of


def test_the_help_has_examples_and_every_option(run):
    ended = run("tune", "--help")
    assert ended.code == 0
    for text in (
        "--objective",
        "--max-accuracy-drop",
        "--min-top1",
        "-o, --output",
        "--plot",
        "--budget",
        "deploykit profile --config tune.toml",
    ):
        assert text in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--objective", "latency_p51_ms"],
            2,
            "unknown objective 'latency_p51_ms': did you mean latency_p",
        ),
        (["--constraint", "latency_p59_ms<=1"], 2, "did you mean latency_p99_ms"),
        (["--constraint", "fast"], 2, "write COLUMN<=NUMBER"),
        (["--max-accuracy-drop", "1%"], 2, "accuracy of lenet5 can't be judged"),
        (["--min-top1", "0.9"], 2, "top-1 of lenet5 can't be judged"),
        (["--min-top1", "90"], 2, "--min-top1 takes a share such as 0.90 or 90%, not '90'"),
        (["--budget", "soon"], 2, "--budget takes a time"),
        (["--backend", "opnvino"], 2, "unknown backend 'opnvino': did you mean openvino"),
        (["--backend", "torch-cuda"], 3, "torch-cuda can't run here"),
        (["--backend", "torch", "--precision", "fp8"], 2, "no fp8 on this backend: torch has"),
        (["--precision", "int7"], 2, "int7"),
        (["--batch", "1,8"], 2, "take throughput_ips"),
        (["--plot", "a.pdf"], 2, "a picture is written as .svg or .png"),
        (["-o", "nowhere/tune.toml"], 2, "the folder nowhere"),
        (["--json", "-o", "-"], 2, "stdout takes one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_can_not_be_is_one_line_before_anything_is_measured(
    run, monkeypatch, arguments, code, said
):
    monkeypatch.setattr(races.Races, "raced", None)
    ended = run("tune", "lenet5", "-q", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_a_picture_without_matplotlib_says_how_to_get_it_before_anything_is_measured(
    run, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    ended = run("tune", "lenet5", "--plot", "a.svg")
    assert ended.code == 3
    assert "the picture needs matplotlib: pip install" in ended.err


def test_a_table_and_a_sentence_that_fit_the_terminal(run, tuned, monkeypatch):
    tuned(typical())
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        ended = run("tune", "lenet5")
        assert ended.code == 0
        lines = ended.out.splitlines()
        sentence = lines[-1]
        assert sentence.startswith("lenet5: take int8 onnxruntime, latency_p50_ms 0.5")
        assert max(map(len, lines[:-1])) <= columns
        assert len(lines) < 25
        assert "it can't be built: [no]" in " ".join(ended.out.split())


@pytest.mark.parametrize(
    ("objective", "cells", "heading", "value"),
    [
        ("host_peak_mib", {"host_peak_mib": 71.5}, "peak MiB", "71.5"),
        ("latency_p99_ms", {"latency_p99_ms": 1.75}, "p99 ms", "1.75"),
        ("engine_bytes", {"engine_bytes": 250_000}, "engine MB", "0.25"),
    ],
)
def test_what_was_asked_for_is_shown_in_any_width(
    run, tuned, monkeypatch, objective, cells, heading, value
):
    monkeypatch.setenv("COLUMNS", "60")
    best = candidate(
        latency_p50_ms=1.0,
        latency_p50_low_ms=0.9,
        latency_p50_high_ms=1.1,
        throughput_ips=1000.0,
        latency_p95_ms=1.5,
        drift_snr_db=30.0,
        **cells,
    )
    bound = Constraint("latency_p95_ms", "<=", 10.0)
    tuned(answer(best, question=Question(objective=objective, constraints=(bound,))))
    out = run("tune", "lenet5").out
    head, _, rest = out.partition("────")
    assert set(heading.split()) | {"p95"} <= set(head.split())
    assert value in rest.split()
    assert max(map(len, out.splitlines()[:5])) <= 60


def test_on_a_terminal_the_answer_is_wrapped_and_for_programs_it_is_a_line(monkeypatch, capsys):
    text = "lenet5: take int8 onnxruntime, " + "latency_p50_ms 0.5, " * 9
    monkeypatch.setenv("COLUMNS", "60")
    display.print_answer(text)
    assert capsys.readouterr().out == f"{text}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    display.print_answer(text)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert " ".join(lines) == text.strip()


def test_progress_without_a_terminal_is_a_line_for_each_phase(run, tuned):
    tuned(typical())
    ended = run("tune", "lenet5")
    assert ended.err == "[1/1] lenet5: begin\n"
    assert run("tune", "lenet5", "-q").err == ""


def test_candidates_that_are_out_for_one_reason_share_a_line(run, tuned):
    late = [
        candidate(backend=name, fate="failed", ratio=None, reason="no time")
        for name in ("openvino", "torch", "torch-compile")
    ]
    tuned(answer(candidate(latency_p50_ms=1.0), [*late, candidate(latency_p50_ms=1.0)]))
    ended = run("tune", "lenet5")
    assert "fp32 openvino, 2 more" in ended.out
    assert ended.out.count("no time") == 1


def test_who_was_not_told_apart_is_not_said_to_be_as_good(run, tuned):
    others = [candidate(backend="openvino"), candidate(backend="torch", ratio=1.2)]
    tuned(answer(candidate(latency_p50_ms=1.0), [*others, candidate(latency_p50_ms=1.0)]))
    openvino, torch = [
        line
        for line in run("tune", "lenet5").out.splitlines()
        if line.startswith(("fp32 openvino", "fp32 torch"))
    ]
    assert openvino.split(maxsplit=3)[2:] == ["1.00", "as good, but not better"]
    assert torch.split(maxsplit=3)[2:] == ["1.20", "not surely slower, but no better"]


def test_json_is_all_that_stdout_has(run, tuned):
    tuned(typical())
    ended = run("tune", "lenet5", "--json")
    (found,) = json.loads(ended.out)
    assert found["best"]["precision"] == "int8"
    assert found["answer"] in ended.err


def test_csv_is_all_that_stdout_has(run, tuned):
    tuned(typical())
    ended = run("tune", "lenet5", "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [row["precision"] for row in rows] == ["int8", "fp32"]
    assert "lenet5: take int8 onnxruntime" in ended.err


def test_markdown_is_the_answer_what_was_measured_and_why_the_others_are_out(run, tuned):
    tuned(typical())
    ended = run("tune", "lenet5", "--markdown", "-", "-q")
    assert ended.code == 0, ended.err
    text = ended.out
    assert text.startswith(
        "# What tuning found\n\nlenet5: take int8 onnxruntime, latency_p50_ms 0.5"
    )
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    measured, out = tables
    assert [cell.strip() for cell in measured[0].strip("|").split("|")][:2] == [
        "measured",
        "p50 ms [95%]",
    ]
    assert [line.split("|")[1].strip() for line in measured[2:]] == [
        "int8 onnxruntime",
        "fp32 onnxruntime",
    ]
    assert out[0].startswith("| not taken | times | why |")
    assert any("it can't be built: " in line for line in out[2:])
    assert ended.err.splitlines()[-1].startswith("lenet5: take int8 onnxruntime")


def test_markdown_goes_to_a_file_and_to_the_page_of_a_job_beside_the_table(
    run, tuned, monkeypatch, tmp_path
):
    tuned(typical())
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    ended = run("tune", "lenet5", "--markdown", "tune.md", "--step-summary", "-q")
    assert ended.out.splitlines()[-1].startswith("lenet5: take int8 onnxruntime")
    page = Path("tune.md").read_text()
    assert page.startswith("# What tuning found\n")
    assert (tmp_path / "summary.md").read_text().strip() == page.strip()


def test_markdown_marks_what_is_doubtful_and_takes_names_for_text(run, tuned):
    best = candidate(latency_p50_ms=1.0)
    doubt = Finding("spread", "the median is only known to 9%", "measure longer")
    best.row = best.row.plus(findings=(doubt,))
    lost = candidate(backend="torch", fate="unfit", ratio=1.2, reason="a | b <script> `c`")
    tuned(answer(best, [lost, candidate(fate="failed")]))
    text = run("tune", "lenet5", "--markdown", "-", "-q").out
    assert "1.00?" in text
    assert "- 1 of 1 rows is doubtful, wide interval: the median is only known to 9%" in text
    (line,) = [line for line in text.splitlines() if "script" in line]
    assert r"| 1.20 | a \| b \<script> `c` |" in line


def test_markdown_without_an_answer_says_why(run, tuned):
    asked = replace(typical(), best=None)
    tuned(asked)
    ended = run("tune", "lenet5", "--markdown", "-", "-q")
    assert ended.code == 1
    assert "lenet5: no configuration meets what was asked" in ended.out


def test_the_answer_goes_to_a_file_or_to_stdout(run, tuned):
    tuned(typical())
    assert run("tune", "lenet5", "-o", "tune.toml").code == 0
    text = Path("tune.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["precision"] == "int8"
    ended = run("tune", "lenet5", "-o", "-")
    assert ended.out == text


def test_where_there_is_no_answer_an_older_file_stays_and_the_code_is_1(run, tuned):
    tuned(answer(None, [candidate(latency_p50_ms=1.0)]))
    Path("tune.toml").write_text("older")
    ended = run("tune", "lenet5", "-o", "tune.toml")
    assert ended.code == 1
    assert "no configuration meets what was asked" in ended.out
    assert Path("tune.toml").read_text() == "older"


@pytest.mark.parametrize("name", ["a.svg", "a.PNG"])
def test_the_picture_is_written(run, tuned, name):
    pytest.importorskip("matplotlib")
    tuned(typical())
    assert run("tune", "lenet5", "--plot", name).code == 0
    content = Path(name).read_bytes()
    assert b"<svg" in content if name == "a.svg" else content.startswith(b"\x89PNG")


MOBILE = ModelSpec("mobilenet")


def test_of_several_networks_the_cheapest_that_holds_everything_is_named(run, tuned):
    tuned(
        answer(candidate(latency_p50_ms=2.0, top1=0.95, top1_low=0.94)),
        answer(candidate(MOBILE, "int8", latency_p50_ms=1.0, top1=0.91, top1_low=0.90)),
    )
    ended = run("tune", "lenet5", "mobilenet", "-o", "tune.toml", "--markdown", "tune.md")
    assert ended.code == 0
    assert "Of 2 networks take mobilenet as int8 onnxruntime" in Path("tune.md").read_text()
    assert ended.out.splitlines()[-1] == (
        "Of 2 networks take mobilenet as int8 onnxruntime (latency_p50_ms 1, top-1 91.0%): it is the cheapest that "
        "holds everything. The frontier: mobilenet as int8 onnxruntime (latency_p50_ms 1, top-1 91.0%); lenet5 as "
        "fp32 onnxruntime (latency_p50_ms 2, top-1 95.0%)."
    )
    assert tomllib.loads(Path("tune.toml").read_text())["model"] == "mobilenet"


def test_a_network_below_min_top1_is_refused_by_the_lower_end_and_not_tuned(
    run, tuned, monkeypatch
):
    asked = tuned(answer(candidate(latency_p50_ms=2.0, top1=0.95, top1_low=0.94)))
    top1 = {"lenet5": (0.95, 0.94), "mobilenet": (0.91, 0.89)}

    def rows(self, configurations):
        for one in configurations:
            value, low = top1[one.source.name]
            yield Row({"status": "ok", "top1": value, "top1_low": low})

    monkeypatch.setattr(Profiler, "rows", rows)
    monkeypatch.setattr(Profiler, "why_unjudged", lambda self, source: None)
    ended = run("tune", "lenet5", "mobilenet", "--min-top1", "90%")
    assert ended.code == 0
    said = "mobilenet is refused: its top-1 in fp32 is 91.0%, and may be 89.0% (95%), below 90.0%"
    assert said in ended.out
    assert "Of 2 networks take lenet5" in ended.out
    (question,) = asked
    assert [str(one) for one in question.constraints] == ["top1_low>=0.9"]
    ended = run("tune", "mobilenet", "--min-top1", "90%", "--json")
    assert ended.code == 1
    said += "; its weights are random: take --weights trained, or --train"
    assert json.loads(ended.out) == [{"model": "mobilenet", "refused": said}]


def test_a_network_without_top1_in_its_row_says_why(run, tuned, monkeypatch):
    tuned()
    blank = Row({"status": "failed"}, (Note("failed", "out of memory"),))
    monkeypatch.setattr(Profiler, "rows", lambda self, wanted: iter([blank]))
    monkeypatch.setattr(Profiler, "why_unjudged", lambda self, source: None)
    ended = run("tune", "lenet5", "--min-top1", "90%", "-q")
    assert ended.code == 2
    assert "top-1 of lenet5 was not measured: out of memory" in ended.err


def test_a_network_that_fails_leaves_the_others_their_answers(run, tuned):
    tuned(answer(candidate(latency_p50_ms=2.0)))
    ended = run("tune", "mobilenet", "lenet5", "-o", "tune.toml")
    assert ended.code == 4
    assert "mobilenet: mobilenet can't be built" in ended.out
    assert "Of 2 networks take lenet5" in ended.out
    assert tomllib.loads(Path("tune.toml").read_text())["model"] == "lenet5"


def test_nobody_holds_it(run, tuned):
    tuned(answer(None, [candidate()]), answer(None, [candidate(MOBILE)]))
    ended = run("tune", "lenet5", "mobilenet")
    assert ended.code == 1
    assert ended.out.splitlines()[-1] == "None of 2 networks holds what was asked."


def test_ctrl_c_leaves_the_journal_and_the_same_command_goes_on(tmp_path):
    """What was measured once is not measured again: a first look has one line in the journal for ever."""
    network = save_network(tmp_path / "net.onnx")
    arguments = [sys.executable, "-m", "deploykit", "tune", str(network), "--backend", "onnxruntime",
                 "--precision", "fp32", "--threads", "1", "--budget", "1h", "--store", str(tmp_path)]  # fmt: skip
    environment = {**os.environ}

    def lines():
        return [json.loads(line) for path in (tmp_path / "tune").glob("*.jsonl")
                for line in path.read_bytes().splitlines() if line.endswith(b"}")]  # fmt: skip

    def started():
        return interrupts.start(arguments, stdout=-1, stderr=-1, env=environment, cwd=tmp_path)

    before = []
    for _ in range(2):
        process = started()
        interrupts.wait_until(lambda before=before: len(lines()) > len(before), process)
        out, err = interrupts.interrupt(process)
        assert process.returncode == 130
        assert out == ""
        assert err.splitlines()[-1] == "deploykit: interrupted"
        now = lines()
        assert now[: len(before)] == before
        before = now
    looks = [name for line in before if not line.get("round") for name in line.get("values") or {}]
    assert len(looks) == len(set(looks)) > 1


def test_ctrl_c_in_a_second_network_leaves_the_first_its_table_and_its_sentence(run, tuned):
    tuned(typical(), broken_off={"mobilenet"})
    ended = run("tune", "lenet5", "mobilenet", "-q")
    assert ended.code == 130
    assert "not taken" in ended.out
    assert ended.out.splitlines()[-1].startswith("lenet5: take int8 onnxruntime")
    assert "interrupted with 1 of 2 networks done" in ended.err
    ended = run("tune", "mobilenet", "lenet5", "-q")
    assert (ended.code, ended.out, ended.err) == (130, "", "deploykit: interrupted\n")


def test_ctrl_c_in_a_second_network_writes_what_is_known_of_the_first(run, tuned, tmp_path):
    tuned(typical(), broken_off={"mobilenet"})
    files = ["-o", "tune.toml", "--markdown", "tune.md", "--csv", "tune.csv"]
    ended = run("tune", "lenet5", "mobilenet", "-q", *files)
    assert ended.code == 130
    said = "The tuning was interrupted with 1 of 2 networks done; the same command goes on."
    text = (tmp_path / "tune.toml").read_text()
    assert text.startswith(f"# {said}\n")
    assert tomllib.loads(text)["precision"] == "int8"
    assert said in (tmp_path / "tune.md").read_text()
    assert "lenet5: take int8 onnxruntime" in (tmp_path / "tune.md").read_text()
    (tmp_path / "tune.toml").unlink()
    # Nothing is known where the first is broken off, and nothing is written.
    assert run("tune", "mobilenet", "lenet5", "-q", "-o", "tune.toml").code == 130
    assert not (tmp_path / "tune.toml").exists()


def test_ctrl_c_leaves_the_whole_answer_of_an_older_tuning_as_it_was(run, tuned, tmp_path):
    tuned(typical(), broken_off={"mobilenet"})
    assert run("tune", "lenet5", "-q", "-o", "tune.toml").code == 0
    whole = (tmp_path / "tune.toml").read_text()
    ended = run("tune", "lenet5", "mobilenet", "-q", "-o", "tune.toml")
    assert ended.code == 130
    assert (tmp_path / "tune.toml").read_text() == whole
    assert "tune.toml stays as it was, as this answer is of a part of the networks" in ended.err
    # Part of an answer is no more than that: a later part replaces it.
    (tmp_path / "tune.toml").write_text("# The tuning was interrupted before\n")
    assert run("tune", "lenet5", "mobilenet", "-q", "-o", "tune.toml").code == 130
    assert tomllib.loads((tmp_path / "tune.toml").read_text())["precision"] == "int8"


def test_the_engine_of_the_answer_is_named(run, tuned, tmp_path):
    one = typical()
    one.best.request = WorkerRequest(tmp_path / "engine", "onnxruntime")
    tuned(one)
    ended = run("tune", "lenet5", "-q", "-o", "tune.toml")
    assert ended.out.splitlines()[-1] == f"Its engine: {tmp_path / 'engine'}"
    assert f"# its engine here: {tmp_path / 'engine'}\n" in Path("tune.toml").read_text()
    (found,) = json.loads(run("tune", "lenet5", "-q", "--json").out)
    assert found["engine"] == str(tmp_path / "engine")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--train"], "--train needs images to learn from: give --data DATASET"),
        (["--epochs", "2"], "--epochs is of a training: give --train, too"),
        (["--train", "--data", "digits", "--weights", "timm"], "give one of the two"),
        (["--metric", "a:b"], "--metric and --max-metric-drop go together"),
        (["--metric", "a:b", "--max-metric-drop", "1"], "give --data DATASET"),
        (["--option", "ort.allow_spinning"], "--option takes NAME=VALUE"),
        (["--option", "ort.allow_spining=0"], "did you mean ort.allow_spinning"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_goes_together_is_said_in_one_line(run, arguments, said):
    ended = run("tune", "lenet5", "-q", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert said in ended.err


def test_what_is_asked_of_options_and_metrics_reaches_the_question(run, tuned):
    asked = tuned(typical())
    run("tune", "lenet5", "-q", "--option", "ort.allow_spinning=0", "--option", "ov.streams=1,2")
    assert asked[-1].options == (("ort.allow_spinning", ("0",)), ("ov.streams", ("1", "2")))
