"""The stratified bootstrap over records.

The bootstrap (Efron & Tibshirani 1993, percentile interval) draws records with replacement,
members among members and non-members among non-members, and measures every metric of every attack
on the same draw. A record that several attacks or victims share has the same weight in all of
them. This rule makes the interval of a mean over victims correct for shared non-members, and makes
a comparison of two attacks on the same records a paired one.

Scores are not sorted again in a resample: a record drawn twice has weight two in cumulative sums
over the original order, so all resamples of a metric take a few array operations.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.evaluation.joined_scores import EvaluationCase, call_metric_method, require_in_range
from fedsim.evaluation.metric import Counts, Floats, Metric, ResampledRecords
from fedsim.evaluation.scores import EvaluationError, Ids

RESAMPLES = 2000
# Weights in memory at once, resamples x records: an array of 4 million float64 takes 32 MB.
_BLOCK = 4_000_000


Replicates = Mapping[str, Floats]
"""The figure of each metric on each resample, (resamples,), by the name of the metric."""


def bootstrap(
    groups: Sequence[Sequence[EvaluationCase]],
    metrics: Sequence[Metric],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Replicates]:
    """Resample the records of all cases together and measure the mean of each group.

    Parameters
    ----------
    groups
        Groups of cases whose metrics are averaged (the victims of one attack). Equal record ids in
        any of the groups name the same record.
    metrics
        The metrics to measure; all are measured on the same draws.
    rng
        Source of the draws.
    resamples
        The number of resamples.

    Returns
    -------
    One `Replicates` for each group; entry i of all of them is from the same draw.
    """
    cases = [case for group in groups for case in group]
    universe, strata = _strata(cases)
    columns = [np.searchsorted(universe, case.joined.records) for case in cases]
    measured = np.concatenate(
        [
            np.stack(
                [
                    measure_resamples(case, metrics, _columns(counts, column))
                    for case, column in zip(cases, columns, strict=True)
                ]
            )
            for counts in _draws(len(universe), strata, resamples, rng)
        ],
        axis=2,
    )  # (cases, metrics, resamples)
    ends = np.cumsum([len(group) for group in groups])[:-1]
    means = [part.mean(axis=0) for part in np.split(measured, ends)]
    return [dict(zip((one.name for one in metrics), mean, strict=True)) for mean in means]


def _columns(counts: Counts, column: NDArray[np.intp]) -> Counts:
    """Return the weights of the records of one case, without a copy if it has all records."""
    if np.array_equal(column, np.arange(counts.shape[1])):
        return counts
    return counts.T[column].T


def _strata(cases: Sequence[EvaluationCase]) -> tuple[Ids, list[NDArray[np.intp]]]:
    """Return all record ids, sorted, and the strata: records with the same role in every case.

    With one case the strata are its members and its non-members. With several cases a record has a
    role in each (member, non-member, absent), so in every resample each case keeps its numbers of
    members and of non-members.
    """
    universe = np.unique(np.concatenate([case.joined.records for case in cases]))
    parts = np.zeros((len(cases), len(universe)), dtype=np.int8)
    for row, case in zip(parts, cases, strict=True):
        row[np.searchsorted(universe, case.joined.records)] = np.where(case.joined.member, 2, 1)
    _, part = np.unique(parts, axis=1, return_inverse=True)
    part = part.reshape(-1)
    return universe, [np.flatnonzero(part == number) for number in range(part.max() + 1)]


def _draws(
    records: int, strata: Sequence[NDArray[np.intp]], resamples: int, rng: np.random.Generator
) -> Iterator[Counts]:
    """Yield how often each record was drawn, int32 (resamples of a block, records), by blocks."""
    block = max(1, _BLOCK // records)
    for start in range(0, resamples, block):
        yield _block_of_draws(records, strata, min(block, resamples - start), rng)


@dataclass(frozen=True, eq=False)
class _Block:
    """A block of draws: its arguments, the generator's state before and after, and the result."""

    drawn_from: tuple[object, ...]
    counts: Counts
    state_behind: Mapping[str, Any]


_MOST_KEPT = 6
_latest: list[_Block] = []
"""The most recent blocks of draws, the latest first."""


def _block_of_draws(
    records: int, strata: Sequence[NDArray[np.intp]], rows: int, rng: np.random.Generator
) -> Counts:
    """Return a block of draws, in which the weights of one record are contiguous in memory.

    All attacks on one set of records are measured on the same draws, and drawing takes longer than
    most metrics, so the most recent blocks are cached.
    """
    state = rng.bit_generator.state
    drawn_from = (records, rows, *(stratum.tobytes() for stratum in strata), state)
    for place, block in enumerate(_latest):
        if block.drawn_from == drawn_from:
            _latest.insert(0, _latest.pop(place))
            rng.bit_generator.state = block.state_behind
            return block.counts
    by_record = np.empty((records, rows), dtype=np.int32)
    for stratum in strata:
        size = len(stratum)
        drawn = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
        times = np.bincount(drawn.reshape(-1), minlength=rows * size)
        by_record[stratum] = times.reshape(rows, size).T
    counts = by_record.T
    counts.flags.writeable = False
    _latest[:] = [_Block(drawn_from, counts, rng.bit_generator.state), *_latest[: _MOST_KEPT - 1]]
    return counts


def measure_resamples(case: EvaluationCase, metrics: Sequence[Metric], counts: Counts) -> Floats:
    """Measure one case on many resamples at once, which are given as weights of its records.

    Parameters
    ----------
    case, metrics
        The case, and the metrics to measure.
    counts
        int32 (resamples, records of the case): how often each record was drawn. In each row the
        sum over members is the case's number of members, and likewise for non-members.

    Returns
    -------
    float64 (metrics, resamples), mean over the attack's seeds.

    Raises
    ------
    PluginError
        If a metric fails, or returns a figure that is not finite or is outside its unit's range.
    """
    by_record, member = counts.T, case.joined.member
    members, nonmembers = by_record[member].T, by_record[~member].T
    total = np.zeros((len(metrics), len(counts)))
    for scored in case.scored:
        resampled = ResampledRecords(scored, members, nonmembers)
        for row, metric in zip(total, metrics, strict=True):
            figures = call_metric_method(metric, metric.on_resamples, resampled)
            values = np.asarray(figures, np.float64)
            if values.shape != row.shape:
                raise EvaluationError(
                    f"metric {metric.name!r} measured resamples of shape {values.shape}; one "
                    f"figure for each of the {len(row)} is needed"
                )
            require_in_range(metric, values)
            row += values
    measured: Floats = total / len(case.scored)
    return measured
