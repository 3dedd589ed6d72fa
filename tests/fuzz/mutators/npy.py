"""Breaking arrays in numpy's own format: what the header says, and whether the data are that."""

import io
import struct
from random import Random

import numpy as np

from fuzz.mutators import raw

DTYPES = (
    *("'<f4'", "'>f4'", "'<f2'", "'<f8'", "'<f16'", "'<c8'", "'|b1'", "'|O'", "'<U9'", "'|S0'"),
    *("'<M8[ns]'", "'|V8'", "[('a', '<f4')]", "'<i8'", "'<u8'", "'object'", "1", "None", "()"),
    *("[('a', '<f4', (2,))]", "'<f4,<f4'", "'" + "x" * 2000 + "'"),
)
SHAPES = (
    *("()", "(0,)", "(-1,)", "(2, 3)", "(3, 2)", "(6,)", "(2, 3, 1)", "[2, 3]", "(2.0, 3)", "2"),
    *("(10**9,)", f"({10**12},)", f"({2**63},)", f"({2**62}, 4)", "(True, 6)", "('a',)", "None"),
    "(" * 500 + ")" * 500,
    "(" + "1, " * 100 + ")",
)
STRANGERS = (
    b"PK\x03\x04" + b"\0" * 40,
    b"PK\x05\x06" + b"\0" * 18,
    b"\x80\x04cos\nsystem\n(X\x06\0\0\0exit 7tR.",
    b"\x93NUMPY",
    b"\x93NUMPY\x09\x00",
    b"",
)


def encoded(array: np.ndarray) -> bytes:
    """Return an array in numpy's format."""
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return sink.getvalue()


def headed(header: str, data: bytes, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return a file with a header of any text."""
    text = header.encode("latin1", "replace") + b"\n"
    size = (
        struct.pack("<H", len(text) % 2**16) if version == (1, 0) else struct.pack("<I", len(text))
    )
    return b"\x93NUMPY" + bytes(version) + size + text + data


def mutated(array: np.ndarray, random: Random) -> bytes:
    """Return a broken file of this array."""
    kind = random.random()
    if kind < 0.35:
        return raw.mutated(encoded(array), random)
    if kind < 0.4:
        return random.choice(STRANGERS)
    data = array.tobytes()
    descr = random.choice((f"'{array.dtype.str}'", random.choice(DTYPES)))
    shape = random.choice((str(array.shape), random.choice(SHAPES)))
    order = random.choice(("False", "False", "True", "None", "[]"))
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if random.random() < 0.15:
        header = random.choice(
            (
                "{" * 900,
                "(" * 9000,
                "1" * 9000,
                "'",
                "\t {",
                "{'descr': 1",
                "{}",
                "a" * 70_000,
                "-" * 9000,
            )
        )
    version = random.choice(((1, 0), (1, 0), (2, 0), (3, 0)))
    return headed(header, random.choice((data, data, data[:-1], data + b"\0", b"")), version)
