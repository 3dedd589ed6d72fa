"""The files between the attack and the report: one score a record and attack seed.

Parquet with columns ``record``, ``seed_0``, ``seed_1``, ...; the metadata holds what the scores
were made from, so that a stage can tell whether they are still good.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedsim.errors import FedsimError
from fedsim.evaluation import Scores
from fedsim.files import replacing

_MADE_FROM = b"fedsim-made-from"
_VALUES = "value"
OVERLAPPING = "overlapping records"
"""Where scores say how many records of the attacker's own federations are the real one's."""


class ScoresError(FedsimError):
    """A file of scores is missing or damaged."""


def write_scores(path: Path, scores: Scores, made_from: Mapping[str, object]) -> None:
    """Write scores, all or nothing."""
    columns = {f"seed_{number}": row for number, row in enumerate(scores.scores)}
    _write(path, {"record": scores.records, **columns}, made_from)


def read_scores(path: Path) -> Scores:
    """Read what `write_scores` wrote.

    Raises
    ------
    ScoresError
        If the file is missing or damaged.
    """
    table = _read(path)
    seeds = [name for name in table.column_names if name.startswith("seed_")]
    if "record" not in table.column_names or not seeds:
        raise ScoresError(f"{path} has no columns record and seed_0; attack the run again")
    return Scores(table["record"].to_numpy(), np.stack([table[name].to_numpy() for name in seeds]))


def write_trace(path: Path, rounds: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """Write a signal of shape (snapshots, records) with the round of each snapshot."""
    rows = list(np.asarray(values, dtype=np.float64))
    _write(path, {"round": rounds, _VALUES: pa.array(rows)}, {})


def read_trace(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read what `write_trace` wrote.

    Raises
    ------
    ScoresError
        If the file is missing or damaged.
    """
    table = _read(path)
    if not {"round", _VALUES} <= set(table.column_names):
        raise ScoresError(f"{path} has no columns round and {_VALUES}; attack the run again")
    return table["round"].to_numpy(), np.array(table[_VALUES].to_pylist(), dtype=np.float64)


def made_from(path: Path) -> dict[str, Any]:
    """Return what scores were made from, as `write_scores` was told.

    Raises
    ------
    ScoresError
        If the file is missing or damaged.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise ScoresError(f"cannot read {path}: {error}; attack the run again") from error
    try:
        return dict(json.loads(metadata[_MADE_FROM]))
    except (KeyError, ValueError, TypeError) as error:
        raise ScoresError(
            f"{path} does not say what it was made from; attack the run again"
        ) from error


def up_to_date(path: Path, expected: Mapping[str, object]) -> bool:
    """Return whether the file is there and was made from exactly this."""
    try:
        return bool(made_from(path) == json.loads(_encoded(expected)))
    except ScoresError:
        return False


def _write(path: Path, columns: Mapping[str, object], made_from: Mapping[str, object]) -> None:
    table = pa.table(dict(columns)).replace_schema_metadata({_MADE_FROM: _encoded(made_from)})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise ScoresError(f"cannot read {path}: {error}; attack the run again") from error


def _encoded(made_from: Mapping[str, object]) -> bytes:
    return json.dumps(made_from, sort_keys=True).encode()
