"""Lookup of single entries in an attacker's memory.

Flower's views of a memory (`array_records` and others) iterate over all entries. With one entry per
participant, looking up each of them would take quadratic time.
"""

from flwr.app import ArrayRecord, MetricRecord, RecordDict


def arrays_in(memory: RecordDict, key: str) -> ArrayRecord:
    """Return the parameters stored under a key.

    Raises
    ------
    KeyError
        If there are none.
    """
    record = memory.get(key)
    if not isinstance(record, ArrayRecord):
        raise KeyError(key)
    return record


def number_in(memory: RecordDict, key: str, name: str) -> float | None:
    """Return a named number stored under a key; None if there is none."""
    record = memory.get(key)
    value = record.get(name) if isinstance(record, MetricRecord) else None
    return value if isinstance(value, int | float) else None
