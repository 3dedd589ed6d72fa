"""Data sets, partitions, and the ledger of membership.

A source (one file each) returns `Arrays`; `load_dataset` makes them a `Dataset`; `partition` draws
the training sets; the `Ledger` is the truth about membership; `draw_audit` chooses the records that
attacks are evaluated on.

Modules that read and write tables are imported on first use: Arrow takes 40 MB in every process,
and processes that only train never read a table.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedsim.data.arrays import Arrays
from fedsim.data.audit import draw_audit
from fedsim.data.audit_draws import AuditSizes
from fedsim.data.cache import default_cache_dir
from fedsim.data.dataset import Dataset
from fedsim.data.ledger import (
    AuditSet,
    Ledger,
    MembershipQuery,
    about_all_but,
    about_participant,
    new_ledger,
)
from fedsim.data.loading import Fetched, fetch, load_dataset, require_files
from fedsim.data.partition import partition
from fedsim.data.sources.base import Source, SourceLocation

if TYPE_CHECKING:
    from fedsim.data.ledger_file import read_ledger, write_ledger
    from fedsim.data.membership_file import Membership, read_membership

_OF_TABLES = {
    "Membership": "fedsim.data.membership_file",
    "read_ledger": "fedsim.data.ledger_file",
    "read_membership": "fedsim.data.membership_file",
    "write_ledger": "fedsim.data.ledger_file",
}

__all__ = [
    "Arrays",
    "AuditSet",
    "AuditSizes",
    "Dataset",
    "Fetched",
    "Ledger",
    "Membership",
    "MembershipQuery",
    "Source",
    "SourceLocation",
    "about_all_but",
    "about_participant",
    "default_cache_dir",
    "draw_audit",
    "fetch",
    "load_dataset",
    "new_ledger",
    "partition",
    "read_ledger",
    "read_membership",
    "require_files",
    "write_ledger",
]


def __getattr__(name: str) -> Any:
    if name not in _OF_TABLES:
        raise AttributeError(f"module 'fedsim.data' has no attribute {name!r}")
    return getattr(import_module(_OF_TABLES[name]), name)
