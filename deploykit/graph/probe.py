"""ONNX's checker and inference tried in a child first: on a damaged file they can end the process they run in."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import sys
import warnings
from pathlib import Path

from deploykit.errors import InvalidModel
from deploykit.graph.shapes import skeleton
from deploykit.lazy import onnx

#: What inference of a network takes at most; large ones take some seconds and little memory.
LIMIT_S = 30
LIMIT_BYTES = 4 * 2**30


def require_survivable(model: onnx.ModelProto, path: Path) -> None:
    """Run the checker and the inference of shapes in a forked child, and refuse what it does not survive.

    What they raise is no matter here; only an end by a signal is: a crash, or the limits of time and memory.

    Raises:
        InvalidModel: the child died.
    """
    light = skeleton(model)
    _ = onnx.checker, onnx.shape_inference  # imported once, and not in the child
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the child runs one thread and nothing of the others'
        child = os.fork()
    if child == 0:
        _try(light)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return
    number = os.WTERMSIG(status)
    if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        return  # from outside
    how = f"takes more than {LIMIT_S} s" if number == signal.SIGALRM else "ends in a crash"
    raise InvalidModel(
        f"{path}: ONNX's own inference of its shapes {how} ({signal.Signals(number).name}); the file is damaged or "
        "meets a fault of ONNX, export it again"
    )


def _try(light: onnx.ModelProto) -> None:
    """The child's side, which never returns."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        faulthandler.disable()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT_S)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, used + LIMIT_BYTES))
        with contextlib.suppress(Exception):
            onnx.checker.check_model(light)
        for data_prop in (False, True):
            with contextlib.suppress(Exception):
                onnx.shape_inference.infer_shapes(light, data_prop=data_prop)
    finally:
        os._exit(0)
