"""Quick records: in the place of Flower's own, whoever looks."""

import pickle
from collections.abc import Callable, MutableMapping
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedsim.transport.flower_records import FastArrays, FastMetrics
from fedsim.transport.lazy_arrays import as_array_record
from fedsim.transport.record_views import Content

KINDS: list[tuple[Callable[[dict[str, Any]], Any], type[Any], dict[str, Any]]] = [
    (FastArrays, ArrayRecord, dict(as_array_record({"w": np.ones(3), "b": np.zeros(2)}))),
    (FastMetrics, MetricRecord, {"loss": 1.5, "all": [1, 2], "num-examples": 20}),
    (Content, RecordDict, {"m": MetricRecord({"loss": 1.5}), "c": ConfigRecord({"mu": 0.1})}),
]
every_kind = pytest.mark.parametrize(("quick", "flowers", "held"), KINDS)
Kind = Callable[[dict[str, Any]], Any]


def own(flowers: type[Any], held: dict[str, Any]) -> Any:
    """Return Flower's own record; its constructor would copy arrays."""
    record = flowers()
    record.update(held)
    return record


@every_kind
def test_it_shows_and_sends_what_flowers_own_does(
    quick: Kind, flowers: type[Any], held: dict[str, Any]
) -> None:
    ours, theirs = quick(dict(held)), own(flowers, held)
    assert isinstance(ours, flowers)
    assert ours == theirs
    assert theirs == ours
    assert ours != own(flowers, dict(list(held.items())[:1]))
    assert repr(ours).removeprefix(type(ours).__name__) == repr(theirs).removeprefix("RecordDict")
    for look in (list, len, lambda r: list(r.values()), lambda r: r.get("none", 3)):
        assert look(ours) == look(theirs)
    assert "none" not in ours
    assert next(iter(held)) in ours
    assert ours.deflate() == theirs.deflate()
    assert ours.object_id == theirs.object_id
    assert pickle.loads(pickle.dumps(ours)) == theirs  # noqa: S301 - our own


@every_kind
def test_what_flower_counts_and_converts_is_there(
    quick: Kind, flowers: type[Any], held: dict[str, Any]
) -> None:
    ours, theirs = quick(dict(held)), own(flowers, held)
    for method in ("count_bytes", "to_numpy_ndarrays", "to_torch_state_dict"):
        if hasattr(flowers, method):
            assert str(getattr(ours, method)()) == str(getattr(theirs, method)())


@every_kind
def test_a_copy_is_changed_apart(quick: Kind, flowers: type[Any], held: dict[str, Any]) -> None:
    ours = quick(dict(held))
    copied = ours.copy()
    assert type(copied) is type(ours)
    del copied[next(iter(held))]
    assert list(ours) == list(held)
    assert list(copied) == list(held)[1:]


@every_kind
def test_what_is_put_in_later_is_checked_as_flower_does(
    quick: Kind, flowers: type[Any], held: dict[str, Any]
) -> None:
    told = []
    for record in (quick({}), flowers()):
        for key, value in (("x", object()), (3, next(iter(held.values())))):
            with pytest.raises(TypeError) as caught:
                record[key] = value
            told.append(str(caught.value))
        assert len(record) == 0
        record.update(held)
        assert record == held
    assert told[:2] == told[2:]


def test_the_hash_of_arrays_changes_with_them() -> None:
    arrays = KINDS[0][2]
    ours = FastArrays(dict(arrays))
    before = ours.object_id
    ours["b"] = Array(np.ones(2))
    changed = ours.object_id
    assert changed == own(ArrayRecord, {**arrays, "b": Array(np.ones(2))}).object_id
    assert changed != before
    del ours["b"]
    assert ours.object_id == own(ArrayRecord, {"w": arrays["w"]}).object_id


def test_it_is_no_other_mapping() -> None:
    assert FastMetrics({"loss": 1.5}) == {"loss": 1.5}
    assert FastMetrics({"loss": 1.5}) != 3
    assert issubclass(FastMetrics, MutableMapping)
    with pytest.raises(TypeError, match="unhashable"):
        hash(FastMetrics({}))
