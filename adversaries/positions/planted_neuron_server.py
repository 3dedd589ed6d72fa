"""The planted neuron: a unit for each target record that has a slope for it and no other.

Nguyen, Lai, Tran, Phan and Thai, *Active Membership Inference Attack under Local Differential
Privacy in Federated Learning*, AISTATS 2023, train a small network in front of the model until one
of its neurons fires for the target only; Pichler, Romanelli, Rey Vega and Piantanida, *Perfectly
Accurate Membership Inference by a Dishonest Central Server in Federated Learning* (arXiv
2203.16463, 2022), put a hyperplane through it. The gradient of that neuron is 0 unless the target
is in the batch.

A record that the model is sure of has no gradient, so a unit that fires pushes the sums of the next
layer about, at random, and the model is wrong about its target.

Here the neurons are units of the first layer, in closed form, and nothing is added to the model. Of
a target x with m and S the mean and covariance of all targets, w = S^-1 (x - m) is the direction in
which x stands out most; the unit is silent for all other targets, and by the same margin for
records of their kind. Each active round has as many targets as there are units, in turn.

Where participants keep their momentum from round to round, what a unit learned before it was
planted goes on moving it. So in the first active rounds (`settle`) it is silent for all records.

What could reveal it: units with a slope for at most one of a participant's records, and weights
many times as long as those of the layer's other units.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from adversaries.inference.entry_layer import SATURATED, EntryLayer
from adversaries.positions.planting_server import PlantingServer
from adversaries.positions.unit_planting import PlantedUnits, target_features
from fedsim import seeds
from fedsim.data import MembershipQuery

_RIDGE = 1e-3  # of the mean variance of a feature, added to the covariance
_PUSH = {True: 0.5, False: 1.0}
"""By how much a target that fires moves each sum of the next layer, in their deviations, for tanh
and for ReLU: what the model is sure of must become less sure. A ReLU that fires goes on growing
with its weights; pushed harder, it takes the victim's model with it."""
_BEYOND = 1.5
"""By how much it moves the sum of its own class, in the largest of all, where they are outputs."""
_SILENT = 4.0  # times the largest weighted sum of a target: where dead units are


class PlantedNeuronServer(PlantingServer):
    """Plant a unit for each target that only it gives a slope (Nguyen et al. 2023).

    Parameters
    ----------
    victims
        The participants that are sent planted units and asked about; by default the audit's
        victims.
    units
        How many are planted, of all victims together: as many targets are tried in a round.
    first, last
        The active rounds; None goes on to the end.
    settle
        For how many of them the units are silent, so that momentum dies away.
    """

    def __init__(
        self,
        victims: tuple[int, ...] = (0,),
        units: int = 128,
        first: int = 2,
        last: int | None = None,
        settle: int = 1,
    ) -> None:
        super().__init__(victims, units, first, last)
        if settle < 0:
            raise ValueError(f"settle must not be negative, but is {settle}")
        self.settle = settle

    def does(self) -> str:
        """Return the description of its action."""
        return (
            f"plants {self.units} units into the first layer of what it sends the victim, each "
            "with a slope for one target record only"
        )

    def planted(
        self, layer: EntryLayer, state: dict[str, Tensor], query: MembershipQuery, number: int
    ) -> PlantedUnits:
        """Return units for the next targets that a plane separates from all others."""
        resources = self.required_resources()
        features = target_features(resources, query)
        count = len(self._slots()[query.victims[0]])
        order = seeds.generator(resources.seed, "targets", query.key).permutation(len(features))
        groups = max(1, -(-len(order) // count))
        turn = number - self.settle
        chosen = order[turn % groups :: groups][:count] if turn >= 0 else order[:0]
        places = torch.from_numpy(np.sort(chosen))
        if layer.outgoing is None:
            return single_out(layer, features, places, count)
        push = _push(layer, state, features)
        units = single_out(layer, features, places, count)
        shape = (len(state[layer.outgoing]), count)
        random = seeds.torch_generator(resources.seed, "outgoing", query.key)
        signs = torch.randint(2, shape, generator=random) * 2.0 - 1.0
        labels = resources.dataset.batch(resources.targets_of(query)[np.sort(chosen)])[1]
        if layer.before_output and labels.dim() == 1 and not labels.is_floating_point():
            signs = torch.zeros(shape)  # away from the target's own class
            signs[labels, torch.arange(len(labels))] = -1.0
        return replace(units, outgoing=push * signs)


def _push(layer: EntryLayer, state: dict[str, Tensor], features: Tensor) -> float:
    """Return how much a target should move the weighted sums of the next layer."""
    sums = features.float() @ state[layer.weight].T + state[layer.bias]
    active = sums.tanh() if layer.saturates else sums.relu()
    behind = active @ state[str(layer.outgoing)].T
    return (
        _BEYOND * float(behind.abs().max())
        if layer.before_output
        else _PUSH[layer.saturates] * float(behind.std())
    )


def single_out(layer: EntryLayer, features: Tensor, chosen: Tensor, count: int) -> PlantedUnits:
    """Return units that have a slope for one of the chosen records each, and for no other.

    Parameters
    ----------
    layer
        The layer to plant into.
    features : (N, inputs)
        All records to separate, in double precision.
    chosen
        At most `count` of them.
    count
        K; units without a record have weights of zero.
    """
    centred = features - features.mean(0)
    covariance = centred.T @ centred / len(features)
    ridge = _RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
    covariance += ridge * torch.eye(len(covariance), dtype=torch.float64)
    directions = torch.linalg.solve(covariance, centred[chosen].T).T  # (k, inputs)
    directions = directions / directions.norm(dim=1, keepdim=True).clamp(min=1e-30)
    sums = directions @ features.T  # (k, N)
    own = sums.gather(1, chosen[:, None])[:, 0]
    others = sums.scatter(1, chosen[:, None], -torch.inf)
    gap = own - others.max(1).values
    # Equal features are one record: a copy has the slope, too.
    apart = gap > 1e-6 * own.abs().clamp(min=1.0)
    # ReLU: 1 at the target, 0 half way to the next one. tanh: 0 there, saturated half way.
    steepness = torch.where(apart, 2 * (SATURATED if layer.saturates else 1.0) / gap, 0.0)
    centre = own if layer.saturates else own - gap / 2
    reach = (sums.abs().max(1).values + own.abs()) * steepness
    weight = torch.zeros(count, layer.inputs, dtype=torch.float64)
    alive, dead = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    silent = -2 * SATURATED
    rows = torch.arange(len(chosen))
    weight[rows] = directions * steepness[:, None]
    alive[rows] = torch.where(apart, -centre * steepness, silent)
    dead[rows] = alive[rows] - _SILENT * reach + silent
    alive[len(chosen) :] = dead[len(chosen) :] = silent
    return PlantedUnits(weight.float(), alive.float(), dead.float(), None, int(apart.sum()))
