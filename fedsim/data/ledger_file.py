"""The ledger as a parquet file with one row per record, which any tool can read.

The columns are ``record`` int64, ``label`` int64 (float if the objective has numbers, a list if it
has several labels), ``split`` (pool, test), ``duplicate`` bool, and ``participants`` list of int32
(the participants with the record in their training set). If records have users, there is ``group``
int64. For each query there is a nullable column ``role/<query>`` (known, tested). If canaries are
audited, the nullable column ``canary`` has their kind, and ``designed`` their designed features.
Reading is strict: any other file is refused with one sentence.
"""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedsim.data.designed import DESIGNED, designed_column, designed_features
from fedsim.data.ledger import KNOWN, NEITHER, TESTED, Ledger, UserScore
from fedsim.data.parquet_file import TooLarge, read_parquet
from fedsim.errors import DataError, listed
from fedsim.files import replacing

ROLE = "role/"
PARTICIPANTS = b"fedsim.participants"
USER_SCORE = b"fedsim.user_score"
COLUMNS = {
    "record": pa.int64(),
    "label": pa.int64(),
    "split": pa.string(),
    "duplicate": pa.bool_(),
    "participants": pa.list_(pa.int32()),
}
GROUP = "group"
CANARY = "canary"
USER_SCORES: tuple[UserScore, ...] = ("mean", "max")
LABELS = (pa.int64(), pa.float32(), pa.list_(pa.int64()), pa.list_(pa.float32()))
SPLITS = ("pool", "test")
FEW_PARTICIPANTS = 1000  # up to this number there may be more participants than records
ROLE_NAMES = {"known": KNOWN, "tested": TESTED}


def write_ledger(ledger: Ledger, path: Path) -> None:
    """Write `ledger` to `path` atomically, readable by its owner only."""
    columns = {
        "record": pa.array(np.arange(len(ledger)), pa.int64()),
        "label": _labels_column(ledger.labels),
        "split": pa.array(np.take(SPLITS, ledger.test.astype(int)), pa.string()),
        "duplicate": pa.array(ledger.duplicate),
        "participants": _participants_of_records(ledger),
    }
    if ledger.groups is not None:
        columns[GROUP] = pa.array(ledger.groups, pa.int64())
    if ledger.canaries is not None:
        kinds = [kind or None for kind in ledger.canaries]
        columns[CANARY] = pa.array(kinds, pa.string())
    if ledger.designed:
        columns[DESIGNED] = designed_column(ledger.designed, len(ledger))
    names = np.array([None, *ROLE_NAMES], dtype=object)
    for key, roles in ledger.roles.items():
        columns[ROLE + key] = pa.array(names[roles], pa.string())
    stored = {PARTICIPANTS: str(ledger.participants)}
    if ledger.user_score is not None:
        stored[USER_SCORE] = ledger.user_score
    table = pa.table(columns).replace_schema_metadata(stored)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _labels_column(labels: NDArray[np.generic]) -> pa.Array:
    """Return labels of shape (N,) as a column; labels with more axes become lists."""
    flat = np.ascontiguousarray(labels).reshape(-1)
    values = pa.array(flat, pa.float32() if labels.dtype.kind == "f" else pa.int64())
    if labels.ndim == 1:
        return values
    width = len(flat) // len(labels)
    return pa.ListArray.from_arrays(np.arange(len(labels) + 1, dtype=np.int32) * width, values)


def _labels_in(column: pa.ChunkedArray) -> NDArray[np.generic]:
    """Return the labels in a column made by `_labels_column`, with at most two axes."""
    if not pa.types.is_list(column.type):
        labels: NDArray[np.generic] = column.to_numpy()
        return labels
    lists = column.combine_chunks()
    widths = pc.unique(lists.value_lengths()).to_pylist()
    if len(widths) > 1 or lists.flatten().null_count:
        raise DataError("column label has lists of several lengths, or empty cells in them")
    values: NDArray[np.generic] = lists.flatten().to_numpy()
    return values.reshape(len(lists), widths[0] if widths else 0)


def _participants_of_records(ledger: Ledger) -> pa.Array:
    sizes = [len(records) for records in ledger.training_sets]
    participants = np.repeat(np.arange(ledger.participants, dtype=np.int32), sizes)
    records = np.concatenate([*ledger.training_sets, np.empty(0, dtype=np.int64)])
    counts = np.bincount(records, minlength=len(ledger))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    by_record = np.argsort(records, kind="stable")
    return pa.ListArray.from_arrays(offsets, pa.array(participants[by_record], pa.int32()))


def read_ledger(path: Path) -> Ledger:
    """Return the ledger in `path`.

    Raises
    ------
    DataError
        If the file is missing, damaged, or not a ledger. The sentence names the file.
    """
    try:
        table = read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"there is no ledger {path}") from error
    except TooLarge as error:
        raise DataError(f"{path} is no ledger: {error}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a sound parquet file, so no ledger") from error
    try:
        return _ledger(table)
    except DataError as error:
        raise DataError(f"ledger {path}: {error}") from error


def _ledger(table: pa.Table) -> Ledger:
    _check_columns(table)
    records = table["record"].to_numpy()
    order = np.argsort(records, kind="stable")
    if not np.array_equal(records[order], np.arange(len(records))):
        raise DataError(
            f"record ids must be 0..{len(records) - 1}, each once, but some are missing or doubled"
        )
    split = _coded(table["split"], "split", dict(zip(SPLITS, (0, 1), strict=True)))
    return Ledger(
        labels=_labels_in(table["label"])[order],
        test=split[order].astype(np.bool_),
        duplicate=table["duplicate"].to_numpy()[order],
        training_sets=_training_sets(table, records),
        roles={
            name.removeprefix(ROLE): _coded(table[name], name, ROLE_NAMES)[order]
            for name in table.column_names
            if name.startswith(ROLE)
        },
        groups=table[GROUP].to_numpy()[order] if GROUP in table.column_names else None,
        user_score=_user_score(table),
        canaries=_canaries(table, order),
        designed=designed_features(table),
    )


def _canaries(table: pa.Table, order: NDArray[np.intp]) -> NDArray[np.object_] | None:
    if CANARY not in table.column_names:
        return None
    kinds = [kind or "" for kind in table[CANARY].to_pylist()]
    return np.array(kinds, dtype=object)[order]


def _user_score(table: pa.Table) -> UserScore | None:
    stored = (table.schema.metadata or {}).get(USER_SCORE)
    found = next((kind for kind in USER_SCORES if stored == kind.encode()), None)
    if stored is not None and (found is None or GROUP not in table.column_names):
        raise DataError(
            f"it says that users are audited by {stored[:20]!r}; valid: {listed(USER_SCORES)}, "
            f"with a column {GROUP}"
        )
    return found


def _check_columns(table: pa.Table) -> None:
    names = table.column_names
    roles = [name for name in names if name.startswith(ROLE)]
    missing, unknown = (
        set(COLUMNS) - set(names),
        set(names)
        - {
            *COLUMNS,
            GROUP,
            CANARY,
            DESIGNED,
            *roles,
        },
    )
    if missing or unknown or len(set(names)) < len(names):
        raise DataError(
            f"its columns must be {listed(COLUMNS)} and any {ROLE}...; missing: {listed(missing)}, "
            f"unknown: {listed(unknown)}"
        )
    own = {GROUP: pa.int64()} if GROUP in names else {}
    if DESIGNED in names and table.schema.field(DESIGNED).type != pa.list_(pa.float32()):
        raise DataError(f"column {DESIGNED} must be {pa.list_(pa.float32())}")
    texts = [*roles, CANARY] if CANARY in names else roles
    for name, kind in {**COLUMNS, **own, **dict.fromkeys(texts, pa.string())}.items():
        found = table.schema.field(name).type
        plain = found.value_type if pa.types.is_dictionary(found) else found
        if plain != kind and not (name == "label" and found in LABELS):
            raise DataError(f"column {name} must be {kind}, not {plain}")
        if name not in texts and table[name].null_count:
            raise DataError(f"column {name} has empty cells")
    for name in ("label", *own):
        plain = table.schema.field(name).type == pa.int64()
        if plain and len(table) and pc.min(table[name]).as_py() < 0:
            raise DataError(f"column {name} has a {'class' if name == 'label' else name} below 0")


def _coded(column: pa.ChunkedArray, name: str, codes: dict[str, int]) -> NDArray[np.int8]:
    """Return a column of texts (a dictionary or not) as codes; empty cells are `NEITHER`."""
    encoded = column.combine_chunks().dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    used = set(pc.unique(encoded.indices.drop_null()).to_pylist())
    if unknown := {texts[place] for place in used} - set(codes):
        raise DataError(f"column {name} holds {listed(unknown)}; valid: {listed(codes)}")
    meaning = np.array([codes.get(text, NEITHER) for text in texts] + [NEITHER], dtype=np.int8)
    places: NDArray[np.int64] = encoded.indices.fill_null(len(texts)).to_numpy()
    return meaning[places]


def _training_sets(table: pa.Table, records: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    text = (table.schema.metadata or {}).get(PARTICIPANTS, b"")
    if not re.fullmatch(rb"\d{1,9}", text):
        raise DataError("it does not say how many participants there are")
    count = int(text)
    if count > max(len(records), FEW_PARTICIPANTS):
        raise DataError(f"it says {count} participants, but it has only {len(records)} records")
    column = table["participants"].combine_chunks()
    values = column.flatten()
    if values.null_count:
        raise DataError("column participants has empty cells")
    participants = values.to_numpy()
    third_parties = participants[(participants < 0) | (participants >= count)]
    if third_parties.size:
        raise DataError(f"there is no participant {third_parties[0]}; valid: 0..{count - 1}")
    holders = column.value_lengths().to_numpy(zero_copy_only=False)
    held = np.repeat(records, holders)
    by_participant = np.lexsort((held, participants))
    ends = np.cumsum(np.bincount(participants, minlength=count))
    return tuple(np.split(held[by_participant], ends[:-1])) if count else ()
