"""The help of commands: options in groups, with their defaults."""

from __future__ import annotations

import re

import click
import pytest

from deploykit.cli import COMMANDS, cli
from deploykit.cli.options import HEADINGS


def command_of(name):
    return cli.get_command(click.Context(cli), name)


def test_the_options_of_profile_are_in_groups_of_a_size_one_can_read(run):
    text = run("profile", "--help").out
    sections = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert sections[0] == "Options"
    assert sections[-1] == "General"
    assert set(sections[1:-1]) <= set(HEADINGS.values())
    assert len(sections) > 6


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_in_its_help(run, name):
    text = run(name, "--help").out
    for parameter in command_of(name).params:
        if isinstance(parameter, click.Option):
            option = max(parameter.opts, key=len)
            assert re.search(rf"^  .*{option}\b", text, re.M), option


def test_defaults_are_shown(run):
    text = " ".join(run("profile", "--help").out.split())
    assert "[default: onnxruntime]" in text
    assert "[default: 600]" in text


@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_has_room_in_80_columns_and_breaks_no_option(run, monkeypatch, arguments):
    monkeypatch.setenv("COLUMNS", "80")
    text = run(*arguments, "--help").out
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.partition("\n\n")[2]  # but in the line of usage, nothing is cut
    for line in text.splitlines():
        assert not re.search(r"\w-$|\[default:$", line), line
    assert "\N{NON-BREAKING HYPHEN}" not in text
    assert "\N{NO-BREAK SPACE}" not in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("profile", "each has one target"),
        ("build", "each has one target"),
        ("run", "as for profile"),
        ("tune", "as for profile"),
    ],
)
def test_backends_are_told_apart_from_targets_wherever_they_are_an_option(name, said):
    (option,) = (p for p in command_of(name).params if p.name == "backend")
    assert option.help.startswith("Runtimes ")
    assert said in option.help
