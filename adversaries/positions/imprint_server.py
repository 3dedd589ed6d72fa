"""The imprint: units that sort a victim's records into bins, from which records can be read back.

Fowl, Geiping, Czaja, Goldblum and Goldstein, *Robbing the Fed: Directly Obtaining Private Data in
Federated Learning with Modified Models*, ICLR 2022. All rows of a layer ask the same question q of
a record, and the biases are minus the quantiles of the answers. A record gives a slope to the units
below its answer, so what two neighbours' gradients differ by comes from the records between their
quantiles: if that is one record x, the weights' difference over the biases' is x.

Theirs is a layer put in front of the model; here it is some of the units of its first layer, and
nothing is added. That others are sent silent units, so that the sum that secure aggregation shows
is the victim's, is the idea of LOKI (Zhao et al., IEEE S&P 2024). Their outgoing weights are alike,
so that a record has the same gradient on all units.

What could reveal it: equal rows of weights.
"""

import torch
from torch import Tensor

from adversaries.inference.entry_layer import EntryLayer
from adversaries.positions.planting_server import PlantingServer
from adversaries.positions.unit_planting import PlantedUnits, target_features
from fedsim import seeds
from fedsim.data import MembershipQuery
from fedsim.errors import FedsimError

_SILENT = 1.25  # times the range of the answers: where dead units are; farther off, sums round more
_LOUD = 3.0
"""Outgoing weights, in those with which a step of rate r changes what is behind a record by r."""


class ImprintServer(PlantingServer):
    """Plant bins that read records back by one division (Fowl et al. 2022); needs a ReLU.

    Parameters
    ----------
    victims
        The participants that are sent bins and asked about; by default the audit's victims.
    units
        How many bins there are, of all victims together. A record is read back if it is alone in
        its bin.
    first, last
        The active rounds, by default the first: then no participant has momentum yet.
    """

    def __init__(
        self,
        victims: tuple[int, ...] = (0,),
        units: int = 256,
        first: int = 1,
        last: int | None = 1,
    ) -> None:
        super().__init__(victims, units, first, last)

    def does(self) -> str:
        """Return the description of its action."""
        return (
            f"sorts the victim's records into {self.units} bins by units that it plants into the "
            "first layer of what it sends, to read them back"
        )

    def planted(
        self, layer: EntryLayer, state: dict[str, Tensor], query: MembershipQuery, number: int
    ) -> PlantedUnits:
        """Return units that ask one question, with quantiles of the targets' answers as biases.

        Raises
        ------
        FedsimError
            If the activation is no ReLU.
        """
        if layer.saturates or layer.outgoing is None:
            raise FedsimError(
                "imprint-server needs a ReLU behind the first layer, and a linear layer behind "
                "that; set model.activation: relu, or take planted-neuron-server"
            )
        resources = self.required_resources()
        features = target_features(resources, query)
        random = seeds.torch_generator(resources.seed, "imprint", query.key, number)
        sums = features.float() @ state[layer.weight].T + state[layer.bias]
        usual = float((sums.relu() @ state[layer.outgoing].T).std())
        outputs = len(state[layer.outgoing])
        return bins(features, len(self._slots()[query.victims[0]]), outputs, usual, random)


def bins(
    features: Tensor, count: int, outputs: int, usual: float, random: torch.Generator
) -> PlantedUnits:
    """Return units whose biases cut the answers of records into bins.

    Parameters
    ----------
    features : (N, inputs)
        Of records like the victim's, in double precision.
    count
        K.
    outputs, usual
        How many sums read the units, and their usual deviation, which they then have together.
    random
        The question and the signs of the outgoing weights come from it.
    """
    spread = features.std(0)
    question = torch.randn(features.shape[1], generator=random, dtype=torch.float64)
    question = torch.where(spread > 0, question / spread.clamp(min=1e-12), 0.0)
    question = question / (features @ question).std().clamp(min=1e-12)
    answers = features @ question
    cuts = torch.quantile(answers, torch.arange(count, dtype=torch.float64) / count)
    alive = -(cuts - 1e-9)
    dead = alive - _SILENT * (answers.max() - answers.min())
    together = (answers[:, None] - cuts).relu().sum(1).mean().clamp(min=1e-12)
    signs = torch.randint(2, (outputs, 1), generator=random) * 2.0 - 1.0
    # A gradient is as large as the outgoing weights, and rounding as the others.
    out = _LOUD / (count**0.5 * float(features.square().sum(1).mean().sqrt()) + 1e-12)
    scale = usual / (float(together) * out)
    return PlantedUnits(
        (scale * question).expand(count, -1).float(),
        (scale * alive).float(),
        (scale * dead).float(),
        (out * signs).expand(outputs, count).float(),
        len(features),
    )
