"""What a setting is given: values that have surprised a reader before, and those at its borders."""

import datetime
import itertools
import math
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from fuzz.values.places import Place

WHOLE: tuple[int, ...] = (
    *(0, -1, 1, 2, 3, 4, 5, 7, 8, 10, 12, 20, 21, 39, 40, 41, 60, 61, 100, 179, 181, 239, 241),
    *(1_000, 1_000_000, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**12, 10**400),
)
"""Some lie at the sizes of the toy federation: rounds, participants, records, classes, features."""
REAL: tuple[float, ...] = (
    *(0.0, -0.0, 0.25, 0.5, 1.0, 1.5, -0.5, -1.0, 1e-320, 1e-9, 1e9, 1e308),
    *(math.nan, math.inf, -math.inf, 1 - 2**-53, 1 + 2**-52),
)
TEXTS: tuple[str, ...] = (
    *("", " ", "a", "0", "-1", "1e9", "nan", "null", "true", "mean", "all", "\0", "a\nb", "\t"),
    *("\x1b[2J\x1b[31m", "\u202e", "\ufeff", "\ud800", "\U0001f600", "[/red]", "a" * 300),
    *("../../outside", "/outside", "a/b", "..", ".", "~", "{x}", "%s", "@", "a@0.1", "x" * 100_000),
    *("no_such_module:thing", "json:dumps", "json:no_such", "json:", ":dumps", "math:pi", "int"),
    *("builtins:dict", "collections:OrderedDict", "toys:PASSIVE", "toys:no", "toys:blobs"),
    *("torch.nn:Linear", "torch.optim:Adam", "torch.nn.functional:mse_loss"),
)
CONTAINERS: tuple[Any, ...] = (
    *([], {}, [[]], [None], {"": None}, {"name": None}, {"name": "a"}, {"name": {}}, {1: 2}),
    *([0], [1], [-1], [1, 1], [0, 1], [3, 2], [0.5], ["a"], [True], [1, "a"], [0, "a", {}]),
    *({"1": 0.1}, {"0": 0.1}, {"-1": [0]}, {"2": [0, 1]}, {"a": 1}, [0] * 1000, [[[[[1]]]]]),
)
CONSTANTS: tuple[Any, ...] = (None, True, False)
FOREIGN: tuple[Any, ...] = (
    *(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), b"a"),
    *({1, 2}, Path("a"), 1j, np.float32(0.5), np.int64(1), np.ones(2), object, range(3)),
)
"""What a date in YAML is, and what a mapping in Python may hold; none of it is plain data."""
POOL = (*CONSTANTS, *WHOLE, *REAL, *TEXTS, *CONTAINERS, *FOREIGN)


def values_for(place: Place) -> list[Any]:
    """Return what a setting is given, each once: the pool, and what its type makes likely."""
    made = [*_of_kind(place.kind), *_near(place.default), *POOL]
    found: dict[str, Any] = {}
    for value in made:
        found.setdefault(f"{type(value).__name__} {value!r}"[:400], value)
    return list(found.values())


def sound_values(place: Place) -> list[Any]:
    """Return plain values of a setting's type, those that are likely to be valid first."""
    kinds = [kind for kind, _ in _leaves(place.kind)]
    found: list[Any] = []
    if int in kinds:
        found += [1, 2, 4, 0]
    if float in kinds:
        found += [0.5, 1.0, 2.0, 0.1]
    if str in kinds:
        found += ["label", "a"]
    lists = [[value] * n for value in found for n in (1, 2, 3)]
    whole = [value for value in _of_kind(place.kind) if not isinstance(value, list)]
    return [*found, *lists, *whole, [], {}]


def _of_kind(kind: Any) -> Iterator[Any]:
    """Yield what a type makes likely: its choices, its bounds, lists of what it holds."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        for one in inside:
            yield one
            if isinstance(one, str):
                yield from (one.upper(), f" {one}", f"{one}{one}", [one], {"name": one})
    elif origin is Annotated:
        yield from _of_kind(inside[0])
        for mark in inside[1:]:
            yield from _at_bounds(mark)
    elif origin in (Union, types.UnionType):
        for part in inside:
            yield from _of_kind(part)
    elif origin in (tuple, list):
        parts = [part for part in inside if part is not Ellipsis]
        first = list(itertools.islice(_elements(parts[0]), 40)) if parts else []
        for one in first:
            yield from ([one], [one, one], [*first[:1], one])
        if len(parts) > 1:
            yield from ([first[0]] * n for n in range(len(parts) + 2))
    elif origin is dict:
        keys, held = list(_elements(inside[0]))[:12], list(_elements(inside[1]))[:12]
        yield from ({str(key): one} for key in keys for one in held[:4])
        yield from ({str(keys[0]): one} for one in held)


def _elements(kind: Any) -> Iterator[Any]:
    yield from _of_kind(kind)
    leaves = {leaf for leaf, _ in _leaves(kind)}
    if int in leaves:
        yield from WHOLE
    if float in leaves:
        yield from REAL
    if str in leaves:
        yield from TEXTS
    yield from CONSTANTS


def _leaves(kind: Any) -> Iterator[tuple[Any, Any]]:
    inside = get_args(kind)
    if get_origin(kind) is Literal or not inside:
        yield kind, None
    else:
        for part in inside[:1] if get_origin(kind) is Annotated else inside:
            yield from _leaves(part)


def _at_bounds(mark: Any) -> Iterator[Any]:
    """Yield what lies at, just below and just above the bounds that a mark of pydantic's says."""
    marks = [mark, *getattr(mark, "metadata", ())]
    for one in marks:
        for name in ("gt", "ge", "lt", "le", "min_length", "max_length"):
            bound = getattr(one, name, None)
            if isinstance(bound, int | float):
                yield from _near(bound)
                yield from _near(float(bound))


def _near(value: Any) -> Iterator[Any]:
    """Yield neighbours of a value."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int):
        yield from (value, value - 1, value + 1, -value, value * 1000, str(value), float(value))
    elif isinstance(value, float):
        yield from (value, math.nextafter(value, -9), math.nextafter(value, 9e9), -value)
        yield from (value * 1e6, str(value), [value])
    elif isinstance(value, str) and value:
        yield from (value, value[:-1], value + value, value[::-1], value.upper(), f"{value}@1")
    elif isinstance(value, tuple | list) and value:
        whole = list(value)
        yield from (whole, whole * 2, whole[:-1], whole[::-1], [whole], whole * 400)
