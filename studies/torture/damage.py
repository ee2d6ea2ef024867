"""Damage to the bytes of a file: at random places, and at the fields of the protobuf messages in it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: Numbers at which readers of lengths, sizes and types have been seen to fail.
EDGES = (
    0, 1, 2, 7, 127, 128, 255, 256, 65_535, 2**20, 2**28, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
    10**9, 10**12, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
#: Texts that are none, that a terminal would act on, or that mean something to a path or a page.
TEXTS = (
    b"", b"\xff\xfe", b"\xc3\x28", b"\x1b[31mred", b"\xed\xa0\x80", b"a\nb", b"a\x00b", b"../../up",
    b"/etc/passwd", b"[/red]", b"=1+1", b"<script>", b"x" * 20_000, b"\xe2\x80\xae\xf0\x9f\x99\x82",
)  # fmt: skip
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(number: int) -> bytes:
    """Encode a number as protobuf does: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


@dataclass(frozen=True)
class Field:
    """One field of a message: where in it key, payload and end are."""

    number: int
    wire: int
    start: int
    payload: int
    end: int


def _number_at(data: bytes, at: int) -> tuple[int, int] | None:
    number = 0
    for count in range(10):
        if at + count >= len(data):
            return None
        number |= (data[at + count] & 0x7F) << 7 * count
        if data[at + count] < 0x80:
            return number, at + count + 1
    return None


def fields(data: bytes) -> list[Field] | None:
    """The fields of a message; None where the bytes are none."""
    found, at = [], 0
    while at < len(data):
        key = _number_at(data, at)
        if key is None or not key[0] >> 3:
            return None
        wire, payload = key[0] & 7, key[1]
        if wire == VARINT:
            value = _number_at(data, payload)
            end = len(data) + 1 if value is None else value[1]
        elif wire == BYTES:
            length = _number_at(data, payload)
            if length is None:
                return None
            payload, end = length[1], length[1] + length[0]
        else:
            end = payload + {FIXED64: 8, FIXED32: 4}.get(wire, len(data) + 1)
        if end > len(data):
            return None
        found.append(Field(key[0] >> 3, wire, at, payload, end))
        at = end
    return found


def _damage_field(data: bytes, chance: random.Random) -> bytes:
    """Change one field of one message, at any depth; the lengths of those around it follow."""
    inside = fields(data)
    if not inside:
        return _flip(data, chance)
    one = chance.choice(inside)
    payload = data[one.payload : one.end]
    if one.wire == BYTES and len(payload) > 1 and chance.random() < 0.85 and fields(payload):
        inner = _damage_field(payload, chance)
        return data[: one.start] + _field(one.number, BYTES, inner) + data[one.end :]
    kind = chance.randrange(7)
    whole = data[one.start : one.end]
    if kind == 0:  # left out
        new = b""
    elif kind == 1:  # told many times
        new = whole * chance.choice((2, 3, 300))
    elif kind == 2:  # of another number
        new = _field(chance.randrange(1, 30), one.wire, payload)
    elif kind == 3:  # of another wire type
        new = _field(one.number, chance.choice((VARINT, FIXED64, BYTES, FIXED32, 3, 4)), payload)
    elif kind == 4 and one.wire == BYTES:  # of a length that is not its own
        new = varint(one.number << 3 | BYTES) + varint(chance.choice(EDGES)) + payload
    elif one.wire == BYTES:
        new = _field(
            one.number, BYTES, chance.choice((chance.choice(TEXTS), payload * 2, payload[1:]))
        )
    else:
        new = _field(one.number, VARINT, varint(chance.choice(EDGES)))
    return data[: one.start] + new + data[one.end :]


def _field(number: int, wire: int, payload: bytes) -> bytes:
    length = varint(len(payload)) if wire == BYTES else b""
    return varint(number << 3 | wire) + length + payload


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    at, length = chance.randrange(len(data) + 1), chance.choice((1, 2, 4, 16, 256))
    new = chance.choice((bytes(length), chance.randbytes(length), b"\xff" * length))
    return data[:at] + new + data[at + length :]


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    new = chance.choice((varint(chance.choice(EDGES)), chance.choice(TEXTS), chance.randbytes(8)))
    return data[:at] + new + data[at:]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _leave_out(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.choice((1, 2, 16, 400)) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    part = data[at : at + chance.choice((1, 16, 400))]
    return data[:at] + part * chance.choice((1, 2, 50)) + data[at:]


def _append(data: bytes, chance: random.Random) -> bytes:
    return data + chance.choice((data, data[: len(data) // 2], chance.randbytes(32)))


#: Kinds of damage by name; fields come often, as what they leave is mostly still a message.
KINDS: Mapping[str, Callable[[bytes, random.Random], bytes]] = {
    "field": _damage_field,
    "flip": _flip,
    "overwrite": _overwrite,
    "insert": _insert,
    "cut": _cut,
    "leave out": _leave_out,
    "repeat": _repeat,
    "append": _append,
}
WEIGHTS = (10, 3, 2, 2, 1, 1, 1, 1)


def damage(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    """Damage some bytes once; them, and the name of what was done."""
    (kind,) = chance.choices(list(KINDS), WEIGHTS)
    return KINDS[kind](data, chance), kind
