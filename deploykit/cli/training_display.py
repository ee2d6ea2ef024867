"""A training as it goes, on stderr: a bar where that is a terminal, a line per epoch elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploykit.cli.bar import Bar

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from deploykit.training import Progress


class TrainingDisplay(Bar):
    """Shows epoch, image, loss and the time that is left.

    Args:
        quiet: show nothing.
    """

    refresh_hz = 2

    def columns(self) -> Sequence[ProgressColumn]:
        """Epoch, bar, image and loss, time left."""
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        return (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            TextColumn("image {task.fields[image]}  loss {task.fields[loss]}  left"),
            TimeRemainingColumn(),
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
