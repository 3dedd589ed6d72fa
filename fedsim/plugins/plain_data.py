"""Plain data, which YAML and JSON can hold; other values are refused, and named by their keys.

A date without quotes in a YAML file is not plain data, nor is ``.nan``, nor an array that a script
puts into a mapping.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from fedsim.errors import LONGEST_VALUE, shown

MOST_BITS = 128
"""The most bits of an integer: the length of the entropy with which numpy seeds."""
DEEPEST = 200


def as_json(tree: Any) -> str:
    """Return plain data as JSON.

    Raises
    ------
    ValueError
        If it is not plain finite data. The text names the first key whose value is not.

    Examples
    --------
    >>> as_json({"rounds": [1, 2]})
    '{"rounds": [1, 2]}'
    >>> as_json({"rounds": {"every": float("nan")}})
    Traceback (most recent call last):
    ...
    ValueError: rounds.every is nan, which is not plain finite data; valid: numbers, texts, true, \
false, null, and lists and mappings of them
    """
    for _, fault in plain_data_faults(tree):
        raise ValueError(fault)
    return json.dumps(tree, allow_nan=False)


Keys = tuple[str, ...]


def plain_data_faults(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Yield the keys of each value that is not plain finite data, with a sentence."""
    where = ".".join(path) or "it"
    if len(path) > DEEPEST:
        sentence = f"{where[:LONGEST_VALUE]}... is nested too deeply: it is not plain finite data"
        yield path, sentence
    elif isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str | int | float | None) or _odd(key)]
        if odd:
            yield path, f"{where} has the key {_shown(odd[0])}, which is not plain finite data"
        elif not isinstance(value, dict):
            yield path, _sentence(where, value)
        else:
            for key, held in value.items():
                yield from plain_data_faults(held, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for place, held in enumerate(value):
            yield from plain_data_faults(held, (*path, str(place)))
    elif _odd(value):
        yield path, _sentence(where, value)


def _odd(value: object) -> bool:
    """Return whether a value that is not a container is not plain, or cannot be written."""
    if isinstance(value, float):
        return not math.isfinite(value) or type(value) is not float
    if isinstance(value, int):
        return value.bit_length() > MOST_BITS
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    return value is not None


def _sentence(where: str, value: object) -> str:
    return (
        f"{where} is {_shown(value)}, which is not plain finite data; valid: numbers, texts, true, "
        "false, null, and lists and mappings of them"
    )


def _shown(value: object) -> str:
    """Return a value as part of a sentence."""
    if " at 0x" in (text := shown(value)):
        return f"of type {type(value).__name__}"
    return text
