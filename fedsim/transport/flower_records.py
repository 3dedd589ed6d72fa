"""Faster variants of Flower's records, which are constructed without type checks.

A Flower record checks the type of each key and value that is put in, and constructs the types to
check against anew each time. This takes 2 µs a value, which for many small participants is a tenth
of a round. The records here wrap a dictionary of our own without a check. Values that are put in
later are checked by Flower's own code, so these records can replace Flower's everywhere.
"""

from collections.abc import ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from typing import Any, ClassVar, Self, TypeVar

from flwr.app import Array, ArrayRecord, MetricRecord

Value = TypeVar("Value")


class UncheckedRecord(MutableMapping[str, Value]):
    """The mapping of a record; it precedes Flower's class among the base classes.

    Parameters
    ----------
    held
        The content, of the right types. The record owns the dictionary from now on.
    """

    flowers: ClassVar[type[MutableMapping[str, Any]]]
    """The class of Flower's that it replaces."""
    fitting: ClassVar[tuple[type, ...]] = ()
    """Types that Flower's class is known to accept; its own check decides about others."""

    def __init__(self, held: dict[str, Value]) -> None:
        # Flower's constructor is not called: it would make a dictionary and checks without a use.
        self._held = held

    def __setitem__(self, key: str, value: Value) -> None:
        """Set a value.

        Raises
        ------
        TypeError
            Flower's own error, if the value is not of the right type.
        """
        if type(key) is not str or not isinstance(value, self.fitting):
            self.flowers()[key] = value
        self._held[key] = value

    def __getitem__(self, key: str) -> Value:
        """Return a value."""
        return self._held[key]

    def __delitem__(self, key: str) -> None:
        """Delete a value."""
        del self._held[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._held)

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._held)

    def __contains__(self, key: object) -> bool:
        """Return whether a key exists."""
        return key in self._held

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self._held.keys()

    def values(self) -> ValuesView[Value]:
        """Return the values."""
        return self._held.values()

    def items(self) -> ItemsView[str, Value]:
        """Return keys and values."""
        return self._held.items()

    def copy(self) -> Self:
        """Return a shallow copy."""
        return type(self)(self._held.copy())

    def deflate(self) -> bytes:
        """Return the serialised record, under the name of Flower's class."""
        own: Any = self.flowers()
        own.update(self._held)
        sent: bytes = own.deflate()
        return sent

    def __eq__(self, other: object) -> bool:
        """Return whether another mapping has the same values."""
        if not isinstance(other, MutableMapping):
            return NotImplemented
        return self._held == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # mutable, as Flower's

    def __repr__(self) -> str:
        """Return the representation of Flower's own record."""
        return repr(self._held)


class FastArrays(UncheckedRecord[Array], ArrayRecord):
    """A faster `ArrayRecord`."""

    flowers = ArrayRecord
    fitting = (Array,)

    def __setitem__(self, key: str, value: Array) -> None:
        """Set an array."""
        super().__setitem__(key, value)
        self.is_dirty = True  # Flower caches the hash of a record until this is set

    def __delitem__(self, key: str) -> None:
        """Delete an array."""
        super().__delitem__(key)
        self.is_dirty = True


class FastMetrics(UncheckedRecord[Any], MetricRecord):
    """A faster `MetricRecord`."""

    flowers = MetricRecord
