"""Messages between processes and files: frozen dataclasses to JSON and back, checked against their types.

One codec for worker requests, manifests, ceilings and model specs. What comes back has the declared types or
is refused in one line that names the field; nothing is coerced in silence. Files are read with bounds on their
size and on the depth of their nesting, so that a damaged one can't exhaust memory or the stack.
"""

from __future__ import annotations

import contextlib
import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deploykit.lazy import LazyModule
from deploykit.reading import open_file

if TYPE_CHECKING:
    import msgspec
else:
    msgspec = LazyModule("msgspec")

T = TypeVar("T")

#: A file of JSON may be this large: the manifest of the largest engine takes less than a hundredth of it.
MAX_FILE_BYTES = 64 * 2**20
#: Lists and objects within each other; ours nest to 5.
MAX_NESTING = 64


class MalformedMessage(ValueError):
    """JSON that is not what the reader expects, in one line that names the field."""


def to_values(value: Any) -> Any:
    """Plain JSON values of a dataclass, or of a container of them.

    A path becomes its absolute text, a fraction "6/7", a tuple a list.
    """
    return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)


def from_values(values: Any, kind: type[T]) -> T:
    """An instance of `kind` from plain values.

    Raises:
        MalformedMessage: a field is missing or of another type.
    """
    try:
        return msgspec.convert(values, kind, dec_hook=_revived, strict=True, str_keys=True)
    except (
        msgspec.ValidationError,
        ValueError,
        TypeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise MalformedMessage(" ".join(str(error).split())) from error


def to_json(value: Any, *, pretty: bool = False) -> bytes:
    """JSON text of a dataclass or of a container of them; keys in the order of the fields.

    With `pretty`, for files that people open too, keys are sorted, lines indented and the last one ended.
    Infinities and NaN are written as Python's own JSON has them: msgspec would write null.
    """
    if pretty:
        return json.dumps(to_values(value), indent=2, sort_keys=True).encode() + b"\n"
    return json.dumps(to_values(value), separators=(",", ":")).encode()


def from_json(text: bytes | str, kind: type[T]) -> T:
    """An instance of `kind` from JSON text.

    Raises:
        MalformedMessage: it is no JSON, nested beyond reason, or a field is missing or of another type.
    """
    try:
        return msgspec.json.decode(text, type=kind, dec_hook=_revived, strict=True)
    except msgspec.ValidationError as error:
        raise MalformedMessage(" ".join(str(error).split())) from error
    except (msgspec.DecodeError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        # Infinities, NaN and file names outside UTF-8, which Python's own reader takes.
        with contextlib.suppress(ValueError, RecursionError):
            return from_values(json.loads(text), kind)
        raise MalformedMessage(" ".join(str(error).split())) from error


def read_json(path: Path, kind: type[T], max_bytes: int = MAX_FILE_BYTES) -> T:
    """An instance of `kind` from a file of JSON.

    Raises:
        OSError: the file can't be read, or is no regular one.
        MalformedMessage: it is larger than `max_bytes`, nested more than `MAX_NESTING` deep,
            no JSON, or a field is missing or of another type.
    """
    with open_file(path) as stream:
        text = stream.read(max_bytes + 1)
    if len(text) > max_bytes:
        raise MalformedMessage(f"{path} has more than {max_bytes} bytes")
    anything: Any = Any
    values = from_json(text, anything)
    _check_nesting(values)
    return from_values(values, kind)


def read_stored(path: Path, kind: type[T], max_bytes: int = MAX_FILE_BYTES) -> T | None:
    """What `read_json` gives, or None where the file is missing or malformed, and so has to be made again."""
    try:
        return read_json(path, kind, max_bytes)
    except (OSError, MalformedMessage):
        return None


def _check_nesting(value: object) -> None:
    """Raise where lists and objects nest deeper than `MAX_NESTING`; what handles them later recurses."""
    level = [value]
    for _ in range(MAX_NESTING + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise MalformedMessage(f"nested more than {MAX_NESTING} deep")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Fraction | str):  # a version of PyTorch is a class of its own over str
        return str(value)
    if hasattr(value, "item"):  # a number of numpy's
        return value.item()
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _revived(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(value)
    if issubclass(kind, Fraction):
        return Fraction(value)
    raise TypeError(f"no {kind.__name__} can be read from JSON")
