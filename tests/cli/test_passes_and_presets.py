"""`--pass`, exact counts and presets, and backends beside ONNX Runtime, as a user meets them."""

from __future__ import annotations

import csv
import json

import pytest
from test_bad_data import save_network

from deploykit.columns import NAMES
from deploykit.lazy import install_line
from deploykit.spec import ModelSpec
from deploykit.workflow.choices import PRESETS
from deploykit.workflow.configuration import ProfileOptions, enumerate_configurations

COUNTS = ("--warmup-iterations", 2, "--iterations", 12, "--threads", 1)


def rows_of(ended):
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def test_every_pass_has_its_row():
    wanted = enumerate_configurations(
        [ModelSpec("lenet5")],
        ProfileOptions(backends=("torch",), passes=("forward", "forward_backward")),
    )
    assert [c.run_pass for c in wanted] == ["forward", "forward_backward"]
    assert wanted[0].text == "lenet5 fp32 torch batch 1"
    assert wanted[1].text == "lenet5 fp32 torch batch 1 forward_backward"


def test_a_backward_pass_is_in_its_row_with_what_it_is(run):
    wanted = ("profile", "lenet5", "--weights", "random", "--backend", "torch", "--batch", 2)
    forward, both = rows_of(
        run(*wanted, "--pass", "forward,forward_backward", *COUNTS, "--json", "-q")
    )
    assert [forward["pass"], both["pass"]] == ["forward", "forward_backward"]
    assert "cross entropy with seeded labels" in both["reason"]
    assert "backward" not in (forward["reason"] or "")
    for row in (forward, both):
        assert (row["warmup_iterations"], row["iterations"], row["threads"]) == (2, 12, 1)
        assert row["precision_actual"] == "fp32"
        assert row["boundary"] == "end_to_end"
        assert row["latency_std_ms"] >= 0
        assert row["host_peak_mib"] > 0
        assert row["drift_snr_db"] > 80
        assert row["engine_bytes"] > 0
        assert list(row) == list(NAMES)


def test_other_backends_and_precisions_share_a_report_and_are_judged_alike(run, tmp_path):
    wanted = ("profile", "lenet5", "--weights", "trained:digits", "--data", "digits", "-q")
    ended = run(
        *(*wanted, "--backend", "onnxruntime,torch,openvino", *COUNTS),
        *("--precision", "fp32,int8", "--csv", tmp_path / "all.csv"),
    )
    assert ended.code == 0, ended.err
    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["backend"], row["precision"], row["precision_actual"]) for row in rows] == [
        ("onnxruntime", "fp32", "fp32"),
        ("onnxruntime", "int8", "int8"),
        ("torch", "fp32", "fp32"),
        ("openvino", "fp32", "fp32"),
        ("openvino", "int8", "int8"),
    ]
    assert {row["target"] for row in rows} == {"cpu"}
    assert {row["pass"] for row in rows} == {"forward"}
    assert all(float(row["drift_snr_db"]) > (20 if "8" in row["precision"] else 80) for row in rows)
    (top1,) = {row["top1"] for row in rows if row["precision"] == "fp32"}
    assert float(top1) > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pass", "forward_backward"), "onnxruntime has no forward_backward pass"),
        (("--pass", "backward"), "unknown pass 'backward'"),
        (("--pass", ","), "--pass needs at least one value"),
        (("--preset", "vgg"), "unknown preset 'vgg'"),
        (("--backend", "torch", "--precision", "int8"), "no int8 on this backend: torch has fp32"),
        (("--iterations", "20", "--streams", "2"), "count the runs of one stream"),
        (
            ("--iterations", "20", "--constraint", "latency_p50_ms<=9"),
            "leave --iterations and --warmup-iterations out",
        ),
        (("--iterations", "20", "--rate", "9/s"), "count the runs of one stream"),
    ],
)
def test_what_cannot_be_is_one_line(run, options, words):
    ended = run("profile", "lenet5", *options)
    assert ended.code == 2
    assert words in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert ended.out == ""


def test_a_graph_of_the_users_own_has_no_pytorch_row_but_one_on_openvino(run, tmp_path):
    network = save_network(tmp_path / "own.onnx")
    ended = run("profile", network, "--backend", "torch,openvino", *COUNTS, "--json")
    torch, openvino = json.loads(ended.out)
    assert ended.code == 2
    assert torch["status"] == "failed"
    assert "own is a finished graph" in torch["reason"]
    assert openvino["status"] == "ok"


def test_the_listing_says_mean_and_deviation_of_both_passes_and_takes_what_is_given_beside_it(run):
    ended = run(
        *("profile", "lenet5", "--preset", "vgg-listing", "--batch", 4),
        *("--iterations", 12, "--threads", 1),
    )
    assert ended.code == 0, ended.err
    lines = [line for line in ended.out.splitlines() if "lenet5" in line]
    assert ["forward " in lines[0], "forward_backward " in lines[1]] == [True, True]
    assert "In all rows: backend torch, precision fp32, batch 4, threads 1" in ended.out
    assert all(" 12 " in line and "±" in line for line in lines)
    assert "mean ± std ms" in ended.out
    assert "torch.loss=l2" in ended.out


def test_the_listing_is_that_of_the_course_notes():
    preset = PRESETS["vgg-listing"]
    assert preset.models == ("vgg16",)
    assert (preset.options["batch"], preset.options["run_pass"]) == (
        "32",
        "forward,forward_backward",
    )
    assert (preset.options["warmup_iterations"], preset.options["iterations"]) == ("10", "100")


def test_doctor_lists_every_backend_and_how_to_install_what_is_missing(run, monkeypatch):
    from deploykit import env

    real = env.package_version
    monkeypatch.setattr(
        env, "package_version", lambda name: None if name == "openvino" else real(name)
    )
    checks = {check["what"]: check for check in rows_of(run("doctor", "--json"))}
    assert checks["build with openvino"]["state"] == "missing"
    assert checks["build with openvino"]["remedy"] == install_line("openvino")
    assert checks["run with torch"]["state"] == "ok"
    assert "build with torch-compile" in checks
    ended = run("profile", "lenet5", "--backend", "openvino")
    assert ended.code == 3
    assert len(ended.err.strip().splitlines()) == 1
