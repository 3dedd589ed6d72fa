"""Arrays in memory are Flower's arrays in every respect that Flower can see."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from any_arrays import ANY
from flwr.app import Array, ArrayRecord
from hypothesis import given

from fedsim.transport.lazy_arrays import (
    ArrayInMemory,
    is_finite,
    tensors_as_record,
    tensors_of,
    values_of,
)


def pickled(array: Array) -> Any:
    """Return what arrives in another process of ours."""
    return pickle.loads(pickle.dumps(array))  # noqa: S301 - made in this line


@given(ANY)
def test_the_bytes_are_those_that_flower_makes(values: Any) -> None:
    ours, flowers = ArrayInMemory(values), Array(values)
    assert ours == flowers
    assert flowers == ours
    assert ours.object_id == flowers.object_id
    inflated = Array.inflate(ours.deflate(), dict(ours.slice_array()))
    assert type(inflated) is Array
    assert inflated.data == flowers.data


@given(ANY)
def test_it_comes_out_of_a_pickle_as_it_went_in(values: Any) -> None:
    again = pickled(ArrayInMemory(values))
    np.testing.assert_array_equal(again.numpy(), values)
    assert again.numpy().dtype == values.dtype
    assert again.data == Array(values).data


def test_nothing_is_serialised_or_copied_before_somebody_asks() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    record = tensors_as_record({"w": tensor})
    assert np.shares_memory(values_of(record["w"]), tensor.numpy())
    assert tensors_of(record)["w"].data_ptr() == tensor.data_ptr()
    before = record["w"].data
    assert record["w"].data is before  # once made, kept
    assert not np.shares_memory(values_of(record["w"]), tensor.numpy())  # in the bytes now


def test_a_copy_may_be_changed() -> None:
    array = ArrayInMemory(np.zeros(3))
    for one in (array, pickled(array)):
        values = one.numpy()
        values += 1
        tensors_of(ArrayRecord({"w": one}))
        assert one.numpy().sum() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_seen(value: float) -> None:
    for make in (Array, ArrayInMemory):
        assert is_finite(make(np.array([0.0, 1.0])))
        assert not is_finite(make(np.array([0.0, value])))
        assert is_finite(make(np.array([1, 2])))
