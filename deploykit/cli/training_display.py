"""A training as it goes, on stderr: a bar where that is a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploykit.training import Progress


class TrainingDisplay(AbstractContextManager["TrainingDisplay"]):
    """Shows epoch, image, loss and the time that is left.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> TrainingDisplay:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=24),
                TextColumn("image {task.fields[image]}  loss {task.fields[loss]}  left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                # The display's own thread takes time from the training.
                refresh_per_second=2,
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

    def show(self, now: Progress) -> None:
        """Take what a training reports after a batch."""
        epoch = f"{now.epoch}/{now.epochs}"
        if self._bar is not None:
            done = (now.epoch - 1) * now.images + now.image
            told = {
                "epoch": epoch,
                "image": f"{now.image:,}/{now.images:,}",
                "loss": f"{now.loss:.3f}",
            }
            if (
                self._task is None
            ):  # a resumed training begins in the middle; the pace is this call's
                total = now.epochs * now.images
                self._task = self._bar.add_task("", total=total, completed=done, **told)
            self._bar.update(self._task, completed=done, **told)
        elif not self.quiet and now.image == now.images:
            sys.stderr.write(f"epoch {epoch}: {now.images} images, loss {now.loss:.3f}\n")
            sys.stderr.flush()
