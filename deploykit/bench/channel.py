"""Work in a process of its own: questions go in as lines of JSON, answers come back on a pipe of their own.

The parent sleeps in the kernel while the child works. What the child or its libraries print can't get into an
answer, as that has a descriptor of its own. Whatever becomes of the child, the parent gets an answer of the
declared type or a `WorkerFailure` with one line.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from deploykit.codec import MalformedMessage, from_json, from_values, to_json
from deploykit.errors import DeploykitError, one_line, refused_by_system

_MAX_ANSWER_BYTES = 64 * 2**20
_LOG_BYTES = 16 * 2**10
#: Seconds that a child which has closed its answers has to end by itself.
_ENDING_S = 10.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Question = TypeVar("Question")
Result = TypeVar("Result")


class WorkerFailure(DeploykitError):
    """A child process gave no usable answer: the row fails, the rest go on.

    Attributes:
        kind: "error" (it said why), "timeout", "killed", "crashed" or "malformed".
        cause: name of the error's type in the child, where it said.
        log: the end of what the child wrote to stderr.
    """

    def __init__(self, reason: str, kind: str, exit_code: int = 1, cause: str = "") -> None:
        super().__init__(reason)
        self.kind, self.exit_code, self.cause, self.log = kind, exit_code, cause, ""


@dataclass(frozen=True)
class Failure:
    """Why a child can't answer: one line, the exit code that goes with it, and the name of the error's type."""

    reason: str
    exit_code: int
    type: str


@dataclass(frozen=True)
class Answer(Generic[Result]):
    """One line from the child: a result or a failure."""

    result: Result | None = None
    failure: Failure | None = None


# --- The parent's side ---


def run_child(
    module: str,
    request: object,
    kind: type[Result],
    timeout_s: float | None = None,
    threads: int | None = None,
) -> Result:
    """Run `python -m module` on one request and return its answer; see `Channel`.

    Args:
        module: one that calls `serve` when it is run.
        request: a dataclass, or JSON values.
        kind: type of the answer.
        timeout_s: the child is killed after that long; None waits for ever.
        threads: for the libraries that read it from the environment; None leaves that as it is.

    Raises:
        WorkerFailure: there is no usable answer.
    """
    with Channel(module, threads) as child:
        return child.ask(request, kind, timeout_s)


class Channel:
    """A child process that answers one question after the other.

    Use it in a `with`: on every way out, Ctrl-C included, the child and what it started are killed.

    Args:
        module: one that calls `serve` or `answer_each` when it is run.
        threads: for the libraries that read it from the environment; None leaves that as it is.
        more: variables of its environment, where this process has none of these names.
    """

    def __init__(
        self, module: str, threads: int | None = None, more: Mapping[str, str] | None = None
    ) -> None:
        self._oom_before = oom_kills()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._received = bytearray()
        self._answers, descriptor = os.pipe()
        try:
            self._process = subprocess.Popen(
                # -P: the current folder can't shadow a module of the child.
                [sys.executable, "-P", "-m", module, str(descriptor), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                pass_fds=(descriptor,),
                env={**(more or {}), **_environment(threads)},
                start_new_session=True,
            )
        except BaseException:
            os.close(self._answers)
            self._log.close()
            raise
        finally:
            os.close(descriptor)
        self._end = _process_descriptor(self._process.pid)

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, question: object, kind: type[Result], timeout_s: float | None = None) -> Result:
        """Put a question and wait for the answer.

        Raises:
            WorkerFailure: the child has ended, failed, answered with another type, or not in time.
        """
        self.tell(question)
        return self.listen(kind, timeout_s)

    def listen(self, kind: type[Result], timeout_s: float | None = None) -> Result:
        """Wait for the next answer, where one question has several.

        Raises:
            WorkerFailure: as `ask`.
        """
        try:
            return _result_of(self._next_line(timeout_s), kind)
        except WorkerFailure as failure:
            failure.log = self._end_of_log()
            raise

    def tell(self, message: object) -> None:
        """Send a line that is not answered; that a child is gone shows when an answer is waited for."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(to_json(message) + b"\n")
            self._process.stdin.flush()

    def is_alive(self) -> bool:
        """Whether the child can still be asked."""
        return self._process.poll() is None

    def close(self) -> None:
        """Kill the child and everything in its session."""
        self._kill()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        for descriptor in (self._answers, self._end):
            if descriptor is not None:
                os.close(descriptor)
        self._log.close()

    def _next_line(self, timeout_s: float | None) -> bytes:
        """The next line of the child, or what it left when it ended with status 0."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        if self._end is not None:
            poll.register(self._end, select.POLLIN)
        while b"\n" not in self._received and len(self._received) <= _MAX_ANSWER_BYTES:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = poll.poll(None if left_s is None else left_s * 1000)
            if not ready:
                raise WorkerFailure(
                    f"no result after {timeout_s:g} s; raise --timeout or take a smaller batch",
                    "timeout",
                )
            if any(descriptor == self._answers for descriptor, _ in ready):
                received = os.read(self._answers, 2**16)
                self._received += received
                if received:
                    continue
            # The child has ended, or closed its answers and is about to, with a status that tells why. A process
            # that it left behind may still hold the pipe open, so that the pipe's own end is not waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDING_S)
            self._kill()
            self._read_what_is_left()
            if b"\n" not in self._received:
                self._require_success()
            break
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        return bytes(line)

    def _read_what_is_left(self) -> None:
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while poll.poll(0) and (received := os.read(self._answers, 2**16)):
            self._received += received

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _require_success(self) -> None:
        """Raise WorkerFailure for a child that ended by a signal or with another status than 0."""
        lines = [line.strip() for line in self._end_of_log().splitlines() if line.strip()]
        said = f": {one_line(lines[-1], 200)}" if lines else ""
        status = self._process.returncode
        if status < 0:
            raise _death_by_signal(-status, oom_kills() > self._oom_before, said)
        if status > 0:
            raise WorkerFailure(
                f"the measuring process ended with status {status}{said}; check its installation",
                "crashed",
            )

    def _end_of_log(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_BYTES))
        return self._log.read().decode(errors="replace")


def _process_descriptor(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends (Linux 5.3); None where there is none."""
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _environment(threads: int | None) -> dict[str, str]:
    environment = dict(os.environ)
    if threads is not None:
        environment |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    root = str(Path(__file__).resolve().parents[2])
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if root not in installed:
        # Run from a checkout: the child imports this very package, not another that is installed.
        paths = [root, *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return environment


def _result_of(line: bytes, kind: type[Result]) -> Result:
    """The result in a line that a child answered.

    Raises:
        WorkerFailure: it holds a failure, or no result of that type.
    """
    try:
        if len(line) > _MAX_ANSWER_BYTES:
            raise MalformedMessage("too long")
        answer = from_json(line, Answer[Any])
        if answer.result is None and answer.failure is None:
            raise MalformedMessage("neither a result nor a failure")
    except MalformedMessage as error:
        raise WorkerFailure(
            f"the measuring process answered {line[:40]!r}, which is no result; "
            "check that nothing in its environment replaces Python's modules",
            "malformed",
        ) from error
    if answer.failure is not None:
        failure = answer.failure
        raise WorkerFailure(failure.reason, "error", failure.exit_code, failure.type)
    try:
        return from_values(answer.result, kind)
    except MalformedMessage as error:
        raise WorkerFailure(
            f"the measuring process' result is not of the form that is expected ({error}); "
            "check that parent and worker are the same version of deploykit",
            "malformed",
        ) from error


def _death_by_signal(number: int, oom: bool, said: str) -> WorkerFailure:
    name = signal_name(number)
    if number == signal.SIGKILL:
        how = "out of memory" if oom else "most likely out of memory"
        reason = (
            f"the measuring process was killed ({name}), {how}; take a smaller batch or free memory"
        )
        return WorkerFailure(reason, "killed")
    if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        reason = f"the measuring process was ended from outside ({name}); run it again"
        return WorkerFailure(reason, "killed")
    reason = f"the runtime crashed ({name}){said}; try another version of it or another precision"
    return WorkerFailure(reason, "crashed")


def signal_name(number: int) -> str:
    """The name of a signal, such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def oom_kills() -> int:
    """How often the kernel has killed for want of memory since boot; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


# --- The child's side ---


def serve(kind: type[Question], work: Callable[[Question], object]) -> None:
    """Be the child that answers one request, of type `kind`, with what `work` returns for it."""

    def answer_once(questions: Iterator[bytes]) -> Iterator[object]:
        yield work(from_json(next(questions), kind))

    answer_each(answer_once)


def answer_each(work: Callable[[Iterator[bytes]], Iterator[object]]) -> None:
    """Be the child: `work` takes the questions, as lines of JSON, and yields one answer to each.

    An error becomes the last answer. Then the process ends at once, without the runtimes' clean-up, in which
    they have been seen to crash or hang.
    """
    descriptor, parent = map(int, sys.argv[1:3])
    die_with_parent(parent)
    answers = work(iter(sys.stdin.buffer))
    with os.fdopen(descriptor, "wb") as file:
        failed = False
        while not failed:
            try:
                line = to_json(Answer(next(answers)))
            except StopIteration:
                break
            except Exception as error:
                line, failed = to_json(Answer(failure=_failure(error))), True
            file.write(line + b"\n")
            file.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _failure(error: Exception) -> Failure:
    kind = type(error).__name__
    if isinstance(error, DeploykitError):
        return Failure(str(error), error.exit_code, kind)
    if isinstance(error, MemoryError):
        return Failure("out of memory; take a smaller batch or free memory", 1, kind)
    traceback.print_exception(error)
    if isinstance(error, OSError) and error.filename is not None:
        return Failure(*refused_by_system(error), kind)
    said = one_line(error) or "no message"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return Failure(f"{kind} in {place}: {said}; the worker's log has the traceback", 1, kind)


def die_with_parent(parent: int) -> None:
    """Ask the kernel (Linux) to kill this process if its parent, of that pid, dies without saying good-bye.

    What counts is the thread that started this process. A parent that died before has no say any more, so that
    this process ends at once.
    """
    if not sys.platform.startswith("linux"):
        return
    _set_signal_of_parents_death(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def outlive_thread() -> None:
    """Take back `die_with_parent`, in a process that notices the end of its parent itself."""
    if sys.platform.startswith("linux"):
        _set_signal_of_parents_death(0)


def _set_signal_of_parents_death(number: int) -> None:
    import ctypes

    parent_death_signal = 1  # PR_SET_PDEATHSIG
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(parent_death_signal, number, 0, 0, 0)
