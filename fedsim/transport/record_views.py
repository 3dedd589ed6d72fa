"""What messages carry, with views by kind that cost little and hold on to nothing.

Flower's `RecordDict.array_records` and its like make a new dictionary with each look. It refers to
itself, so what it shows stays in memory until Python next searches for such circles: for a server
that looks at uploads, most of a round's parameters. A `Content` looks the same and makes no circle.
"""

from collections.abc import Iterator
from typing import TypeVar

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedsim.transport.flower_records import Quick

AnyRecord = ArrayRecord | ConfigRecord | MetricRecord
Record = TypeVar("Record", bound=AnyRecord)


class Content(Quick[AnyRecord], RecordDict):
    """A `RecordDict` whose views are cheap, and which is quick itself."""

    flowers = RecordDict
    fitting = (ArrayRecord, ConfigRecord, MetricRecord)

    @property
    def array_records(self) -> "KindView[ArrayRecord]":  # type: ignore[override]  # a dict, not its own
        """The records of arrays."""
        return KindView(self, ArrayRecord)

    @property
    def metric_records(self) -> "KindView[MetricRecord]":  # type: ignore[override]
        """The records of metrics."""
        return KindView(self, MetricRecord)

    @property
    def config_records(self) -> "KindView[ConfigRecord]":  # type: ignore[override]
        """The records of settings."""
        return KindView(self, ConfigRecord)

    def __repr__(self) -> str:
        """Return it as Flower's own is shown."""
        return RecordDict.__repr__(self)


class KindView(dict[str, Record]):
    """The records of one kind; what is set or deleted here is so in the content, too.

    Raises
    ------
    TypeError
        If a record of another kind is put in.
    """

    def __init__(self, content: RecordDict, kind: type[Record]) -> None:
        super().__init__(of_kind(content, kind))
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


def light(content: RecordDict) -> Content:
    """Return what a message carries as a `Content`; the records are the same."""
    return content if isinstance(content, Content) else Content(dict(content))


def of_kind(content: RecordDict, kind: type[Record]) -> Iterator[tuple[str, Record]]:
    """Yield the keys and records of a kind; Flower's own views are slow where there are many."""
    for key, record in content.items():
        if isinstance(record, kind):
            yield key, record
