"""What is tortured: a program that takes one damaged model after the other through the Python API.

It is a process that lives on from model to model, as a service would, and what becomes of it is the point: it may
refuse, but never raise what is no error of deploykit's, hang beyond the limit, grow, or die.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import deploykit
from deploykit import codec
from deploykit.bench import contain
from deploykit.bench.channel import answer_each
from deploykit.errors import DeploykitError
from studies.torture.mutants import mutant

#: Of a refusal: one line that is read, not a page.
MOST_CHARACTERS = 1200
#: How ends of calls in a process of their own begin what is said of them.
_CONTAINED = {
    "crashes": "ended in a crash",
    "time limits": "was not done after",
    "memory limits": "of memory that were left",
}


@dataclass(frozen=True)
class Case:
    """What is asked: a seed, the folder to work in, and the limits of each call.

    Attributes:
        whole: take a model that is refused on loading through the rest all the same.
    """

    seed: int
    folder: Path
    limit_s: float
    limit_bytes: int
    whole: bool = False


@dataclass(frozen=True)
class Stage:
    """What became of one call.

    Attributes:
        name: of the call.
        end: "done", "refused 2" with the exit code, or a failure: "tracebacks", "bad lines", "over time".
        contained: what its process was ended by, or ended with; "" where by nothing.
        text: what was said.
        seconds: that it took.
    """

    name: str
    end: str
    contained: str
    text: str
    seconds: float


@dataclass(frozen=True)
class Tried:
    """What became of a model, and the most memory that a process had meanwhile."""

    stages: list[Stage]
    most_bytes: int


def _calls(path: Path, store: Path, seed: int) -> dict[str, Callable[[], object]]:
    """The calls that a model goes through, by name: one seed's engine is of fp32, the next one's of int8."""
    calls: dict[str, Callable[[], object]] = {
        "count": lambda: deploykit.count(path),
        "load": lambda: deploykit.export(path, store=store),
        "convert": lambda: deploykit.quantize(path, store=store, synthetic_calibration=True),
    }
    if seed % 2:
        return calls | {"build": lambda: deploykit.build(path, store=store)}
    return calls | {
        "build int8": lambda: deploykit.build(
            path, precision="int8", store=store, synthetic_calibration=True
        )
    }


def is_shown(text: str) -> bool:
    """Whether a text is one line without characters that a terminal acts on, of a length that is read."""
    clean = not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text)
    return clean and len(text) <= MOST_CHARACTERS


def try_call(name: str, call: Callable[[], object], limit_s: float) -> Stage:
    """Make a call and say what became of it."""
    begun = time.perf_counter()
    end, contained, text = "done", "", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except DeploykitError as error:
        text = str(error)
        end = f"refused {error.exit_code}"
        contained = next((kind for kind, words in _CONTAINED.items() if words in text), "")
        if "met a fault of deploykit" in text:
            end = "tracebacks"
        elif not is_shown(text):
            end = "bad lines"
    except Exception as error:
        end, text = "tracebacks", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - begun
    if end != "tracebacks" and seconds > limit_s:
        end = "over time"
    return Stage(name, end, contained, ascii(text[:400])[1:-1], round(seconds, 3))


def try_model(case: Case) -> Tried:
    """Take the model of a seed through all calls."""
    contain.limit_time(case.limit_s)
    contain.limit_memory(case.limit_bytes)
    folder = case.folder / "case"
    path = mutant(case.seed).write(folder)
    store = case.folder / "store"
    stages: list[Stage] = []
    try:
        with _watching() as most:
            for name, call in _calls(path, store, case.seed).items():
                stages.append(try_call(name, call, calls_limit_s(case.limit_s)))
                if name == "load" and stages[-1].end != "done" and not case.whole:
                    break
        return Tried(stages, most[0])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(store, ignore_errors=True)


def calls_limit_s(limit_s: float) -> float:
    """Seconds that a call may take whose parts, of which a build has four, have `limit_s` each; and their start."""
    return 4 * limit_s + 20


@contextlib.contextmanager
def _watching() -> Iterator[list[int]]:
    """Watch the memory of this process and those below it; the most bytes of one, once the block is over."""
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for pid in _below("self"):
                most[0] = max(most[0], _peak_bytes(pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()
        most[0] = max(most[0], _peak_bytes("self"))


def _below(pid: str) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += (task / "children").read_text().split()
    return found + [other for child in list(found) for other in _below(child)]


def _peak_bytes(pid: str) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _serve(questions: Iterator[bytes]) -> Iterator[Tried]:
    for line in questions:
        yield try_model(codec.from_json(line, Case))


if __name__ == "__main__":
    answer_each(_serve)
