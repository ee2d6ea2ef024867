"""Resolve every extra in a clean virtual environment and record what pip would install: reports/install-matrix.csv.

For each Python that is given (`--python python3.11 python3.12`; this one if none) a new environment gets the newest
pip and answers `pip install --dry-run ".[EXTRA]"`, so nothing is installed. The package index must be reachable. A
source distribution is asked for its metadata as pip does it, which for pycuda takes the CUDA toolkit.

States:
    ok       everything was resolved.
    partly   all but libraries that NVIDIA's own index serves was, and that index was not reachable from here: the
             packages of TensorRT ask it while pip reads them. An empty wheel of the same name and version stands
             for them, so that what else the extra holds is resolved together with that version.
    failed   pip found no set of packages; `reason` has its words.

It ends with 1 where an extra failed.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "reports" / "install-matrix.csv"
#: What the packages of TensorRT print where they don't reach NVIDIA's index.
_BLOCKED = re.compile(r"wheel_stub|urlopen error|InstallFailedError")
_COLLECTING = re.compile(r"^Collecting (\S+?)==(\S+) \(from ", re.MULTILINE)


@dataclass(frozen=True)
class Resolved:
    """A row of the report."""

    extra: str
    python: str
    platform: str
    pip: str
    date: str
    state: str
    packages: int = 0
    resolved: str = ""
    reason: str = ""


def main() -> int:
    """Resolve what is asked for and write the report."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ["", *declared["optional-dependencies"]]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters")
    parser.add_argument("--extra", nargs="+", default=extras, choices=extras, help="all if none")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="install-matrix-") as folder:
        for number, interpreter in enumerate(arguments.python):
            python = clean_environment(interpreter, Path(folder) / str(number))
            for extra in arguments.extra:
                rows.append(resolve(python, extra, Path(folder)))
                print(
                    *list(asdict(rows[-1]).values())[:2],
                    rows[-1].state,
                    rows[-1].reason,
                    flush=True,
                )
    with REPORT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Resolved)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    return int(any(row.state == "failed" for row in rows))


def clean_environment(interpreter: str, folder: Path) -> Path:
    """A new virtual environment with the newest pip and nothing else; its interpreter."""
    subprocess.run([interpreter, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    upgrade = [python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"]
    subprocess.run(upgrade, check=True, stderr=subprocess.DEVNULL)
    return python


def resolve(python: Path, extra: str, folder: Path) -> Resolved:
    """What pip would install for an extra; "" is the package alone."""
    stand_ins = folder / f"stand-ins-{python.parts[-3]}-{extra}"
    stand_ins.mkdir()
    versions = output([python, "-c", "import platform; print(platform.python_version())"])
    row = Resolved(
        extra or "none",
        versions.strip(),
        f"{platform.system()} {platform.machine()}",
        output([python, "-m", "pip", "--version"]).split()[1],
        datetime.date.today().isoformat(),
        "failed",
    )
    blocked: list[str] = []
    while True:
        report = folder / "report.json"
        report.unlink(missing_ok=True)
        wanted = f".[{extra}]" if extra else "."
        command = [python, "-m", "pip", "install", "--dry-run", "--report", report, wanted]
        ended = subprocess.run(
            [*command, "--find-links", stand_ins],
            cwd=ROOT,
            env={**os.environ, "CUDA_ROOT": os.environ.get("CUDA_ROOT", "/usr/local/cuda")},
            capture_output=True,
            text=True,
        )
        if ended.returncode == 0:
            break
        asked = _COLLECTING.findall(ended.stdout)
        if not _BLOCKED.search(ended.stdout + ended.stderr) or not asked or asked[-1][0] in blocked:
            return Resolved(**{**asdict(row), "reason": last_error(ended.stderr)})
        blocked.append(asked[-1][0])
        write_stand_in(*asked[-1], stand_ins)
    packages = sorted(
        f"{item['metadata']['name']}=={item['metadata']['version']}"
        for item in json.loads(report.read_text())["install"]
        if item["metadata"]["name"] != "deploykit"
    )
    reason = f"NVIDIA's index was not reachable for {', '.join(blocked)}" if blocked else ""
    state = "partly" if blocked else "ok"
    found = {"packages": len(packages), "resolved": " ".join(packages), "reason": reason}
    return Resolved(**{**asdict(row), "state": state, **found})


def write_stand_in(name: str, version: str, folder: Path) -> None:
    """A wheel with a name, a version and nothing in it."""
    stem = f"{re.sub(r'[-.]+', '_', name)}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        info = f"{stem}.dist-info"
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


def last_error(text: str) -> str:
    """The line in which pip says why."""
    errors = [line.strip() for line in text.splitlines() if re.search(r"error|Error", line)]
    return errors[-1] if errors else "pip gave no reason"


def output(command: list[str | Path]) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
