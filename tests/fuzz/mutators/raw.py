"""Breaking bytes without knowing what they mean: flips, cuts, splices, and edited numbers."""

import struct
from collections.abc import Callable, Sequence
from random import Random

BOUNDARIES = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
HUGE = (2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
LONGEST_BLOCK = 64


def mutated(content: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """Return `content` after one to four random changes; splices take from `others` too."""
    broken = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        random.choice(CHANGES)(broken, random, others or (content,))
    return bytes(broken)


def _place(broken: bytearray, random: Random) -> int:
    """Return a position; beginnings and ends, where formats keep their sizes, are likelier."""
    last = max(len(broken) - 1, 0)
    near = min(last, LONGEST_BLOCK)
    return random.choice(
        (random.randint(0, last), random.randint(0, near), last - random.randint(0, near))
    )


def _flip_bit(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    if broken:
        broken[_place(broken, random)] ^= 1 << random.randrange(8)


def _set_byte(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    if broken:
        broken[_place(broken, random)] = random.randrange(256)


def _edit_number(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    """Overwrite what may be a length field with a number at a boundary."""
    kind, size = random.choice((("H", 2), ("I", 4), ("Q", 8)))
    value = random.choice(BOUNDARIES + HUGE) % (1 << 8 * size)
    start = _place(broken, random)
    broken[start : start + size] = struct.pack(random.choice("<>") + kind, value)


def _cut(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    del broken[_place(broken, random) :]


def _drop(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    start = _place(broken, random)
    del broken[start : start + random.randint(1, LONGEST_BLOCK)]


def _repeat(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    start = _place(broken, random)
    block = broken[start : start + random.randint(1, LONGEST_BLOCK)]
    broken[start:start] = block * random.randint(1, 4)


def _insert(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    start = _place(broken, random)
    broken[start:start] = random.randbytes(random.randint(1, LONGEST_BLOCK))


def _blank(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    start, size = _place(broken, random), random.randint(1, LONGEST_BLOCK)
    size = min(size, len(broken) - start)
    broken[start : start + size] = random.choice((b"\0", b"\xff", b" ", b"9")) * size


def _splice(broken: bytearray, random: Random, others: Sequence[bytes]) -> None:
    """Go on with another content from somewhere in it."""
    other = random.choice(others)
    broken[_place(broken, random) :] = other[random.randint(0, len(other)) :]


CHANGES: tuple[Callable[[bytearray, Random, Sequence[bytes]], None], ...] = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _edit_number,
    _edit_number,
    _cut,
    _drop,
    _repeat,
    _insert,
    _blank,
    _splice,
)
