"""What every command has, and what the common ones print."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import onnx
import pytest

from deploykit.cli import COMMANDS, cli
from deploykit.columns import NAMES
from deploykit.lazy import install_line

ROOT = Path(__file__).parents[2]
QUICK = ("--quick", "-q")


def help_of(name: str) -> str:
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command is not None
    return command.get_help(click.Context(command, info_name=name, parent=context))


def test_every_command_module_is_a_command_and_the_other_way_round():
    modules = {p.name.removesuffix("_command.py") for p in _modules()}
    assert modules == set(COMMANDS)
    assert cli.list_commands(click.Context(cli)) == list(COMMANDS)


def _modules():
    import deploykit.cli

    return Path(deploykit.cli.__file__).parent.glob("*_command.py")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_on_a_line_of_its_own(name):
    lines = [line.strip() for line in help_of(name).splitlines()]
    assert any(re.match(rf"deploykit {name}\b", line) for line in lines), lines
    assert not any("\\b" in line for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_says_what_it_does(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [o.name for o in options if not o.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_mentions_every_command(name):
    assert f"deploykit {name}" in (ROOT / "README.md").read_text()


def test_every_example_parses():
    """Each example's options exist, whatever the command would then do."""
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        for line in help_of(name).splitlines():
            words = line.split("  #")[0].replace("'", "").split()
            if words[:2] == ["deploykit", name]:
                command.make_context(name, words[2:], resilient_parsing=True)
                flags = [w for w in words if w.startswith("-") and w != "-"]
                known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
                assert set(flags) <= known, line


def test_the_help_of_all_lists_every_command_and_the_exit_codes(run):
    ended = run("--help")
    assert ended.code == 0
    assert all(re.search(rf"^  {name} ", ended.out, re.M) for name in COMMANDS)
    assert "130 interrupted" in ended.out


def test_the_list_of_commands_tells_each_in_one_line_of_a_narrow_terminal(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in run("--help").out.splitlines()]
    for name, text in COMMANDS.items():
        assert any(re.fullmatch(rf"{name} +{re.escape(text)}", line) for line in lines), name


def test_a_list_of_the_commands_imports_none_of_them():
    code = (
        "import sys; from deploykit.cli import invoke; invoke(['--help']); "
        "sys.exit(any(name.endswith('_command') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_shell_completes_commands_without_importing_them(run_process):
    asked = {"_DEPLOYKIT_COMPLETE": "bash_complete", "COMP_WORDS": "deploykit c", "COMP_CWORD": "1"}
    completed = run_process(env=asked).out.split()
    assert completed == ["plain,count", "plain,claims", "plain,compare", "plain,check"]
    asked |= {"COMP_WORDS": "deploykit check --j", "COMP_CWORD": "2"}
    assert run_process(env=asked).out.split() == ["plain,--json"]


def test_without_a_command_the_help_is_shown_on_stderr(run):
    ended = run()
    assert ended.code == 2
    assert ended.out == ""
    assert "Commands:" in ended.err


def test_the_version_is_that_of_the_package(run):
    from deploykit.env import package_version

    assert run("--version").out == f"deploykit {package_version('deploykit')}\n"


def test_python_m_deploykit_is_the_same_command(run_process, run):
    ended = run_process("list", "vgg11")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == run("list", "vgg11").out


def test_list_shows_facts_of_the_catalogue(run):
    ended = run("list")
    assert ended.code == 0
    assert re.search(r"alexnet +alexnet +2012 .* 60,965,224", ended.out)


def test_list_as_json_is_the_catalogue(run):
    found = json.loads(run("list", "--json").out)
    by_name = {entry["name"]: entry for entry in found}
    assert by_name["squeezenet1_0"]["parameters"] == 1_248_424
    assert by_name["lenet5"]["input"] == [1, 32, 32]


def test_list_precisions_names_recipes_and_targets(run):
    found = json.loads(run("list", "--precisions", "--json").out)
    assert ("int8", ["cpu"]) in [(one["precision"], one["targets"]) for one in found]
    assert "int8" in run("list", "--precisions").out


def test_claims_list_checks_nothing(run):
    listed = json.loads(run("claims", "--list", "--json").out)
    assert len(listed) >= 5
    assert all(entry["statement"] for entry in listed)


def test_claims_writes_csv_and_junit(run, tmp_path):
    ended = run("claims", "vgg-140m", "--csv", "-", "--junit", "claims.xml")
    assert ended.code == 0
    (row,) = csv.DictReader(io.StringIO(ended.out))
    assert row["id"] == "vgg-140m"
    assert 'tests="1"' in (tmp_path / "claims.xml").read_text()
    xml = run("claims", "vgg-140m", "--junit", "-").out
    assert xml.startswith("<?xml")


def test_claims_of_ones_own_are_checked_and_refused_with_their_line(run, own_claim):
    stated = own_claim.read_text()
    ended = run("claims", "--claims", "mine.toml", "--csv", "-")
    assert ended.code == 0
    assert [row["verdict"] for row in csv.DictReader(io.StringIO(ended.out))] == ["confirmed"]
    assert [
        one["id"]
        for one in json.loads(run("claims", "--list", "--claims", "mine.toml", "--json").out)
    ] == ["lenet"]
    own_claim.write_text(stated.replace("61_706", "62_000_000"))
    ended = run("claims", "--claims", "mine.toml")
    assert ended.code == 1
    assert "lenet is refuted, not confirmed" in ended.err
    for old, new, line, message in (
        ("unit =", "units =", 9, "unknown key 'units'"),
        ('"lenet5"', '"lenet6"', 11, "unknown model 'lenet6'"),
    ):
        own_claim.write_text(stated.replace(old, new))
        ended = run("claims", "--claims", "mine.toml")
        assert ended.code == 2
        (said,) = ended.err.strip().splitlines()
        assert f"mine.toml, line {line}: claim lenet: " in said
        assert message in said
    own_claim.write_text(stated.replace('"lenet5"', '"no_module:net"'))
    ended = run("claims", "--claims", "mine.toml")
    assert ended.code == 2
    assert "claim lenet: no module 'no_module'" in ended.err
    own_claim.write_text(own_claim.read_text() + stated.replace('"lenet"', '"other"'))
    ended = run("claims", "--claims", "mine.toml", "--csv", "-")
    assert ended.code == 2
    assert [row["verdict"] for row in csv.DictReader(io.StringIO(ended.out))] == [
        "undecided",
        "confirmed",
    ]


def test_a_default_profile_that_is_none_is_left_out_and_kept(run, own_claim, tmp_path):
    """A file of that name of another program made every check of claims end with 2, though nobody named it."""
    (tmp_path / "results").mkdir()
    other = tmp_path / "results" / "profile.csv"
    other.write_text("benchmark,value\na,1\n")
    ended = run("claims", "--claims", "mine.toml")
    assert ended.code == 0
    said = "note: results/profile.csv, which nobody named, is left out: results/profile.csv has no "
    assert ended.err.startswith(said)
    assert ended.err.count("\n") == 1
    assert run("claims", "--claims", "mine.toml", "--profile", "results/profile.csv").code == 2
    ended = run("claims", "--claims", "mine.toml", "--csv", "results/profile.csv")
    assert ended.code == 2
    assert "results/profile.csv is read, and would be replaced" in ended.err
    assert other.read_text().startswith("benchmark")


def test_a_verdict_of_ones_own_is_printed_in_the_width_that_there_is(run, own_claim, monkeypatch):
    own_claim.write_text(
        own_claim.read_text()
        .replace('"LeNet-5 has 61,706 parameters"', '"LeNet-5: \\u001b[31m\\nsmall. Is it?"')
        .replace('"lenet"', '"a: b"')
    )
    ended = run("claims", "--claims", "mine.toml")
    assert ended.out.startswith(
        "confirmed  a: b\n  LeNet-5: \\x1b[31m small. Is it?\n  stated 61,706 "
    )
    monkeypatch.setenv("COLUMNS", "40")
    ended = run("claims", "--claims", "mine.toml")
    assert max(map(len, ended.out.splitlines())) <= 40


def test_a_network_of_ones_own_is_counted_layer_by_layer_and_may_print(run, tmp_path, own_claim):
    (tmp_path / "talking.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    input_shape = (3, 16, 16)\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.one, self.two = torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8 * 14 * 14, 4)\n"
        "        self.register_buffer('scale', torch.ones(1, 8, 1, 1))\n"
        "    def forward(self, x):\n"
        "        print('forward')\n"
        "        return self.two((torch.relu(self.one(x)) * self.scale).flatten(1))\n"
    )
    asked = {
        "parameters": "parameters('talking:Net')",
        "layers": "layers('talking:Net')",
        "channels": "sum(channels('talking:Net', conv))",
        "nodes": "nodes('talking:Net', Relu)",
        "modules": "modules('talking:Net', Conv2d)",
        "depth": "depth('talking:Net')",
        "weights": "parameters(lenet5) / weights('talking:Net', conv)",
    }
    figures = [3 * 8 * 9 + 8 + 8 * 14 * 14 * 4 + 4, 2, 8, 1, 1, 2, 61_706 / 216]
    own_claim.write_text(
        "".join(
            own_claim.read_text()
            .replace('"lenet"', f'"{name}"')
            .replace('"count"', '"counted"')
            .replace('{ network = "lenet5" }', f'{{ of = "{of}" }}')
            .replace("61_706", str(stated))
            for (name, of), stated in zip(asked.items(), figures, strict=True)
        )
    )
    ended = run("claims", "--claims", "mine.toml", "--json")
    assert ended.code == 0, ended.err
    assert {one["verdict"] for one in json.loads(ended.out)} == {"confirmed"}


def test_a_network_that_ends_python_ends_no_command_well(run, tmp_path, own_claim):
    """The command ended with what the network's code gave to sys.exit, 0 even, and nothing was judged."""
    (tmp_path / "ending.py").write_text(
        "import sys, torch\n"
        "class Net(torch.nn.Module):\n"
        "    input_shape = (3, 16, 16)\n"
        "    def forward(self, x):\n"
        "        sys.exit(0)\n"
    )
    ended = run("count", "ending:Net")
    assert ended.code == 2
    assert (
        "Net calls sys.exit(0) when it is run, and nothing is counted: take that out" in ended.err
    )
    own_claim.write_text(
        own_claim.read_text()
        + own_claim.read_text().replace('"lenet', '"x').replace("x5", "ending:Net")
    )
    ended = run("claims", "--claims", "mine.toml", "--json")
    assert ended.code == 2
    assert [one["verdict"] for one in json.loads(ended.out)] == ["confirmed", "undecided"]


def test_a_profile_without_the_rows_of_a_claim_is_refused(run, tmp_path):
    reference = Path(__file__).parents[2] / "reports" / "profile.csv"
    (tmp_path / "p.csv").write_text(reference.read_text())
    ended = run("claims", "vgg-140m", "densenet-expensive", "--profile", "p.csv", "--csv", "-")
    assert ended.code == 2
    (said,) = ended.err.strip().splitlines()
    assert "p.csv has no rows that decide densenet-expensive" in said
    # The refusal of the one cost the verdict of the other.
    told = {row["id"]: row["verdict"] for row in csv.DictReader(io.StringIO(ended.out))}
    assert told == {"vgg-140m": "confirmed", "densenet-expensive": "undecided"}


def test_export_writes_a_checked_file(run, tmp_path):
    ended = run("export", "lenet5", "--weights", "trained", "-o", "net.onnx")
    assert ended.code == 0
    assert "net.onnx" in ended.out
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_export_names_files_after_what_they_hold(run, tmp_path):
    ended = run(
        "export", "mobilenet", "--alpha", "0.25", "--rho", "4/7", "--json", "-q", "-o", "onnx/"
    )
    (entry,) = json.loads(ended.out)
    assert entry["path"] == "onnx/mobilenet-a0.25-r4_7.onnx"
    assert entry["file_bytes"] == (tmp_path / entry["path"]).stat().st_size
    assert ended.err == ""


@pytest.mark.parametrize(
    ("program", "output"),
    [
        (["-m", "deploykit"], "-"),
        (["-m", "deploykit"], "/dev/stdout"),
        (["-c", "import sys, deploykit.cli as c; sys.exit(c.invoke(sys.argv[1:]))"], "-"),
    ],
    ids=["command", "by name", "in Python"],
)
def test_export_to_stdout_is_the_file_and_nothing_else(run, program, output, tmp_path):
    """The command keeps descriptor 1 from libraries, and went through it itself: the file came out on stderr."""
    run("export", "lenet5", "--weights", "trained", "-o", "net.onnx")
    arguments = ["export", "lenet5", "--weights", "trained", "-q", "-o", output]
    shown = subprocess.run(
        [sys.executable, *program, *arguments], capture_output=True, cwd=tmp_path, check=True
    )
    assert shown.stderr == b""
    assert shown.stdout == (tmp_path / "net.onnx").read_bytes()


def test_build_makes_engines_and_finds_them_again(run):
    arguments = ("build", "lenet5", "--weights", "trained", "--precision", "fp32,int8", "-q")
    targets = ("--target", "cpu,tensorrt-rtx", "--max-batch", "3")
    first = json.loads(run(*arguments, *targets, "--json").out)
    assert [(e["builder"], e["precision_actual"]) for e in first] == [
        ("onnxruntime", "fp32"),
        ("onnxruntime", "int8"),
        ("tensorrt-rtx", "fp32"),
        ("tensorrt-rtx", "int8"),
    ]
    # What shapes TensorRT's engines alone makes no other engine of the same graph for ONNX Runtime.
    assert not any(e["found"] for e in first if e["builder"] == "tensorrt-rtx")
    second = json.loads(run(*arguments, *targets, "--json").out)
    assert all(e["found"] for e in second)
    assert all(Path(e["path"]).is_file() for e in second)
    assert "found" in run(*arguments, *targets).out


def test_the_builder_s_options_are_in_key_and_manifest_of_the_engines_that_they_shape(run):
    plain = (
        "build",
        "lenet5",
        "--weights",
        "trained",
        "--target",
        "cpu,tensorrt-rtx",
        "-q",
        "--json",
    )
    options = ("--min-batch", "2", "--max-batch", "6", "--workspace", "64", "--sparse")
    first, second = json.loads(run(*plain).out), json.loads(run(*plain, *options).out)
    assert second[0]["key"] == first[0]["key"]
    assert second[1]["key"] != first[1]["key"]
    said = {name: value for name, value in second[1]["options"].items() if value}
    assert said == {
        "batch_min": 2,
        "batch_opt": 6,
        "batch_max": 6,
        "workspace_mib": 64,
        "sparse": True,
        "timing_cache": True,
    }
    batches = [first[1]["options"][f"batch_{name}"] for name in ("min", "opt", "max")]
    assert batches == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--min-batch", "4", "--opt-batch", "2"),
            "--min-batch 4 is above --opt-batch 2: raise --opt-batch or lower",
        ),
        (("--min-shape", "1xZ"), "--min-shape takes NAME=1x3x320x320"),
        (("--opt-shape", "1xZ"), "--opt-shape takes NAME=1x3x320x320"),
        (("--max-shape", "a=1x2", "--max-shape", "a=1x3"), "--max-shape names an input twice"),
    ],
)
def test_what_engines_are_to_be_built_for_is_checked_before_any_work(run, options, said):
    ended = run("build", "lenet5", "--target", "tensorrt-rtx", *options)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_build_leaves_out_what_a_target_has_no_recipe_for(run):
    arguments = ("build", "lenet5", "--weights", "trained", "--precision", "bf16,fp32", "-q")
    built = json.loads(run(*arguments, "--target", "cpu,tensorrt-rtx", "--json").out)
    assert [(e["builder"], e["precision"]) for e in built] == [
        ("onnxruntime", "fp32"),
        ("tensorrt-rtx", "bf16"),
        ("tensorrt-rtx", "fp32"),
    ]


def test_profile_to_stdout_is_pure_csv(run):
    ended = run("profile", "lenet5", "--weights", "trained", "--quick", "--csv", "-")
    assert ended.code == 0
    (row,) = csv.DictReader(io.StringIO(ended.out))
    assert list(row) == list(NAMES)
    assert row["status"] == "ok"
    assert "measure lenet5" in ended.err


def test_profile_measures_without_assertions_and_docstrings(run, shared_store, tmp_path):
    run("export", "lenet5", "--weights", "trained", "-o", "net.onnx", "-q")
    words = ("profile", "net.onnx", "--quick", "-q", "--no-roofline", "--csv", "-")
    done = subprocess.run(
        [sys.executable, "-OO", "-m", "deploykit", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "DEPLOYKIT_STORE": str(shared_store.root)},
    )
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert (row["status"], row["precision_actual"], row["macs"]) == ("ok", "fp32", "416520")
    assert float(row["latency_p50_ms"]) > 0
    assert float(row["drift_snr_db"]) > 65


def test_profile_prints_a_table_and_writes_the_csv(run, tmp_path):
    arguments = ("profile", "lenet5", "--weights", "trained", *QUICK, "--batch", "1,2")
    ended = run(*arguments, "--csv", "p.csv")
    assert ended.code == 0
    assert ended.out.count("lenet5") == 2
    assert ended.err == ""
    rows = list(csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text())))
    assert [row["batch"] for row in rows] == ["1", "2"]


def test_profile_as_json_has_every_column(run, light_squeezenet):
    (row,) = json.loads(run("profile", light_squeezenet, *QUICK, "--json").out)
    assert list(row) == list(NAMES)
    assert row["latency_p50_ms"] > 0
    assert row["alpha"] is None


def test_doctor_tells_what_works_and_what_installs_the_rest(run, monkeypatch):
    from deploykit import env

    ended = run("doctor")
    assert ended.code == 0
    assert "run with onnxruntime" in ended.out
    assert f"\n  {install_line('tensorrt')}\n" in ended.out  # to be copied: never broken
    monkeypatch.setattr(env, "package_version", lambda name: None)
    monkeypatch.setattr(env, "has_module", lambda name: False)
    checks = json.loads(run("doctor", "--json").out)
    missing = {c["what"]: c["remedy"] for c in checks if c["state"] == "missing"}
    assert missing["build with onnxruntime"] == install_line("cpu")
    assert missing["build with tensorrt-rtx"] == install_line("rtx")
    assert missing["build with tensorrt"] == install_line("tensorrt")
    assert missing["export from PyTorch, train"] == install_line("export")
    assert run("doctor").code == 3


def test_colours_stay_out_of_pipes_and_of_no_color(run_process):
    import os
    import pty
    import threading

    assert "\x1b" not in run_process("list", "vgg11").out
    shown = {}
    for name, extra in (("plain", {"NO_COLOR": "1"}), ("default", {})):
        main, other = pty.openpty()
        chunks: list[bytes] = []

        def drain(main=main, chunks=chunks) -> None:
            try:
                while chunk := os.read(main, 65536):
                    chunks.append(chunk)
            except OSError:  # how a terminal ends
                pass

        reader = threading.Thread(target=drain)
        reader.start()
        env = {"TERM": "xterm-256color", "COLUMNS": "150", **extra}
        assert run_process("list", "vgg11", stdout=other, env=env).code == 0
        os.close(other)
        reader.join(10)
        os.close(main)
        shown[name] = b"".join(chunks)
    # colours are codes 30-37, 90-97 and 38;...; bold may stay
    assert not re.search(rb"\x1b\[(\d+;)*(3\d|9\d)", shown["plain"])
    assert b"vgg11" in shown["plain"]
    assert b"vgg11" in shown["default"]
