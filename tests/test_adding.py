"""Adding a claim, a column, a report format or a command takes what ARCHITECTURE.md says, and no more.

An architecture and a backend are added by packages of their own: `tests/zoo/test_catalogue.py` and
`tests/backends/test_registry_of_backends.py` add them so.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types

import click
import source_tree

CLAIM = """
[[claim]]
id = "lenet-fits-a-floppy-disk"
statement = "LeNet-5 fits a floppy disk."
source = "s"
about = "bytes of parameters"
kind = "counted"
stated = "fits"
unit = "bytes"
check = "fits"
arguments = { network = "lenet5", bytes = 1_474_560 }
expected = "confirmed"
parts = "holds"
"""


def test_a_claim_is_a_check_and_an_entry(monkeypatch):
    from deploykit.claims import check as registry
    from deploykit.claims import evaluate_claims, parse_claims
    from deploykit.claims.networks import Network
    from deploykit.claims.verdict import Outcome, PartResult

    monkeypatch.setattr(registry, "_CHECKS", dict(registry._CHECKS))

    def fits(network: Network, bytes: int) -> Outcome:
        needed = 4 * network.parameters
        return Outcome([PartResult("fits", needed <= bytes)], needed, f"It takes {needed} bytes.")

    fits.__annotations__ = {"network": Network, "bytes": int, "return": Outcome}
    registry.check(fits)
    (verdict,) = evaluate_claims(claims=parse_claims(CLAIM))
    assert (verdict.verdict, verdict.as_expected) == ("confirmed", True)


COLUMN = '    Column("moon_phase", FLOAT, IDENTITY, "share of the disc that is lit", place=14, heading="moon"),\n'
WITH_COLUMN = """
import importlib.util, sys
import deploykit
spec = importlib.util.spec_from_file_location("deploykit.columns", sys.argv[1])
sys.modules["deploykit.columns"] = deploykit.columns = importlib.util.module_from_spec(spec)
spec.loader.exec_module(deploykit.columns)

from deploykit.columns import IDENTITY_NAMES
from deploykit.report.compare.processes import _NAMED as compared
from deploykit.report.csv import read_rows, to_csv
from deploykit.row import Row

assert "moon_phase" in IDENTITY_NAMES and "moon_phase" in compared
path = sys.argv[1] + ".csv"
open(path, "w").write(to_csv([Row({"schema": 1, "model": "lenet5", "status": "ok", "moon_phase": 0.25})]))
(row,) = read_rows(path)
assert row["moon_phase"] == 0.25, row
try:
    Row({"moon_phase": "full"})
except TypeError as error:
    print(error)
"""


def test_a_column_is_one_line(tmp_path):
    declared = (source_tree.PACKAGE / "columns.py").read_text()
    before, end, after = declared.partition(")\n# fmt: on")
    assert end
    (tmp_path / "columns.py").write_text(before + COLUMN + end + after)
    done = subprocess.run(
        [sys.executable, "-c", WITH_COLUMN, str(tmp_path / "columns.py")],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "moon_phase holds float, not 'full'\n", done.stderr


def test_a_report_format_is_a_module_and_a_destination(monkeypatch, tmp_path):
    """Each format there is has a module that makes its text, and a field of `Outputs`; here is one more."""
    from deploykit.cli import outputs
    from deploykit.cli.outputs import write_documents

    formats = set(outputs._DESTINATIONS) - {
        "file",
        "plot",
    }  # of which the command makes a file itself
    made_by = {"html": "page"}
    modules = {path.stem for path in (source_tree.PACKAGE / "report").iterdir()}
    assert modules >= {made_by.get(name, name) for name in formats}
    assert {field.name for field in dataclasses.fields(outputs.Outputs)} >= formats

    @dataclasses.dataclass(frozen=True)
    class Outputs(outputs.Outputs):
        yaml: str | None = None

    monkeypatch.setattr(outputs, "Outputs", Outputs)
    monkeypatch.setitem(outputs._DESTINATIONS, "yaml", (("--yaml",), "FILE", "a file for the YAML"))

    @click.command()
    @outputs.output_options(yaml="Write YAML; - for stdout.")
    def command(outputs: Outputs) -> None:
        write_documents(outputs, yaml=lambda: "a: 1")

    command.main(["--yaml", str(tmp_path / "report.yaml")], standalone_mode=False)
    assert (tmp_path / "report.yaml").read_text() == "a: 1"


def test_a_command_is_a_module_and_a_line_of_help(monkeypatch, capsys):
    from deploykit import cli

    @click.command("greet")
    def command() -> None:
        """Say good day."""
        click.echo("good day")

    module = types.ModuleType("deploykit.cli.greet_command")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "greet", "Say good day.")
    assert cli.invoke(["greet"]) == 0
    assert cli.invoke(["--help"]) == 0
    assert capsys.readouterr().out.count("good day") == 2
