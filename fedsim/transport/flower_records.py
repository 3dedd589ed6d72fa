"""Flower's records, quicker: what we put in ourselves is not checked.

A Flower record checks the type of each key and value that is put in, and makes the types to check
against anew each time: 2 µs a value, which for many small participants is a tenth of a round. The
records here are made of a dictionary as it is. Whatever is put in later goes through the checks of
Flower's own records, whose place they can take anywhere.
"""

from collections.abc import ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from typing import Any, ClassVar, Self, TypeVar

from flwr.app import Array, ArrayRecord, MetricRecord

Value = TypeVar("Value")


class Quick(MutableMapping[str, Value]):
    """The dictionary of a record; goes before Flower's class among the bases of one.

    Parameters
    ----------
    held
        What is in it, of the right types. It is the record's from now on.
    """

    flowers: ClassVar[type[MutableMapping[str, Any]]]
    """Flower's own class, whose place it takes."""
    fitting: ClassVar[tuple[type, ...]] = ()
    """Types that Flower's class is known to take; it is asked about any other."""

    def __init__(self, held: dict[str, Value]) -> None:
        # Flower's own is not called: it would make a dictionary, and checks, that are not used.
        self._held = held

    def __setitem__(self, key: str, value: Value) -> None:
        """Put a value in.

        Raises
        ------
        TypeError
            Flower's, if it is not of the right type.
        """
        if type(key) is not str or not isinstance(value, self.fitting):
            self.flowers()[key] = value
        self._held[key] = value

    def __getitem__(self, key: str) -> Value:
        """Return a value."""
        return self._held[key]

    def __delitem__(self, key: str) -> None:
        """Take a value out."""
        del self._held[key]

    def __iter__(self) -> Iterator[str]:
        """Go through the keys."""
        return iter(self._held)

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self._held)

    def __contains__(self, key: object) -> bool:
        """Return whether there is such a key."""
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
        """Return a record of its own with the same values."""
        return type(self)(self._held.copy())

    def deflate(self) -> bytes:
        """Return what Flower sends, under the name of its own class."""
        own: Any = self.flowers()
        own.update(self._held)
        sent: bytes = own.deflate()
        return sent

    def __eq__(self, other: object) -> bool:
        """Return whether another mapping has the same values."""
        if not isinstance(other, MutableMapping):
            return NotImplemented
        return self._held == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # as Flower's, which can be changed

    def __repr__(self) -> str:
        """Return it as Flower's own is shown."""
        return repr(self._held)


class FastArrays(Quick[Array], ArrayRecord):
    """An `ArrayRecord`, quicker."""

    flowers = ArrayRecord
    fitting = (Array,)

    def __setitem__(self, key: str, value: Array) -> None:
        """Put an array in."""
        super().__setitem__(key, value)
        self.is_dirty = True  # Flower keeps the hash of a record until then

    def __delitem__(self, key: str) -> None:
        """Take an array out."""
        super().__delitem__(key)
        self.is_dirty = True


class FastMetrics(Quick[Any], MetricRecord):
    """A `MetricRecord`, quicker."""

    flowers = MetricRecord
