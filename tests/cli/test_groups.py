"""Option groups: what they add to a command, and the one value that each delivers."""

from __future__ import annotations

import dataclasses
import inspect

import click
import pytest

from deploykit.cli import COMMANDS, cli
from deploykit.cli.options import group
from deploykit.cli.outputs import (
    Outputs,
    check_documents,
    csv_report,
    output_options,
    write_documents,
)
from deploykit.errors import UsageError
from deploykit.workflow.ranges import percent as parse_percent


def result_of(command: click.Command, *arguments: str):
    return command.main(list(arguments), standalone_mode=False)


@dataclasses.dataclass(frozen=True)
class Size:
    width: int
    height: int


@group("size", click.option("--width", type=int), click.option("--height", type=int, default=2))
def size_options(width: int, height: int) -> Size:
    if width == 0:
        raise UsageError("no width")
    return Size(width, height)


def test_a_group_reaches_the_command_as_one_value_beside_its_own_options():
    @click.command()
    @click.option("--name")
    @size_options
    @click.option("--deep", is_flag=True)
    def command(name, size, deep):
        return name, size, deep

    assert result_of(command, "--name", "a", "--width", "3") == ("a", Size(3, 2), False)
    assert [p.name for p in command.params] == ["name", "width", "height", "deep"]


def test_what_a_group_refuses_never_reaches_the_command():
    @click.command()
    @size_options
    def command(size):
        raise AssertionError("was called")

    with pytest.raises(UsageError, match="no width"):
        result_of(command, "--width", "0")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_takes_its_options_as_a_dictionary(name):
    command = cli.get_command(click.Context(cli), name)
    function = inspect.unwrap(command.callback)
    kinds = {p.kind for p in inspect.signature(function).parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


@click.command()
@output_options(csv="Rows.", junit="Cases.")
def two_documents(outputs):
    return outputs


@click.command()
@output_options(file="Graph.")
def one_file(outputs):
    return outputs


def test_outputs_are_what_is_asked_for():
    outputs = result_of(two_documents, "--csv", "a.csv", "--json")
    assert outputs == Outputs(csv="a.csv", json=True)
    assert not outputs.table
    assert result_of(two_documents, "--csv", "a.csv").table
    assert not result_of(two_documents, "--junit", "-").table
    assert not result_of(one_file, "-o", "-").table


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (
            two_documents,
            ("--csv", "-", "--junit", "-"),
            "stdout takes one of --csv -, --junit - and --json: name files for the rest",
        ),
        (two_documents, ("--junit", "-", "--json"), "name files for the rest"),
        (
            one_file,
            ("-o", "-", "--json"),
            "takes one of -o - and --json: name a file for the graph",
        ),
    ],
)
def test_two_things_on_stdout_are_refused(command, arguments, message):
    with pytest.raises(UsageError, match=message):
        result_of(command, *arguments)


def test_documents_are_made_only_where_they_are_asked_for(tmp_path, capsys):
    def never() -> str:
        raise AssertionError("was made")

    outputs = Outputs(csv=str(tmp_path / "a.csv"), markdown="-")
    check_documents(outputs)
    write_documents(outputs, csv=lambda: "a,b\n", markdown=lambda: "# A\n", junit=never)
    assert (tmp_path / "a.csv").read_text() == "a,b\n"
    assert capsys.readouterr().out == "# A\n"
    assert csv_report(outputs).path == str(tmp_path / "a.csv")
    assert csv_report(Outputs()) is None


def test_a_folder_that_is_missing_is_refused_before_any_work(tmp_path):
    for name in ("csv", "markdown", "junit"):
        with pytest.raises(UsageError, match="does not exist"):
            check_documents(Outputs(**{name: str(tmp_path / "gone" / "file")}))


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("5", 0.05), (" 0.5 %", 0.005)])
def test_a_percentage_has_its_sign_or_not(text, value):
    assert parse_percent(text, "--limit") == pytest.approx(value)


@pytest.mark.parametrize("text", ["0", "100", "-1", "much", "nan", ""])
def test_no_other_percentage_is_taken(text):
    with pytest.raises(UsageError, match=r"--limit .* is no percentage"):
        parse_percent(text, "--limit")
