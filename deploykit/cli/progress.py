"""Progress on stderr: a bar where that is a terminal, gone when the work ends, and lines elsewhere.

What is finished stays, with how long the rest takes. --verbose tells each step with the time, --log keeps all of it
in a file.
"""

from __future__ import annotations

import contextlib
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from deploykit.cli import log
from deploykit.cli.library import bench
from deploykit.lazy import rich
from deploykit.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, Task, TaskID
    from rich.text import Text

    from deploykit.bench import phases
    from deploykit.training import Progress


#: A step that lasts for less needs no time beside it.
WORTH_TELLING_S = 5.0
#: So much of what is being done is shown, however narrow the terminal is.
_LEAST_NAME = 16
#: What takes less needs no announcement.
WORTH_ANNOUNCING_S = 30.0


class Bar(ABC):
    """What displays of progress share; whether they draw a bar or write lines.

    Args:
        quiet: show nothing.
    """

    #: How often a second the bar is drawn: its thread takes time from the work that it shows.
    refresh_hz: ClassVar[float] = 1

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    @abstractmethod
    def columns(self) -> Sequence[ProgressColumn]:
        """What the bar consists of, from left to right."""

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            self._bar = rich.progress.Progress(
                *self.columns(),
                console=rich.console.Console(stderr=True),
                transient=True,
                refresh_per_second=self.refresh_hz,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, **shown: Any) -> bool:
        """Show `description`, `total`, `completed` and what else the columns name, and keep the rest.

        The first call begins the bar, and so its clock.

        Returns:
            Whether there is a bar.
        """
        if self._bar is None:
            return False
        if self._task is None:
            self._task = self._bar.add_task(**{"description": "", **shown})
        else:
            self._bar.update(self._task, **shown)
        return True

    def line(self, text: str) -> None:
        """Write a line that stays, above the bar where there is one."""
        if self.quiet:
            return
        with contextlib.suppress(OSError):  # nobody reads it: the work goes on
            if self._bar is not None:
                self._bar.console.print(printable(text), markup=False, highlight=False)
            else:
                sys.stderr.write(f"{printable(text)}\n")
                sys.stderr.flush()


class Steps(Bar):
    """Progress on stderr: a bar where stderr is a terminal, a line per step elsewhere, or nothing.

    The bar also tells in which phase of a row the process is that measures it, and how long that takes: it looks at
    a page of memory once a second, in this process, and asks nobody.

    Args:
        total: how many steps there will be; 0 where nobody knows.
        quiet: show nothing.
    """

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self.total, self.done = total, 0
        self._start_s = time.monotonic()
        self._announced = ""
        self._ends_s: float | None = None
        self._watching = contextlib.ExitStack()
        self._page: phases.Page | None = None
        self._said_s = self._start_s

    def columns(self) -> Sequence[ProgressColumn]:
        """Bar, steps, and a text that takes the room that is left."""
        return (
            rich.progress.BarColumn(bar_width=12),
            rich.progress.MofNCompleteColumn(),
            _doing(self),
        )

    def __enter__(self) -> Self:
        super().__enter__()
        if self._bar is not None:
            self._page = self._watching.enter_context(bench.phases.watched())
        self.update(total=self.total or None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._page = None
        self._watching.close()

    def doing(self, description: str, room: int) -> str:
        """What the bar says: what is done, cut where room is short, in which phase, and for how long yet."""
        phase = None if self._page is None else self._page.read()
        since_s = time.monotonic() - self._said_s
        now = duration(since_s) if since_s >= WORTH_TELLING_S else ""
        if phase is not None:
            now = phase_text(phase)
        told = "".join(f" \N{MIDDLE DOT} {text}" for text in (now, self.left) if text)
        room = max(_LEAST_NAME, room - len(told))
        cut = (
            description
            if len(description) <= room
            else f"{description[: room - 1]}\N{HORIZONTAL ELLIPSIS}"
        )
        return cut + told

    def expect(self, total: int) -> None:
        """How many steps there will be, once that is known."""
        self.total = total
        self.update(total=total)

    def announce(self, least_s: float) -> None:
        """How long measuring takes about: a line before the first step, where that is worth one."""
        if least_s >= WORTH_ANNOUNCING_S:
            steps = f"{self.total} step{'s' * (self.total != 1)}"
            self._announced = f"{steps}: measuring takes about {duration(least_s)}"

    def say(self, text: str) -> None:
        """What is being done now."""
        log.write(text)
        self._said_s = time.monotonic()
        for ahead in log.said_ahead():
            self.line(ahead)
        if self._announced:
            announced, self._announced = self._announced, ""
            self.line(f"{log.stamp()}{announced}")
        if not self.update(description=text):
            place = (
                f"{min(self.done + 1, self.total)}/{self.total}"
                if self.total
                else f"{self.done + 1}"
            )
            self.line(f"{log.stamp()}[{place}] {text}")

    def detail(self, text: str) -> None:
        """A part of what is being done: shown by a bar, and by --verbose, as it is worth no line else."""
        log.write(text)
        self._said_s = time.monotonic()
        if not self.update(description=text) and log.verbose():
            self.line(f"{log.stamp()}{text}")

    def step(self) -> None:
        """One step is done."""
        self.done += 1
        self._ends_s = None
        if 0 < self.done < self.total:
            now_s = time.monotonic()
            each_s = (now_s - self._start_s) / self.done
            self._ends_s = now_s + each_s * (self.total - self.done)
        self.update(completed=self.done)

    def finished(self, text: str) -> None:
        """One step is done, and came to something that is worth a line now."""
        self.step()
        log.write(text)
        left = f"; {self.left}" if self.left else ""
        place = f"{self.done}/{self.total}" if self.total else f"{self.done}"
        self.line(f"{log.stamp()}[{place}] {text}{left}")

    @property
    def left(self) -> str:
        """How long the rest takes if it goes on like this; empty where nobody knows, or it took longer."""
        left_s = 0.0 if self._ends_s is None else self._ends_s - time.monotonic()
        return f"about {duration(left_s)} to go" if left_s > 0 else ""


def _doing(steps: Steps) -> ProgressColumn:
    """The column of a bar that says what `steps` are at, in the room that the other columns leave."""

    class Doing(rich.progress.ProgressColumn):
        def render(self, task: Task) -> Text:
            width = 80 if steps._bar is None else steps._bar.console.width
            beside = 12 + 2 + 2 * len(str(task.total or task.completed)) + 1
            return rich.text.Text(
                steps.doing(printable(task.description), width - beside), no_wrap=True
            )

    return Doing()


def phase_text(phase: phases.Phase) -> str:
    """A phase in words: how long it has lasted and, where that is known, is to last."""
    if not phase.expected_s:
        return f"{phase.name} {duration(phase.passed_s)}"
    if phase.passed_s < phase.expected_s + 1:
        return f"{phase.name} {duration(phase.passed_s)} of {duration(phase.expected_s)}"
    return f"{phase.name} {duration(phase.passed_s)}, at least {duration(phase.expected_s)}"


def duration(seconds: float) -> str:
    """A time in words, to two digits or so: "8 s", "3 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


class TrainingDisplay(Bar):
    """Shows epoch, image, loss and the time that is left.

    Args:
        quiet: show nothing.
    """

    refresh_hz = 2

    def columns(self) -> Sequence[ProgressColumn]:
        """Epoch, bar, image and loss, time left."""
        return (
            rich.progress.TextColumn("epoch {task.fields[epoch]}"),
            rich.progress.BarColumn(bar_width=24),
            rich.progress.TextColumn("image {task.fields[image]}  loss {task.fields[loss]}  left"),
            rich.progress.TimeRemainingColumn(),
        )

    def show(self, now: Progress) -> None:
        """Take what a training reports after a batch."""
        epoch = f"{now.epoch}/{now.epochs}"
        # A resumed training begins in the middle of the bar; the pace is this call's.
        drawn = self.update(
            total=now.epochs * now.images,
            completed=(now.epoch - 1) * now.images + now.image,
            epoch=epoch,
            image=f"{now.image:,}/{now.images:,}",
            loss=f"{now.loss:.3f}",
        )
        if not drawn and now.image == now.images:
            self.line(f"epoch {epoch}: {now.images} images, loss {now.loss:.3f}")
