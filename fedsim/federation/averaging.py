"""Flower's FedAvg with its mean computed where the numbers lie: the same bits, in half the time.

Flower copies each upload, writes its product with the weight down, and adds that to the sum. Here
the product is made a piece at a time, in memory that stays in a core's cache. Whatever is unusual
about the replies is left to Flower's own code, which also says what is wrong with them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import FedAvg, FedProx
from numpy.typing import NDArray

from fedsim.federation.arrays import recorded, seen
from fedsim.federation.contents import of_kind

PIECE = 2**16  # numbers: with their products they stay in a core's cache
MEAN_OF_METRICS = FedAvg().train_metrics_aggr_fn  # what FedAvg does if not told otherwise
Values = NDArray[Any]


class QuickFedAvg(FedAvg):
    """`FedAvg`, quicker."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the weighted means of the uploads and of their metrics."""
        received = list(replies)
        uploads = _alike(received, self.weighted_by_key)
        if uploads is None or self.train_metrics_aggr_fn is not MEAN_OF_METRICS:
            return super().aggregate_train(server_round, received)
        return _mean(uploads), _mean_metrics(uploads, self.weighted_by_key)


class QuickFedProx(QuickFedAvg, FedProx):
    """`FedProx`, quicker."""


QUICK: dict[str, type[FedAvg]] = {"FedAvg": QuickFedAvg, "FedProx": QuickFedProx}
"""By the name of the strategy that they stand for."""


@dataclass(frozen=True)
class _Upload:
    arrays: ArrayRecord
    metrics: dict[str, Any]
    weight: float


def _alike(replies: Sequence[Message], weighted_by: str) -> list[_Upload] | None:
    """Return what was uploaded, its weight as a share; None where replies are not all alike."""
    found: list[_Upload] = []
    expected: object = None
    for reply in replies:
        if reply.has_error():
            return None
        arrays = list(of_kind(reply.content, ArrayRecord))
        metrics = list(of_kind(reply.content, MetricRecord))
        if len(arrays) != 1 or len(metrics) != 1:
            return None
        [(key, uploaded)], [(metrics_key, numbers)] = arrays, metrics
        values: dict[str, Any] = dict(numbers.items())
        shape = key, [(n, a.dtype, a.shape) for n, a in uploaded.items()], metrics_key, list(values)
        if expected is None:
            expected = shape
        if shape != expected or any(not isinstance(v, int | float) for v in values.values()):
            return None
        found.append(_Upload(uploaded, values, values.get(weighted_by, 0)))
    total = sum(upload.weight for upload in found)
    if not total or weighted_by not in found[0].metrics:
        return None
    return [_Upload(one.arrays, one.metrics, one.weight / total) for one in found]


def _mean(uploads: Sequence[_Upload]) -> ArrayRecord:
    sums: dict[str, Values] = {}
    for upload in uploads:
        for name, array in upload.arrays.items():
            values: Values = seen(array)
            if name not in sums:
                sums[name] = np.asarray(values * upload.weight)
            elif values.dtype == sums[name].dtype and values.flags.c_contiguous:
                _add_product(sums[name], values, upload.weight)
            else:
                sums[name] += values * upload.weight
    return recorded(sums)


def _add_product(total: Values, values: Values, factor: float) -> None:
    """Add ``values * factor`` to `total`."""
    sums, terms = total.reshape(-1), values.reshape(-1)
    product = np.empty(min(PIECE, sums.size), sums.dtype)
    for start in range(0, sums.size, PIECE):
        piece = sums[start : start + PIECE]
        room = product[: piece.size]
        np.multiply(terms[start : start + PIECE], factor, out=room)
        np.add(piece, room, out=piece)


def _mean_metrics(uploads: Sequence[_Upload], weighted_by: str) -> MetricRecord:
    means: dict[str, Any] = {}
    for upload in uploads:
        for name, value in upload.metrics.items():
            if name != weighted_by:
                share = value * upload.weight
                means[name] = means[name] + share if name in means else share
    return MetricRecord(means)
