"""Looking up one thing that an attacker remembers.

Flower's views of a memory (`array_records` and the like) go through all that is in it. A server
that remembers something of each participant and asks once for each would go through all
participants for each.
"""

from flwr.app import ArrayRecord, MetricRecord, RecordDict


def arrays_in(memory: RecordDict, key: str) -> ArrayRecord:
    """Return the parameters that are remembered under a key.

    Raises
    ------
    KeyError
        If no parameters are.
    """
    record = memory.get(key)
    if not isinstance(record, ArrayRecord):
        raise KeyError(key)
    return record


def number_in(memory: RecordDict, key: str, name: str) -> float | None:
    """Return the number of a name that is remembered under a key; None if there is none."""
    record = memory.get(key)
    value = record.get(name) if isinstance(record, MetricRecord) else None
    return value if isinstance(value, int | float) else None
