"""Every option that takes a number has a range: what is beyond is refused while the line is read."""

import importlib

import click
import pytest

from deploykit.cli import COMMANDS
from deploykit.cli.options import Number

#: Options whose numbers stand in a list or in a text of their own, with what is no number for them.
IN_TEXTS = [
    ("--batch", "1,100000000"),
    ("--threads", "100000"),
    ("--threads", "²"),
    ("--streams", "257"),
    ("--rate", "1e12"),
    ("--rate", "nan"),
    ("--alpha", "1e9999999"),
    ("--alpha", "1e-9999999"),
    ("--alpha", "0.5,1.01"),
    ("--rho", "9" * 5000),
    ("--rho", "1/9e9"),
    ("--dim", "height=0"),
    ("--dim", "height=-3"),
    ("--dim", "height=9999999999999"),
    ("--shape", "x=1x3x0x0"),
    ("--shape", "x=1x3x9999999999999x2"),
    ("--min-shape", "x=1x0"),
    ("--against", "threads=100000"),
    ("--against", "batch=0"),
    ("--max-slowdown", "1e9"),
    ("--constraint", "latency_p95_ms<=1e999"),
]


def numbers() -> list[tuple[str, str, Number]]:
    """Each command's options of one number."""
    found = []
    for name in COMMANDS:
        command = importlib.import_module(f"deploykit.cli.{name}_command").command
        for parameter in command.params:
            kind = parameter.type
            plain = isinstance(kind, click.types.IntParamType | click.types.FloatParamType)
            assert not plain, f"{name} {parameter.opts[0]} has no range of ours"
            if isinstance(kind, Number):
                found.append((name, parameter.opts[0], kind))
    return found


NUMBERS = numbers()
LEADS = {
    "profile": ("lenet5",),
    "build": ("lenet5",),
    "export": ("lenet5",),
    "count": ("lenet5",),
    "layers": ("lenet5",),
    "tune": ("lenet5",),
    "train": ("lenet5", "--data", "digits"),
}


@pytest.mark.parametrize(
    ("command", "option", "kind"), NUMBERS, ids=[f"{name} {option}" for name, option, _ in NUMBERS]
)
def test_a_number_out_of_range_is_refused_in_one_line_with_the_range(run, command, option, kind):
    beyond = (
        str(kind.range.most + 1),
        str(kind.range.least - 1),
        "1" * 5000,
        "nan",
        "1e999",
        "two",
    )
    for text in beyond:
        ended = run(command, *LEADS.get(command, ()), f"{option}={text}")
        assert ended.code == 2
        assert f"{option} takes a" in ended.err
        assert f"from {kind.range}, not " in ended.err
        assert ended.err.count("\n") == 1
        assert len(ended.err) < 200


@pytest.mark.parametrize(("option", "text"), IN_TEXTS, ids=lambda value: value[:40])
def test_a_number_within_a_text_is_refused_in_one_line(run, option, text):
    ended = run("profile", "lenet5", f"{option}={text}")
    assert ended.code == 2
    assert option.removeprefix("--") in ended.err
    assert ended.err.count("\n") == 1
    assert len(ended.err) < 200


def test_the_ends_of_a_range_are_in_it():
    for _, _, kind in NUMBERS:
        for end in (kind.range.least, kind.range.most):
            assert kind.range.read(str(end), "--option") == end
