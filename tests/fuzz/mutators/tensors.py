"""Breaking safetensors files: the header as data, its length, and what our formats keep in it."""

import json
import struct
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from fuzz.mutators import raw, trees

DTYPES = (
    *("BOOL", "U8", "I8", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "F64", "I64", "U64"),
    *("F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3", "F6_E3M2", "C64", "", "object", "F32 "),
)
METADATA = "__metadata__"


def opened(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the data of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def closed(header: Any, data: bytes, length: int | None = None) -> bytes:
    """Return a safetensors file; `length` is a lie about the header's."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", (len(text) if length is None else length) % 2**64) + text + data


def mutated(
    content: bytes,
    random: Random,
    inner: str,
    seal: Callable[[Mapping[str, Any], bytes, Any], Any] | None = None,
) -> bytes:
    """Return a broken safetensors file.

    Parameters
    ----------
    inner
        The metadata entry in which our format keeps JSON; broken too.
    seal
        Given the header, the data and the broken inner JSON, returns it with the checksum that
        fits, so that a reader meets what stands behind the checksum.
    """
    kind = random.random()
    if kind < 0.25:
        return raw.mutated(content, random)
    header, data = opened(content)
    if kind < 0.5:
        return closed(trees.mutated(header, random, ("dtype", "shape", "data_offsets")), data)
    if kind < 0.6:
        return closed(header, data, random.choice((*raw.BOUNDARIES, *raw.HUGE, len(content))))
    if kind < 0.75:
        return closed(_retyped(header, random), data)
    ours = header.get(METADATA, {})
    if inner in ours:
        broken = trees.mutated(json.loads(ours[inner]), random)
        if seal is not None and random.random() < 0.8:
            broken = seal(header, data, broken)
        text = json.dumps(broken)
        if random.random() < 0.05:
            text = random.choice(("[" * 100_000, "{", "", "null", "NaN", text[:-1]))
        header[METADATA] = {**ours, inner: text}
    return closed(header, data)


def _retyped(header: dict[str, Any], random: Random) -> dict[str, Any]:
    """Give a tensor another type, shape or place, its size fitting or not."""
    names = [name for name in header if name != METADATA]
    if not names:
        return header
    entry = header[random.choice(names)]
    change = random.randrange(4)
    if change == 0:
        entry["dtype"] = random.choice(DTYPES)
    elif change == 1:
        entry["shape"] = random.choice(([], [0], [-1], [2**40], [1, *entry["shape"]], [2**33] * 2))
    elif change == 2:
        start, end = entry["data_offsets"]
        entry["data_offsets"] = random.choice(
            ([end, start], [start, end + 8], [0, 2**62], [start + 1, end], [-8, 0], [start, start])
        )
    else:
        size = entry["data_offsets"][1] - entry["data_offsets"][0]
        entry["dtype"], entry["shape"] = random.choice(
            (("U8", [size]), ("F8_E4M3", [size]), ("BOOL", [size]), ("F16", [size // 2]))
        )
        if random.random() < 0.3:
            entry["dtype"], entry["shape"] = random.choice(
                (("F4", [size * 2]), ("F8_E8M0", [size]), ("C64", [size // 8]), ("U64", [1]))
            )
    return header
