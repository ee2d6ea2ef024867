"""Reading an NVIDIA device again and again while something is measured on it, in a process of its own.

A thread of the measuring process would hold the interpreter, for some tens of microseconds, just when a timed run
comes back to it. Another process takes a hundredth of another core and makes no context. Ten readings a second are
about as fine as the device's own counters of power move.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from deploykit.bench.channel import Channel, WorkerFailure, answer_each
from deploykit.codec import from_json
from deploykit.cuda import devices

#: Seconds from one reading to the next.
INTERVAL_S = 0.1
#: More readings than this are thinned out to every second one, and so are those that follow.
MOST_READINGS = 20_000
#: The reader answers at once; one that hangs in the driver is given up.
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Follow:
    """What the reader is asked for: readings of a device, by its UUID, until it is asked to stop."""

    uuid: str
    interval_s: float = INTERVAL_S


@dataclass(frozen=True)
class Stop:
    """Asks for the readings, and for no more of them."""


@dataclass(frozen=True)
class Reading:
    """A device at one moment, by NVML; None is what it does not tell.

    Attributes:
        clock_s: the system's monotonic clock, which all processes share.
        state: of clocks, reasons, temperature and power alone.
    """

    clock_s: float
    state: devices.GpuState


class Reader:
    """A process that reads a device from now on; use it in a `with`."""

    def __init__(self, uuid: str, interval_s: float = INTERVAL_S) -> None:
        self._channel = Channel(__name__)
        self._channel.tell(Follow(uuid, interval_s))
        self._begun = False

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *ended: object) -> None:
        self._channel.close()

    def wait(self) -> None:
        """Wait until readings have begun.

        Raises:
            WorkerFailure: the reader is gone.
        """
        self._begun = self._begun or self._channel.listen(bool, _PATIENCE_S)

    def between(self, start_s: float, end_s: float) -> list[Reading]:
        """The readings from one moment of the monotonic clock to another; none where the reader is gone.

        It reads no more after that.
        """
        try:
            self.wait()
            readings = self._channel.ask(Stop(), list[Reading], _PATIENCE_S)
        except WorkerFailure:  # what is measured does not depend on it
            return []
        return [one for one in readings if start_s <= one.clock_s <= end_s]


def read_until_stopped(questions: Iterator[bytes]) -> Iterator[bool | list[Reading]]:
    """Be the reader: answer a `Follow` when readings have begun, and a `Stop` with all of them."""
    request = from_json(next(questions), Follow)
    readings: list[Reading] = []
    stopped = threading.Event()

    def read() -> None:
        interval_s = request.interval_s
        while not stopped.wait(interval_s):
            readings.append(Reading(time.monotonic(), monitor.reading()))
            if len(readings) > MOST_READINGS:
                del readings[::2]
                interval_s *= 2

    with devices.Monitor(request.uuid) as monitor:
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield True
        next(questions, None)
        stopped.set()
        thread.join()
    yield readings


if __name__ == "__main__":
    answer_each(read_until_stopped)
