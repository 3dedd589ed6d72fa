"""The plugin contract of a metric: one number from the scores of members and of non-members.

A metric is a class with a `name`, a `heading`, and `point`; its entry point is in the group
``fedsim.metrics``. Nothing else has to change for it to stand in ``results.json``, the terminal's
tables, the page, comparisons and data frames. Whatever it measures is resampled for its interval by
`fedsim.evaluation.intervals`.
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
"""How a figure is printed: a fraction in percent, a fraction with three decimals, any number."""

FRACTIONS: tuple[Unit, ...] = ("percent", "area")
"""The units whose figures lie in 0..1."""


@dataclass(frozen=True, eq=False)
class ScoredRecords:
    """The scores of one victim's evaluation records by one seed of an attack; higher means member.

    Attributes
    ----------
    members, nonmembers
        float64 (m,) and (n,), neither empty.
    threshold
        At or above it a record is classified as a member; chosen on the auxiliary records.
    auxiliary
        The scores of the auxiliary members and non-members, for a metric that chooses a threshold
        of its own; None where they are not at hand.
    """

    members: Floats
    nonmembers: Floats
    threshold: float
    auxiliary: tuple[Floats, Floats] | None = None

    @cached_property
    def member_order(self) -> Order:
        """The places of the members by rising score."""
        return np.argsort(self.members)

    @cached_property
    def nonmember_order(self) -> Order:
        """The places of the non-members by rising score."""
        return np.argsort(self.nonmembers)


@dataclass(frozen=True, eq=False)
class ResampledRecords:
    """The same records under many weightings at once: how often each was drawn.

    Attributes
    ----------
    scored
        The records.
    members, nonmembers
        int32 (resamples, m) and (resamples, n); each row sums to m, and to n. In memory the
        weights of one record lie next to each other.
    """

    scored: ScoredRecords
    members: Counts
    nonmembers: Counts

    @cached_property
    def members_below(self) -> Floats:
        """Cumulative weights over the members by rising score, float64 (resamples, m + 1)."""
        return _cumulative(self.members, self.scored.member_order)

    @cached_property
    def nonmembers_below(self) -> Floats:
        """Cumulative weights over the non-members by rising score, float64 (resamples, n + 1)."""
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
        """Yield each resample as records, one that was drawn twice standing there twice."""
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
        What files and options call it; a metric with a setting has it behind an ``@``:
        ``tpr@0.01`` is the metric ``tpr``, its first setting .01.
    heading
        Above its column; short.
    title
        Where there is room; the heading if it is empty.
    explanation
        One sentence for the notes below a table.
    unit
        How its figures are printed.
    higher_is
        Whether a higher figure is the better attack.
    guessing
        What an attack that guesses reaches; None if that is not one number.
    resampled
        Whether the bootstrap gives its interval. If not, the figure is itself a bound that holds
        with a confidence: its interval is the figure, and it has no part in comparisons.
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
        """Return the figure, a finite number; a fraction in 0..1 unless the unit is ``number``."""

    def on_resamples(self, resampled: ResampledRecords) -> Floats:
        """Return the figure of every resample, float64 (resamples,).

        This one measures them one after the other. A metric that can measure all at once is
        hundreds of times faster: see `fedsim.evaluation.metrics`.
        """
        return np.array([self.point(one) for one in resampled.drawn()], dtype=np.float64)

    def refusal(self, members: int, nonmembers: int) -> str | None:
        """Return why so few records do not support the figure, or None if they do."""
        return None

    def independent_records(self, members: int, nonmembers: int) -> int:
        """Return how many independent records stand behind a figure of exactly 0 or 1."""
        return min(members, nonmembers)

    def proportion(self, scored: ScoredRecords) -> tuple[int, int] | None:
        """Return successes and trials where the figure is a plain share of records, or None.

        Such a figure has the exact binomial interval in the place of the bootstrap's.
        """
        return None

    def own_interval(self, scored: ScoredRecords, confidence: float) -> tuple[float, float] | None:
        """Return a central interval that covers where the bootstrap does not, or None.

        Of one seed against one victim; of several the limits are averaged, as if the errors of all
        were one error, which covers whatever they share.
        """
        return None

    def details(self, scored: ScoredRecords) -> Mapping[str, float]:
        """Return what else stands beside the figure in files: name and number, 0 or above."""
        return {}


def weight_of(weights: Counts, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the weight of the chosen records in each resample, (resamples,).

    >>> weight_of(np.array([[2, 0, 1], [1, 1, 1]], np.int32), np.array([True, False, True]))
    array([3, 2])
    """
    found: NDArray[np.int64] = weights.T[chosen].sum(axis=0)
    return found


def _cumulative(weights: Counts, order: Order) -> Floats:
    """Return cumulative sums over the records in an order, float64 (resamples, records + 1)."""
    by_record = weights.T
    sums = np.zeros((len(by_record) + 1, by_record.shape[1]))
    for place, record in enumerate(order):  # a row is quicker to add than a column to go through
        np.add(sums[place], by_record[record], out=sums[place + 1])
    return sums.T
