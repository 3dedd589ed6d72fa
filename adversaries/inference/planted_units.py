"""Observations of a planting server: a layer's weights as sent to a victim, and their change.

The change comes from the victim's upload or, under secure aggregation, from the mean of all
uploads. The other participants leave these weights unchanged, so the mean moves by the victim's
share of its update.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from adversaries.inference.entry_layer import EntryLayer, entry_layer
from adversaries.inference.model_layers import EXAMPLES
from fedsim.attacks import Attack, AuxiliaryRecords, RecordIds, View
from fedsim.errors import FedsimError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Needs
from fedsim.observation.snapshot_file import Snapshot


@dataclass(frozen=True)
class MovedLayer:
    """The entry layer in one round, in double precision.

    Attributes
    ----------
    round
        Its number.
    weight, bias
        As the victim was sent them, (units, inputs) and (units,).
    moved_weight, moved_bias
        By how much they moved, against the gradient.
    """

    round: int
    weight: Tensor
    bias: Tensor
    moved_weight: Tensor
    moved_bias: Tensor


class PlantedUnitsAttack(Attack):
    """An attack that reads how the entry layer moved; it learns nothing, and its layer is tried.

    Attributes
    ----------
    who
        What a sentence calls the attack.
    """

    who: ClassVar[str]
    needs = Needs(
        kinds=frozenset({SnapshotKind.SENT, SnapshotKind.UPLOAD, SnapshotKind.AGGREGATE}),
        parameters=True,
    )

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Look for the first layer."""
        view_layer(view, self.who)


def view_layer(view: View, who: str) -> EntryLayer:
    """Return the entry layer of the model that was attacked; see `entry_layer`."""
    return entry_layer(view.new_model(), view.dataset.batch(view.records[:EXAMPLES])[0], who)


def audited_features(view: View) -> Tensor:
    """Return the features of all audited records (N, inputs), in double precision."""
    return view.dataset.batch(view.records)[0].flatten(1).double()


def moved_layers(view: View, layer: EntryLayer, who: str) -> Iterator[MovedLayer]:
    """Give the layer of every round in which it is known what the victim was sent.

    Raises
    ------
    FedsimError
        If there is none.
    """
    pairs = sent_and_after(view)
    if not pairs:
        raise FedsimError(
            f"{who} compares what a victim was sent with its upload or the round's aggregate, and "
            f"{view.adversary} saw no such pair; list an adversary in the server's position, as "
            "planted-neuron-server"
        )
    for before, after in pairs:
        start, end = before.load(), after.load()
        weight, bias = start[layer.weight].double(), start[layer.bias].double()
        yield MovedLayer(
            before.round,
            weight,
            bias,
            weight - end[layer.weight].double(),
            bias - end[layer.bias].double(),
        )


def sent_and_after(view: View) -> list[tuple[Snapshot, Snapshot]]:
    """Return what the victim was sent, and its upload or else the aggregate of the round."""
    found = []
    for before in view.snapshots(SnapshotKind.SENT):
        rounds = (before.round,)
        after = view.snapshots(SnapshotKind.UPLOAD, before.participant, rounds)
        after = after or view.snapshots(SnapshotKind.AGGREGATE, rounds=rounds)
        found += [(before, one) for one in after[:1]]
    return found
