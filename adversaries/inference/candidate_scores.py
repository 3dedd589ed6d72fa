"""Merging the scores of known and of other records, in the order of the candidates."""

import numpy as np
import torch
from numpy.typing import NDArray

from adversaries.inference.feature_cache import positions
from fedsim.attacks import AuxiliaryRecords, RecordIds, View

ScoreArray = NDArray[np.float64]


def row_index(view: View, records: RecordIds) -> torch.Tensor:
    """Return the rows of records in a view's features, as a tensor index."""
    return torch.from_numpy(positions(view, records))


def unknown_records(known: AuxiliaryRecords, candidates: RecordIds) -> RecordIds:
    """Return the candidates whose membership is not known."""
    return candidates[~np.isin(candidates, known.records)]


def joined_scores(
    known: AuxiliaryRecords, held_out: ScoreArray, candidates: RecordIds, others: ScoreArray
) -> ScoreArray:
    """Return the candidates' scores in their own order.

    Parameters
    ----------
    known, held_out
        The known records (n,) and their scores, out of fold.
    candidates, others
        All candidates, and the scores of those that are not known, in their order.
    """
    records = np.concatenate([known.records, unknown_records(known, candidates)])
    scores = np.concatenate([held_out, others])
    order = np.argsort(records)
    joined: ScoreArray = scores[order][np.searchsorted(records, candidates, sorter=order)]
    return joined
