"""The membership file: the training records of a model that was trained elsewhere.

It is a CSV or parquet file with one row per record that may be audited: ``record`` (its row number
in the data), ``member`` (true or false), and optionally ``known`` (true for auxiliary records)::

    record,member
    0,true
    1,false

Reading is strict: any other file is refused with one sentence.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.data.dataset import Dataset
from fedsim.data.ledger import AuditSet, Ledger, MembershipQuery, about_participant
from fedsim.data.parquet_file import read_parquet
from fedsim.errors import DataError, listed

REQUIRED, OPTIONAL = ("record", "member"), ("known",)
OWNER = 0


@dataclass(frozen=True, eq=False)
class Membership:
    """The records of a membership file.

    Attributes
    ----------
    records
        Shape (n,), ids in the order of the file.
    member
        Shape (n,): whether the model was trained on the record.
    known
        Shape (n,): whether it is an auxiliary record; None if the file does not say.
    """

    records: NDArray[np.int64]
    member: NDArray[np.bool_]
    known: NDArray[np.bool_] | None = None

    @property
    def query(self) -> MembershipQuery:
        """The membership query about the model's training data, those of a single participant."""
        return about_participant(OWNER)

    def ledger(self, dataset: Dataset, seed: int) -> Ledger:
        """Return the ledger of a single participant, whose training set is the members.

        Records that have an exact copy in the data set are not audited, because their membership is
        ambiguous. If the file does not say which records are known, a random half of the members
        and of the non-members is, drawn by `seed`.

        Raises
        ------
        DataError
            If a record is not in the data set or occurs twice, or a side has no records left.
        """
        self._require_fitting(dataset)
        test = np.zeros(len(dataset), dtype=np.bool_)
        test[self.records[~self.member]] = True
        training_set = np.sort(self.records[self.member])
        ledger = Ledger(
            dataset.labels, test, dataset.duplicate, (training_set,), groups=dataset.groups
        )
        order = np.argsort(self.records)
        order = order[~dataset.duplicate[self.records[order]]]
        member = self.member[order]
        known = _halves(member, seed) if self.known is None else self.known[order]
        audit = AuditSet(self.records[order], member, known)
        for is_known, name in ((True, "known"), (False, "tested")):
            for side, what in ((True, "members"), (False, "non-members")):
                if not ((known == is_known) & (member == side)).any():
                    raise DataError(
                        f"no {name} {what} are left; list at least one of each that has no exact "
                        "copy in the data"
                    )
        return ledger.with_audit(self.query, audit)

    def _require_fitting(self, dataset: Dataset) -> None:
        outside = self.records[(self.records < 0) | (self.records >= len(dataset))]
        if outside.size:
            raise DataError(
                f"there is no record {outside[0]} in {dataset.name}; valid: 0..{len(dataset) - 1}"
            )
        found, counts = np.unique(self.records, return_counts=True)
        if (counts > 1).any():
            raise DataError(f"record {found[counts > 1][0]} is listed more than once")


def _halves(member: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Draw half of the members, and half of the others, as auxiliary records."""
    known = np.zeros(len(member), dtype=np.bool_)
    random = seeds.generator(seed, "known")
    for side in (True, False):
        places = random.permutation(np.flatnonzero(member == side))
        known[places[: len(places) // 2]] = True
    return known


def read_membership(path: Path) -> Membership:
    """Read the membership file at `path`.

    Raises
    ------
    DataError
        If the file is missing, damaged, or not a membership file.
    """
    try:
        table = _READERS[path.suffix](path)
    except KeyError as error:
        raise DataError(
            f"{path} is no membership file; valid endings: {listed(_READERS)}"
        ) from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"cannot read the membership file {path}: {reason}") from error
    try:
        return _membership(table)
    except DataError as error:
        raise DataError(f"membership file {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"membership file {path}: its column names are not UTF-8") from error


_READERS = {".csv": pa_csv.read_csv, ".parquet": read_parquet}


def _membership(table: pa.Table) -> Membership:
    names = table.column_names
    missing, unknown = set(REQUIRED) - set(names), set(names) - {*REQUIRED, *OPTIONAL}
    if missing or unknown or len(set(names)) < len(names):
        raise DataError(
            f"its columns must be record, member, and perhaps known; missing: {listed(missing)}, "
            f"unknown: {listed(unknown)}"
        )
    for name in names:
        if table[name].null_count:
            raise DataError(f"column {name} has empty cells")
    if not pa.types.is_integer(table.schema.field("record").type):
        raise DataError(f"column record must be integers, not {table.schema.field('record').type}")
    return Membership(
        table["record"].to_numpy().astype(np.int64),
        _truth(table, "member"),
        _truth(table, "known") if "known" in names else None,
    )


def _truth(table: pa.Table, name: str) -> NDArray[np.bool_]:
    """Return a column of true and false as bools; 1 and 0 are accepted, too."""
    kind = table.schema.field(name).type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        values: NDArray[np.generic] = table[name].to_numpy()
        if np.isin(values, (0, 1)).all():
            return values.astype(np.bool_)
    raise DataError(f"column {name} must be true or false")
