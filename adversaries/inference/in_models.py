"""Reference models of which some have trained on a record and some have not: *IN* and *OUT* models.

The attacker runs federations of its own in which the victim's stand-in trains on a random half of
the audited records, the other half in the next one (Carlini et al., IEEE S&P 2022, section IV: both
sides of the test are needed of each target). This needs the records themselves, but not their
membership: every record is IN half of the federations and OUT of the others, as far as the stand-in
has room for them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FLOOR = 1e-8  # of standard deviations


@dataclass(frozen=True)
class Side:
    """Statistics of the IN or of the OUT models of each record.

    Attributes
    ----------
    count
        Number of models per record, (N,).
    mean
        Their mean, (N,); NaN where there are none.
    deviation
        Standard deviation, (N,): each record's own, or one for all.
    """

    count: NDArray[np.int64]
    mean: Floats
    deviation: Floats

    def log_density(self, values: Floats) -> Floats:
        """Return the logarithm of the normal density, without its constant."""
        return -0.5 * ((values - self.mean) / self.deviation) ** 2 - np.log(self.deviation)


def side_of(values: Floats, chosen: NDArray[np.bool_], *, own: bool) -> Side:
    """Return one side of each record.

    Parameters
    ----------
    values
        (K, N) of K models.
    chosen
        (K, N): which models are on this side of which record.
    own
        Whether records that have two models or more get a deviation of their own. The others, and
        all without it, get the one that is pooled over the records.

    Examples
    --------
    >>> values = np.array([[1.0, 5.0], [3.0, 0.0], [9.0, 7.0]])
    >>> side = side_of(values, np.array([[True, True], [True, False], [False, True]]), own=False)
    >>> side.mean, side.deviation.round(4)
    (array([2., 6.]), array([1.4142, 1.4142]))
    """
    count = chosen.sum(0)
    with np.errstate(invalid="ignore"):
        mean = np.where(chosen, values, 0.0).sum(0) / count
    squares = np.where(chosen, (values - mean) ** 2, 0.0).sum(0)
    freedom = np.maximum(count - 1, 0)
    pooled = np.sqrt(squares.sum() / max(int(freedom.sum()), 1))
    deviation = np.full(len(count), pooled)
    if own:
        deviation = np.where(count > 1, np.sqrt(squares / np.maximum(freedom, 1)), pooled)
    return Side(count, mean, np.maximum(deviation, _FLOOR))


def both_sides(values: Floats, trained: NDArray[np.int8], *, own: bool) -> tuple[Side, Side]:
    """Return the IN and the OUT side; a record without models on one gets the mean shift there.

    Parameters
    ----------
    values
        (K, N) of K models.
    trained
        (K, N): 1 where the victim's stand-in trained on the record, 0 where nobody did; below 0
        where only others did, which is on no side, unless a record has no other models.
    own
        As in `side_of`.
    """
    inside, outside = (side_of(values, chosen, own=own) for chosen in _sides(trained))
    both = (inside.count > 0) & (outside.count > 0)
    shift = float((inside.mean - outside.mean)[both].mean()) if both.any() else 0.0
    return (
        Side(inside.count, _filled(inside, outside.mean + shift), inside.deviation),
        Side(outside.count, _filled(outside, inside.mean - shift), outside.deviation),
    )


def _sides(trained: NDArray[np.int8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which models are IN and which are OUT, (K, N) each; every record has one."""
    return trained == 1, (trained == 0) | (trained < 0).all(0)


def _filled(side: Side, otherwise: Floats) -> Floats:
    return np.where(side.count > 0, side.mean, otherwise)


def likelihood_ratio(
    victim: Floats, values: Floats, trained: NDArray[np.int8], *, own: bool
) -> Floats:
    """Return log N(victim; IN) - log N(victim; OUT) of each record, (N,).

    Examples
    --------
    >>> values = np.array([[2.0], [4.0], [-1.0], [1.0]])
    >>> trained = np.array([[1], [1], [0], [0]], dtype=np.int8)
    >>> likelihood_ratio(np.array([3.0]), values, trained, own=True).round(4)  # ((3-0)/2**.5)**2/2
    array([2.25])
    """
    inside, outside = both_sides(values, trained, own=own)
    return inside.log_density(victim) - outside.log_density(victim)


def mean_of_both(log_values: Floats, trained: NDArray[np.int8]) -> Floats:
    """Return the logarithm of the mean of probabilities over IN and OUT models, at equal weights.

    A record with models on one side only gets the mean ratio of the two sides there.

    Examples
    --------
    >>> mean_of_both(np.log([[0.9], [0.1], [0.3]]), np.array([[1], [0], [0]], dtype=np.int8))
    array([-0.597837])
    """
    sides = []
    for chosen in _sides(trained):
        masked = np.where(chosen, log_values, -np.inf)
        largest = np.where(chosen.any(0), masked.max(0), 0.0)
        with np.errstate(divide="ignore"):
            total = np.log(np.exp(masked - largest).sum(0))
            sides.append(total + largest - np.log(np.maximum(chosen.sum(0), 1)))
    inside, outside = sides
    both = np.isfinite(inside) & np.isfinite(outside)
    shift = float((inside - outside)[both].mean()) if both.any() else 0.0
    inside, outside = (
        np.where(np.isfinite(inside), inside, outside + shift),
        np.where(np.isfinite(outside), outside, inside - shift),
    )
    return np.asarray(np.logaddexp(inside, outside) - np.log(2))
