"""The GitHub action and the workflow: parsed, held to rules, and their shell steps run as a runner would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from source_tree import ROOT
from stored_reports import repeats, save

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
ACTION_STEPS = ACTION["runs"]["steps"]
WORKFLOW_STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]
SCRIPTS = [step for step in (*ACTION_STEPS, *WORKFLOW_STEPS) if "run" in step]


def test_actions_of_others_are_pinned_to_a_commit():
    used = [step["uses"] for step in (*ACTION_STEPS, *WORKFLOW_STEPS) if "uses" in step]
    assert used
    others = [name for name in used if name != "./"]
    assert [name for name in others if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []
    for file in ("action.yml", ".github/workflows/ci.yml"):
        for line in (ROOT / file).read_text().splitlines():
            if "uses: actions/" in line:
                assert re.search(r"  # v\d+\.\d+\.\d+$", line), (
                    "a person reads a version, not a commit"
                )


def test_the_workflow_may_read_and_no_more_and_keeps_no_token():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in WORKFLOW["jobs"].values())
    checkouts = [step for step in WORKFLOW_STEPS if "checkout" in step.get("uses", "")]
    assert len(checkouts) == len(WORKFLOW["jobs"])
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


def test_it_tests_every_python_that_is_supported():
    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == [
        "3.11",
        "3.12",
        "3.13",
        "3.14",
    ]


def test_summary_and_artifact_come_after_a_failure_too():
    after = [s for s in (*ACTION_STEPS, *WORKFLOW_STEPS) if re.search("Summary|upload", str(s))]
    named = [
        step for step in after if step.get("name") == "Summary" or "upload" in step.get("uses", "")
    ]
    assert len(named) == 4
    assert all("!cancelled()" in step["if"] for step in named)


@pytest.mark.parametrize("step", SCRIPTS, ids=lambda step: step.get("name") or step["run"][:20])
def test_scripts_are_bash_and_no_input_is_written_into_one(step):
    assert "${{" not in step["run"]
    subprocess.run(["bash", "-n", "-c", step["run"]], check=True)


def test_every_input_is_used_and_every_used_one_is_declared():
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    given = next(step for step in WORKFLOW_STEPS if step.get("uses") == "./")["with"]
    assert set(given) <= set(ACTION["inputs"])


@dataclass
class Runner:
    """As much of a runner as the action needs: inputs, outputs of steps, and expressions."""

    folder: Path
    deploykit: Path
    inputs: dict[str, str]
    base_ref: str = ""
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    failed: str = ""

    def value(self, expression):
        expression = expression.strip().removeprefix("${{").removesuffix("}}").strip()
        expression = expression.replace("!cancelled()", "True")
        translated = re.sub(
            r"\b(inputs|steps|github|runner)\.([\w.-]+)",
            lambda m: repr(self.look_up(m[1], m[2])),
            expression,
        )
        translated = translated.replace("&&", " and ").replace("||", " or ")
        return eval(translated)

    def look_up(self, what, path):
        if what == "inputs":
            return self.inputs[path]
        if what == "steps":
            step, _, name = path.split(".")
            return self.outputs.get(step, {}).get(name, "")
        return {
            ("github", "base_ref"): self.base_ref,
            ("github", "action_path"): str(ROOT),
            ("runner", "temp"): str(self.folder / "temp"),
        }[what, path]

    def text(self, value):
        return re.sub(r"\$\{\{.*?\}\}", lambda m: str(self.value(m[0])), value)

    def run(self):
        """Run all steps; those of others are passed over."""
        (self.folder / "temp").mkdir()
        self.outputs["install"] = {"deploykit": str(self.deploykit)}
        for step in ACTION_STEPS:
            condition = str(step.get("if", "True"))
            always = "!cancelled()" in condition
            if "run" not in step or step["name"] == "Install" or (self.failed and not always):
                continue
            if self.value(condition):
                self.run_step(step)

    def run_step(self, step):
        output, summary = self.folder / "output", self.folder / "summary"
        output.write_text("")
        environment = {name: self.text(value) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=self.folder,
            env={
                **os.environ,
                **environment,
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(summary),
                "RUNNER_TEMP": str(self.folder / "temp"),
            },
            capture_output=True,
            text=True,
        )
        pairs = [line.partition("=") for line in output.read_text().splitlines()]
        if "id" in step:
            self.outputs[step["id"]] = {name: value for name, _, value in pairs}
        if done.returncode:
            self.failed = f"{step['name']}: {done.stdout}{done.stderr}"


@pytest.fixture
def runner(tmp_path):
    """A runner in a clone, whose `profile` finds what was measured in a file, and whose other commands are real."""
    head, base = tmp_path / "measured-head.csv", tmp_path / "measured-base.csv"
    save(head, repeats(2.0))
    save(base, repeats(2.0))
    program = tmp_path / "deploykit"
    program.write_text(
        "#!/usr/bin/env bash\n"
        'if [ "$1" = profile ]; then\n'
        f'  echo "$*" >> {tmp_path}/calls\n'
        f'  measured={head}; [ "$PWD" = {tmp_path}/clone ] || measured={base}\n'
        '  [ -f "$measured" ] || { echo "deploykit: it can not be built" >&2; exit 4; }\n'
        '  while [ "$1" != --csv ]; do shift; done\n'
        '  cp "$measured" "$2"; echo "a table"; exit 0\n'
        "fi\n"
        f'exec {sys.executable} -m deploykit "$@"\n'
    )
    program.chmod(0o755)
    clone = tmp_path / "clone"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path / "origin")], check=True)
    (tmp_path / "origin" / "file").write_text("a")
    subprocess.run([*git, str(tmp_path / "origin"), "add", "file"], check=True)
    subprocess.run([*git, str(tmp_path / "origin"), "commit", "-qm", "first"], check=True)
    subprocess.run(["git", "clone", "-q", str(tmp_path / "origin"), str(clone)], check=True)
    inputs = {name: str(spec.get("default", "")) for name, spec in ACTION["inputs"].items()}
    inputs |= {"models": "lenet5 my.onnx", "arguments": "--threads 1", "artifact": ""}
    return Runner(clone, program, inputs)


def test_without_a_base_it_leaves_a_report_a_page_and_a_summary(runner):
    runner.run()
    assert runner.failed == ""
    reports = runner.folder / "deploykit-reports"
    assert {path.name for path in reports.iterdir()} == {
        "profile.csv", "profile.txt", "comment.md", "report.html",
    }  # fmt: skip
    assert "a table" in (runner.folder / "summary").read_text()
    (call,) = (runner.folder.parent / "calls").read_text().splitlines()
    assert call == (
        "profile lenet5 my.onnx --precision fp32 --backend onnxruntime --repeats 5 --threads 1 "
        "--csv deploykit-reports/profile.csv"
    )


def test_on_a_pull_request_the_base_branch_is_measured_and_compared(runner):
    runner.base_ref = "main"
    runner.run()
    assert runner.failed == ""
    assert runner.outputs["compare"] == {
        "junit": "deploykit-reports/compare.xml",
        "regressed": "false",
    }
    assert "No regression" in (runner.folder / runner.outputs["summary"]["markdown"]).read_text()
    assert (
        "Against the earlier report"
        in (runner.folder / runner.outputs["summary"]["html"]).read_text()
    )
    assert not (runner.folder / "temp" / "deploykit-base").exists()


def test_a_regression_fails_at_the_end_with_everything_written(runner):
    save(runner.folder.parent / "measured-head.csv", repeats(3.0))
    runner.inputs["base"] = "../measured-base.csv"
    runner.run()
    assert runner.failed.startswith("Fail on a regression")
    assert "1 regression" in (runner.folder / "summary").read_text()
    assert "<failure" in (runner.folder / runner.outputs["compare"]["junit"]).read_text()
    assert runner.outputs["compare"]["regressed"] == "true"
    assert (runner.folder / runner.outputs["summary"]["html"]).is_file()


def test_a_base_branch_that_can_not_be_measured_is_no_regression(runner):
    (runner.folder.parent / "measured-base.csv").unlink()
    runner.base_ref = "main"
    runner.run()
    assert runner.failed == ""
    assert runner.outputs["base"] == {}
    assert "compare" not in runner.outputs


def test_after_a_failure_the_summary_says_what_is_missing(runner):
    (runner.folder.parent / "measured-head.csv").unlink()
    runner.run()
    assert "it can not be built" in runner.failed
    assert runner.failed.startswith("Profile")
    assert "Nothing was measured" in (runner.folder / "summary").read_text()


def test_what_the_inputs_hold_is_never_run(runner):
    runner.inputs["models"] = "$(touch${IFS}owned) `touch owned` ; touch owned"
    runner.inputs["arguments"] = "; touch owned"
    runner.run()
    assert not list(runner.folder.rglob("owned"))


def test_the_install_step_installs_this_version_or_the_package_that_is_named(runner, tmp_path):
    python = tmp_path / "python"
    python.write_text(
        "#!/usr/bin/env bash\n"
        f'echo "$*" >> {tmp_path}/python-calls\n'
        'mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/deploykit"\n'
    )
    python.chmod(0o755)
    install = next(step for step in ACTION_STEPS if step["name"] == "Install")
    (runner.folder / "temp").mkdir()
    runner.inputs["python"] = str(python)
    for package, wanted in (
        ("", f"{ROOT}[export,cpu,openvino,data]"),
        ("deploykit==9", "deploykit==9"),
    ):
        runner.inputs["package"] = package
        runner.run_step(install)
        assert runner.failed == ""
        assert (tmp_path / "python-calls").read_text().splitlines()[-2].endswith(wanted)
    assert runner.outputs["install"]["deploykit"].endswith("/deploykit/bin/deploykit")


@pytest.mark.parametrize("has_summary", [True, False])
def test_the_workflow_writes_a_summary_with_or_without_a_run(runner, has_summary):
    step = next(step for step in WORKFLOW_STEPS if step.get("name") == "Summary")
    if has_summary:
        (runner.folder / "ci-reports").mkdir()
        (runner.folder / "ci-reports" / "summary.md").write_text("# What this run found\n")
    runner.run_step(step)
    assert runner.failed == ""
    wanted = "# What this run found" if has_summary else "No summary: a step before it failed."
    assert wanted in (runner.folder / "summary").read_text()
