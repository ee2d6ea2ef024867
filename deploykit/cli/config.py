"""Options from a TOML file, which `deploykit tune -o` writes, or from [tool.deploykit] of a pyproject.toml.

Keys are names of options; a table with a command's name holds what is for that command alone.
"""

from __future__ import annotations

import difflib
import errno
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from deploykit.cli.groups import METRIC_TAKEN
from deploykit.errors import UnknownName, UsageError, one_line
from deploykit.reading import read_file
from deploykit.text import write_line

#: The commands that take such a file; what is another one's option is passed over.
TAKERS = ("profile", "build", "run")
#: A file of options is small; one that is not is something else.
MAX_BYTES = 1_000_000
#: Where a context keeps the file's path and what it said.
_TAKEN = "deploykit.config"


def read_options(values: Mapping[str, Any], command: click.Command, path: str) -> dict[str, Any]:
    """What a file says of a command's options and its MODEL, by click's names, as it would be written there.

    Args:
        values: by names of options, without their dashes, and `model`, as the file has them for the command.
        command: one of `TAKERS`.
        path: of the file, for messages.

    Raises:
        UsageError: a key is no option of any of the commands, or has no fitting value.
    """
    ours = _by_key(command)
    known = dict(ours)
    for other in _takers():
        known = {**_by_key(other), **known}
    unknown = [key for key in values if _normal(key) not in known]
    if unknown:
        names = sorted(name.replace("_", "-") for name in known)
        if len(unknown) == 1:
            raise UnknownName(f"key in {path}", unknown[0], names, "see `deploykit profile --help`")
        told = [_with_near(key, names) for key in unknown]
        raise UsageError(
            f"unknown keys in {path}: {', '.join(told)}; see `deploykit profile --help`"
        )
    options = {}
    for key, value in values.items():
        parameter = ours.get(_normal(key))
        if parameter is not None and parameter.name is not None:
            options[parameter.name] = _as_written(parameter, value, f"{path}: {key}")
    return options


def take(path: str, context: click.Context) -> None:
    """Let what a file says stand for options that are not given; called before these are read.

    Raises:
        UsageError: as `read_options`, the file can't be read, or an option does not take its value.
    """
    values = _for_command(_read(path), context.command, path)
    _take(path, read_options(values, context.command, path), context)
    _take_metric(values, context)


def take_project(path: str, context: click.Context) -> None:
    """The same from the table [tool.deploykit] of a pyproject.toml, where it has one, which is said on stderr.

    Raises:
        UsageError: as `take`; a pyproject.toml without that table is never a fault.
    """
    try:
        content = read_file(path, MAX_BYTES)
    except OSError:
        return
    if b"deploykit" not in content:
        return
    try:
        table = tomllib.loads(content.decode()).get("tool", {}).get("deploykit")
    except (ValueError, RecursionError, AttributeError):
        return
    if not table:
        return
    values = _for_command(_read(path), context.command, path)
    said = read_options(values, context.command, path)
    if said:
        names = ", ".join(sorted(name.replace("_", "-") for name in said))
        write_line(f"note: {names} from [tool.deploykit] of {path}", err=True)
    _take(path, said, context)
    _take_metric(values, context)


def _take(path: str, said: Mapping[str, Any], context: click.Context) -> None:
    for parameter in context.command.params:
        if parameter.name in said:
            _check(parameter, said[parameter.name], path, context)
    context.default_map = {**(context.default_map or {}), **said}
    context.meta[_TAKEN] = path, said


def _take_metric(values: Mapping[str, Any], context: click.Context) -> None:
    """Keep in the context whether a file names a metric, for commands that compute none, too.

    Beside one, profile calibrates without the test images; an engine that is built from the same file has to be
    that of the rows.
    """
    context.meta[METRIC_TAKEN] = any(_normal(key) == "metric" for key in values)


def _check(parameter: click.Parameter, value: Any, path: str, context: click.Context) -> None:
    """Refuse a value as the command line would, with the name of the file and the key."""
    option = _option(parameter)
    try:
        read = parameter.type_cast_value(context, value)
        if getattr(parameter.callback, "only_reads", False):
            assert parameter.callback is not None
            parameter.callback(context, parameter, read)
    except click.BadParameter as error:
        raise UsageError(f"{path}: {_key(option)}: {error.message}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {_key(option)}{_after(option, str(error))}") from error


def _option(parameter: click.Parameter) -> str:
    """The long name of an option; "model" for what is none."""
    if not isinstance(parameter, click.Option):
        return "model"
    return max(parameter.opts, key=len)


def _key(option: str) -> str:
    return option.lstrip("-")


def _after(option: str, text: str) -> str:
    """What is said of an option, behind its name."""
    return text.removeprefix(option) if text.startswith(f"{option} ") else f": {text}"


def place_of(text: str, context: click.Context) -> str | None:
    """The key of a file whose value a message quotes, or whose option it begins with, as "FILE: KEY"; else None."""
    path, said = context.meta.get(_TAKEN, ("", {}))
    for parameter in context.command.params:
        name = parameter.name
        if (
            name not in said
            or context.get_parameter_source(name) is not ParameterSource.DEFAULT_MAP
        ):
            continue
        value = said[name]
        texts = (
            [value] if isinstance(value, str) else list(value) if isinstance(value, tuple) else []
        )
        words = [word for one in texts for word in (one, *one.split(","), *one.split("="))]
        if any(repr(word) in text for word in words) or text.startswith(f"{_option(parameter)} "):
            return f"{path}: {_key(_option(parameter))}"
    return None


def _with_near(key: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"{key} (did you mean {near[0]}?)" if near else key


def _read(path: str) -> Mapping[str, Any]:
    try:
        content = read_file(path, MAX_BYTES, pipe=True)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise UsageError(
                f"--config {path} is too large for a file of options: name another"
            ) from error
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"--config {path} can't be read: {reason}; name a TOML file") from error
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {path} is no TOML: {one_line(error, 100)}") from error


def _for_command(values: Mapping[str, Any], command: click.Command, path: str) -> Mapping[str, Any]:
    """The values for a command: those of all, and those of its own table, which count more.

    Raises:
        UsageError: a pyproject.toml has no table [tool.deploykit].
    """
    if Path(path).name == "pyproject.toml":
        tools = values.get("tool")
        table = tools.get("deploykit") if isinstance(tools, Mapping) else None
        if not isinstance(table, Mapping):
            raise UsageError(
                f"--config {path} has no table [tool.deploykit]: write the options there"
            )
        values = table
    own = values.get(str(command.name))
    common = {
        key: value
        for key, value in values.items()
        if not (key in TAKERS and isinstance(value, Mapping))
    }
    return {**common, **own} if isinstance(own, Mapping) else common


def _takers() -> list[click.Command]:
    from deploykit.cli import cli  # which imports the commands when they are asked for

    context = click.Context(cli)
    return [command for name in TAKERS if (command := cli.get_command(context, name)) is not None]


def _by_key(command: click.Command) -> dict[str, click.Parameter]:
    """A command's options, and its argument as `model`, by the keys that mean them."""
    found: dict[str, click.Parameter] = {}
    for parameter in command.params:
        names = parameter.opts if isinstance(parameter, click.Option) else ["model"]
        for name in names:
            if not isinstance(parameter, click.Option) or name.startswith("--"):
                found[_normal(name)] = parameter
    found.pop("config", None)  # a file that names another would have to say which of them counts
    return found


def _normal(key: str) -> str:
    return key.lstrip("-").replace("-", "_")


def _as_written(parameter: click.Parameter, value: Any, said: str) -> Any:
    """A value of TOML as the command line has it: text, but for flags and what can be repeated."""
    if isinstance(parameter, click.Option) and parameter.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{said} is on or off: write true or false, not {one_line(value, 40)}")
        return value
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, bool) or not isinstance(item, str | int | float) for item in items):
        raise UsageError(f"{said} takes a text, a number, or a list of these")
    texts = [str(item) for item in items]
    is_many = not isinstance(parameter, click.Option) or parameter.multiple
    return tuple(texts) if is_many else ",".join(texts)
