"""The files between the attack and the report: one score per record and attack seed.

Parquet with columns ``record``, ``seed_0``, ``seed_1``, ...; the metadata states the inputs of the
scores, so that a stage knows whether they are up to date.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedsim.data.parquet_file import read_parquet
from fedsim.errors import FedsimError
from fedsim.evaluation import Scores
from fedsim.files import parsed_json, replacing

_MADE_FROM = b"fedsim-made-from"
_LEARNS_FROM = b"fedsim-learns-from"
_MOST_WORDS = 1000
_VALUES = "value"
_KINDS = {"record": pa.int64(), "round": pa.int64(), _VALUES: pa.list_(pa.float64())}
OVERLAPPING = "overlapping records"
"""Where scores say how many records of the attacker's own federations are the real one's."""

BASELINE, HEADLINE = "baseline", "headline"
"""Where scores say what the attack is in reports: `Attack.baseline`, `Attack.headline`."""


class ScoresError(FedsimError):
    """A file of scores is missing or damaged."""


def write_scores(
    path: Path, scores: Scores, made_from: Mapping[str, object], learns_from: str | None = None
) -> None:
    """Write scores, all or nothing; `learns_from` says in words what the attack learned from."""
    columns = {f"seed_{number}": row for number, row in enumerate(scores.scores)}
    stated = {} if learns_from is None else {_LEARNS_FROM: learns_from.encode()}
    _write(path, {"record": scores.records, **columns}, made_from, stated)


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
    _require_numbers(path, table, "record", *seeds)
    return Scores(table["record"].to_numpy(), np.stack([table[name].to_numpy() for name in seeds]))


def write_trace(path: Path, rounds: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """Write a signal of shape (snapshots, records) with the round of each snapshot."""
    rows = list(np.asarray(values, dtype=np.float64))
    _write(path, {"round": rounds, _VALUES: pa.array(rows)}, {}, {})


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
    _require_numbers(path, table, "round", _VALUES)
    column = table[_VALUES].combine_chunks()
    widths = pc.unique(column.value_lengths()).to_pylist() if len(table) else [0]
    values: NDArray[np.float64] = column.flatten().to_numpy(zero_copy_only=False)
    if len(widths) > 1 or not np.isfinite(values).all():
        raise ScoresError(f"{path} has rows that are no signal; attack the run again")
    rounds = table["round"].to_numpy().astype(np.int64)
    return rounds, values.astype(np.float64).reshape(len(rounds), widths[0])


def _require_numbers(path: Path, table: pa.Table, *names: str) -> None:
    """Raise unless columns exist once, have no empty cells, and have the expected types."""
    for name in names:
        kinds = [field.type for field in table.schema if field.name == name]
        if kinds != [_KINDS.get(name, pa.float64())] or table[name].null_count:
            raise ScoresError(
                f"{path} must have one column {name} of {_KINDS.get(name, pa.float64())} without "
                "empty cells; attack the run again"
            )


def made_from(path: Path) -> dict[str, Any]:
    """Return the inputs of the scores, as given to `write_scores`.

    Raises
    ------
    ScoresError
        If the file is missing or damaged.
    """
    try:
        stated = parsed_json(_metadata(path)[_MADE_FROM])
    except (KeyError, ValueError):
        stated = None
    if not isinstance(stated, dict):
        raise ScoresError(f"{path} does not say what it was made from; attack the run again")
    return stated


def _metadata(path: Path) -> dict[bytes, bytes]:
    try:
        return dict(pq.read_schema(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ScoresError(f"cannot read {path}: {error}; attack the run again") from error


def learns_from(path: Path) -> str | None:
    """Return what the attack learned from, in words; None if the file does not say.

    Raises
    ------
    ScoresError
        If the file is missing or damaged.
    """
    words = _metadata(path).get(_LEARNS_FROM)
    return None if words is None else words.decode(errors="replace")[:_MOST_WORDS]


def overlapping(path: Path) -> int:
    """Return how many records of the shadow federations belong to the real one.

    Raises
    ------
    ScoresError
        If the file is missing or damaged.
    """
    count = made_from(path).get(OVERLAPPING, 0)
    if not isinstance(count, int) or count < 0:
        raise ScoresError(f"{path} says {count!r} for {OVERLAPPING}; attack the run again")
    return count


def up_to_date(path: Path, expected: Mapping[str, object]) -> bool:
    """Return whether the file is there and was made from exactly this."""
    try:
        return bool(made_from(path) == json.loads(_encoded(expected)))
    except ScoresError:
        return False


def _write(
    path: Path,
    columns: Mapping[str, object],
    made_from: Mapping[str, object],
    stated: Mapping[bytes, bytes],
) -> None:
    metadata = {_MADE_FROM: _encoded(made_from), **stated}
    table = pa.table(dict(columns)).replace_schema_metadata(metadata)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _read(path: Path) -> pa.Table:
    try:
        return read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ScoresError(f"cannot read {path}: {error}; attack the run again") from error


def _encoded(made_from: Mapping[str, object]) -> bytes:
    return json.dumps(made_from, sort_keys=True).encode()
