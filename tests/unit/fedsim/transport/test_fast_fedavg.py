"""The quick mean is Flower's, bit for bit, and what is unusual is left to Flower."""

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.exception import AppExitException
from flwr.serverapp.strategy import FedAvg, FedProx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fedsim.engines.in_process import local_identity
from fedsim.federation.strategies import build_strategy
from fedsim.transport.disk_spill import DiskSpill
from fedsim.transport.fast_fedavg import PIECE, FastFedAvg, FastFedProx
from fedsim.transport.flower_records import FastArrays
from fedsim.transport.lazy_arrays import ArrayInMemory

KINDS = [np.float32, np.float64, np.float16, np.int64, np.bool_]


def reply(record: dict[str, RecordDict] | RecordDict) -> Message:
    return Message(record, reply_to=Message(RecordDict(), 5, "train"))


def replies(
    arrays: Sequence[dict[str, Array]], metrics: Sequence[dict[str, object]]
) -> list[Message]:
    return [
        reply(RecordDict({"arrays": FastArrays(dict(a)), "metrics": MetricRecord(m)}))
        for a, m in zip(arrays, metrics, strict=True)
    ]


def bytes_of(arrays: ArrayRecord | None) -> list[tuple[str, str, bytes]]:
    assert arrays is not None
    return [(name, array.dtype, array.data) for name, array in arrays.items()]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_it_is_flowers_own_mean_bit_for_bit(data: st.DataObject) -> None:
    shapes = data.draw(st.lists(npst.array_shapes(min_dims=0, max_dims=3, max_side=5), min_size=1))
    kinds = [data.draw(st.sampled_from(KINDS)) for _ in shapes]
    draw = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    count = data.draw(st.integers(1, 6))
    weights = data.draw(
        st.lists(
            st.one_of(st.integers(1, 5000), st.floats(0.01, 99)), min_size=count, max_size=count
        )
    )
    new = data.draw(st.sampled_from([Array, ArrayInMemory]))
    arrays = [
        {
            f"p{n}": new(np.asarray(draw.normal(size=shape) * 3).astype(kind))
            for n, (shape, kind) in enumerate(zip(shapes, kinds, strict=True))
        }
        for _ in range(count)
    ]
    metrics = [{"num-examples": w, "loss": float(draw.normal()), "right": 7} for w in weights]
    with local_identity():
        means, figures = FastFedAvg().aggregate_train(1, replies(arrays, metrics))
        their_means, theirs = FedAvg().aggregate_train(1, replies(arrays, metrics))
    assert bytes_of(means) == bytes_of(their_means)
    assert figures == theirs


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_arrays_of_several_pieces(size: int) -> None:
    draw = np.random.default_rng(1)
    values = [draw.normal(size=size).astype(np.float32) for _ in range(3)]
    metrics = [{"num-examples": weight} for weight in (3, 5, 11)]
    ours = replies([{"w": ArrayInMemory(v)} for v in values], metrics)
    means, _ = FastFedAvg().aggregate_train(1, ours)
    theirs, _ = FedAvg().aggregate_train(1, replies([{"w": Array(v)} for v in values], metrics))
    assert bytes_of(means) == bytes_of(theirs)


@pytest.mark.usefixtures("flower")
def test_uploads_are_left_as_they_are() -> None:
    values = [np.full(10, number, np.float32) for number in range(3)]
    records = []
    for own in values:
        record = ArrayRecord()
        record["w"] = ArrayInMemory(own)
        records.append(record)
    asked = [
        reply(RecordDict({"arrays": r, "metrics": MetricRecord({"num-examples": 1})}))
        for r in records
    ]
    means, _ = FastFedAvg().aggregate_train(1, asked)
    assert means is not None
    np.testing.assert_array_equal(means["w"].numpy(), np.ones(10, np.float32))
    assert [own[0] for own in values] == [0, 1, 2]


@pytest.mark.usefixtures("flower")
def test_what_is_read_when_looked_at_is_not_held_all_at_once() -> None:
    def uploaded(value: float) -> ArrayInMemory:
        return ArrayInMemory(np.full(100_000, value, np.float32))

    uploads = [{"w": uploaded(n), "v": uploaded(-n)} for n in range(30)]
    asked = replies(uploads, [{"num-examples": 1}] * 30)
    spool = DiskSpill(memory=0)
    for one in asked:
        spool.take(one)
    tracemalloc.start()
    means, _ = FastFedAvg().aggregate_train(1, asked)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert means is not None
    np.testing.assert_allclose(means["w"].numpy(), 14.5, rtol=1e-6)
    assert peak < 8 * 400_000  # of 60 arrays of that size


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize(
    ("arrays", "metrics", "told"),
    [
        ([{"w": 1}, {"v": 1}], [{"num-examples": 1}] * 2, "must have the same keys"),
        ([{"w": 1}] * 2, [{"num-examples": 1}, {"num-examples": 1, "x": 2}], "the same keys"),
        ([{"w": 1}] * 2, [{"loss": 1.0}] * 2, "Missing required key `num-examples`"),
        ([{"w": 1}] * 2, [{"num-examples": [1, 2]}] * 2, "must be a single value"),
    ],
)
def test_what_is_wrong_is_told_by_flower(
    arrays: list[dict[str, int]], metrics: list[dict[str, object]], told: str
) -> None:
    made = [{k: Array(np.full(2, v, np.float32)) for k, v in one.items()} for one in arrays]
    with pytest.raises(AppExitException, match=told):
        FastFedAvg().aggregate_train(1, replies(made, metrics))


@pytest.mark.usefixtures("flower")
def test_replies_that_failed_and_lists_of_metrics_are_flowers_affair() -> None:
    one = {"w": Array(np.ones(2, np.float32))}
    good = replies([one, one], [{"num-examples": 1, "list": [1.0, 2.0]}] * 2)
    failed = Message(Error(2, "no"), reply_to=Message(RecordDict(), 6, "train"))
    means, figures = FastFedAvg().aggregate_train(1, [*good, failed])
    assert bytes_of(means) == bytes_of(ArrayRecord(one))
    assert figures == MetricRecord({"list": [1.0, 2.0]})
    assert FastFedAvg().aggregate_train(1, []) == (None, None)
    with pytest.raises(ZeroDivisionError):
        FastFedAvg().aggregate_train(1, replies([one], [{"num-examples": 0}]))


@pytest.mark.usefixtures("flower")
def test_by_name_the_quick_ones_are_built() -> None:
    assert type(build_strategy("FedAvg", {}, 3)) is FastFedAvg
    prox = build_strategy("FedProx", {"proximal_mu": 0.5}, 3)
    assert type(prox) is FastFedProx
    assert isinstance(prox, FedProx)
    assert type(build_strategy("FedAvgM", {}, 3)).__module__.startswith("flwr.")
