"""What a row of a report carries beside its values: notes, each of a kind that code can ask for."""

from __future__ import annotations

from dataclasses import dataclass

#: What a note can be about. Code asks for a note's kind, never for words in its text.
KINDS = (
    "failed",  # why the row has no measurement
    "missing",  # why a column is blank
    "stability",  # what makes the timing doubtful
    "emulated",  # a precision that the runtime computes in another type
    "rounding",  # values that the precision lost
    "kept",  # layers that stay in float32, and why
    "slower",  # a lower precision that is slower than float32, and where
    "roofline",  # what the ceilings say of the row
    "load",  # streams, rates and threads against the machine's cores
    "data",  # what the images or their labels lack
    "runtime",  # what the runtime itself reported
)


@dataclass(frozen=True)
class Note:
    """One thing to know of a row.

    Attributes:
        kind: one of `KINDS`.
        text: a whole statement, without a full stop.
        remedy: what to do about it, as a command or an option; empty where nothing can be done.
    """

    kind: str
    text: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a note can't be of kind {self.kind!r}: one of {', '.join(KINDS)}")

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text
