"""The plugin contract of a metric: one number from the scores of members and of non-members.

A metric is a class with a `name`, a `heading`, and `point`; its entry point is in the group
``fedsim.metrics``. It then appears in ``results.json``, the terminal's tables, the page,
comparisons and data frames without any other change. `fedsim.evaluation.intervals` resamples the
records for its interval.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
Order = NDArray[np.intp]

Unit = Literal["percent", "area", "number"]
"""The formats of figures: a fraction in percent, a fraction with three decimals, any number."""

FRACTIONS: tuple[Unit, ...] = ("percent", "area")
"""The units whose figures lie in [0, 1]."""


@dataclass(frozen=True, eq=False)
class ScoredRecords:
    """The scores of one victim's evaluation records by one seed of an attack; higher means member.

    Attributes
    ----------
    members, nonmembers
        float64 (m,) and (n,), neither empty.
    threshold
        A record with a score at or above it is classified as a member. It is chosen on the
        auxiliary records.
    auxiliary
        The scores of the auxiliary members and non-members, for a metric that chooses a threshold
        of its own; None if they are not available.
    """

    members: Floats
    nonmembers: Floats
    threshold: float
    auxiliary: tuple[Floats, Floats] | None = None

    @cached_property
    def member_order(self) -> Order:
        """The indices of the members in ascending order of score."""
        return np.argsort(self.members)

    @cached_property
    def nonmember_order(self) -> Order:
        """The indices of the non-members in ascending order of score."""
        return np.argsort(self.nonmembers)


@dataclass(frozen=True, eq=False)
class ResampledRecords:
    """Many resamples of the same records: how often each record was drawn.

    Attributes
    ----------
    scored
        The records.
    members, nonmembers
        int32 (resamples, m) and (resamples, n); each row sums to m, and to n. The weights of one
        record are contiguous in memory.
    """

    scored: ScoredRecords
    members: Counts
    nonmembers: Counts

    @cached_property
    def members_below(self) -> Floats:
        """Cumulative weights of members in ascending order of score, float64 (resamples, m + 1)."""
        return _cumulative(self.members, self.scored.member_order)

    @cached_property
    def nonmembers_below(self) -> Floats:
        """Cumulative weights of non-members, likewise: float64 (resamples, n + 1)."""
        return _cumulative(self.nonmembers, self.scored.nonmember_order)

    @cached_property
    def accused(self) -> tuple[Floats, Floats]:
        """The shares of members and of non-members at or above the threshold: (resamples,) each."""
        scored = self.scored
        return (
            weight_of(self.members, scored.members >= scored.threshold) / len(scored.members),
            weight_of(self.nonmembers, scored.nonmembers >= scored.threshold)
            / len(scored.nonmembers),
        )

    def drawn(self) -> Iterator[ScoredRecords]:
        """Yield each resample as records; a record that was drawn twice occurs twice."""
        scored = self.scored
        for members, nonmembers in zip(self.members, self.nonmembers, strict=True):
            yield ScoredRecords(
                np.repeat(scored.members, members),
                np.repeat(scored.nonmembers, nonmembers),
                scored.threshold,
                scored.auxiliary,
            )


class Metric(ABC):
    """One figure of an attack, from its scores.

    >>> class MedianGap(Metric):
    ...     '''How far the median member scores above the median non-member.'''
    ...
    ...     name = "median-gap"
    ...     heading = "median gap"
    ...     guessing = 0.0
    ...
    ...     def point(self, scored: ScoredRecords) -> float:
    ...         return float(np.median(scored.members) - np.median(scored.nonmembers))
    >>> MedianGap().point(ScoredRecords(np.array([3.0, 5.0]), np.array([1.0, 1.0]), 2.0))
    3.0

    Attributes
    ----------
    name
        The name in files and options. The value of a first setting follows an ``@``: ``tpr@0.01``
        is the metric ``tpr`` with its first setting .01.
    heading
        The short heading of its column.
    title
        A longer heading, for places with more room; if empty, `heading` is used.
    explanation
        One sentence for the notes below a table.
    unit
        The format of its figures.
    higher_is
        Whether a higher figure means a better attack.
    guessing
        The figure of an attack that guesses; None if that is not a single number.
    resampled
        Whether the bootstrap gives its interval. If not, the figure is itself a confidence bound:
        its interval is the figure, and comparisons leave it out.
    """

    name: str
    heading: str
    title: str = ""
    explanation: str = ""
    unit: Unit = "number"
    higher_is: Literal["better", "worse"] = "better"
    guessing: float | None = None
    resampled: bool = True

    @abstractmethod
    def point(self, scored: ScoredRecords) -> float:
        """Return the figure: a finite number, in [0, 1] unless the unit is ``number``."""

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the figure of every resample, float64 (resamples,).

        This implementation measures them one after the other. An override that measures all at once
        can be hundreds of times faster; see `fedsim.evaluation.metrics`.
        """
        return np.array([self.point(one) for one in resampled.drawn()], dtype=np.float64)

    def refusal(self, members: int, nonmembers: int) -> str | None:
        """Return why there are too few records for the figure, or None if there are enough."""
        return None

    def independent_records(self, members: int, nonmembers: int) -> int:
        """Return the number of independent records in a figure of exactly 0 or 1."""
        return min(members, nonmembers)

    def proportion(self, scored: ScoredRecords) -> tuple[int, int] | None:
        """Return successes and trials if the figure is a plain proportion of records, else None.

        Such a figure gets the exact binomial interval instead of the bootstrap's.
        """
        return None

    def own_interval(self, scored: ScoredRecords, confidence: float) -> tuple[float, float] | None:
        """Return a central interval for cases in which the bootstrap covers too little, or None.

        The interval is for one seed and one victim. For several, the limits are averaged, as if
        their errors were fully correlated, which is the conservative assumption.
        """
        return None

    def details(self, scored: ScoredRecords) -> Mapping[str, float]:
        """Return additional numbers for files, by name; each is 0 or above."""
        return {}


def weight_of(weights: Counts, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the total weight of the chosen records in each resample, (resamples,).

    >>> weight_of(np.array([[2, 0, 1], [1, 1, 1]], np.int32), np.array([True, False, True]))
    array([3, 2])
    """
    found: NDArray[np.int64] = weights.T[chosen].sum(axis=0)
    return found


def _cumulative(weights: Counts, order: Order) -> Floats:
    """Return cumulative sums over the records in an order, float64 (resamples, records + 1)."""
    by_record = weights.T
    sums = np.zeros((len(by_record) + 1, by_record.shape[1]))
    for place, record in enumerate(order):  # adding rows is faster than cumsum along the columns
        np.add(sums[place], by_record[record], out=sums[place + 1])
    return sums.T
