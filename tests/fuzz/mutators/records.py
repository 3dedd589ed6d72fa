"""Breaking what Flower messages carry: names, shapes, types, bytes, and the figures beside them."""

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fuzz.mutators import npy

NAMES = ("", "w", "arrays", "\0", "\x1b[2J", "../../outside", "x" * 100_000, "\ud800", "a\nb")
SHAPES = ((), (0,), (-1,), (2**40, 2**40), (10**9,), (1,) * 100, (6,))
FIGURES: tuple[Any, ...] = (
    *(0, -1, 1, 40, 2**63, 10**30, 10**400, 0.0, -0.5, 1e308, math.nan, math.inf, -math.inf),
    *([], [1, 2, 3], [1.5] * 40, [math.nan], [10**30]),
)
SETTINGS: tuple[Any, ...] = (
    *(0, -1, True, 10**30, -(10**30), 1.5, math.nan, math.inf, -1.0, "1", "x" * 100_000, b"\xff"),
    *([1, 2], ["a"], [True], [0.5], [b"a"], [], 3),
)


def mutated(content: RecordDict, random: Random) -> RecordDict:
    """Return a message's content after one to three random changes."""
    broken = RecordDict({key: record.copy() for key, record in content.items()})
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        random.choice(CHANGES)(broken, random)
    return broken


def _some(records: Any, random: Random) -> Any:
    return records[random.choice(list(records))] if records else None


def _edit_array(broken: RecordDict, random: Random) -> None:
    """Change one array: what is declared, what is in it, or both."""
    record = _some(broken.array_records, random)
    if not record:
        return
    name = random.choice(list(record))
    record[name] = random.choice(ARRAYS)(record[name], random)


def _edit_names(broken: RecordDict, random: Random) -> None:
    record = _some(broken.array_records, random)
    if not record:
        return
    name = random.choice(list(record))
    change = random.randrange(3)
    if change == 0:
        del record[name]
    elif change == 1:
        record[random.choice(NAMES)] = record.pop(name)
    else:
        record[random.choice(NAMES)] = record[name]


def _edit_figures(broken: RecordDict, random: Random) -> None:
    record = _some(broken.metric_records, random)
    if record is None:
        return
    key = random.choice([*record, "num-examples", "loss", "accuracy", random.choice(NAMES)])
    if random.random() < 0.2:
        record.pop(key, None)
    else:
        record[key] = random.choice(FIGURES)


def _edit_settings(broken: RecordDict, random: Random) -> None:
    record = _some(broken.config_records, random)
    if record is None:
        return
    key = random.choice([*record, "server-round", "proximal-mu", random.choice(NAMES)])
    if random.random() < 0.2:
        record.pop(key, None)
    else:
        record[key] = random.choice(SETTINGS)


def _edit_records(broken: RecordDict, random: Random) -> None:
    """Drop, double, rename or exchange whole records."""
    if not broken:
        return
    key = random.choice(list(broken))
    change = random.randrange(4)
    if change == 0:
        del broken[key]
    elif change == 1:
        broken[random.choice(NAMES)] = broken[key]
    elif change == 2:
        broken[random.choice(NAMES)] = broken.pop(key)
    else:
        broken[key] = random.choice(
            (ArrayRecord(), MetricRecord(), ConfigRecord(), ConfigRecord({"arrays": b"\0" * 99}))
        )


def _lied(array: Array, random: Random) -> Array:
    """Declare another shape, type or encoding than there is."""
    return random.choice(
        (
            Array(array.dtype, random.choice(SHAPES), array.stype, array.data),
            Array(random.choice(("float64", "object", "", "x" * 999)), *_rest(array)),
            Array(array.dtype, array.shape, random.choice(("", "pickle", "torch")), array.data),
        )
    )


def _rest(array: Array) -> tuple[tuple[int, ...], str, bytes]:
    return array.shape, array.stype, array.data


def _garbled(array: Array, random: Random) -> Array:
    """Keep what is declared, and break the bytes."""
    content = npy.mutated(_values(array), random)
    return Array(array.dtype, array.shape, array.stype, content)


def _revalued(array: Array, random: Random) -> Array:
    """Fill with numbers that do no good, of any type."""
    kind = random.choice(
        ("f2", "f4", ">f4", "f8", "f16", "c8", "i8", "u8", "u4", "u2", "?", "S3", "M8[s]", "m8[s]")
    )
    values = np.zeros(_values(array).shape, dtype=kind)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values[...] = random.choice((np.nan, np.inf, 6e4, -6e4, 1e38, 0.0))
    return Array(str(values.dtype), values.shape, array.stype, npy.encoded(values))


def _values(array: Array) -> np.ndarray:
    """Return what is in an array, or something else if an earlier change has broken it."""
    try:
        values = array.numpy() if math.prod(array.shape) < 2**20 else None
    except Exception:  # the array may be broken in any way
        values = None
    return values if isinstance(values, np.ndarray) else np.ones((2, 3))


ARRAYS: tuple[Callable[[Array, Random], Array], ...] = (_lied, _garbled, _garbled, _revalued)
CHANGES: tuple[Callable[[RecordDict, Random], None], ...] = (
    _edit_array,
    _edit_array,
    _edit_array,
    _edit_names,
    _edit_figures,
    _edit_figures,
    _edit_settings,
    _edit_records,
)
