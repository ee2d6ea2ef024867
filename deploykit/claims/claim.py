"""Claims: the entries of claims.toml and of files like it, and their verdicts, computed when they are asked for."""

from __future__ import annotations

import contextlib
import functools
import shlex
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import deploykit.claims.checks  # noqa: F401  registers them
from deploykit.claims import stored_texts
from deploykit.claims.check import OF_CLAIM, AnyRow, built_rows, find_check, measured_rows, typed
from deploykit.claims.effort import TimeIsOver, one_thread, training
from deploykit.claims.margin import Margin, Stated
from deploykit.claims.measure import Measure
from deploykit.claims.places import line_of, line_of_key
from deploykit.claims.verdict import OUTCOMES, VERDICTS, Outcome, PartResult, Verdict, listed
from deploykit.errors import (
    CheckFailed,
    DeploykitError,
    MissingDependency,
    UnknownName,
    UsageError,
    one_line,
    refused_by_system,
)
from deploykit.reading import read_file
from deploykit.row import Row
from deploykit.store import Store
from deploykit.text import aside

#: A file of claims is small; one that is not is something else.
MAX_BYTES = 4 * 2**20

#: How a claim is decided, and what that means.
KINDS: dict[str, str] = {
    "counted": "by counting parameters, MACs and bytes of the networks",
    "structural": "by looking at the layers that the networks are made of, and how they are joined",
    "computed": "by running something",
    "measured": "by the rows of a profile",
    "trained": "by training, or by trained weights",
    "cited": "by figures that were printed, for which nothing is computed",
}


#: What an entry calls the parts that it does not name.
OTHERS = "*"


@dataclass(frozen=True)
class Claim:
    """One claim as people state it, and how it is decided. The verdict is not stored anywhere.

    Attributes:
        id: what `deploykit claims ID` takes.
        statement: the claim, in a sentence.
        source: which kind of document says so, and the paper it goes back to.
        about: the quantity that decides it.
        kind: how it is decided, several of `KINDS` joined by "+".
        stated: the value that the claim gives, in `unit`, with the digits it is given with; text where it is not a
            number.
        check: name of the check, see `deploykit.claims.checks`.
        expected: the verdicts that are no surprise.
        parts: the outcomes of each part that are no surprise, by the part's name; or those of every part alike.
            With the name "*" for all others, where parts are networks of a profile, those named need not be there.
        hedge: the word by which the statement loosens `stated`, one of `margin.HEDGES`; empty where it has none.
        universal: whether one part that fails refutes it; where not, it is then "in context".
        arguments: what the check is given, as TOML holds it or as typed values.
        measure: what is to be measured for it; None where nothing is.
        file: that it was read from, which commands for it have to name; empty for the project's own.
        decide: the check with all its arguments; it takes the measured rows.

    Raises:
        UsageError: a value can't be, or the check does not take these arguments; the line names the claim.
    """

    id: str
    statement: str
    source: str
    about: str
    kind: str
    stated: Stated | str
    unit: str
    check: str
    expected: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]] | tuple[str, ...]
    hedge: str = ""
    universal: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)
    measure: Measure | None = None
    file: str = field(default="", compare=False)
    decide: Callable[[Sequence[AnyRow]], Outcome] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            if self.id != self.id.strip() or not self.id.isprintable() or self.id[:1] in ("", "-"):
                raise UsageError(
                    f"'id' is {self.id!r}: give a name that a command can take, such as 'small-enough'"
                )
            if not isinstance(self.stated, str):
                object.__setattr__(self, "stated", _stated(self.stated))
            for name in ("expected", "parts"):
                object.__setattr__(self, name, _words(getattr(self, name)))
            if not self.expected or not set(self.expected) <= set(VERDICTS):
                raise UsageError(f"'expected' must be among {', '.join(VERDICTS)}")
            each = [*self.parts.values()] if isinstance(self.parts, Mapping) else [self.parts]
            if not each or not all(words and set(words) <= set(OUTCOMES) for words in each):
                raise UsageError(
                    f"'parts' must be among {', '.join(OUTCOMES)}, all or by their names"
                )
            if not set(self.kind.split("+")) <= set(KINDS):
                raise UsageError(f"'kind' must be made of {', '.join(KINDS)}")
            of_claim = {name: getattr(self, name) for name in OF_CLAIM}
            decide = find_check(self.check).bind(of_claim, self.arguments)
        except UsageError as error:
            raise UsageError(f"claim {self.id}: {error}") from error
        if isinstance(self.stated, str) and find_check(self.check).kinds.get("stated") is Stated:
            object.__setattr__(self, "stated", Stated(self.stated))
        object.__setattr__(self, "decide", decide)

    @functools.cached_property
    def margin(self) -> Margin:
        """How far a value found may be from a stated one."""
        return Margin(self.hedge)

    @property
    def goes_by_margin(self) -> bool:
        """Whether its margin decides; else the check holds the parts against limits of its own."""
        return bool(self.hedge) or "margin" in find_check(self.check).kinds

    @property
    def names_parts(self) -> bool:
        """Whether `parts` are by name; else the same is expected of all."""
        return isinstance(self.parts, Mapping)

    def expected_of(self, part: str) -> tuple[str, ...]:
        """The outcomes of a part that are no surprise; none for one that the entry does not have."""
        if isinstance(self.parts, Mapping):
            return self.parts.get(part, self.parts.get(OTHERS, ()))
        return self.parts

    @property
    def required_parts(self) -> tuple[str, ...]:
        """The parts that there have to be: those named, unless the entry has a word for others too."""
        named = self.parts if isinstance(self.parts, Mapping) else {}
        return () if OTHERS in named else tuple(named)

    @property
    def settled_by(self) -> str:
        """The command that decides what is undecided without it; empty where there is none."""
        command = f"deploykit claims {shlex.quote(self.id)}{_named(self.file)}"
        if self.measure is not None:
            return f"{command} --measure"
        if self.takes_rows:
            return f"{command} --profile FILE"
        return f"{command} --train" if "trained" in self.kind else ""

    @property
    def takes_rows(self) -> bool:
        """Whether its check looks at measured rows."""
        return find_check(self.check).takes_rows


def _named(file: str) -> str:
    """The option by which a command takes the claims of a file; none for the project's own."""
    return f" --claims {shlex.quote(file)}" if file else ""


def _stated(value: Any) -> Stated:
    try:
        return Stated(value)
    except ValueError as error:
        raise UsageError(f"key 'stated': {error}") from error


def _words(value: Any) -> Any:
    """One word as a tuple of it, also within a table."""
    if isinstance(value, Mapping):
        return {name: _words(words) for name, words in value.items()}
    return (value,) if isinstance(value, str) else tuple(value)


_KEYS = {f.name: f for f in fields(Claim) if f.init and f.name != "file"}
_TYPES = {
    **dict.fromkeys(_KEYS, str),
    "stated": Any,
    "expected": str | tuple[str, ...],
    "parts": str | tuple[str, ...] | dict[str, str | tuple[str, ...]],
    "universal": bool,
    "arguments": dict[str, Any],
    "measure": Measure,
}
_REQUIRED = [
    name for name, key in _KEYS.items() if key.default is MISSING and key.default_factory is MISSING
]


def parse_claims(text: str, file: str = "claims.toml") -> list[Claim]:
    """Read claims from TOML text: one `[[claim]]` table each, with the attributes of `Claim` as keys.

    Raises:
        UsageError: `file`, as messages call it, is no TOML or has no claims, or an entry can't be; one line that
            names the claim and the line of the file.
    """
    return _parsed(text, file, check=_check_measure)


def _check_measure(claim: Claim) -> None:
    try:
        if claim.measure is not None:
            claim.measure.check()
    except UsageError as error:
        raise UsageError(f"claim {claim.id}: {error} (in 'measure')") from error


def _parsed(
    text: str, file: str, check: Callable[[Claim], None] = lambda claim: None
) -> list[Claim]:
    try:
        # Decimals know the digits that a figure was stated with.
        document = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UsageError(f"{file} is no TOML: {one_line(error, 100)}") from error
    for key in document:
        if key != "claim":
            line = line_of_key(text, key)
            raise UsageError(f"{file}, line {line}: {key!r} is no claim: each is headed [[claim]]")
    tables = document.get("claim", [])
    if not tables:
        raise UsageError(f"{file} has no claims: each claim is a table headed [[claim]]")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{file}: each claim is a table headed [[claim]]")
    claims = []
    for number, table in enumerate(tables, 1):
        try:
            claims.append(_claim(table, f"number {number}"))
            check(claims[-1])
        except UsageError as error:
            line = line_of(text, number, str(error))
            raise UsageError(f"{file}, line {line}: {error}") from error
    _refuse_twice(claims, file, text)
    return claims


def _refuse_twice(claims: Sequence[Claim], place: str, text: str = "") -> None:
    numbers: dict[str, list[int]] = {}
    for number, claim in enumerate(claims, 1):
        numbers.setdefault(claim.id, []).append(number)
    again = {name: found[1] for name, found in sorted(numbers.items()) if len(found) > 1}
    if again:
        lines = (f"line {line_of(text, number, '`id`')}" for number in again.values())
        where = f", again in {listed(lines)}" if text else ""
        raise UsageError(
            f"{place} has {', '.join(again)} twice{where}: give each claim an id of its own"
        )


def _claim(table: Mapping[str, Any], place: str) -> Claim:
    try:
        values = typed(table, _TYPES, _REQUIRED, "key")
    except UsageError as error:
        raise UsageError(f"claim {table.get('id', place)}: {error}") from error
    return Claim(**values)


def read_claims(path: Path) -> list[Claim]:
    """The claims of a file like those of the folder `statements`.

    Raises:
        UsageError: it can't be read, or as `parse_claims`.
    """
    try:
        data = read_file(path, MAX_BYTES, pipe=True)
    except OSError as error:
        raise UsageError(
            f"can't read {path}: {error.strerror}; name a file of claims, see docs/claims.md"
        ) from error
    try:
        text = data.decode("utf-8-sig")  # as some editors begin a file
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}, line {line}: it is not text in UTF-8, as TOML has to be: save it so"
        ) from error
    return [replace(claim, file=str(path)) for claim in parse_claims(text, str(path))]


@functools.cache
def _stored() -> tuple[Claim, ...]:
    # What they measure is held against the backends by a test: that would import the backends for every list.
    claims = [claim for name, text in stored_texts().items() for claim in _parsed(text, name)]
    _refuse_twice(claims, "claims/statements")
    return tuple(claims)


def list_claims() -> list[Claim]:
    """All claims of the project, file by file by name; neither torch nor onnx nor numpy is imported."""
    return list(_stored())


def evaluate_claims(
    ids: Iterable[str] | None = None,
    rows: Iterable[Row] | None = None,
    *,
    measured: Iterable[Row] | None = None,
    claims: Sequence[Claim] | None = None,
    train: bool = False,
    store: Store | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Verdict]:
    """Evaluate claims and say what came out, one verdict each.

    Args:
        ids: which, in this order; None for all.
        rows: what was measured. Without it the parts of a
            claim that are about time stay undecided and the explanation says "not measured".
        measured: what was measured for these claims: those that say what is to be measured look at these rows
            alone.
        claims: those to choose from, as `read_claims` reads them; None for the project's own.
        train: whether to train the small networks that some claims take, for two hours at most.
        store: keeps what is trained, and has what was trained before; None keeps nothing.
        say: is told of each training that begins.

    A claim that can't be evaluated is "undecided", its `error` saying why, and costs none of the others.

    Raises:
        UnknownName: there is no such claim.
    """
    chosen = choose_claims(ids, list_claims() if claims is None else claims)
    usable = _usable(rows)
    own = usable if measured is None else _usable(measured)
    with training(train, store, say=say):
        return [evaluate_claim(claim, own if claim.measure else usable) for claim in chosen]


def _usable(rows: Iterable[Row] | None) -> list[AnyRow]:
    listed = list(rows or ())
    return [*measured_rows(listed), *built_rows(listed)]


def evaluate_claim(claim: Claim, rows: Sequence[AnyRow] = ()) -> Verdict:
    """Evaluate one claim, which need not be one of the project's; see `evaluate_claims`."""
    start = time.perf_counter()
    failed: DeploykitError | None = None
    try:
        outcome = _outcome(claim, rows)
    except DeploykitError as error:
        missing = isinstance(error, MissingDependency)
        failed = error if missing else _of_claim(claim, str(error), error.exit_code, error)
    except OSError as error:
        failed = _of_claim(claim, *refused_by_system(error), error)
    except MemoryError as error:
        failed = _of_claim(claim, "not enough memory: free some", 4, error)
    except (Exception, SystemExit) as error:  # whatever it is, it must not cost the other claims
        # Of a claim of the user's own: a network that has nothing of what the check counts.
        said = f"{claim.check} can't be applied to what it names: {type(error).__name__}: {one_line(error, 100)}"
        failed = _of_claim(claim, said, UsageError.exit_code, error)
    if failed is not None:
        outcome = Outcome([PartResult(claim.about, None)], None, f"Not checked: {failed}.")
    return Verdict(claim, outcome, time.perf_counter() - start, failed)


def _outcome(claim: Claim, rows: Sequence[AnyRow]) -> Outcome:
    try:
        # Networks of the user's own may print while they are made and run: standard output is for data.
        with aside(), one_thread() if "computed" in claim.kind else contextlib.nullcontext():
            outcome = claim.decide(rows)
        if not outcome.parts:
            raise UsageError(f"{claim.check} is given nothing to decide: fill in its arguments")
        for name, count in Counter(part.name for part in outcome.parts).items():
            if count > 1:  # one would stand for both
                raise UsageError(f"{count} parts are called {name!r}: give each a name of its own")
        return outcome
    except TimeIsOver as error:
        with training(allowed=False):
            outcome = claim.decide(rows)  # each part by its name, undecided
        return replace(outcome, explanation=f"Not trained: {error}.")


def _of_claim(claim: Claim, said: str, exit_code: int, cause: BaseException) -> DeploykitError:
    """What is said of an error, and of which claim it is."""
    kind = UsageError if exit_code == UsageError.exit_code else DeploykitError
    named = kind(f"claim {claim.id}: {said}")
    named.exit_code = exit_code
    named.__cause__ = cause
    return named


def failure(verdicts: Iterable[Verdict]) -> DeploykitError | None:
    """The error that a command should end with, or None when every verdict and every part is as expected.

    That is what kept the first claim from being evaluated, with its exit code; else CheckFailed (1), which names
    the verdicts and parts that surprise; MissingDependency (3) where the only trouble is that something isn't
    installed.
    """
    surprises = [verdict for verdict in verdicts if not verdict.as_expected]
    failed = [v.error for v in surprises if v.error is not None and not v.missing]
    if failed:
        return failed[0]
    wrong = [verdict for verdict in surprises if not verdict.missing]
    if wrong:
        named = "; ".join(f"{verdict.claim.id} {', '.join(verdict.surprises)}" for verdict in wrong)
        return CheckFailed(f"unexpected: {named}; see the explanation")
    if surprises:
        return MissingDependency(f"{len(surprises)} claims not checked: {surprises[0].missing}")
    return None


def choose_claims(ids: Iterable[str] | None, claims: Sequence[Claim]) -> list[Claim]:
    """Those of `claims` with these ids, in the order of the ids; all where there are none.

    Raises:
        UnknownName: there is no such claim.
    """
    if ids is None:
        return list(claims)
    by_id = {claim.id: claim for claim in claims}
    listing = f"deploykit claims{_named(claims[0].file if claims else '')} --list"
    chosen = list(dict.fromkeys(ids))
    for name in chosen:
        if name not in by_id:
            raise UnknownName("claim", name, by_id, f"see `{listing}`")
    return [by_id[name] for name in chosen]


def refuse_without_rows(verdicts: Iterable[Verdict], path: str) -> None:
    """Refuse a report that has no rows for some of the claims that were asked for by name.

    Rows whose repeats say different things are rows: what they leave undecided is a verdict, not a want of rows.

    Raises:
        UsageError: names the claim, and what is to be measured for it.
    """
    for verdict in verdicts:
        claim = verdict.claim
        if verdict.outcome.lacks_rows:
            needed = claim.measure.networks if claim.measure else ()
            of = f": it takes rows of {listed(n.name for n in needed)}" if needed else ""
            raise UsageError(
                f"{path} has no rows that decide {claim.id}{of}; see `{claim.settled_by}`"
            )
