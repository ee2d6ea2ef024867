"""What a runtime is told by `profile --option`: rows that say so, products, and what is refused."""

from __future__ import annotations

import csv
import json

import pytest

LENET5 = ("profile", "lenet5", "-q", "--seconds", "0.1", "--threads", "1", "--no-roofline")


def rows_of(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_values_are_multiplied_and_the_default_is_the_plain_row(run, tmp_path):
    told = ("--option", "ort.allow_spinning=0,1", "--option", "ort.execution_mode=parallel")
    ended = run(*LENET5, *told, "--csv", "p.csv")
    assert ended.code == 0, ended.err
    rows = rows_of(tmp_path / "p.csv")
    assert [row["options"] for row in rows] == [
        "ort.allow_spinning=0 ort.execution_mode=parallel",
        "ort.execution_mode=parallel",
    ]
    assert {row["status"] for row in rows} == {"ok"}
    assert all(row["drift_snr_db"] for row in rows)
    heading = next(line for line in ended.out.splitlines() if "model" in line)
    assert "options" in heading.split()


def test_backends_that_lack_an_option_have_one_row_as_they_are(run, tmp_path):
    both = ("--backend", "onnxruntime,openvino", "--option", "ort.allow_spinning=1,0")
    assert run(*LENET5, *both, "--csv", "p.csv").code == 0
    found = [(row["backend"], row["options"]) for row in rows_of(tmp_path / "p.csv")]
    assert found == [
        ("onnxruntime", ""),
        ("onnxruntime", "ort.allow_spinning=0"),
        ("openvino", ""),
    ]


def test_what_openvino_sets_otherwise_is_said_in_the_row(run, tmp_path):
    # Two streams on one thread can't be: OpenVINO takes one.
    told = ("--backend", "openvino", "--option", "ov.streams=2", "--option", "ov.pinning=1")
    assert run(*LENET5, *told, "--csv", "p.csv").code == 0
    (row,) = rows_of(tmp_path / "p.csv")
    assert row["options"] == "ov.pinning=1 ov.streams=2"
    assert "ov.streams is 1, though 2 was asked for" in row["reason"]
    assert "ov.pinning is" not in row["reason"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--option", "ort.allow_spining=0"], "did you mean ort.allow_spinning"),
        (["--option", "ort.allow_spinning=2"], "ort.allow_spinning takes 0 or 1, not '2'"),
        (["--option", "ort.allow_spinning=0,2"], "ort.allow_spinning takes 0 or 1, not '2'"),
        (["--option", "ort.allow_spinning"], "takes NAME=VALUE"),
        (["--option", "=0"], "takes NAME=VALUE"),
        (["--option", "ort.allow_spinning="], "takes NAME=VALUE"),
        (["--option", "ov.pinning=1"], "ov.pinning is told to openvino, which is not measured"),
        (
            ["--option", "ort.allow_spinning=0", "--option", "ort.allow_spinning=1"],
            "is given twice",
        ),
    ],
)
def test_what_no_runtime_can_be_told_is_refused_before_any_work(run, arguments, said):
    ended = run("profile", "lenet5", "-q", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_a_configuration_is_compared_with_itself_told_otherwise(run):
    turns = ("--against-seconds", "0.2", "--json")
    lenet5 = ("profile", "lenet5", "-q", "--threads", "1", "--no-roofline")
    ended = run(*lenet5, "--against", "ort.allow_spinning=0,ort.denormal_as_zero=1", *turns)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["base"]["options"] == "ort.allow_spinning=0 ort.denormal_as_zero=1"
    assert found["judged"]["options"] == ""
    wrong = run(*lenet5, "--against", "ort.allow_spining=0")
    assert wrong.code == 2
    assert "did you mean ort.allow_spinning" in wrong.err


@pytest.mark.parametrize(
    "told",
    [
        ("--seconds", "1"),
        ("--iterations", "9"),
        ("--data", "digits", "--metric", "math:fsum"),
        ("--scores", "y"),
    ],
)
def test_what_a_comparison_in_turns_has_no_use_for_is_refused(run, told):
    ended = run("profile", "lenet5", "-q", "--against", "int8", *told)
    assert ended.code == 2
    assert f"has no use for {told[-2]}: leave it out" in ended.err


def test_two_documents_in_one_file_are_refused_before_anything_is_measured(run):
    ended = run(*LENET5, "--csv", "out", "--html", "./out")
    assert (ended.code, "is named for two documents" in ended.err) == (2, True)


def test_a_preset_of_a_settings_file_is_taken_and_what_is_said_counts_more(run, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.deploykit.profile]\npreset = "vgg-listing"\n')
    planned = json.loads(run("profile", "--dry-run", "--json").out)
    assert "torch" in json.dumps(planned)


@pytest.mark.parametrize(
    "told",
    [
        ("claims", "--list", "--csv", "a.csv"),
        ("claims", "--list", "vgg-140m"),
        ("claims", "vgg-140m", "--store", "s"),
        ("list", "vgg*", "--precisions"),
    ],
)
def test_what_a_list_has_no_use_for_is_refused(run, told):
    ended = run(*told)
    assert (ended.code, ended.out) == (2, "")
    assert "leave" in ended.err


def test_frozen_weights_have_no_gradients(run):
    told = ("--backend", "torch-compile", "--option", "torch.freeze=1")
    ended = run(*LENET5, *told, "--pass", "forward_backward")
    assert ended.code != 0
    assert "forward_backward needs their gradients" in ended.out + ended.err
