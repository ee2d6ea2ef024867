"""Claims about networks, evaluated by computing: confirmed, refuted, in context, cited or undecided.

The files of `statements` hold what people say and by which check, with which arguments, it is decided; `checks`
holds the checks. No verdict is stored. Importing this package and listing the claims imports neither torch, onnx
nor numpy; importing it and listing what is claimed imports none of the checks either, which come with the first of
the names that need them.
"""

from __future__ import annotations

import importlib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deploykit.lazy import callable_package

if TYPE_CHECKING:
    from deploykit.claims.claim import (
        Claim,
        evaluate_claim,
        evaluate_claims,
        failure,
        list_claims,
        parse_claims,
        read_claims,
        refuse_without_rows,
    )
    from deploykit.claims.verdict import VERDICTS, Outcome, PartResult, Verdict

__all__ = [
    "VERDICTS",
    "Claim",
    "Outcome",
    "PartResult",
    "Statement",
    "Verdict",
    "evaluate_claim",
    "evaluate_claims",
    "failure",
    "list_claims",
    "list_statements",
    "parse_claims",
    "read_claims",
    "refuse_without_rows",
    "stored_texts",
]

_PLACES = dict.fromkeys(__all__, "claim") | dict.fromkeys(
    ("VERDICTS", "Outcome", "PartResult", "Verdict"), "verdict"
)


def __getattr__(name: str) -> object:
    """Find a name where it is defined, when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


callable_package(__name__, "check_claims")


class Statement(NamedTuple):
    """A claim as people state it.

    Attributes:
        id: what `deploykit claims ID` takes.
        statement: the claim, in a sentence.
        source: which kind of document says so, and the paper it goes back to.
    """

    id: str
    statement: str
    source: str


def stored_texts() -> dict[str, str]:
    """The project's own claims, as TOML: the text of each file of `statements`, in the order of their names."""
    folder = files(__package__).joinpath("statements")
    found = {file.name: file for file in folder.iterdir() if file.name.endswith(".toml")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}


def list_statements(path: Path | None = None) -> list[Statement]:
    """What the project's own claims say, in the order of `list_claims`, or those of a file.

    Of the project's own no check is imported.

    Raises:
        UsageError: the file can't be read, or as `parse_claims`.
    """
    if path is not None:
        own = importlib.import_module(f"{__name__}.claim").read_claims(path)
        return [Statement(claim.id, claim.statement, claim.source) for claim in own]
    tables = [table for text in stored_texts().values() for table in tomllib.loads(text)["claim"]]
    return [Statement(*(table[name] for name in Statement._fields)) for table in tables]
