"""A message's content, with cheap views by record type that create no reference cycles.

Flower's `RecordDict.array_records` and similar properties make a new dictionary on each access. It
refers to itself, so its records stay in memory until the next run of Python's garbage collector:
for a server that reads uploads, most of a round's parameters. A `Content` behaves the same without
a reference cycle.
"""

from collections.abc import Iterator
from typing import TypeVar

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedsim.transport.flower_records import UncheckedRecord

AnyRecord = ArrayRecord | ConfigRecord | MetricRecord
Record = TypeVar("Record", bound=AnyRecord)


class Content(UncheckedRecord[AnyRecord], RecordDict):
    """A faster `RecordDict`, whose views by record type are cheap."""

    flowers = RecordDict
    fitting = (ArrayRecord, ConfigRecord, MetricRecord)

    @property
    def array_records(self) -> "KindView[ArrayRecord]":  # type: ignore[override]  # a dict, not its own
        """The array records."""
        return KindView(self, ArrayRecord)

    @property
    def metric_records(self) -> "KindView[MetricRecord]":  # type: ignore[override]
        """The metric records."""
        return KindView(self, MetricRecord)

    @property
    def config_records(self) -> "KindView[ConfigRecord]":  # type: ignore[override]
        """The config records."""
        return KindView(self, ConfigRecord)

    def __repr__(self) -> str:
        """Return the representation of Flower's own `RecordDict`."""
        return RecordDict.__repr__(self)


class KindView(dict[str, Record]):
    """The records of one type; a record set or deleted here is set or deleted in the content, too.

    Raises
    ------
    TypeError
        If a record of another type is set.
    """

    def __init__(self, content: RecordDict, kind: type[Record]) -> None:
        super().__init__(records_of_type(content, kind))
        self._content = content
        self._kind: type[Record] = kind

    def __setitem__(self, key: str, record: Record) -> None:
        """Set a record, also in the content."""
        if not isinstance(record, self._kind):
            raise TypeError(f"{type(record).__name__} is not a {self._kind.__name__}")
        self._content[key] = record
        super().__setitem__(key, record)

    def __delitem__(self, key: str) -> None:
        """Delete a record, also from the content."""
        super().__delitem__(key)
        del self._content[key]


def as_content(content: RecordDict) -> Content:
    """Return a message's content as a `Content` with the same records."""
    return content if isinstance(content, Content) else Content(dict(content))


def records_of_type(content: RecordDict, kind: type[Record]) -> Iterator[tuple[str, Record]]:
    """Yield the keys and records of a type; Flower's own views are slow if there are many."""
    for key, record in content.items():
        if isinstance(record, kind):
            yield key, record
