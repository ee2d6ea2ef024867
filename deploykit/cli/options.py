"""How commands take options: in groups that arrive as one value, and as texts that are read into values.

A group is a decorator. What it adds to a command are click's options; what the command receives is one argument,
the frozen value that the group's function makes of them::

    @click.command("export")
    @network_options
    def command(variants: Variants) -> None: ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Self

import click
from click.core import ParameterSource

from deploykit.cli.wrapping import HelpContext
from deploykit.errors import UsageError
from deploykit.text import split_list
from deploykit.workflow import ranges
from deploykit.workflow.ranges import Range

#: A command's function, or a decorator's result; click calls it with every option by name.
Function = Callable[..., Any]
Decorator = Callable[[Function], Function]

#: Under which heading the help lists the options of each group.
HEADINGS = {
    "question": "What to find",
    "scenarios": "Load",
    "measuring": "How long and how often to measure",
    "runs": "What a run does",
    "against": "Comparing in turns",
    "variants": "Which networks",
    "calibration": "Precision and data",
    "engine": "Engines",
    "outputs": "Output",
}
#: Options that many commands have one by one, by their names, under the last heading.
_GENERAL = frozenset("config device store build_timeout quiet verbose log dry_run help".split())
_FIRST, _LAST = "Options", "General"


class Grouped(click.Command):
    """A command whose help lists its options in groups, those of no group first, what many commands have last."""

    context_class = HelpContext

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options into the help, a section for each group."""
        sections: dict[str, list[tuple[str, str]]] = {_FIRST: []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None or not isinstance(parameter, click.Option):
                continue  # arguments stand in the usage line
            general = _LAST if {parameter.name, parameter.opts[-1][2:]} & _GENERAL else _FIRST
            heading = getattr(parameter, "help_heading", general)
            sections.setdefault(heading, []).append(record)
        last = sections.pop(_LAST, [])
        for heading, records in (*sections.items(), (_LAST, last)):
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def group(argument: str, *options: Decorator) -> Callable[[Function], Decorator]:
    """Make a group of options that reaches a command as one argument.

    The function that is decorated takes the group's options by their names and returns the value, or raises a
    UsageError. Values are made in the order in which the groups of a command are written.

    Args:
        argument: the name under which the command takes the value.
        options: click's decorators; the first is listed first in --help.
    """

    def of(make: Function) -> Decorator:
        names = _names(options)

        def add(command: Function) -> Function:
            @functools.wraps(command)
            def with_value(**values: Any) -> Any:
                rest = {name: value for name, value in values.items() if name not in names}
                value = make(**{name: values[name] for name in names})
                return command(**rest, **{argument: value})

            decorated: Function = with_value
            for option in reversed(options):
                decorated = option(decorated)
                added = vars(decorated)["__click_params__"][-1]
                if argument in HEADINGS:
                    added.help_heading = HEADINGS[argument]
            return decorated

        functools.update_wrapper(add, make)
        return add

    return of


def _names(options: Iterable[Decorator]) -> tuple[str, ...]:
    """The names under which click passes the values of options."""

    def probe() -> None:
        """Take the options, to be asked for them."""

    for option in options:
        option(probe)
    return tuple(parameter.name for parameter in vars(probe)["__click_params__"])


def read_by(read: Callable[[str, str], Any]) -> Callable[..., Any]:
    """A callback that gives a command what `read` makes of an option's text and the option's name.

    `read` raises a UsageError of its own, which says more than click's would. An option that isn't given, and has
    no default, stays None.
    """

    def callback(context: click.Context, parameter: click.Parameter, text: str | None) -> Any:
        return None if text is None else read(text, parameter.opts[0])

    callback.only_reads = True  # type: ignore[attr-defined]  # it may be called more than once
    return callback


def refuse_beside(what: str, *names: str) -> None:
    """Refuse options that were given though they change nothing in what the command does.

    Args:
        what: the command does, as the subject of a sentence.
        names: click's names of the options.

    Raises:
        UsageError: one of them stands on the command line.
    """
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = next(p.opts[0] for p in context.command.params if p.name == name)
            raise UsageError(f"{what} has no use for {option}: leave it out")


def parse_list(text: str, option: str) -> tuple[str, ...]:
    """A comma-separated list that must not be empty.

    Raises:
        UsageError: it is.
    """
    parts = split_list(text)
    if not parts:
        raise UsageError(f"{option} needs at least one value")
    return tuple(parts)


class Number(click.ParamType[float]):
    """The type of an option that takes a number of a range; all else is refused in one line that names the range.

    Args:
        least, most: the ends, which are in it.
        whole: whether the number is an integer.
    """

    name = "number"

    def __init__(self, least: float, most: float, *, whole: bool = True) -> None:
        self.range = Range(least, most, whole)

    @classmethod
    def of(cls, numbers: Range) -> Self:
        """The type of the numbers of a range."""
        return cls(numbers.least, numbers.most, whole=numbers.whole)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number that a text means; a default is one already."""
        if not isinstance(value, str):
            return float(value) if not self.range.whole else int(value)
        return self.range.read(value, param.opts[-1] if param is not None else "the option")


LIST = read_by(parse_list)
BATCHES = read_by(ranges.BATCH.read_list)
THREADS = read_by(ranges.THREADS.read_list)
STREAMS = read_by(ranges.STREAMS.read_list)
PERCENT = read_by(ranges.percent)
