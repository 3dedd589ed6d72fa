"""The planted neuron's reading: whether the unit moved that has a slope for one record only.

Nguyen et al., AISTATS 2023, and Pichler et al., 2022 (see `planted_neuron_server`). It needs no
word from the server that planted: a unit on which exactly one audited record has a slope, in what
the victim was sent, can have moved by that record x only, or by one that is not audited. It moved
by u = g x then. Its weights w single x out, so they are the filter that g is read with: with v the
part of w that is orthogonal to the mean record,

    g = <u - k w, v> / <x, v>,

k the median over such units of how much of u goes along w, which is weight decay. The rest of
a unit's momentum from earlier rounds is a mix of other records, to which v is almost orthogonal. A
record's score is the largest log(|g| |x| / |w|) of its units, less that of rounding; 0 if it had
none.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adversaries.inference.entry_layer import EntryLayer
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
from fedsim.progress import SILENCE, Watcher

NAME = "the planted neuron"
ROUNDING = 1e-6
"""Relative to a unit's weights: a unit that moved by less did not move. Single precision has 6e-8,
and weight decay rounds once a step."""

_LEAST = 1e-12


class PlantedNeuron(PlantedUnitsAttack):
    """Score a record by whether a unit moved that it alone has a slope on (Nguyen et al. 2023).

    It is a reading of what `planted-neuron-server` provokes. Where nothing is planted all records
    score alike, but for those that a unit of an honest model happens to be alone with.
    """

    who = NAME

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> NDArray[np.float64]:
        """Return log evidence.

        Raises
        ------
        FedsimError
            If the model has no such layer, or it is not known what a victim was sent.
        """
        layer, features = view_layer(view, NAME), audited_features(view)
        scores = torch.zeros(len(features), dtype=torch.float64)
        tried = torch.zeros(len(features), dtype=torch.bool)
        for one in moved_layers(view, layer, NAME):
            units, records = alone(layer, one, features)
            found = (evidence(one, units, features, records) / ROUNDING).log()
            for record, value in zip(records.tolist(), found.tolist(), strict=True):
                scores[record] = max(float(scores[record]), value) if tried[record] else value
                tried[record] = True
        wanted: NDArray[np.float64] = scores.numpy()[positions(view, candidates)]
        return wanted

    def findings(self, view: View, known: AuxiliaryRecords, watcher: Watcher) -> Sequence[Finding]:
        """Return how many records had a unit of their own, and what gives the server away."""
        layer, features = view_layer(view, NAME), audited_features(view)
        rows = []
        for one in moved_layers(view, layer, NAME):
            units, records = alone(layer, one, features)
            moved = int((evidence(one, units, features, records) > ROUNDING).sum())
            rows.append((one.round, len(units), moved))
        own = self.score(view, known, view.records, 0, SILENCE)
        return (
            Finding(
                title="units on which one audited record alone has a slope",
                figures={
                    "records with such a unit": int((own != 0).sum()),
                    "records whose unit moved": int((own > 0).sum()),
                    "audited records": len(own),
                },
                columns=("round", "such units: what a participant could notice", "that moved"),
                rows=tuple(rows[:200]),
            ),
        )


def alone(layer: EntryLayer, one: MovedLayer, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the units that one record alone has a slope on, and that record of each."""
    slope = layer.has_slope(features @ one.weight.T + one.bias)  # (N, units)
    units = torch.nonzero(slope.sum(0) == 1)[:, 0]
    return units, slope[:, units].int().argmax(0)


def evidence(one: MovedLayer, units: Tensor, features: Tensor, records: Tensor) -> Tensor:
    """Return |g| |x| / |w| of units (k,) that records (k,) alone have a slope on."""
    weight, moved, own = one.weight[units], one.moved_weight[units], features[records]
    if not len(units):
        return torch.zeros(0, dtype=torch.float64)
    squares = weight.square().sum(1).clamp(min=1e-30)
    decay = ((moved * weight).sum(1) / squares).median()
    mean = features.mean(0)
    filtered = weight - mean * ((weight @ mean) / mean.square().sum().clamp(min=1e-30))[:, None]
    answer = ((moved - decay * weight) * filtered).sum(1).abs()
    scale = (own * filtered).sum(1).abs().clamp(min=1e-30)
    found: Tensor = answer / scale * own.norm(dim=1) / squares.sqrt()
    return torch.clamp(found, min=_LEAST)
