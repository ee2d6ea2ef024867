"""Calls in a process of their own, so that a crash, a hang or a want of memory is an error of the call alone.

A program has one such process, the maker. It imports numpy, ONNX and ONNX Runtime once, while the program does
other things, and forks for every call: each starts from a clean state, and its memory returns with its end. The
maker runs one thread and opens no session and no device itself, so that forking is safe and no context of CUDA
outlives a call. It is started by the first call, or before by `start`, and ends with the program, however it ends.

A call is a function of a module with arguments of declared types: both travel through `codec`, as all messages do.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import importlib
import os
import resource
import select
import signal
import sys
import threading
import time
import traceback
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from deploykit import codec, env, errors
from deploykit.bench.channel import (
    Answer,
    Channel,
    WorkerFailure,
    die_with_parent,
    oom_kills,
    outlive_thread,
    signal_name,
)
from deploykit.errors import DeploykitError
from deploykit.figures import general
from deploykit.lazy import EXTRAS, onnx

Result = TypeVar("Result")

#: Seconds that reading a file may take, converting or building a network, and a search over many conversions, where
#: nobody says.
READING_LIMIT_S, MAKING_LIMIT_S, SEARCHING_LIMIT_S = 300.0, 3600.0, 86400.0
#: Of the maker's environment: each call begins with a heap that it has not touched, and with pages of 2 MiB parsing
#: 17 MB takes 3,300 page faults for 8,800. Only GNU's C library, from 2.35, knows of it; a user's own choice stays.
_OF_MAKER = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
#: What a call may take of the memory that is left when it begins.
SHARE_OF_MEMORY = 0.9
#: How often the memory of a call is looked at.
_LOOK_MS = 50
#: What all calls need, imported before the first; the rest once a call has needed it.
_FIRST_IMPORTS = ("numpy", "onnx", "onnx.checker", "onnx.shape_inference", "onnxruntime")
#: Packages all whose modules are kept for the next call.
_SHARED = frozenset({"deploykit", "numpy", "onnx", "onnxruntime", "google", "msgspec"})
_LOG_BYTES = 4096
#: Packages whose errors say what is wrong with a graph, by what they are called.
_JUDGES = {"onnx": "ONNX", "onnxruntime": "ONNX Runtime"}


@dataclass(frozen=True)
class Call:
    """What the maker is asked: a function by module and name, its arguments, and where it is called from.

    Without a name, the module is imported and nothing answered.
    """

    module: str
    name: str = ""
    arguments: list[Any] = field(default_factory=list)
    folder: str = ""
    limit_s: float = MAKING_LIMIT_S
    limit_bytes: int | None = None


@dataclass(frozen=True)
class Raised:
    """An error that a call ended with.

    Attributes:
        module, name: of its type, the nearest that the caller knows too.
        text: its message.
        arguments: what it was made with, where that is plain, else the message.
        fields: what else it holds, where that is plain.
        trace: the traceback; "" of what was foreseen, unless it is asked for.
        package: whose error it was before.
    """

    module: str
    name: str
    text: str
    arguments: list[Any]
    fields: dict[str, Any] = field(default_factory=dict)
    trace: str = ""
    package: str = ""


@dataclass(frozen=True)
class Death:
    """How a call ended that gave no answer.

    Attributes:
        kind: "timeout", "memory", "signal" or "status".
        number: of the signal or the status.
        said: the last line that it wrote to stderr.
        oom: whether the kernel killed for want of memory meanwhile.
    """

    kind: str
    number: int
    said: str
    oom: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a call: a value, an error or a death; before it, what the call reports of its work."""

    value: Any = None
    raised: Raised | None = None
    death: Death | None = None
    report: str | None = None


#: Told what a call is doing, for a display.
Say = Callable[[str], None]


def _ignore(text: str) -> None:
    pass


#: What a call's reports go to, in the process that it runs in.
_listener: Say = _ignore


def say(text: str) -> None:
    """Report what is being done, from within a call, to whoever made it."""
    _listener(text)


# --- The caller's side ---


class _Maker:
    """The running maker and what it was started by."""

    def __init__(self) -> None:
        self.channel = Channel(__name__, more=_OF_MAKER)
        self.owner = os.getpid()
        self.environment = dict(os.environ)

    def is_ours(self) -> bool:
        """Whether this process started it: a fork of the program has a copy of its parent's."""
        return self.owner == os.getpid()

    def is_usable(self) -> bool:
        """Whether it runs, in the environment of this process."""
        same = self.environment == dict(os.environ)
        return self.is_ours() and same and self.channel.is_alive()


_lock = threading.RLock()
_maker: _Maker | None = None
#: Makers of the process that this one was forked from: never closed here, as that would end them.
_inherited: list[_Maker] = []
_limit_s: float | None = None
_limit_bytes: int | None = None
#: Of the command as a whole, where it has one; each call's own limit holds beside it.
_whole: TimeLimit | None = None
_in_place = False


@dataclass(frozen=True)
class TimeLimit:
    """Seconds that a command may take as a whole, counted from when this is made.

    Attributes:
        seconds: that it may take.
        option: that gives more, for messages.
        start_s: when it began, by `time.perf_counter`.
    """

    seconds: float
    option: str = "--time-limit"
    start_s: float = field(default_factory=time.perf_counter)

    def left_s(self) -> float:
        """Seconds that are left; 0 where there are none."""
        return max(0.0, self.seconds - (time.perf_counter() - self.start_s))

    @contextlib.contextmanager
    def bounding(self) -> typing.Iterator[None]:
        """Give up calls that are made within and not done when the time is over."""
        global _whole
        before, _whole = _whole, self
        try:
            yield
        finally:
            _whole = before


def bounding(limit: TimeLimit | None) -> contextlib.AbstractContextManager[None]:
    """What gives up calls that are made within when a limit is over; without one nothing does."""
    return contextlib.nullcontext() if limit is None else limit.bounding()


def limit_time(seconds: float | None) -> None:
    """Give up every call after that long; None leaves it to each call."""
    global _limit_s
    _limit_s = seconds


@contextlib.contextmanager
def limiting_time(seconds: float | None) -> typing.Iterator[None]:
    """Give up every call that is made within after that long; None leaves it as it is."""
    global _limit_s
    before = _limit_s
    _limit_s = before if seconds is None else seconds
    try:
        yield
    finally:
        _limit_s = before


def limit_memory(size_bytes: int | None) -> None:
    """Give up every call that takes more memory than that, though more is left; None leaves it to the machine."""
    global _limit_bytes
    _limit_bytes = size_bytes


@contextlib.contextmanager
def in_place() -> typing.Iterator[None]:
    """Run calls in this process, where what they are to meet has been put into its modules."""
    global _in_place
    before, _in_place = _in_place, True
    try:
        yield
    finally:
        _in_place = before


def start(module: str | None = None) -> None:
    """Start the maker, so that it imports what it needs while the caller does other things.

    Args:
        module: one whose functions will be called.
    """
    global _maker
    if _in_place:
        return
    with _lock:
        if _maker is not None and not _maker.is_usable():
            close()
        if _maker is None:
            _maker = _Maker()
        if module is not None:
            _maker.channel.tell(Call(module))


def close() -> None:
    """End the maker and all that its calls started; the next call starts another."""
    global _maker
    with _lock:
        maker, _maker = _maker, None
        if maker is None:
            return
        if maker.is_ours():
            maker.channel.close()
        else:
            _inherited.append(maker)


atexit.register(close)


def contained(
    function: Callable[..., Result],
    *arguments: Any,
    doing: str,
    failed: type[DeploykitError],
    limit_s: float = MAKING_LIMIT_S,
    beside_s: float = 0.0,
    say: Say = _ignore,
) -> Result:
    """Call a function of a module in a process of its own, and return what it returns.

    Args:
        function: of a module, with annotated parameters and result of types that `codec` can carry.
        arguments: for it, by position.
        doing: what the call does and to what, as the subject of a sentence: "reading net.onnx".
        failed: the error that a call ends with which gives no answer.
        limit_s: seconds that it may take where nobody says otherwise (see `limit_time`).
        beside_s: that it may take more in any case: of a search over many conversions, up to the last of them.
        say: is given what the call reports by the function `say` of this module.

    Raises:
        DeploykitError, OSError: as the function raises; or `failed`, in one line, where it crashed, took longer
            than allowed (see `limit_time`) or more than `SHARE_OF_MEMORY` of the memory that was left.
        InvalidModel: it raised what nobody foresaw where that is `failed`, in one line; an error of ONNX or of its
            runtime is what they have against the graph.
        BuildFailed: it raised that elsewhere; or the time of the whole command was over.
    """
    if _in_place:
        with _reporting_to(say):
            return function(*arguments)
    limit_s = beside_s + (_limit_s or limit_s)
    too_late = failed
    late = (
        f"was not done after {limit_s:g} s; raise --build-timeout if it only needs longer, or take another "
        "network"
    )
    if _whole is not None and _whole.left_s() < limit_s:
        limit_s, too_late = _whole.left_s(), errors.BuildFailed
        late = (
            f"was not done within the {general(_whole.seconds, 3)} s of {_whole.option}; give more, or another "
            "network"
        )
    hints = typing.get_type_hints(function)
    left = env.memory_left_bytes()
    shares = [] if left is None else [int(left * SHARE_OF_MEMORY)]
    if _limit_bytes is not None:
        shares.append(_limit_bytes)
    call = Call(
        function.__module__,
        function.__qualname__,
        [codec.to_values(argument) for argument in arguments],
        str(Path.cwd()),
        limit_s,
        min(shares, default=None),
    )
    outcome = _ask(call, doing, failed, say)
    if outcome.raised is not None:
        error = _revived(outcome.raised)
        if isinstance(error, DeploykitError | OSError) or os.environ.get(errors.TRACEBACK):
            raise error
        # Whatever a file from elsewhere leads to, it is the file that is refused.
        refusal = failed if issubclass(failed, errors.InvalidModel) else errors.BuildFailed
        judge = _JUDGES.get(outcome.raised.package)
        if judge is None:
            raise refusal(f"{doing} {errors.unforeseen(error)}") from error
        raise refusal(
            f"{doing}: {judge} refuses the graph: {errors.one_line(error, 200)}; export the network again, or "
            f"report it with what {errors.TRACEBACK}=1 prints"
        ) from error
    if outcome.death is not None:
        kind_of_error = too_late if outcome.death.kind == "timeout" else failed
        raise kind_of_error(f"{doing} {_reason(outcome.death, call, late)}")
    kind: type[Result] = hints["return"]
    return codec.from_values(outcome.value, kind)


@contextlib.contextmanager
def _reporting_to(listener: Say) -> typing.Iterator[None]:
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def _ask(call: Call, doing: str, failed: type[DeploykitError], say: Say) -> Outcome:
    with _lock:
        start()
        assert _maker is not None
        answered = False
        try:
            # The maker keeps the limit itself; what is added is for the maker's own start.
            patience_s = call.limit_s + READING_LIMIT_S
            outcome = _maker.channel.ask(call, Outcome, patience_s)
            while outcome.report is not None:
                say(outcome.report)
                outcome = _maker.channel.listen(Outcome, patience_s)
            answered = outcome.death is None
        except WorkerFailure as failure:
            raise failed(f"{doing} failed: {failure}") from failure
        finally:
            if not answered:  # also on Ctrl-C: nothing that the call started lives on
                close()
    return outcome


def _reason(death: Death, call: Call, late: str) -> str:
    """Why a call gave no answer, in one line that goes on from what it did; `late` where it took too long."""
    if death.kind == "timeout":
        return late
    said = f": {errors.one_line(death.said, 160)}" if death.said else ""
    name = signal_name(death.number)
    if death.kind == "memory" or (death.number == signal.SIGKILL and death.kind == "signal"):
        how = f"more than the {(call.limit_bytes or 0) / 2**30:.3g} GiB of memory that were left"
        if death.kind == "signal" and not death.oom:
            how = "most likely more memory than was left (SIGKILL)"
        return f"took {how}; take a smaller network or batch, or free memory"
    if death.kind == "signal" and death.number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return f"was ended from outside ({name}); run it again"
    how = f"in a crash ({name})" if death.kind == "signal" else f"with status {death.number}"
    return (
        f"ended {how}{said}; the file is damaged or meets a fault of a runtime: export it again, or take "
        "another version of the runtime or another precision"
    )


def _revived(raised: Raised) -> Exception:
    """The error that a call ended with, as it would have been raised here."""
    module = builtins if raised.module == "builtins" else importlib.import_module(raised.module)
    kind: type[Exception] = getattr(module, raised.name)
    error: Exception
    if issubclass(kind, DeploykitError):
        error = kind.__new__(kind)
        Exception.__init__(error, raised.text)
        vars(error).update(raised.fields)
    else:
        try:
            error = kind(*raised.arguments)
        except TypeError:  # one that takes more than can be carried, such as a UnicodeDecodeError
            error = RuntimeError(f"{raised.name}: {raised.text}")
    if raised.trace:
        error.add_note(raised.trace)
    return error


# --- The maker's side ---


def _serve(descriptor: int, parent: int) -> None:
    """Answer calls until the parent closes its end, or is gone."""
    die_with_parent(parent)
    for name in _FIRST_IMPORTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with contextlib.suppress(Exception):
        onnx.defs.has("Conv")  # its first look at operators registers all of them
    # From here on the pipe tells: the death of a thread that started this process is not the program's.
    outlive_thread()
    received = bytearray()
    while True:
        while b"\n" not in received:
            part = os.read(0, 2**16)
            if not part:
                return
            received += part
        line, _, rest = received.partition(b"\n")
        received = bytearray(rest)
        _answer(codec.from_json(bytes(line), Call), descriptor)


def _answer(call: Call, descriptor: int) -> None:
    """Fork for a call and answer for it where it dies."""
    if not call.name:
        with contextlib.suppress(Exception):
            importlib.import_module(call.module)
        return
    # What this raises, the call raises again. Here it is done once for all calls of a kind.
    with contextlib.suppress(Exception):
        _function_and_arguments(call)
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)
    oom_before, own = oom_kills(), env.anonymous_bytes(os.getpid()) or 0
    most = None if call.limit_bytes is None else call.limit_bytes + own
    read_end, write_end = os.pipe()
    maker = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        env.limit_memory(most)
        _run(call, descriptor, write_end, maker)
    os.close(write_end)
    kind = _watch(child, call.limit_s, most)
    _, status = os.waitpid(child, 0)
    needed = _read_now(read_end)
    os.close(read_end)
    if status != 0:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        kind = kind or ("signal" if os.WIFSIGNALED(status) else "status")
        death = Death(kind, number, _last_line(), oom_kills() > oom_before)
        _write(descriptor, Outcome(death=death))
        return
    # What a call had to import is there for the next.
    for name in needed.decode().split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _watch(child: int, limit_s: float, most_bytes: int | None) -> str:
    """Wait for the end of a call; kill it when it takes too long or too much and say which, "" if neither."""
    deadline = time.monotonic() + limit_s
    poll = select.poll()
    poll.register(0, 0)  # the parent has gone
    end = os.pidfd_open(child)
    poll.register(end, select.POLLIN)
    try:
        while True:
            for ready, _ in poll.poll(_LOOK_MS):
                if ready == end:
                    return ""
                os.killpg(0, signal.SIGKILL)  # this process too
            taken = env.anonymous_bytes(child) if most_bytes is not None else None
            kind = ""
            if time.monotonic() > deadline:
                kind = "timeout"
            elif taken is not None and most_bytes is not None and taken > most_bytes:
                kind = "memory"
            if kind:
                os.kill(child, signal.SIGKILL)
                return kind
    finally:
        os.close(end)


def _read_now(descriptor: int) -> bytes:
    """What is in a pipe, whoever else may still hold its other end."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        return os.read(descriptor, 2**16)
    return b""


def _last_line() -> str:
    size = os.lseek(2, 0, os.SEEK_END)
    os.lseek(2, max(0, size - _LOG_BYTES), os.SEEK_SET)
    lines = [x.strip() for x in os.read(2, _LOG_BYTES).decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _write(descriptor: int, outcome: Outcome) -> None:
    data = memoryview(codec.to_json(Answer(outcome)) + b"\n")
    while data:
        data = data[os.write(descriptor, data) :]


def _run(call: Call, descriptor: int, needed: int, maker: int) -> None:
    """The side of the fork, which never returns."""
    status, known = 1, set(sys.modules)
    try:
        die_with_parent(maker)
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Should the machine's memory end all the same, this process is the one to go.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        with _reporting_to(lambda text: _write(descriptor, Outcome(report=text))):
            outcome = _outcome(call)
        _write(descriptor, outcome)
        os.write(needed, " ".join(_to_import(known)).encode())
        status = 0
    finally:
        # Without the runtimes' clean-up, in which they have been seen to crash or hang.
        os._exit(status)


def _to_import(known: set[str]) -> list[str]:
    """What this call has imported of the packages that calls share: heavy ones whole, and modules of light ones."""
    return [
        name
        for name in sys.modules
        if name not in known and (name in EXTRAS or name.partition(".")[0] in _SHARED)
    ]


def _outcome(call: Call) -> Outcome:
    try:
        os.chdir(call.folder)
        function, arguments = _function_and_arguments(call)
        return Outcome(codec.to_values(function(*arguments)))
    except MemoryError as error:
        return Outcome(raised=_raised(_without_memory(error)))
    except Exception as error:
        return Outcome(raised=_raised(error))


def _function_and_arguments(call: Call) -> tuple[Callable[..., Any], list[Any]]:
    function: Callable[..., Any] = getattr(importlib.import_module(call.module), call.name)
    kinds = [k for name, k in typing.get_type_hints(function).items() if name != "return"]
    return function, [codec.from_values(v, k) for v, k in zip(call.arguments, kinds, strict=True)]


def _without_memory(error: MemoryError) -> DeploykitError:
    what = errors.one_line(error, 200)
    return errors.BuildFailed(
        f"not enough memory{f' ({what})' * bool(what)}: give a smaller batch or input, or free some"
    )


def _raised(error: Exception) -> Raised:
    for kind in type(error).__mro__:
        known = kind.__module__ == "builtins" or kind.__module__.startswith("deploykit.")
        if known and issubclass(kind, Exception) and "." not in kind.__qualname__:
            break
    # An error of another package's own type keeps that name in its text.
    text = str(error)
    if kind is not type(error) and not isinstance(error, DeploykitError):
        text = f"{type(error).__name__}: {text}"
    # Formatting one takes longer than refusing a small file, and of what was foreseen nobody reads it.
    is_read = not isinstance(error, DeploykitError) or bool(os.environ.get(errors.TRACEBACK))
    arguments = list(error.args) if kind is type(error) and _is_plain(error.args) else [text]
    if isinstance(error, OSError) and error.errno is not None:
        arguments = [error.errno, error.strerror, error.filename]
    return Raised(
        kind.__module__,
        kind.__qualname__,
        text,
        arguments if _is_plain(arguments) else [text],
        {k: v for k, v in vars(error).items() if _is_plain(v)},
        "".join(traceback.format_exception(error)) if is_read else "",
        type(error).__module__.partition(".")[0],
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


if __name__ == "__main__":
    # Under its own name, so that the messages are of the classes that calls know.
    importlib.import_module("deploykit.bench.contain")._serve(*map(int, sys.argv[1:3]))
