"""Flower's FedAvg with a faster mean: bit-identical results in half the time.

Flower copies each upload, stores its product with the weight, and adds the product to the sum. Here
the product is computed in pieces that stay in a core's cache. Unusual replies are passed to
Flower's own code, which also raises the errors about them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg, FedProx
from numpy.typing import NDArray

from fedsim.transport.lazy_arrays import ArrayInMemory, as_array_record, values_of

PIECE = 2**17  # values, which fit into a core's cache together with their products
MEAN_OF_METRICS = FedAvg().train_metrics_aggr_fn  # FedAvg's default
AnyValues = NDArray[Any]


class FastFedAvg(FedAvg):
    """A faster `FedAvg`."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the weighted means of the uploads and of their metrics."""
        received = list(replies)
        uploads = _alike(received)
        shares = _shares(uploads, self.weighted_by_key) if uploads else None
        if not uploads or not shares or self.train_metrics_aggr_fn is not MEAN_OF_METRICS:
            return super().aggregate_train(server_round, received)
        return _mean(uploads, shares), _mean_metrics(uploads, shares, self.weighted_by_key)


class FastFedProx(FastFedAvg, FedProx):
    """A faster `FedProx`."""


QUICK: dict[Callable[..., Any], type[FedAvg]] = {FedAvg: FastFedAvg, FedProx: FastFedProx}
"""The faster class of each strategy."""


class _Upload(NamedTuple):
    arrays: Mapping[str, Array]
    metrics: Mapping[str, Any]


def _alike(replies: Iterable[Message]) -> list[_Upload] | None:
    """Return the uploads; None if the replies do not all have the same form."""
    found: list[_Upload] = []
    expected: object = None
    for reply in replies:
        if reply.has_error():
            return None
        records = list(reply.content.items())
        arrays = [(key, dict(r.items())) for key, r in records if isinstance(r, ArrayRecord)]
        metrics = [(key, dict(r.items())) for key, r in records if isinstance(r, MetricRecord)]
        if len(arrays) != 1 or len(metrics) != 1:
            return None
        [(key, uploaded)], [(metrics_key, values)] = arrays, metrics
        shapes = [(name, array.dtype, array.shape) for name, array in uploaded.items()]
        shape = key, shapes, metrics_key, list(values)
        expected = expected or shape
        if shape != expected or any(not isinstance(v, int | float) for v in values.values()):
            return None
        found.append(_Upload(uploaded, values))
    return found


def _shares(uploads: Sequence[_Upload], weighted_by: str) -> list[float] | None:
    """Return the weight of each upload in the mean; None if the uploads have no weights."""
    weights = [upload.metrics.get(weighted_by, 0) for upload in uploads]
    total = sum(weights)
    return [weight / total for weight in weights] if total else None


def _mean(uploads: Sequence[_Upload], shares: Sequence[float]) -> ArrayRecord:
    return as_array_record(
        {
            name: _weighted_sum([upload.arrays[name] for upload in uploads], shares)
            for name in uploads[0].arrays
        }
    )


def _weighted_sum(arrays: Sequence[Array], weights: Sequence[float]) -> AnyValues:
    """Return the weighted sum of arrays of one shape."""
    first: AnyValues = values_of(arrays[0])
    total: AnyValues = np.asarray(first * weights[0])
    values: list[AnyValues] = [
        array.as_values() for array in arrays if isinstance(array, ArrayInMemory)
    ]
    if len(values) < len(arrays) or not all(_like(total, value) for value in values):
        # One array at a time, because arrays in a file may together exceed the memory.
        for array, weight in zip(arrays[1:], weights[1:], strict=True):
            value: AnyValues = values_of(array)
            total += value * weight
        return total
    sums, flat = total.reshape(-1), [value.reshape(-1) for value in values[1:]]
    product = np.empty_like(sums[:PIECE])
    for start in range(0, sums.size, PIECE):
        piece = sums[start : start + PIECE]
        room = product[: piece.size]
        for terms, weight in zip(flat, weights[1:], strict=True):
            np.multiply(terms[start : start + PIECE], weight, out=room)
            np.add(piece, room, out=piece)
    return total


def _like(total: AnyValues, value: AnyValues) -> bool:
    """Return whether an array can be added to a sum piece by piece."""
    return value.dtype == total.dtype and value.flags.c_contiguous


def _mean_metrics(
    uploads: Sequence[_Upload], shares: Sequence[float], weighted_by: str
) -> MetricRecord:
    means: dict[str, Any] = {}
    for upload, weight in zip(uploads, shares, strict=True):
        for name, value in upload.metrics.items():
            if name != weighted_by:
                share = value * weight
                means[name] = means[name] + share if name in means else share
    return MetricRecord(means)
