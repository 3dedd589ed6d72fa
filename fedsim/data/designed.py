"""Records whose features an audit has designed (canaries): in a data set and in the ledger file."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from fedsim.data.dataset import Dataset
from fedsim.errors import DataError

DESIGNED = "designed"
"""The nullable column of the ledger file with designed features, lists of float32."""

Designed = Mapping[int, NDArray[np.generic]]
"""Designed features, as the data set stores them, by record id."""


def with_designed_features(dataset: Dataset, features: Designed) -> Dataset:
    """Return the same records, of which some have designed features.

    Raises
    ------
    DataError
        If a record does not exist, or has another number of features.
    """
    if not features:
        return dataset
    changed = np.array(dataset.features)
    for record, values in features.items():
        if not 0 <= record < len(dataset) or values.size != changed[0].size:
            raise DataError(
                f"record {record} is a canary with {values.size} features, and the "
                f"{len(dataset):,} records of {dataset.name} have {changed[0].size}"
            )
        changed[record] = values.reshape(dataset.input_shape)
    return replace(dataset, features=changed)


def stored_features(dataset: Dataset, inputs: torch.Tensor) -> NDArray[np.generic]:
    """Convert inputs in the form of `Dataset.batch` to the form in which features are stored.

    For integer features they are rounded, and clipped to the range of the data set's values.
    """
    values = inputs
    if dataset.affine is not None:
        scale, shift = dataset.affine
        values = (inputs - shift) / scale
    kept: NDArray[np.generic] = values.numpy()
    if dataset.features.dtype.kind in "iub":
        kept = np.clip(np.rint(kept), dataset.features.min(), dataset.features.max())
    return kept.astype(dataset.features.dtype)


def designed_column(designed: Designed, records: int) -> pa.Array:
    """Return the column of designed features in a ledger with `records` records."""
    flat = {
        record: np.asarray(features, dtype=np.float32).reshape(-1)
        for record, features in designed.items()
    }
    return pa.array([flat.get(record) for record in range(records)], pa.list_(pa.float32()))


def designed_features(table: pa.Table) -> dict[int, NDArray[np.float32]]:
    """Return the designed features in a ledger's table, flattened, by record id.

    Raises
    ------
    DataError
        If some are not finite numbers.
    """
    if DESIGNED not in table.column_names:
        return {}
    given = table.filter(pc.is_valid(table[DESIGNED]))
    records, rows = given["record"].to_pylist(), given[DESIGNED].to_pylist()
    found = {
        record: np.array(values, dtype=np.float32)
        for record, values in zip(records, rows, strict=True)
    }
    if not all(np.isfinite(values).all() for values in found.values()):
        raise DataError(f"column {DESIGNED} has values that are no finite numbers")
    return found
