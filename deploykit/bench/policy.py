"""When warming up and measuring are long enough."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deploykit.errors import UsageError


@dataclass(frozen=True)
class Policy:
    """When warming up and measuring are long enough.

    Attributes:
        warmup_s: warm up at least this long and until three windows agree.
        warmup_max_s: give up waiting for agreement then, and say so.
        agreement: three windows agree when their medians differ by no more than this share.
        window_s: length of one warm-up window.
        min_s: measure at least this long...
        max_s: ...and never begin another block after this long.
        percentile: go on beyond `min_s` until this one has the samples that it needs.
        block_s: length of one call to the session; the time is looked at between blocks.
        warmup_iterations: warm up so many runs instead, however long they take.
        iterations: measure so many runs instead.

    Raises:
        UsageError: a value is no positive number.
    """

    warmup_s: float = 0.2
    warmup_max_s: float = 5.0
    agreement: float = 0.10
    window_s: float = 0.05
    min_s: float = 3.0
    max_s: float = 10.0
    percentile: float = 95.0
    block_s: float = 0.1
    warmup_iterations: int | None = None
    iterations: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name in ("warmup_iterations", "iterations"):
                continue
            if not isinstance(value, int | float) or not value > 0:
                raise UsageError(f"measuring policy {name} is {value!r}: give a positive number")

    @classmethod
    def quick(cls) -> Policy:
        """Half a second per row: for a first look."""
        return cls(warmup_max_s=2.0, min_s=0.5, max_s=2.0)

    def lasting(self, seconds: float) -> Policy:
        """The same, measuring at least so long."""
        return replace(self, min_s=seconds, max_s=max(self.max_s, seconds))

    def reaching(self, percentile: float, limit_s: float) -> Policy:
        """The same, going on until a percentile has its samples, for `limit_s` if it has to.

        Nothing is cut short: a limit below what is allowed already changes nothing.
        """
        percentile = max(self.percentile, percentile)
        return replace(self, percentile=percentile, max_s=max(self.max_s, limit_s))
