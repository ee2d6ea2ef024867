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
    assert "[default: (600)]" in text
