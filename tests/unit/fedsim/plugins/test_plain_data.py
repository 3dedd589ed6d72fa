"""What is plain data, and how a value that is not is named."""

import datetime
from collections import UserDict
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from fedsim.plugins.plain_data import as_json


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 1


def test_plain_data_are_json() -> None:
    assert as_json({"a": [1, (2.5, None)], 3: {"b": True, "c": "é\0"}}) == (
        '{"a": [1, [2.5, null]], "3": {"b": true, "c": "\\u00e9\\u0000"}}'
    )
    assert as_json(2**128 - 1) == str(2**128 - 1)


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"a": {"b": [0, float("inf")]}}, "a.b.1 is inf, which is not plain finite data; valid: n"),
        ({"a": float("nan")}, "a is nan, which"),
        ({"when": datetime.date(2020, 1, 1)}, "when is datetime.date(2020, 1, 1), which is not"),
        ({"n": np.float64(0.5)}, "n is np.float64(0.5), which is not"),
        (
            {"n": np.ones(400)},
            "n is array([1., 1., 1., 1., 1., 1., 1., 1., 1., 1., ",
        ),
        ({"o": object()}, "o is of type object, which"),
        ({"s": {1}}, "s is {1}, which"),
        ({"s": b"a"}, "s is b'a', which"),
        ({"s": "a\ud800"}, "s is 'a\\ud800', which"),
        ({"n": 10**5000}, "n is a number of 5,001 digits, which"),
        ({(1, 2): 3}, "it has the key (1, 2), which is not plain finite data"),
        ({"m": {float("nan"): 3}}, "m has the key nan, which is not plain finite data"),
        ({"m": UserDict(a=1)}, "m is {'a': 1}, which"),
        ({"m": MappingProxyType({"a": 1})}, "m is mappingproxy({'a': 1}), which"),
        ({"d": nested(300)}, "is nested too deeply: it is not plain finite data"),
    ],
)
def test_what_is_not_plain_is_named_by_its_key(tree: Any, told: str) -> None:
    with pytest.raises(ValueError, match="not plain finite data") as error:
        as_json(tree)
    assert told in str(error.value)


def test_what_holds_itself_is_nested_too_deeply() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ValueError, match="nested too deeply"):
        as_json({"ring": ring})
