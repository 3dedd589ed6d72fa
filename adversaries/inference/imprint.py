"""The imprint's reading: records read back by one division, and how close a record is to one.

Fowl et al., ICLR 2022 (see `imprint_server`). It needs no word from the server: the rows of the
first layer that are equal in what the victim was sent are its bins. With U_i and u_i by how much
the weights and the bias of the i-th moved, in the order of their biases,

    x_i = (U_i - U_{i+1}) / (u_i - u_{i+1}),   score(x) = - min_i |x - x_i| / |x - m|,

with m the mean record. Differences of biases do not depend on how far below the others' units lie,
so this holds of sums, too.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adversaries.inference.feature_cache import positions
from adversaries.inference.planted_units import (
    MovedLayer,
    PlantedUnitsAttack,
    audited_features,
    moved_layers,
    view_layer,
)
from fedsim.attacks import AuxiliaryRecords, RecordIds, View
from fedsim.finding import Finding
from fedsim.progress import Watcher

NAME = "the imprint"
READ = 0.1
"""Distance from a reconstruction below which a record counts as read back, relative to its distance
from the mean record."""

_FEWEST = 3  # equal rows that are no accident
_ROUNDING = 4e-7  # of the biases; what moved by less did not move
_FARTHEST = 100.0  # of distances: there is no reconstruction


class Imprint(PlantedUnitsAttack):
    """Score a record by its distance from the nearest record that was read back (Fowl et al.)."""

    who = NAME

    def __init__(self) -> None:
        self._latest: tuple[View, Tensor] | None = None

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return minus the smallest relative distance; equal for all if nothing was read back.

        Raises
        ------
        FedsimError
            If the model has no such layer, or it is not known what a victim was sent.
        """
        wanted: NDArray[np.float64] = -self._distances(view).numpy()[positions(view, candidates)]
        return wanted

    def findings(self, view: View, known: AuxiliaryRecords, watcher: Watcher) -> Sequence[Finding]:
        """Return how many records were read back, and what could reveal the server."""
        layer = view_layer(view, NAME)
        rows = [
            (one.round, len(equal_rows(one.weight)), len(reconstructions(one)))
            for one in moved_layers(view, layer, NAME)
        ]
        near = (self._distances(view) < READ).numpy()
        there = positions(view, known.records)
        return (
            Finding(
                title="records read back from bins",
                figures={
                    "known members read back": float(near[there[known.member]].mean())
                    if known.member.any()
                    else None,
                    "known non-members read back": float(near[there[~known.member]].mean())
                    if (~known.member).any()
                    else None,
                    "audited records read back": int(near.sum()),
                },
                columns=("round", "equal rows: what a participant could notice", "bins that moved"),
                rows=tuple(rows[:200]),
            ),
        )

    def _distances(self, view: View) -> Tensor:
        """Return the distance of every audited record, computed once for scores and findings."""
        if self._latest is None or self._latest[0] is not view:
            self._latest = view, self._nearest(view)
        return self._latest[1]

    def _nearest(self, view: View) -> Tensor:
        layer, features = view_layer(view, NAME), audited_features(view)
        scale = (features - features.mean(0)).norm(dim=1).clamp(min=1e-12)
        nearest = torch.full((len(features),), _FARTHEST, dtype=torch.float64)
        for one in moved_layers(view, layer, NAME):
            found = reconstructions(one)
            if len(found):
                apart = torch.cdist(features, found).min(1).values / scale
                nearest = torch.minimum(nearest, apart)
        return nearest


def equal_rows(weight: Tensor) -> Tensor:
    """Return the largest group of rows (units, n) that are equal, as places; none of fewer than 3.

    >>> equal_rows(torch.tensor([[1.0], [2.0], [2.0], [3.0], [2.0]]))
    tensor([1, 2, 4])
    """
    _, group, counts = torch.unique(weight, dim=0, return_inverse=True, return_counts=True)
    alive = counts * (
        torch.zeros_like(counts).scatter_reduce(0, group, (weight != 0).any(1).to(counts), "amax")
    )
    largest = int(alive.argmax())
    places = torch.nonzero(group == largest)[:, 0]
    return places if int(alive[largest]) >= _FEWEST else places[:0]


def reconstructions(one: MovedLayer) -> Tensor:
    """Return the reconstructions of the moved bins, (n, inputs): records, or means of several."""
    places = equal_rows(one.weight)
    places = places[one.bias[places].argsort(descending=True)]
    weights = one.moved_weight[places]
    biases = one.moved_bias[places]
    across, along = weights[:-1] - weights[1:], biases[:-1] - biases[1:]
    least = _ROUNDING * one.bias[places].abs().max() if len(places) else 0.0
    moved = along.abs() > least
    found: Tensor = across[moved] / along[moved][:, None]
    return found
