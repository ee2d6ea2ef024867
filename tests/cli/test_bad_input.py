"""A user's mistake is one line and the right exit code, and leaves nothing behind."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from interrupts import interrupt, start, wait_until
from onnx import TensorProto, helper, numpy_helper

from deploykit.spec import ModelSpec
from deploykit.store import GraphManifest
from deploykit.zoo import weights

TRAINED = ("lenet5", "--weights", "trained")
PROFILE = (sys.executable, "-m", "deploykit", "profile")


def said(ended) -> str:
    """The one line of an error; there may be progress before it."""
    lines = [line for line in ended.err.splitlines() if not line.startswith("[")]
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("deploykit: ")
    assert "Traceback" not in ended.err
    return lines[0].removeprefix("deploykit: ")


def save_product(path: Path, value: float = 1.0, **options) -> None:
    """A matrix product of 300 x 200."""
    matrix = numpy_helper.from_array(np.full((300, 200), value, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 300])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 200])],
        [matrix],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path, **options)


@pytest.fixture
def files(tmp_path) -> Path:
    """A folder of files that are not what they should be."""
    (tmp_path / "text.onnx").write_text("not a graph")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "folder.onnx").mkdir()
    save_product(
        tmp_path / "split.onnx",
        save_as_external_data=True,
        location="split.data",
        size_threshold=0,
    )
    (tmp_path / "split.data").unlink()
    save_product(tmp_path / "whole.onnx")
    save_product(tmp_path / "nan.onnx", value=np.nan)
    whole = (tmp_path / "whole.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    graph = helper.make_graph(
        [helper.make_node("Wavelet", ["x"], ["y"], "odd", domain="my.company")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("my.company", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "custom.onnx")
    shipped = weights.trained(ModelSpec("lenet5", weights="trained")).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(shipped[:5000])
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "nets.py").write_text("")
    for name in ("circle.onnx", "circle.safetensors"):
        (tmp_path / name).symlink_to(name)
    (tmp_path / "gone.safetensors").symlink_to("gone/x.safetensors")
    return tmp_path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


BAD = [
    ("count -dash.onnx", 2, r"-dash\.onnx reads as an option: .* \./-dash\.onnx"),
    ("count zzz*", 2, r"no network matches 'zzz\*'"),
    ("build ./zzz*.onnx", 2, r"no file matches './zzz\*\.onnx'"),
    ("profile lenet5 --against mobilenet*", 2, r"--against mobilenet\* means \d+ networks"),
    (
        "build lenet5 --store /proc/nope",
        2,
        "the store /proc/nope lies where the kernel keeps no files",
    ),
    ("count lenet5 --seed 3", 2, "has no use for --seed"),
    ("count whole.onnx --input x=normal", 2, "has no use for --input"),
    (
        "build lenet5 --min-batch 2",
        2,
        "--min-batch changes nothing for onnxruntime: leave it out, or use tensorrt",
    ),
    ("profile lenet5 --sparse --backend torch", 2, "--sparse changes nothing for torch"),
    (
        "profile lenet5 --compile-mode max-autotune",
        2,
        "--compile-mode changes nothing .* torch-compile",
    ),
    ("build lenet5 --calibration-images 3", 2, "nothing is calibrated without --precision"),
    (
        "build lenet5 --precision fp16 --calibration-method entropy",
        2,
        "nothing is calibrated with --precision fp16: leave --calibration-method out",
    ),
    ("layers lenet5 --calibration-images 3", 2, "nothing is calibrated"),
    ("layers lenet5 --precision int8 --min-snr-db 9 --top 2", 2, "has no use for --top"),
    ("profile lenet5 --iterations 9 --seconds 9", 2, "has no use for --seconds"),
    ("profile whole.onnx --scores y", 2, "--scores names what is judged .*: give --data"),
    ("frobnicate", 2, "unknown command 'frobnicate'"),
    ("lst", 2, "did you mean list"),
    ("profile lenet5 --precison int8", 2, "unknown option '--precison': did you mean --precision"),
    ("profile lenet5 --precision", 2, "requires an argument; see `deploykit profile --help`"),
    ("export", 2, "missing argument .* see `deploykit export --help`"),
    ("export lenet5 --colour", 2, "unknown option '--colour': see `deploykit export --help`"),
    ("export mobilnet", 2, "unknown model 'mobilnet': did you mean mobilenet"),
    ("profile mobilnet", 2, "unknown model 'mobilnet': did you mean mobilenet"),
    ("train mobilnet --data digits", 2, "did you mean mobilenet"),
    ("list zzz", 2, "no network matches 'zzz'"),
    ("claims vgg-140", 2, "unknown claim 'vgg-140': did you mean vgg-140m"),
    (
        "export mobilenet --alpha 2",
        2,
        "--alpha takes numbers above 0 and up to 1, such as 1,0.5 or 6/7, not '2'",
    ),
    ("export mobilenet --alpha 0", 2, "--alpha takes numbers above 0 and up to 1, .* not '0'"),
    ("export mobilenet --alpha=-1", 2, "--alpha takes numbers above 0 and up to 1, .* not '-1'"),
    ("export mobilenet --alpha one", 2, "--alpha takes numbers above 0 and up to 1, .* not 'one'"),
    ("export mobilenet --alpha 1e400", 2, "--alpha takes numbers"),
    ("export mobilenet --alpha ,", 2, "need at least one number"),
    ("export mobilenet --rho 3/2", 2, "--rho takes numbers above 0 and up to 1, .* not '3/2'"),
    ("export mobilenet --rho 1/0", 2, "--rho takes numbers"),
    ("export alexnet --rho 1/100", 2, "too small for alexnet"),
    ("export alexnet --alpha 0.5", 2, "alexnet has no width multiplier: leave --alpha out"),
    ("export lenet5 --rho 1/2", 2, "lenet5 has no resolution multiplier"),
    ("export vgg11 --weights trained", 2, "no trained weights come with deploykit for vgg11"),
    ("build lenet5 --precision int7", 2, "unknown precision 'int7': did you mean int8"),
    ("build lenet5 --precision fp8", 2, "no fp8 for target cpu"),
    ("build lenet5 --precision bf16", 2, "no bf16 on this backend: .* --backend openvino"),
    ("build lenet5 --precision ,", 2, "--precision needs at least one value"),
    ("build lenet5 --target gpu", 2, "unknown target 'gpu'"),
    ("build lenet5 --target tensorrt", 3, r'pip install .*\[tensorrt\]"'),
    ("build whole.onnx --precision int8", 2, "int8 needs images to calibrate whole"),
    ("build lenet5 --data digit", 2, "unknown data set 'digit'"),
    ("build lenet5 --data npz:gone.npz", 2, r"gone\.npz"),
    ("build lenet5 --precision int8 --int8 equalize", 2, "did you mean equalise"),
    ("build lenet5 --precision fp16 --int8 plain", 2, "leave --int8 out"),
    (
        "build lenet5 --precision int8 --target tensorrt-rtx --int8 plain",
        2,
        "has no steps to choose from",
    ),
    ("build lenet5 --calibration-method entropie", 2, "did you mean entropy"),
    ("build lenet5 --calibration-images 0", 2, "takes a whole number from 1 to 1,000,000, not '0'"),
    ("profile lenet5 --precision int7", 2, "unknown precision 'int7'"),
    ("profile lenet5 --backend onnxrt", 2, "unknown backend 'onnxrt': did you mean onnxruntime"),
    ("profile lenet5 --backend tensorrt", 3, r'pip install .*\[tensorrt\]"'),
    (
        "profile lenet5 --boundary device",
        2,
        "onnxruntime has no --boundary device, only end_to_end: use",
    ),
    ("profile lenet5 --boundary host", 2, "unknown boundary 'host': known: end_to_end, device"),
    (
        "profile lenet5 --cuda-graph",
        2,
        "onnxruntime has no CUDA graphs: use --backend tensorrt-rtx or tensorrt",
    ),
    ("profile lenet5 --batch 0", 2, "--batch takes whole numbers from 1 to 65,536, not '0'"),
    ("profile lenet5 --constraint fast", 2, "write COLUMN<=NUMBER"),
    ("profile lenet5 --constraint throughput_ips>=3", 2, "bound from above what grows"),
    ("profile lenet5 --constraint top1<=1", 2, "bound from above what grows"),
    ("profile lenet5 --constraint latency_p97_ms<=1", 2, "bound from above what grows"),
    ("profile lenet5 --constraint latency_p95_ms<=1 --repeats 2", 2, "leave --repeats out"),
    (
        "profile lenet5 --constraint latency_p95_ms<=1 --batch 1,2 --streams 1,2",
        2,
        "give one of --batch and --streams as a list",
    ),
    (
        "profile lenet5 --constraint latency_p95_ms<=1 --against fp32",
        2,
        "ask one at a time",
    ),
    ("profile lenet5 --streams 0", 2, "--streams takes whole numbers from 1 to 256, not '0'"),
    ("profile lenet5 --threads two", 2, "--threads takes whole numbers from 1 to 1,024, not 'two'"),
    ("profile lenet5 --rate fast", 2, "--rate takes requests per second, such as 100/s"),
    ("profile lenet5 --rate=-1/s", 2, "--rate takes requests per second, such as 100/s"),
    ("profile lenet5 --rate inf", 2, "--rate takes requests per second, such as 100/s"),
    ("profile lenet5 --quick --seconds 9", 2, "--quick and --seconds both say how long"),
    ("profile lenet5 --seconds 9 --timeout 5", 2, "--timeout 5 leaves no time to measure 9 s"),
    ("profile lenet5 --samples s --no-samples", 2, "contradict each other: give one"),
    ("profile lenet5 --samples text.onnx", 2, "--samples text.onnx is a file: name a folder"),
    ("profile lenet5 --data digit", 2, "unknown data set 'digit'"),
    ("profile lenet5 --csv gone/p.csv", 2, "the folder gone of gone/p.csv does not exist"),
    ("profile lenet5 --csv folder.onnx", 2, "folder.onnx is a folder: name a file in it"),
    ("profile lenet5 --csv - --json", 2, "stdout takes one"),
    ("profile lenet5 --csv /sys/kernel/p.csv", 4, "can't write report /sys/kernel/p.csv"),
    ("profile --alpha 0.5", 2, "need a MODEL"),
    ("profile gone.onnx", 2, r"no such file: gone\.onnx"),
    ("profile whole.onnx --num-classes 5", 2, "leave --num-classes out"),
    ("profile lenet5 --store text.onnx", 2, "the store text.onnx is a file"),
    ("claims --csv gone/c.csv", 2, "the folder gone of gone/c.csv does not exist"),
    ("claims --junit gone/c.xml", 2, "the folder gone of gone/c.xml does not exist"),
    ("claims --profile gone.csv", 2, r"can't read gone\.csv"),
    ("claims --profile whole.onnx", 2, r"whole\.onnx is not text in UTF-8: "),
    ("run --reports text.onnx", 2, "text.onnx is a file"),
    ("run --reports /sys/kernel/reports", 4, "can't write reports /sys/kernel/reports"),
    ("train lenet5 --data digit", 2, "unknown data set 'digit'"),
    ("train lenet5 --data digits -o gone/x.safetensors", 4, "gone/x.safetensors"),
    ("train lenet5 --data digits -o gone.safetensors", 4, r"does not exist; make /.*/gone first"),
    ("train lenet5 --data digits -o circle.safetensors", 4, "circle.*: .* link in a circle"),
    ("export lenet5 -o gone/net.onnx", 2, "the folder gone of gone/net.onnx does not exist"),
    ("export lenet5 mobilenet -o net.onnx", 2, "one file for 2 networks"),
    ("export whole.onnx -o circle.onnx", 4, r"write ONNX file circle\.onnx: .* link in a circle"),
    ("build whole.onnx -o circle.onnx", 4, r"write engine circle\.onnx: .* link in a circle"),
    ("count whole.onnx --csv circle.onnx", 4, r"write report circle\.onnx: .* link in a circle"),
    ("export lenet5 -o - --json", 2, "stdout takes one"),
    ("export no_such_module:make", 2, "no module 'no_such_module'"),
    ("export nets.py", 2, r"nets\.py names a file, .*: give nets:FUNCTION"),
    ("count ./nets:make", 2, r"names a file, .*: give nets:make"),
    ("count ./:make", 2, r"unknown model './:make'"),
    ("count src/nets.py:make", 2, r"names a file, .*: give nets:make in src"),
    ("profile nets.py:make", 2, r"names a file, .*: give nets:make"),
    ("export text.onnx", 2, "text.onnx is not an ONNX file"),
    ("export empty.onnx", 2, "empty.onnx is empty"),
    ("export cut.onnx", 2, "cut.onnx is not an ONNX file, or is cut short"),
    ("export folder.onnx", 2, "folder.onnx is a folder"),
    ("export split.onnx", 2, "its external data file 'split.data' is missing"),
    ("export custom.onnx", 2, r"custom\.onnx.*(Wavelet|my\.company)"),
    ("build custom.onnx", 2, r"custom\.onnx.*(Wavelet|my\.company)"),
    ("build lenet5 --keep-op Gemm", 2, "--keep leaves layers in fp32"),
    ("profile lenet5 --keep-drift 2", 2, "--keep leaves layers in fp32"),
    (
        "build lenet5 --precision int8 --keep-drift 0",
        2,
        "takes a whole number from 1 to 10,000, not '0'",
    ),
    ("build lenet5 --precision int8 --keep-op Gem", 2, "operator type to keep 'Gem'"),
    ("build nan.onnx", 2, r"nan\.onnx: weight 'w' has values that are not a number"),
    ("count nan.onnx", 2, r"nan\.onnx: weight 'w' has values that are not a number"),
    ("export nan.onnx -o copy.onnx", 2, r"nan\.onnx: weight 'w' has values"),
    ("export lenet5 --weights cut.safetensors", 2, "cut.safetensors .*cut short"),
    ("export lenet5 --weights cut.pt", 2, "cut.pt .*cut short"),
    ("export lenet5 --weights gone.pt", 2, "no weights at gone.pt"),
    (f"count lenet5 --weights {'x' * 300}", 2, "name too long; give a shorter"),
    (f"train lenet5 --data imagefolder:{'x' * 300}", 2, "name too long"),
]


@pytest.mark.parametrize(("line", "code", "message"), BAD, ids=[line[:60] for line, *_ in BAD])
def test_a_mistake_is_one_line_with_its_exit_code(files, run, shared_store, line, code, message):
    import re

    before, stored = contents(files), contents(shared_store.root)
    ended = run(*line.split())
    assert re.search(message, said(ended)), ended.err
    assert ended.code == code
    assert ended.out == ""
    assert contents(files) == before
    # graphs that were made on the way are whole, and nothing else is there
    new = {name for name in contents(shared_store.root) - stored if "/" in name}
    assert not any(".making" in name for name in new)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text", "is not an ONNX file"),
        ("split", "split.data' is missing"),
        ("custom", "Wavelet"),
    ],
)
def test_profile_of_a_bad_file_is_a_row_with_its_reason(files, run, name, message):
    ended = run("profile", f"{name}.onnx", "--csv", "p.csv")
    assert ended.code == 2
    (row,) = read(files / "p.csv")
    assert row["status"] == "failed"
    assert message in row["reason"]
    assert message in ended.err
    assert message in run("profile", f"{name}.onnx", "-q").err


@pytest.mark.parametrize(
    "name", [b"n" * 240 + b".onnx", b"\xff\xff.onnx"], ids=["245 bytes", "no UTF-8"]
)
def test_a_name_that_is_long_or_no_text_hinders_nothing(run_process, tmp_path, name):
    """What is written of it is UTF-8: the output of each process is read as that."""
    save_product(tmp_path / "whole.onnx")
    (tmp_path / "whole.onnx").rename(tmp_path / os.fsdecode(name))
    ended = run_process("count", os.fsdecode(name), "--json", "-q")
    assert (ended.code, ended.err) == (0, "")
    (counted,) = json.loads(ended.out)
    assert counted["macs"] == 300 * 200
    quick = ("--seconds", "0.1", "--no-roofline", "--csv", "p.csv")
    ended = run_process("profile", os.fsdecode(name), *quick)
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    (row,) = read(tmp_path / "p.csv")
    assert (row["status"], row["precision_actual"]) == ("ok", "fp32")
    shown = name.removesuffix(b".onnx").decode("utf-8", "backslashreplace")
    assert row["model"] == counted["model"] == shown


def test_python_never_shows_a_traceback_in_a_process_either(run_process):
    ended = run_process("export", "mobilnet")
    assert ended.code == 2
    assert said(ended).startswith("unknown model 'mobilnet'")


def test_a_full_disk_under_stdout_is_one_line(run_process):
    with Path("/dev/full").open("w") as full:
        ended = run_process("list", stdout=full)
    assert ended.code == 4
    assert "no space left on device; free some space" in said(ended)


def test_a_reader_that_has_gone_is_no_error(run_process):
    reader, writer = os.pipe()
    os.close(reader)
    ended = run_process("list", "--json", stdout=writer)
    os.close(writer)
    assert ended.err == ""
    assert ended.code == 0


def limit(size: int):
    """No file that the process writes can grow beyond `size` bytes, whoever runs it."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_disk_that_fills_up_during_export_leaves_nothing(run_process, tmp_path):
    store = tmp_path / "engines"
    ended = run_process(
        "export",
        *TRAINED,
        "-o",
        "net.onnx",
        "--store",
        store,
        preexec_fn=limit(100_000),
    )
    assert ended.code == 4
    assert "can't write" in said(ended)
    assert contents(tmp_path) <= {"engines"}


@pytest.mark.parametrize("target", ["cpu", "tensorrt-rtx"])
def test_a_disk_that_fills_up_during_a_build_leaves_nothing(
    run, run_process, shared_store, tmp_path, target
):
    run("build", *TRAINED, "-q")
    store = tmp_path / "engines"
    for entry in shared_store.entries(GraphManifest):
        if entry.folder.name.startswith("lenet5"):
            shutil.copytree(entry.folder, store / entry.folder.name)
    before = contents(tmp_path)
    ended = run_process(
        "build", *TRAINED, "--target", target, "--store", store, preexec_fn=limit(100_000)
    )
    assert ended.code == 4
    assert "can't write" in said(ended)
    assert contents(tmp_path) == before


def test_a_disk_that_fills_up_under_the_report_keeps_the_old_one(run_process, tmp_path):
    (tmp_path / "p.csv").write_text("old")
    options = ("--quick", "-q", "--no-samples", "--csv", "p.csv")
    ended = run_process("profile", *TRAINED, *options, preexec_fn=limit(1000))
    assert ended.code == 4
    assert "can't write report p.csv" in ended.err
    assert "Traceback" not in ended.err
    assert (tmp_path / "p.csv").read_text() == "old"
    assert contents(tmp_path) == {"p.csv"}


def test_ctrl_c_keeps_the_rows_that_are_finished(run, shared_store, tmp_path):
    run("build", *TRAINED, "-q")
    path = tmp_path / "p.csv"
    batches = ["--batch", ",".join(map(str, range(1, 100)))]
    process = start(
        [*PROFILE, *TRAINED, *batches, "--no-samples", "--csv", str(path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "DEPLOYKIT_STORE": str(shared_store.root)},
    )
    wait_until(path.exists, process)
    out, err = interrupt(process)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "deploykit: interrupted"
    rows = read(path)
    assert 1 <= len(rows) < 99
    assert all(row["status"] == "ok" for row in rows)
    assert contents(tmp_path) == {"p.csv"}
    assert not [name for name in contents(shared_store.root) if ".making" in name]


#: `deploykit`, but the exporter says on stderr that it was reached, and waits there. What it prints through
#: Python is kept off stderr, so it writes to the descriptor.
HELD = """
import os, time, torch
from deploykit.cli import main

def hold(*_, **__):
    os.write(2, b"exporting\\n")
    time.sleep(600)

torch.onnx.export = hold
main()
"""


def test_ctrl_c_in_an_export_leaves_nothing(tmp_path):
    store = tmp_path / "engines"
    process = start(
        [sys.executable, "-c", HELD, "export", "lenet5", "--store", str(store)],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    wait_until(lambda: process.stderr.readline() == "exporting\n", process)
    assert any(".making" in name for name in contents(store))  # there is something to remove
    _, err = interrupt(process)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "deploykit: interrupted"
    assert "Traceback" not in err
    assert contents(tmp_path) == {"engines"}
