"""A progress bar on stderr: drawn where stderr is a terminal, and gone when the work ends."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID


class Bar(ABC):
    """What displays of progress share; rich is imported when a bar is drawn.

    Args:
        quiet: show nothing.
    """

    #: How often a second the bar is drawn: its thread takes time from the work that it shows.
    refresh_hz: ClassVar[float] = 1

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    @abstractmethod
    def columns(self) -> Sequence[ProgressColumn]:
        """What the bar consists of, from left to right."""

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(
                *self.columns(),
                console=Console(stderr=True),
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

    def update(self, **told: Any) -> bool:
        """Show `description`, `total`, `completed` and what else the columns name, and keep the rest.

        The first call begins the bar, and so its clock.

        Returns:
            Whether there is a bar.
        """
        if self._bar is None:
            return False
        if self._task is None:
            self._task = self._bar.add_task(**{"description": "", **told})
        else:
            self._bar.update(self._task, **told)
        return True

    def line(self, text: str) -> None:
        """Write a line, as is done where there is no bar."""
        if not self.quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
