"""The scenario a session is measured in: threads, concurrent streams, and how requests arrive."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deploykit.errors import UsageError


@dataclass(frozen=True)
class Scenario:
    """How requests reach an engine while it is measured.

    Attributes:
        threads: threads of the runtime, per stream; None is one per usable core.
        streams: concurrent requests, each with a session of its own.
        rate_per_s: requests that arrive per second, as a Poisson process; None sends each one as soon as
            the last is answered.
    """

    threads: int | None = None
    streams: int = 1
    rate_per_s: float | None = None

    @property
    def text(self) -> str:
        """What differs from the plain scenario, for displays; empty where nothing does."""
        parts = []
        if self.threads is not None:
            parts.append(f"{self.threads} thread{'s' * (self.threads > 1)}")
        if self.streams > 1:
            parts.append(f"{self.streams} streams")
        if self.rate_per_s is not None:
            parts.append(f"{self.rate_per_s:g}/s")
        return " ".join(parts)

    def threads_in_use(self, cores: float) -> int:
        """How many threads compute at once at most, on a machine with so many usable cores."""
        usable = max(1, int(cores))
        return min(usable, self.streams * (self.threads or usable))


def parse_rate(text: str) -> float:
    """Requests per second from `100/s` or `100`.

    Raises:
        UsageError: it is of another form, or not above zero.
    """
    number = text.strip().removesuffix("/s").strip()
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise UsageError(f"--rate takes requests per second, such as 100/s, not {text!r}")
    return value
