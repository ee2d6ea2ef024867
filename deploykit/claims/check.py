"""Checks: the functions that decide claims, called with typed values that are read from TOML, and measured rows.

A check's parameters say what it takes. `rows`, `stated`, `margin` and `about` it is given from the measurements
and from the claim; every other parameter is an argument of the claim's entry, of the parameter's type: a counted
`Network` by its name, a `Stated` figure with its digits, a `Fraction` as "6/7", an `Expression` as text, a table
as a `msgspec.Struct`. It returns an `Outcome`, and raises MissingDependency where it can't do without a package
that isn't installed.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from deploykit.claims.margin import Stated
from deploykit.claims.networks import Network
from deploykit.claims.verdict import Outcome, listed
from deploykit.columns import BY_NAME, SETTING_NAMES, differences_from_plain
from deploykit.errors import UnknownName, UsageError
from deploykit.row import Row, overloaded, text_of

#: What must be equal for two latencies to be compared: columns and their values as text.
Setting = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MeasuredRow:
    """A row that was measured, has a median latency, and whose precision is what it says.

    Attributes:
        setting: all that must be equal for latencies to be compared, by column.
        model, alpha, rho: which network.
        macs: as in the row, None where blank.
        latency_p50_ms: median latency of one run at the row's batch.
        row: all of it.
    """

    setting: Setting
    model: str
    alpha: float
    rho: Fraction
    macs: int | None
    latency_p50_ms: float
    row: Row = field(default_factory=lambda: Row({}), compare=False, repr=False)

    @property
    def label(self) -> str:
        """Backend and precision, and what else is not one forward pass of one image at a time."""
        values = dict(self.setting)
        parts = [values["backend"], values["precision"], *differences_from_plain(values)]
        return " ".join(part for part in parts if part) or "unnamed setting"


def measured_rows(rows: Iterable[Row] | None) -> list[MeasuredRow]:
    """Take the usable rows of a profile: status ok, a median, computed in the precision asked for.

    Rows emulated in another type are left out, because their latency says nothing about the type, and those of
    requests that came faster than they were served, whose latency is how long was measured.
    """
    usable = (_usable(row) for row in rows or ())
    return [row for row in usable if row is not None]


def _usable(row: Row) -> MeasuredRow | None:
    latency_ms, actual = row["latency_p50_ms"], row["precision_actual"]
    if row["status"] not in (None, "ok") or actual not in (None, row["precision"]):
        return None
    if latency_ms is None or not (math.isfinite(latency_ms) and latency_ms > 0):
        return None
    if overloaded(row):
        return None
    try:
        rho = Fraction(row["rho"] or 1).limit_denominator(1000)
    except (ValueError, ZeroDivisionError):
        return None
    alpha = 1.0 if row["alpha"] is None else float(row["alpha"])
    setting = tuple((name, text_of(row[name]) or BY_NAME[name].blank) for name in SETTING_NAMES)
    return MeasuredRow(setting, row["model"] or "", alpha, rho, row["macs"], latency_ms, row)


@dataclass(frozen=True)
class BuiltRow:
    """A row of an engine that was built here, and whose size is known, whether it could run here or not.

    Attributes:
        row: all of it.
    """

    row: Row


def built_rows(rows: Iterable[Row] | None) -> list[BuiltRow]:
    """Take the rows of a profile that have the size of an engine in the precision that was asked for."""
    return [
        BuiltRow(row)
        for row in rows or ()
        if row["engine_bytes"] and row["precision_actual"] in (None, row["precision"])
    ]


#: What checks take for `rows`: those that were measured, or those that were built.
AnyRow = MeasuredRow | BuiltRow


def by_setting(rows: Iterable[MeasuredRow]) -> dict[Setting, list[MeasuredRow]]:
    """Group rows whose latencies can be compared."""
    groups: dict[Setting, list[MeasuredRow]] = {}
    for row in rows:
        groups.setdefault(row.setting, []).append(row)
    return groups


def distinct_label(label: str, taken: Collection[str]) -> str:
    """The label of a setting, numbered where it is taken: settings can differ in what their labels leave out."""
    return f"{label} [{len(taken)}]" if label in taken else label


#: Parameters that take the claim's own values.
OF_CLAIM = ("stated", "margin", "about")

_CHECKS: dict[str, Check] = {}

F = TypeVar("F", bound=Callable[..., Outcome])


@dataclass(frozen=True)
class Check:
    """A function that decides claims, and what it takes."""

    function: Callable[..., Outcome]

    @functools.cached_property
    def kinds(self) -> dict[str, Any]:
        """The type of each parameter, by name."""
        kinds = get_type_hints(self.function)
        del kinds["return"]
        return kinds

    @property
    def takes_rows(self) -> bool:
        """Whether it looks at measured rows."""
        return "rows" in self.kinds

    def bind(
        self, of_claim: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> Callable[[Sequence[AnyRow]], Outcome]:
        """The check with everything filled in but the measured rows.

        Args:
            of_claim: the claim's values by the names of `OF_CLAIM`; the check takes those it has parameters for.
            arguments: as TOML holds them, or of the parameter's type already.

        Raises:
            UsageError: an argument is unknown, missing or of another type, or the claim's own value is.
        """
        kinds = {name: kind for name, kind in self.kinds.items() if name != "rows"}
        own = {name: of_claim[name] for name in OF_CLAIM if name in kinds}
        parameters = inspect.signature(self.function).parameters.values()
        required = [p.name for p in parameters if p.default is p.empty and p.name in kinds]
        values = typed(own, {name: kinds.pop(name) for name in own}, own, "key")
        required = [name for name in required if name not in own]
        values |= typed(arguments, kinds, required, f"argument of {self.function.__name__}")
        if not self.takes_rows:
            return lambda rows: self.function(**values)
        (taken,) = get_args(self.kinds["rows"])
        return lambda rows: self.function(
            rows=[row for row in rows if isinstance(row, taken)], **values
        )


def check(function: F) -> F:
    """Register a check under its function's name."""
    name = function.__name__
    if name in _CHECKS:
        raise ValueError(f"there are two checks called {name}")
    _CHECKS[name] = Check(function)
    return function


def find_check(name: str) -> Check:
    """The check called `name`, once its module is imported.

    Raises:
        UnknownName: there is none.
    """
    if name not in _CHECKS:
        raise UnknownName("check", name, _CHECKS)
    return _CHECKS[name]


def typed(
    values: Mapping[str, Any], kinds: Mapping[str, Any], required: Collection[str], what: str
) -> dict[str, Any]:
    """The values of a TOML table, each as the type in `kinds`.

    Args:
        values: as read, or of their types already.
        kinds: type by key.
        required: keys that must be there.
        what: a key is called in messages.

    Raises:
        UsageError: a key is unknown or missing, or its value is of another type; one line that names it.
    """
    for key in values:
        if key not in kinds:
            raise UnknownName(what, key, kinds, "" if kinds else "it takes none")
    absent = [key for key in required if key not in values]
    if absent:
        raise UsageError(f"missing {what}: {listed(absent)}")
    return {key: _converted(value, kinds[key], f"{what} {key!r}") for key, value in values.items()}


def _converted(value: Any, kind: Any, what: str) -> Any:
    try:
        return msgspec.convert(value, kind, dec_hook=_revived)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        place = place.removesuffix("`")
        message = f"{what}{f' at {place}' if place else ''}: {text[:1].lower()}{text[1:]}"
        raise UsageError(message) from error


def _revived(kind: type, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    if kind is Network:
        return Network.named(value)
    if kind is Stated:
        return Stated(value)
    if hasattr(kind, "parse") and isinstance(value, str):
        return kind.parse(value)
    if kind is Fraction and isinstance(value, str):
        try:
            return Fraction(value)
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(f"expected a fraction such as '6/7', got {value!r}") from error
    raise ValueError(f"expected a {kind.__name__.lower()}, got {value!r}")
