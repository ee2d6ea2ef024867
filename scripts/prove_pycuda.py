"""Run the tests of PyCUDA on the real package, over a driver that is a double, and write reports/pycuda.json.

PyCUDA is compiled when it is installed, which takes a C++ compiler, the CUDA toolkit (CUDA_ROOT, else
/usr/local/cuda) and ten minutes. It goes into a virtual environment of its own, beside what this one has, and stays
there for the next time. No GPU and no driver is needed: the tests build a libcuda that acts on host memory.

It ends with 1 where a test failed or was skipped.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
import venv
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from record_surfaces import RECORDED, toolkit

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "reports" / "pycuda.json"
TESTS = "tests/backends/test_pycuda.py"
(PYCUDA,) = [recorded for recorded in RECORDED if recorded.requirement.startswith("pycuda")]
#: What PyCUDA imports that the environment of tests does not have.
BESIDE = ("pytools", "platformdirs", "siphash24")


def environment_with_pycuda(folder: Path) -> Path:
    """The interpreter of an environment that has PyCUDA and all that this one has; made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=False, symlinks=True)
    own = output(python, "import sysconfig; print(sysconfig.get_path('purelib'))")
    # A line of code, so that packages that are installed as links are found there, too.
    Path(own, "base.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    )
    if (
        output(python, "import importlib.util as u; print(u.find_spec('pycuda') is not None)")
        != "True"
    ):
        with tempfile.TemporaryDirectory(prefix="pycuda-") as built:
            install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps"]
            packages = [PYCUDA.requirement, *BESIDE]
            made = {**os.environ, **toolkit(Path(built))}
            subprocess.run([*install, *packages], check=True, env=made)
    return python


def output(python: Path, code: str) -> str:
    """What an interpreter prints."""
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def outcomes(report: Path) -> dict[str, str]:
    """Every test of pytest's XML and what became of it."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        found[str(case.get("name"))] = min(kinds, default="passed")
    return found


def main() -> int:
    """Make the environment, run the tests there and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("environment", type=Path, help="folder of the virtual environment")
    python = environment_with_pycuda(parser.parse_args().environment)
    with tempfile.TemporaryDirectory(prefix="pycuda-tests-") as folder:
        xml = Path(folder) / "tests.xml"
        subprocess.run([python, "-m", "pytest", "-q", TESTS, f"--junitxml={xml}"], cwd=ROOT)
        tests = outcomes(xml)
    version = "from importlib.metadata import version; print(version({!r}))"
    facts: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "device": "none: a driver that is a double, on host memory",
        **{
            name: output(python, version.format(name))
            for name in ("pycuda", "cuda-bindings", "numpy")
        },
        "tests": tests,
    }
    REPORT.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return int(not tests or any(outcome != "passed" for outcome in tests.values()))


if __name__ == "__main__":
    sys.exit(main())
