"""What a precision recipe is, and where recipes beside this package's own come from; light to import."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploykit.errors import UnknownName, UsageError
from deploykit.text import split_list

if TYPE_CHECKING:
    import onnx

    from deploykit.graph.calibrate import Calibration
    from deploykit.graph.precision.recipe import KeepRules

    Transform = Callable[[onnx.ModelProto, KeepRules, Calibration | None], dict[str, Any]]


#: The precision of a file that is not to be converted.
AS_IS = "as-is"


@dataclass(frozen=True)
class PrecisionRecipe:
    """One way to write a float32 graph in another precision.

    Attributes:
        name: as asked for on the command line ("int8").
        targets: the targets it is for.
        summary: one line for listings.
        needs_calibration: whether `transform` must be given a `Calibration`.
        transform: changes a float32 model in place; returns facts for the manifest.
        origin: name and version of the package that brings it, part of the key of every graph it makes;
            "" for this package's own, whose code is in the key.
        steps: what it can do beyond ranges, by name, in the order in which it is done.
        default_steps: those of them that it does where nobody says.
        alternatives: those of them of which one at most is done.
    """

    name: str
    targets: tuple[str, ...]
    summary: str
    needs_calibration: bool
    transform: Transform
    origin: str = ""
    steps: tuple[str, ...] = ()
    default_steps: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()

    def chosen(self, text: str) -> tuple[str, ...]:
        """The steps that a list of names means: "default", "plain" (none), or names of `steps`, with commas.

        Raises:
            UnknownName: it has no such step.
            UsageError: it has no steps at all, and others than the default are asked for; or none is named, or two
                that are alternatives.
        """
        words = split_list(text)
        if words == [DEFAULT_STEPS]:
            return self.default_steps
        if not self.steps:
            raise UsageError(
                f"{self.name} for {', '.join(self.targets)} has no steps to choose from: leave --int8 out"
            )
        if not words:
            raise UsageError(f"--int8 needs a step, such as {self.steps[0]}, or {PLAIN}")
        wanted: set[str] = set()
        for word in words:
            if word == DEFAULT_STEPS:
                wanted.update(self.default_steps)
            elif word in self.steps:
                wanted.add(word)
            elif word != PLAIN or len(words) > 1:
                raise UnknownName(f"step of {self.name}", word, [DEFAULT_STEPS, PLAIN, *self.steps])
        if len(both := [step for step in self.alternatives if step in wanted]) > 1:
            raise UsageError(f"--int8 {' and '.join(both)} are alternatives: name one of them")
        return tuple(step for step in self.steps if step in wanted)


#: What stands for the recipe's own choice of steps, and for none.
DEFAULT_STEPS, PLAIN = "default", "plain"

_SOURCES: list[Callable[[], Iterable[PrecisionRecipe]]] = []


def add_source(source: Callable[[], Iterable[PrecisionRecipe]]) -> None:
    """Look up recipes in what `source` returns too, behind this package's own and those of earlier sources."""
    _SOURCES.append(source)


def from_sources() -> list[PrecisionRecipe]:
    """The recipes that all sources offer now; one that several backends of a target bring is one.

    A source may look recipes up itself, to build on them: those are this package's own then.
    """
    asked = _SOURCES.copy()
    _SOURCES.clear()
    try:
        return list(dict.fromkeys(recipe for source in asked for recipe in source()))
    finally:
        _SOURCES[:] = asked
