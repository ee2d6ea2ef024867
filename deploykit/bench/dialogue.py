"""A child process that answers one question after the other; the parent sleeps while it works."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from deploykit.bench.child import (
    WorkerFailure,
    attempt,
    die_with_parent,
    kill,
    leave,
    oom_kills,
    result_of,
    spawn,
)


class Dialogue:
    """The parent's side; use it in a `with`, which kills the child at the end.

    Args:
        module: one that calls `answer_each` when it is run.
        threads: as for `run_child`.
    """

    def __init__(self, module: str, threads: int | None = None) -> None:
        self._oom_before = oom_kills()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._read, write = os.pipe()
        try:
            self._process = spawn(module, subprocess.PIPE, write, self._log, threads)
        finally:
            os.close(write)
        self._rest = b""

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, question: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Put a question and wait for the answer.

        Raises:
            WorkerFailure: the child has ended, failed, or not answered in time.
        """
        self.tell(question)
        return self.hear(timeout_s)

    def tell(self, question: Mapping[str, Any]) -> None:
        """Put a question; `hear` gets the answer."""
        assert self._process.stdin is not None
        # A child that is gone shows when its answer is waited for.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()

    def hear(self, timeout_s: float) -> dict[str, Any]:
        """The answer to the oldest question that was not heard yet; see `ask`."""
        deadline = time.monotonic() + timeout_s
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        while b"\n" not in self._rest:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise WorkerFailure(
                    f"no answer after {timeout_s:g} s; raise --timeout or take a smaller batch",
                    "timeout",
                )
            more = os.read(self._read, 65536)
            if not more:
                kill(self._process)
                oom = oom_kills() > self._oom_before
                return result_of(self._rest, self._process.returncode, self._log, out_of_memory=oom)
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return result_of(line, 0, self._log)

    def close(self) -> None:
        """Kill the child."""
        kill(self._process)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._read)
        self._log.close()


def answer_each(work: Callable[[Iterator[Mapping[str, Any]]], Iterator[Mapping[str, Any]]]) -> None:
    """Be the child: `work` takes the questions as they come and yields one answer to each.

    An error is the last answer.
    """
    descriptor = int(sys.argv[1])
    die_with_parent()
    answers = work(json.loads(line) for line in sys.stdin.buffer)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        while True:
            answer = attempt(lambda: {"next": next(answers, None)})
            if answer.get("result") == {"next": None}:
                break
            if "result" in answer:
                answer = {"result": answer["result"]["next"]}
            file.write(json.dumps(answer).encode() + b"\n")
            if "failure" in answer:
                break
    leave()
