"""What is said: the statements of claims.toml, without the checks that decide them."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import NamedTuple


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


def stored_text() -> str:
    """The project's own claims, as TOML."""
    return files(__package__).joinpath("claims.toml").read_text(encoding="utf-8")


def list_statements() -> list[Statement]:
    """What the project's own claims say, in the order of claims.toml; no check is imported."""
    tables = tomllib.loads(stored_text())["claim"]
    return [Statement(*(table[name] for name in Statement._fields)) for table in tables]
