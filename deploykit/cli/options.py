"""How commands take options: in groups that arrive as one value, and as texts that are read into values.

A group is a decorator. What it adds to a command are click's options; what the command receives is one argument,
the frozen value that the group's function makes of them::

    @click.command("export")
    @network_options
    def command(variants: Variants) -> None: ...
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import click

from deploykit.errors import UsageError
from deploykit.text import split_list

#: A command's function, or a decorator's result; click calls it with every option by name.
Function = Callable[..., Any]
Decorator = Callable[[Function], Function]


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

    return callback


def parse_list(text: str, option: str) -> tuple[str, ...]:
    """A comma-separated list that must not be empty.

    Raises:
        UsageError: it is.
    """
    parts = split_list(text)
    if not parts:
        raise UsageError(f"{option} needs at least one value")
    return tuple(parts)


def parse_whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """A comma-separated list of whole numbers from 1.

    Raises:
        UsageError: something else stands in it.
    """
    parts = parse_list(text, option)
    for part in parts:
        if not part.isdigit() or int(part) < 1:
            raise UsageError(f"{option} takes whole numbers from 1, not {part!r}")
    return tuple(int(part) for part in parts)


def parse_percent(text: str, option: str) -> float:
    """What "5%", "5" and "5.0 %" mean, 0.05: a number is of percent, with its sign or without.

    Raises:
        UsageError: it is no number, or not above 0 and below 100.
    """
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 < value < 100:
        raise UsageError(f"{option} {text!r} is no percentage above 0 and below 100, such as 0.5%")
    return value / 100


LIST = read_by(parse_list)
WHOLE_NUMBERS = read_by(parse_whole_numbers)
PERCENT = read_by(parse_percent)
