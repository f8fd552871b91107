"""Damage done to files, decided by a random state alone: a part of `benchmarks.fuzz`."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

_WORD = re.compile(rb"[^\s:=(),\[\]{}\"]+")
_NUMBER = re.compile(rb"[-+]?\d[\d.eE+-]*")
_EXTREME = (0, 1, -1, 2, 7, 8, 127, 255, 256, 348, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, -(2**31),
            2**32 - 1, 2**40, 2**63 - 1, -(2**63), 2**64 - 1)  # fmt: skip
_FLOATS = (
    0.0,
    -0.0,
    -1.0,
    0.5,
    352.0,
    1e-38,
    1e38,
    1e-310,
    1.7e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
_WORDS = (
    b"0", b"-1", b"1.5", b"nan", b"-inf", b"1e308", b"1e-320", b"99999999999", b"18446744073709551616",
    b"0x41", b"9" * 5000, b"", b"none", b"true", b"null", b"[]", b"{}", b'"', b"(((", b"%03d.raw", b"LIST",
    b"/etc/passwd", b"../x", b"\x00", b"\xff\xfe", b"\n\n", b"raw", b"gzip", b"bzip2",
    b"A" * 70000, b"[" * 3000,
)  # fmt: skip
HEAD = 600
"""Bytes: most damage is done to the first ones, where the headers are."""


@dataclass(frozen=True)
class Part:
    """One file of an input.

    Attributes
    ----------
    name : str
        In the folder of the input.
    plain : bytes
        What is damaged first.
    pack : callable, optional
        What then makes the file's bytes, such as gzip; they may be damaged too.
    text : bool
        Whether words and lines can be told in it.
    """

    name: str
    plain: bytes
    pack: Callable[[bytes], bytes] | None = None
    text: bool = False

    def packed(self, plain: bytes) -> bytes:
        return plain if self.pack is None else self.pack(plain)


def mutated(parts: list[Part], others: list[list[Part]], rng: random.Random) -> dict[str, bytes]:
    """The files of an input, at least one of them damaged; ``others`` are what it is spliced with."""
    chosen = rng.randrange(len(parts))
    files = {}
    for number, part in enumerate(parts):
        if number != chosen:
            files[part.name] = part.packed(part.plain)
            continue
        plain, both = part.plain, rng.random()
        if part.pack is None or both < 0.7:
            plain = _damaged(plain, part.text, [o.plain for other in others for o in other], rng)
        packed = part.packed(plain)
        if part.pack is not None and both > 0.6:
            packed = _damaged(packed, False, [], rng)
        files[part.name] = packed
    return files


def _damaged(content: bytes, text: bool, others: list[bytes], rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        kind = rng.choice(_IN_TEXT if text and rng.random() < 0.7 else _ANYWHERE)
        content = kind(content, rng)
    if others and rng.random() < 0.04:
        other = rng.choice(others)
        content = content[: _place(content, rng)] + other[_place(other, rng) :]
    return content


def _place(content: bytes, rng: random.Random) -> int:
    near = len(content) if rng.random() < 0.2 else min(len(content), HEAD)
    return rng.randrange(near + 1)


def _bits(content: bytes, rng: random.Random) -> bytes:
    new = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8)) if new else 0):
        new[min(_place(content, rng), len(new) - 1)] ^= 1 << rng.randrange(8)
    return bytes(new)


def _field(content: bytes, rng: random.Random) -> bytes:
    """An extreme number of 1 to 8 bytes, in either byte order, at a place where one may be."""
    order = rng.choice("<>")
    if rng.random() < 0.3:
        kind = rng.choice("fd")
        value = rng.choice(_FLOATS)
        try:
            field = struct.pack(order + kind, value)
        except OverflowError:
            field = struct.pack(order + "d", value)
    else:
        size = rng.choice((1, 2, 4, 8))
        field = (rng.choice(_EXTREME) % 2 ** (8 * size)).to_bytes(size, "little" if order == "<" else "big")
    at = _place(content, rng) // len(field) * len(field)
    return content[:at] + field + content[at + len(field) :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _removed(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + rng.choice((1, 2, 8, 100)) :]


def _inserted(content: bytes, rng: random.Random) -> bytes:
    at, size = _place(content, rng), rng.choice((1, 2, 8, 100, 4000))
    more = rng.choice((bytes(size), rng.randbytes(size), content[at : at + size], b"\n" * size))
    return content[:at] + more + content[at:]


def _longer(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.01:  # a bomb where it is compressed
        return content + bytes(32 << 20)
    return content + rng.choice((b"\0", content, rng.randbytes(40), bytes(10000)))


def _zeros(content: bytes, rng: random.Random) -> bytes:
    at, size = _place(content, rng), rng.choice((4, 40, 400))
    return content[:at] + bytes(min(size, len(content) - at)) + content[at + size :]


def _number(content: bytes, rng: random.Random) -> bytes:
    return _replaced(content, _NUMBER, rng)


def _word(content: bytes, rng: random.Random) -> bytes:
    return _replaced(content, _WORD, rng)


def _replaced(content: bytes, pattern: re.Pattern[bytes], rng: random.Random) -> bytes:
    found = list(pattern.finditer(content, 0, 4096))
    if not found:
        return content
    word = rng.choice(found)
    new = rng.choice((*_WORDS, rng.choice(found)[0], str(rng.choice(_EXTREME)).encode()))
    return content[: word.start()] + new + content[word.end() :]


def _line(content: bytes, rng: random.Random) -> bytes:
    """A line that is missing, twice, moved, or very often there."""
    lines = content[:4096].split(b"\n")
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.choice((0, 1, 2, 2, 3 if rng.random() < 0.99 else 300_000))):
        lines.insert(rng.randrange(len(lines) + 1) if len(lines) < 100 else len(lines), line)
    return b"\n".join(lines) + content[4096:]


_ANYWHERE = (_bits, _bits, _field, _field, _field, _cut, _removed, _inserted, _longer, _zeros)
_IN_TEXT = (_number, _number, _word, _word, _line)
