"""The `deploykit` command. Each command parses, makes one call into the library, and renders its result.

Data goes to stdout; progress and messages to stderr. This is the one place where errors become exit codes.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from deploykit.cli.wrapping import HelpContext
from deploykit.errors import (
    EXIT_INTERRUPTED,
    TRACEBACK,
    DeploykitError,
    OutputFailed,
    UnknownName,
    UsageError,
    one_line,
    refused_by_system,
)
from deploykit.text import open_streams, reserve_stdout, shown, write_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Every command in a line that has room in 80 columns. Its module, NAME_command, is imported when it is called.
COMMANDS = {
    "run": "The whole way: networks to engines, measured, claims checked.",
    "list": "The catalogue of networks, with parameters and MACs.",
    "count": "Parameters, multiply-accumulates and bytes, by operator.",
    "export": "Verified ONNX files, with a dynamic batch.",
    "build": "Engines that compute in the precision asked for.",
    "profile": "Latency, throughput, memory, drift and accuracy.",
    "tune": "The fastest configuration that holds the accuracy.",
    "layers": "Time, work, roofline and drift of each layer.",
    "claims": "Claims about networks, each checked by computing.",
    "compare": "What regressed between two reports; ends with 1 if something did.",
    "check": "Which rows of a report are weak, why, and what helps.",
    "report": "A report as one page with pictures.",
    "train": "Networks trained by small seeded recipes.",
    "store": "What the engine store holds; take things out of it.",
    "doctor": "What works here, what is missing, and how to install it.",
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, and not to list it."""

    context_class = HelpContext

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All command names, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"deploykit.cli.{cmd_name}_command")
        command: click.Command = module.command
        return _with_examples(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What a shell offers for the beginning of a command's name, or of an option."""
        from click.shell_completion import CompletionItem  # for shells alone

        named = [name for name in COMMANDS if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=COMMANDS[name]) for name in named]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest names."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise UnknownName("command", args[0], COMMANDS, "see `deploykit --help`")
        return super().resolve_command(ctx, args)


def _with_examples(command: click.Command) -> click.Command:
    r"""Let click see the mark before examples: docstrings are raw, so theirs is a backslash and a b."""
    text = command.help or _docstring(command)
    command.help = text.replace("\\b\n", "\b\n")
    return command


def _docstring(command: click.Command) -> str:
    """The docstring of a command as its source has it: `python -OO` keeps none."""
    import ast
    import inspect

    if command.callback is None:
        return ""
    function = inspect.unwrap(command.callback)
    path = inspect.getsourcefile(function)
    if path is None or not os.path.exists(path):  # noqa: PTH110 - pathlib is not needed else
        return ""
    with open(path, encoding="utf-8") as source:  # noqa: PTH123
        tree = ast.parse(source.read())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
            return ast.get_docstring(node) or ""
    return ""


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog="Exit codes: 0 ok, 1 a check failed, 2 usage, 3 missing dependency or device, "
    "4 build, precision or drift failure, 130 interrupted.",
)
@click.version_option(package_name="deploykit", message="%(prog)s %(version)s")
def cli() -> None:
    r"""Export, quantise, build, measure and fact-check convolutional networks for deployment.

    \b
    deploykit run                             the whole way, on the default models
    deploykit export mobilenet --alpha 1,0.5  verified ONNX files
    deploykit profile my.onnx --precision fp32,int8 --synthetic-calibration
    deploykit claims                          what is said of networks, checked
    """


_with_examples(cli)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code that `deploykit.errors` gives to what happened."""
    open_streams()
    reserve_stdout()
    sys.exit(invoke(arguments))


def invoke(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        result = _dispatch(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except DeploykitError as error:
        return _flushed(_fail(str(error), error.exit_code))
    except click.exceptions.NoArgsIsHelpError as error:
        write_line(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        given = sys.argv[1:] if arguments is None else arguments
        named = [text for text in given[:1] if text in COMMANDS]
        where = error.ctx.command_path if error.ctx is not None else "deploykit"
        where = " ".join(["deploykit", *named]) if where == "deploykit" else where
        hyphened = [text for text in given if text.startswith("-") and text.endswith(".onnx")]
        if isinstance(error, click.NoSuchOption) and hyphened:
            name = hyphened[0]
            return _fail(f"{name} reads as an option: give a file of that name as ./{name}", 2)
        if isinstance(error, click.NoSuchOption):
            known = error.ctx.command.params if error.ctx is not None else []
            # Without their hyphens, which would make all of them alike.
            options = [name[2:] for one in known for name in one.opts if name.startswith("--")]
            near = difflib.get_close_matches(error.option_name.lstrip("-"), options, cutoff=0.6)
            meant = " or ".join(f"--{name}" for name in near)
            advice = f"did you mean {meant}?" if near else f"see `{where} --help`"
            return _fail(f"unknown option {error.option_name!r}: {advice}", 2)
        said = error.format_message().rstrip(".")
        return _fail(f"{said[:1].lower()}{said[1:]}; see `{where} --help`", 2)
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would complain once more at exit.
        _drop_stdout()
        return 0
    except SystemExit as stop:
        # rich ends so, with 1, when it meets a reader that has gone.
        if isinstance(stop.__context__, BrokenPipeError):
            _drop_stdout()
            return 0
        raise
    except MemoryError as error:
        what = one_line(error, 200)
        return _fail(
            f"not enough memory{f' ({what})' * bool(what)}: give a smaller batch or input, or free some",
            4,
        )
    except Exception as error:
        return _unexpected(error)


def _flushed(code: int) -> int:
    """An exit code, once what a command printed before it failed is written; Python complains at exit else."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
    except OSError as error:
        return _unexpected(error)
    return code


def _unexpected(error: Exception) -> int:
    """End with what nobody foresaw: in one line, unless the whole is asked for or it is the system's refusal."""
    if isinstance(error, OSError):
        if error.filename is None:
            _drop_stdout()
            from deploykit.writing import output_failure  # what --help needs not

            return _fail(str(output_failure("standard output", error)), OutputFailed.exit_code)
        return _fail(*refused_by_system(error))
    if os.environ.get(TRACEBACK):
        raise error
    return _fail(
        f"this is a fault of deploykit or of a package below it, met on these arguments: {type(error).__name__}: "
        f"{one_line(error, 200)}; report it with what {TRACEBACK}=1 prints",
        4,
    )


def _dispatch(arguments: list[str]) -> Any:
    """What the command returns. click's own `main` would turn some of the errors into exits."""
    if "_DEPLOYKIT_COMPLETE" in os.environ:  # a shell asks how a line could go on
        from deploykit.cli.completion import let_fish_read_lists

        let_fish_read_lists()
        cli.main(args=arguments, prog_name="deploykit")
    try:
        with cli.make_context("deploykit", list(arguments)) as context:
            return cli.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # from rich, see `invoke`
            raise
        # No command ends so: the user's own code did, and the command is not done, whatever the code says.
        raise UsageError(
            f"code of the network called sys.exit({stop.code!r}), and the command is not done: take that out"
        ) from stop


def _drop_stdout() -> None:
    """Nothing more can be written there, and Python would try once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> int:
    line = shown(message)
    # Nobody reads a stderr whose disk is full or whose reader has gone; the exit code tells still.
    with contextlib.suppress(OSError):
        # click's own `echo` would write UTF-8 to a terminal that takes ASCII alone.
        sys.stderr.write(f"deploykit: {line}\n")
    return code
