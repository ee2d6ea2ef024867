"""What a tuning measured, line by line in the store, so that one that was broken off goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deploykit import codec
from deploykit.bench.race import Dropped, Event, Round
from deploykit.reading import read_file
from deploykit.stats import RatioInterval
from deploykit.writing import output_errors


class Journal:
    """What a tuning measured, line by line in a file of the store.

    Args:
        path: of the file; what it holds already is in `events`, by race, with those that are `over`. A line that
            can't be read ends it, and is cut off where something is written. `kept` are the layers that the best
            mix of precisions keeps in fp32: none where no mix is worth building, and None where nobody has looked.
            `saving` are those with which int8 that lost too much does not, in the same way. `met` has what one took
            of another that it was measured beside, by the names of both.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: dict[str, list[Event]] = {}
        self.judged: dict[str, str] = {}
        self.over: set[str] = set()
        self.kept: tuple[str, ...] | None = None
        self.saving: tuple[str, ...] | None = None
        self.met: dict[tuple[str, str], RatioInterval] = {}
        try:
            lines = read_file(path, codec.MAX_FILE_BYTES).splitlines(keepends=True)
        except OSError:
            lines = []
        whole_bytes = 0
        for line in lines:
            try:
                entry = codec.from_json(line, Entry)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            whole_bytes += len(line)
            if entry.kept is not None:
                self.kept = tuple(entry.kept)
            elif entry.saving is not None:
                self.saving = tuple(entry.saving)
            elif entry.ratio is not None:
                self.met[entry.name, entry.other] = entry.ratio
            elif entry.over:
                self.over.add(entry.race)
            elif entry.engine:
                self.judged[entry.engine] = entry.reason
            elif entry.fate:
                self.events.setdefault(entry.race, []).append(
                    Dropped(entry.name, entry.fate, entry.reason)
                )
            else:
                self.events.setdefault(entry.race, []).append(Round(entry.round, entry.values))
        self._whole_bytes = whole_bytes if whole_bytes < sum(map(len, lines)) else None

    def write(self, entry: Entry) -> None:
        """Add a line.

        Raises:
            OutputFailed: the store can't be written.
        """
        with output_errors("engine store"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                if self._whole_bytes is not None:  # or the next line would be one with what was cut
                    file.truncate(self._whole_bytes)
                    self._whole_bytes = None
                file.write(codec.to_json(entry) + b"\n")

    def record(self, race: str) -> Callable[[Event], None]:
        """What writes the events of one race."""

        def write(event: Event) -> None:
            if isinstance(event, Dropped):
                self.write(Entry(race, name=event.name, fate=event.fate, reason=event.reason))
            else:
                self.write(Entry(race, round=event.number, values=dict(event.values)))

        return write

    def end(self) -> None:
        """The question is answered: asked again, it is measured again.

        Raises:
            OutputFailed: the store can't be written.
        """
        with output_errors("engine store"):
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Entry:
    """A line of the journal: a round, who is out, a race that is over, a judged engine, a mix, or who met whom."""

    race: str = ""
    round: int = 0
    values: dict[str, float] = field(default_factory=dict)
    name: str = ""
    fate: str = ""
    reason: str = ""
    engine: str = ""
    over: bool = False
    kept: list[str] | None = None
    saving: list[str] | None = None
    other: str = ""
    ratio: RatioInterval | None = None
