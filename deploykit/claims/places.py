"""Where in a file of claims something stands, for messages: TOML's parser keeps no lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEADER = re.compile(r"\s*\[\[\s*claim\s*\]\]")
#: What a message quotes, or says is missing or there twice: the first of these words is looked for.
_NAMED = re.compile(r"'([^']+)'|`([^`]+)`")
#: A field of a table within an argument, which says more than the argument that the message names before it.
_FIELD = re.compile(r"unknown field `([^`]+)`")
#: Lines that are for people: sentences of an entry, and remarks.
_SENTENCE = re.compile(r"\s*(?:#|(?:statement|source|about)\s*=)")


def line_of(text: str, number: int, message: str) -> int:
    """The line of a file of claims that a message about its `number`-th claim (from 1) is about.

    That is the first line of the claim's table that sets a field which is not known, or one that the message
    quotes, or that has a word which it quotes, sentences for people last; the table's header where there is none.
    """
    lines = text.split("\n")  # as TOML counts them: other line breaks may stand in strings
    starts = [place for place, line in enumerate(_outside_strings(lines)) if _HEADER.match(line)]
    if not 0 < number <= len(starts):
        return 1
    start = starts[number - 1]
    end = starts[number] if number < len(starts) else len(lines)
    words = [re.escape(one or other) for one, other in _NAMED.findall(message)]
    fields = [re.escape(field) for field in _FIELD.findall(message)]
    sought = [re.compile(rf"(?<!\w){field}[\"']?\s*=") for field in fields]
    for word in words:
        sought += [re.compile(rf"^\s*[\"']?{word}[\"']?\s*="), re.compile(rf"(?<!\w){word}(?!\w)")]
    # What a sentence of the entry says of a thing is not where the thing is set.
    places = sorted(range(start, end), key=lambda place: bool(_SENTENCE.match(lines[place])))
    for whole in sought:
        for place in places:
            if whole.search(lines[place]):
                return place + 1
    return start + 1


def line_of_key(text: str, key: str) -> int:
    """The first line outside of strings that has a key of the file itself, or the header of its table; else 1."""
    whole = re.compile(rf"[\s\[\"']*{re.escape(key)}(?![\w-])")
    lines = enumerate(_outside_strings(text.split("\n")), 1)
    return next((number for number, line in lines if whole.match(line)), 1)


def _outside_strings(lines: list[str]) -> Iterator[str]:
    """Each line, empty within strings of several lines."""
    closing = ""
    for line in lines:
        yield "" if closing else line
        for quotes in re.findall(r'"""|\'\'\'', line):
            closing = "" if closing == quotes else closing or quotes
