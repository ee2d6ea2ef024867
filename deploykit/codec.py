"""Messages between processes and files: frozen dataclasses to JSON and back, checked against their types.

One codec for worker requests, manifests, ceilings and model specs. What comes back has the declared types or
is refused in one line that names the field; nothing is coerced in silence.
"""

from __future__ import annotations

import contextlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class MalformedMessage(ValueError):
    """JSON that is not what the reader expects, in one line that names the field."""


def to_values(value: Any) -> Any:
    """Plain JSON values of a dataclass, or of a container of them.

    A path becomes its absolute text, a fraction "6/7", a tuple a list.
    """
    import msgspec

    return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)


def from_values(values: Any, kind: type[T]) -> T:
    """An instance of `kind` from plain values.

    Raises:
        MalformedMessage: a field is missing or of another type.
    """
    import msgspec

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


def to_json(value: Any) -> bytes:
    """JSON text of a dataclass or of a container of them; keys in the order of the fields.

    Infinities and NaN are written as Python's own JSON has them: msgspec would write null.
    """
    return json.dumps(to_values(value), separators=(",", ":")).encode()


def from_json(text: bytes | str, kind: type[T]) -> T:
    """An instance of `kind` from JSON text.

    Raises:
        MalformedMessage: it is no JSON, nested beyond reason, or a field is missing or of another type.
    """
    import msgspec

    try:
        return msgspec.json.decode(text, type=kind, dec_hook=_revived, strict=True)
    except msgspec.ValidationError as error:
        raise MalformedMessage(" ".join(str(error).split())) from error
    except (msgspec.DecodeError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        # Infinities, NaN and file names outside UTF-8, which Python's own reader takes.
        with contextlib.suppress(ValueError, RecursionError):
            return from_values(json.loads(text), kind)
        raise MalformedMessage(" ".join(str(error).split())) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Fraction):
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
