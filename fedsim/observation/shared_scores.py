"""Scores of one query that several attacks read, computed once.

An attack may be made of others that an experiment also lists by themselves (`ensemble` reads the
scores of `supervised`). What one of them was computed for, the next one finds here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoreSource:
    """All that an attack's scores follow from.

    Attributes
    ----------
    attack
        Its class.
    settings
        The attributes of the object, as they were before it scored.
    dataset
        Where the records' features and labels are, this very object.
    view
        What else of a view decides scores: the snapshots and the fields beside them.
    arrays
        Known records, their truth and the candidates.
    seeds
        The attack seeds.
    """

    attack: type
    settings: dict[str, object]
    dataset: object
    view: tuple[object, ...]
    arrays: tuple[NDArray[Any], ...]
    seeds: tuple[int, ...]

    def same(self, other: "ScoreSource") -> bool:
        """Return whether the same scores follow; what cannot be compared is not the same."""
        if self.attack is not other.attack or self.dataset is not other.dataset:
            return False
        try:
            alike = (self.settings, self.view, self.seeds) == (
                other.settings,
                other.view,
                other.seeds,
            )
        except (ValueError, TypeError, RuntimeError):  # an array has no one truth value
            return False
        return alike and all(map(np.array_equal, self.arrays, other.arrays))


class SharedScores:
    """The scores that were computed of a query so far, by what they follow from."""

    def __init__(self) -> None:
        self._computed: list[tuple[ScoreSource, list[Floats]]] = []

    def rows(self, source: ScoreSource, compute: Callable[[], Sequence[Floats]]) -> list[Floats]:
        """Return the scores of each seed, as copies; computed if they are not there."""
        for known, rows in self._computed:
            if known.same(source):
                return [row.copy() for row in rows]
        found = list(compute())
        if all(isinstance(row, np.ndarray) for row in found):
            self._computed.append((source, [row.copy() for row in found]))
        return found
