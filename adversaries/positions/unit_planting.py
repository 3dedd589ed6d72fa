"""Planted units, their insertion into parameters, and their storage between rounds."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from flwr.app import ArrayRecord
from torch import Tensor

from adversaries.inference.entry_layer import EntryLayer
from fedsim.adversary.resources import AttackerResources
from fedsim.data import MembershipQuery


@dataclass(frozen=True)
class PlantedUnits:
    """Weights and biases of K planted units.

    Attributes
    ----------
    weight : (K, inputs)
    alive : (K,)
        Biases for the victim of the units.
    dead : (K,)
        Biases at which they are silent for all records.
    outgoing : (outputs, K)
        The outgoing weights; None leaves them unchanged. Where silent units are at -1 (tanh), the
        biases of the next layer are raised to compensate.
    records
        The number of target records.
    """

    weight: Tensor
    alive: Tensor
    dead: Tensor
    outgoing: Tensor | None
    records: int


def plant_units(
    state: dict[str, Tensor], layer: EntryLayer, places: Tensor, units: PlantedUnits, *, alive: bool
) -> None:
    """Put units into parameters, in place."""
    kind = state[layer.weight].dtype
    state[layer.weight][places] = units.weight.to(kind)
    state[layer.bias][places] = (units.alive if alive else units.dead).to(kind)
    if layer.outgoing and units.outgoing is not None:
        state[layer.outgoing][:, places] = units.outgoing.to(kind)
        if layer.next_bias in state:
            state[layer.next_bias] += raised_by(layer, units).to(kind)


def raised_by(layer: EntryLayer, units: PlantedUnits) -> Tensor:
    """Return the compensation of silent units in the biases of the next layer, or 0."""
    if units.outgoing is None or not layer.saturates:
        return torch.zeros(())
    return units.outgoing.sum(1)


def target_features(resources: AttackerResources, query: MembershipQuery) -> Tensor:
    """Return the features (N, inputs) of a query's targets, in double precision."""
    inputs, _ = resources.dataset.batch(resources.targets_of(query))
    return inputs.flatten(1).double()


def units_to_arrays(made: dict[int, PlantedUnits]) -> ArrayRecord:
    """Return each victim's units as arrays that an attacker's memory holds."""
    kept: dict[str, Tensor] = {}
    for victim, units in made.items():
        for name in ("weight", "alive", "dead", "outgoing"):
            if (value := getattr(units, name)) is not None:
                kept[f"{victim}.{name}"] = value.contiguous()
    return ArrayRecord(kept)


def units_from_arrays(arrays: ArrayRecord, victims: Iterable[int]) -> dict[int, PlantedUnits]:
    """Return the units that `units_to_arrays` stored; how many records they are for is not kept."""
    state = arrays.to_torch_state_dict()
    return {
        victim: PlantedUnits(
            state[f"{victim}.weight"],
            state[f"{victim}.alive"],
            state[f"{victim}.dead"],
            state.get(f"{victim}.outgoing"),
            records=0,
        )
        for victim in victims
    }
