"""Running one piece of work in a process of its own, and waiting for it without using the processor.

The parent hands over a JSON request and gets a JSON answer on a file that both have open; what the child
or its libraries print can't get into it. Whatever becomes of the child, the parent gets an answer or a
`WorkerFailure` with one line.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from deploykit.errors import DeploykitError, one_line

_MAX_ANSWER_BYTES = 64 * 2**20
_LOG_BYTES = 16 * 2**10
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerFailure(DeploykitError):
    """A child process gave no usable answer: the row fails, the rest go on.

    Attributes:
        kind: "error" (it said why), "timeout", "killed", "crashed" or "rubbish".
        cause: name of the error's type in the child, where it said.
        log: the end of what the child wrote to stderr.
    """

    def __init__(self, reason: str, kind: str, exit_code: int = 1, cause: str = "") -> None:
        super().__init__(reason)
        self.kind, self.exit_code, self.cause, self.log = kind, exit_code, cause, ""


def run_child(
    module: str,
    request: Mapping[str, Any],
    timeout_s: float | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Run `python -m module` on a request and return its answer.

    The parent blocks in the kernel until the child ends. On Ctrl-C and on any other way out the child and
    what it started are killed.

    Args:
        module: one that calls `serve` when it is run.
        request: JSON values.
        timeout_s: kill it after that long; None waits for ever.
        threads: for the libraries that read it from the environment; None leaves that as it is.

    Raises:
        WorkerFailure: no usable answer.
    """
    oom_before = oom_kills()
    with (
        tempfile.TemporaryFile() as question,
        tempfile.TemporaryFile() as answer,
        tempfile.TemporaryFile() as log,
    ):
        question.write(json.dumps(request).encode())
        question.seek(0)
        process = spawn(module, question, answer.fileno(), log, threads)
        try:
            finished = wait_for(process, timeout_s)
        except BaseException:
            kill(process)
            raise
        if not finished:
            kill(process)
            raise WorkerFailure(
                f"no result after {timeout_s:g} s; raise --timeout or take a smaller batch",
                "timeout",
            )
        # What it may have left behind must not disturb the next row.
        kill(process)
        answer.seek(0)
        raw = answer.read(_MAX_ANSWER_BYTES + 1)
        return result_of(raw, process.returncode, log, out_of_memory=oom_kills() > oom_before)


def spawn(
    module: str, question: IO[bytes] | int, answer: int, log: IO[bytes], threads: int | None
) -> subprocess.Popen[bytes]:
    """Start `python -m module` in a session of its own, with `answer` as the descriptor to answer on."""
    return subprocess.Popen(
        # -P: the current folder can't shadow a module of the child.
        [sys.executable, "-P", "-m", module, str(answer)],
        stdin=question,
        stdout=subprocess.DEVNULL,
        stderr=log,
        pass_fds=(answer,),
        env=_environment(threads),
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[bytes], timeout_s: float | None) -> bool:
    """Block until the process ends; False if it has not after `timeout_s`.

    Python's own wait with a timeout looks 20 times a second; a process' file descriptor (Linux 5.3)
    lets the kernel do the waiting.
    """
    if timeout_s is not None and hasattr(os, "pidfd_open"):
        try:
            handle = os.pidfd_open(process.pid)
        except OSError:
            pass
        else:
            try:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                if not poll.poll(timeout_s * 1000):
                    return False
            finally:
                os.close(handle)
            process.wait()
            return True
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the child, if it still runs, and everything in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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


def result_of(
    raw: bytes, status: int, log: IO[bytes], *, out_of_memory: bool = False
) -> dict[str, Any]:
    """The result in a child's answer; raises WorkerFailure, with the end of its log, if there is none.

    Args:
        raw: what it answered.
        status: what it ended with; negative is a signal; 0 also where it has not ended.
        log: what it wrote to stderr.
        out_of_memory: whether the kernel has killed a process for want of memory meanwhile.
    """
    text = _end_of(log)
    try:
        return _result(raw, status, out_of_memory, text)
    except WorkerFailure as failure:
        failure.log = text
        raise


def _result(raw: bytes, status: int, oom: bool, log: str) -> dict[str, Any]:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = f": {lines[-1][:200]}" if lines else ""
    if status < 0:
        raise _death_by_signal(-status, oom, said)
    if status > 0:
        raise WorkerFailure(
            f"the measuring process ended with status {status}{said}; check its installation",
            "crashed",
        )
    try:
        if len(raw) > _MAX_ANSWER_BYTES:
            raise ValueError("too long")
        found = json.loads(raw)
        failure = found.get("failure")
        if failure is None:
            result: dict[str, Any] = found["result"]
            return result
        reason, code, cause = (
            str(failure["reason"]),
            int(failure["exit_code"]),
            str(failure["type"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkerFailure(
            f"the measuring process answered {raw[:40]!r}, which is no result; "
            "check that nothing in its environment replaces Python's modules",
            "rubbish",
        ) from error
    raise WorkerFailure(reason, "error", code, cause)


def _death_by_signal(number: int, oom: bool, said: str) -> WorkerFailure:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
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


def _end_of(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_BYTES))
    return log.read().decode(errors="replace")


def oom_kills() -> int:
    """How often the kernel has killed for want of memory since boot; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def serve(work: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Be the child: read the request, do the work, answer; an error becomes an answer too.

    `work` takes the request and returns JSON values.
    """
    descriptor = int(sys.argv[1])
    die_with_parent()
    request = json.loads(sys.stdin.buffer.read())
    answer = attempt(lambda: work(request))
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(answer).encode())
    leave()


def attempt(work: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The answer to the parent: what `work` returned, or why it failed."""
    try:
        return {"result": work()}
    except DeploykitError as error:
        return _failure(str(error), error.exit_code, error)
    except MemoryError as error:
        return _failure("out of memory; take a smaller batch or free memory", 1, error)
    except Exception as error:
        traceback.print_exc()
        said = one_line(error) or "no message"
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        reason = f"{type(error).__name__} in {place}: {said}; the worker's log has the traceback"
        return _failure(reason, 1, error)


def leave() -> None:
    """End the child at once: runtimes have been seen to crash or hang in their own clean-up at exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _failure(reason: str, exit_code: int, error: BaseException) -> dict[str, Any]:
    return {"failure": {"reason": reason, "exit_code": exit_code, "type": type(error).__name__}}


def die_with_parent() -> None:
    """Ask the kernel (Linux) to kill this process if the parent dies without saying good-bye."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    parent_death_signal = 1  # PR_SET_PDEATHSIG
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL, 0, 0, 0)
