"""Base class of servers that plant units into the first layer of victims' parameters.

A planted unit is a row of weights and a bias in the layer that reads the raw features of a record
(see `entry_layer`). Most records give it no slope, so only few records move its weights in local
training, whatever the number of local steps. The same units are planted in all rounds; the rest of
the model trains normally.

If the server sees single uploads, only victims are sent planted units, and the honest values are
restored in their uploads before aggregation. Under secure aggregation there is only the sum. Then
the other participants are sent the same weights with biases at which the units are silent for all
records: their uploads do not change these weights, so any change in the sum comes from the victim
(Pasquini, Francati and Ateniese, *Eluding Secure Aggregation in Federated Learning via Model
Inconsistency*, CCS 2022). The planted units are lost to the federation until the last active round,
after which the honest values are put back.
"""

import copy
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import torch
from flwr.app import ArrayRecord, MetricRecord
from numpy.typing import NDArray
from torch import Tensor

from adversaries.inference.entry_layer import EntryLayer, entry_layer
from adversaries.inference.model_layers import EXAMPLES
from adversaries.positions.curious_server import CuriousServer
from adversaries.positions.planting_record import note_planting, planting_findings
from adversaries.positions.state_lookup import arrays_in, number_in
from adversaries.positions.unit_planting import (
    PlantedUnits,
    plant_units,
    raised_by,
    units_from_arrays,
    units_to_arrays,
)
from fedsim import seeds
from fedsim.adversary.base import Threat
from fedsim.adversary.resources import AttackerResources
from fedsim.data import MembershipQuery, about_participant
from fedsim.errors import PluginError
from fedsim.finding import Finding
from fedsim.observation.keys import SnapshotKey, SnapshotKind

_ROUND = "round"
_CRAFTED, _HONEST = "planted", "honest"


class PlantingServer(CuriousServer):
    """Plant units into the parameters of some participants; subclasses define the units.

    Parameters
    ----------
    victims
        Who is sent planted units and asked about; by default the audit's victims.
    units
        How many are planted, of all victims together.
    first, last
        The active rounds; None goes on to the end.
    """

    _on_sums = False

    def __init__(self, victims: tuple[int, ...], units: int, first: int, last: int | None) -> None:
        if units < 2 * len(victims):
            raise ValueError(f"units must be at least 2 a victim, not {units}")
        if first < 1 or (last is not None and last < first):
            raise ValueError(f"the active rounds cannot be {first} to {last}")
        self.victims, self.units = victims, units
        self.first, self.last = first, last

    @abstractmethod
    def planted(
        self, layer: EntryLayer, state: dict[str, Tensor], query: MembershipQuery, number: int
    ) -> PlantedUnits:
        """Return a victim's units of the `number`-th active round (from 0), K of them."""

    @abstractmethod
    def does(self) -> str:
        """Return the description of its action for the threat model."""

    def threat(self) -> Threat:
        """Return the threat model in words."""
        until = "on" if self.last is None else f"to round {self.last}"
        silent = ", and dead ones in what it sends the others" if self._on_sums else ""
        sees = (
            "the sum of the uploads of those who took part, and no single upload"
            if self._on_sums
            else "the victim's parameters before and after its local training"
        )
        return Threat(
            who="the server",
            sees=sees,
            does=f"from round {self.first} {until} it {self.does()}{silent}",
            active=True,
        )

    def acts_from(self) -> int:
        """Return the first active round."""
        return self.first

    def on_sums(self) -> Self:
        """Return its form under secure aggregation: it plants dead units for the others."""
        other = copy.copy(self)
        other._on_sums = True
        return other

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        """Ask about each victim, also on sums, which move by its records alone."""
        return self.about(self.victims, participants)

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from what the victim was sent, and from its upload or the sum."""
        (victim,) = query.victims
        seen = SnapshotKind.AGGREGATE.of() if self._on_sums else SnapshotKind.UPLOAD.of(victim)
        return SnapshotKind.SENT.of(victim), seen

    def answering_while_acting(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Keep what the victim would have been sent, too."""
        return (SnapshotKind.INTENDED.of(query.victims[0]),)

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Send a victim planted units; under secure aggregation, the others dead ones."""
        if not self._is_active(round_number):
            return super().send(round_number, participant, self._with_honest_units(arrays))
        if participant not in self.victims and not self._on_sums:
            return super().send(round_number, participant, arrays)
        arrays = self._with_honest_units(arrays)
        if participant in self.victims:
            self.record(round_number, SnapshotKind.INTENDED.of(participant), arrays)
        state = {name: value.clone() for name, value in arrays.to_torch_state_dict().items()}
        layer, slots = self._layer(), self._slots()
        self._remember(_honest(participant), layer, state)
        planted = self._planted(layer, state, round_number)
        for victim in self.victims:
            places = torch.from_numpy(slots[victim])
            plant_units(state, layer, places, planted[victim], alive=victim == participant)
        return super().send(round_number, participant, ArrayRecord(state))

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Send honest units for evaluation."""
        return self._with_honest_units(arrays)

    def give_resources(self, resources: AttackerResources) -> Self:
        """Set the resources; raise before round 1 if the model has no layer to plant into."""
        super().give_resources(resources)
        self._layer()
        return self

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Keep a victim's upload, and put the honest units back into what is aggregated."""
        super().receive(round_number, participant, arrays)
        if participant not in self.victims or not self._is_active(round_number):
            return arrays
        return self._restored(arrays, _honest(participant))

    def summed(self, round_number: int, arrays: ArrayRecord) -> None:
        """Keep the mean of the uploads."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)

    def findings(self) -> Sequence[Finding]:
        """Return the table of planted units, with what a participant could notice."""
        return planting_findings(self.memory)

    def _is_active(self, round_number: int) -> bool:
        return self.first <= round_number and (self.last is None or round_number <= self.last)

    def _layer(self) -> EntryLayer:
        resources = self.required_resources()
        layer = entry_layer(resources.new_model(), _examples(resources), type(self).__name__)
        if self.units >= layer.units:
            raise PluginError(
                f"{type(self).__name__} would plant {self.units} units, and the first layer has "
                f"{layer.units}; set fewer units"
            )
        return layer

    def _slots(self) -> dict[int, NDArray[np.int64]]:
        """Return the units of each victim, which are the same in all rounds."""
        resources, layer = self.required_resources(), self._layer()
        order = seeds.generator(resources.seed, "planted units").permutation(layer.units)
        parts = np.array_split(order[: self.units], len(self.victims))
        return {v: np.sort(part) for v, part in zip(self.victims, parts, strict=True)}

    def _planted(
        self, layer: EntryLayer, state: dict[str, Tensor], round_number: int
    ) -> dict[int, PlantedUnits]:
        """Return each victim's units of a round, created for its first message and kept."""
        if number_in(self.memory, _ROUND, _ROUND) != round_number:
            made = {
                victim: self.planted(
                    layer, state, about_participant(victim), round_number - self.first
                )
                for victim in self.victims
            }
            self.memory[_CRAFTED] = units_to_arrays(made)
            self.memory[_ROUND] = MetricRecord({_ROUND: round_number})
            note_planting(self.memory, round_number, layer, state, made.values())
        return units_from_arrays(arrays_in(self.memory, _CRAFTED), self.victims)

    def _remember(self, key: str, layer: EntryLayer, state: dict[str, Tensor]) -> None:
        """Keep the honest values of the parameters that will be changed."""
        names = [layer.weight, layer.bias, *([layer.outgoing] if layer.outgoing else [])]
        kept = ArrayRecord({name: state[name].clone() for name in names})
        self.memory[key] = kept
        if _HONEST not in self.memory:
            self.memory[_HONEST] = kept

    def _with_honest_units(self, arrays: ArrayRecord) -> ArrayRecord:
        """Return parameters with honest values in the place of units left in by a sum."""
        if not self._on_sums or _HONEST not in self.memory:
            return arrays
        return self._restored(arrays, _HONEST)

    def _restored(self, arrays: ArrayRecord, key: str) -> ArrayRecord:
        layer, slots = self._layer(), self._slots()
        honest = arrays_in(self.memory, key).to_torch_state_dict()
        state = {name: value.clone() for name, value in arrays.to_torch_state_dict().items()}
        for places in map(torch.from_numpy, slots.values()):
            state[layer.weight][places] = honest[layer.weight][places]
            state[layer.bias][places] = honest[layer.bias][places]
            if layer.outgoing:
                state[layer.outgoing][:, places] = honest[layer.outgoing][:, places]
        if layer.next_bias in state:
            planted = units_from_arrays(arrays_in(self.memory, _CRAFTED), self.victims)
            for units in planted.values():
                state[layer.next_bias] -= raised_by(layer, units).to(state[layer.next_bias])
        return ArrayRecord(state)


def _examples(resources: AttackerResources) -> Tensor:
    return resources.dataset.batch(np.arange(min(EXAMPLES, len(resources.dataset.labels))))[0]


def _honest(participant: int) -> str:
    return f"honest-{participant}"
