"""The memory of an attack, estimated from one record before the simulation.

The weights of a network follow from the shapes of what it reads, so one record on a model that was
never trained is enough. Training holds four numbers a weight: itself, its gradient, and Adam's two
moments; Adam makes two more of the largest tensor at each step. Networks that stand in a stack hold
a fifth, the weight after the best epoch so far, and each a copy of what it reads. Scoring holds the
maps of the convolutions instead, of as many records as a pass has. Measured on the paper's network
with 300 kernels, 79 million weights: 2.17 GB, where this says 1.90.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from adversaries.inference import network
from adversaries.inference.extraction import extract
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.input_selection import InputSettings
from adversaries.inference.inputs import Inputs, stack
from adversaries.inference.model_layers import EXAMPLES, evaluating
from adversaries.inference.selected_inputs import SelectedInputs
from fedsim.attacks import ExpectedObservation, MemoryNeed, memory_there
from fedsim.errors import FedsimError, PluginError, plural
from fedsim.objectives import Objective

_BYTES = 4  # a number in single precision
_A_WEIGHT = 4  # numbers held
_PASSING = 2  # numbers held for a moment, of the largest tensor or of all maps

_IN_A_STACK = 5  # numbers held a weight: that after the best epoch so far, too
MOST_BYTES = 2**28
"""Of the weights of the networks in a stack, and of what they read of the known records."""

Build = Callable[[Inputs], network.MembershipNetwork]


@dataclass(frozen=True)
class Networks:
    """The networks of an attack: how one is made, how many there are, and for how many epochs.

    Attributes
    ----------
    build
        Returns one for inputs of some shapes.
    count, epochs
        Large ones are trained one after the other, others in stacks.
    vector_snapshots
        From how many of the last snapshots their components read; None for all.
    smaller
        How to choose a smaller one, as the end of a sentence.
    """

    build: Build
    count: int
    epochs: int
    vector_snapshots: int | None = None
    smaller: str = "set network: default, or fewer kernels (network: {kernels: 8})"

    def need(
        self, prospect: ExpectedObservation, inputs: InputSettings, last_layer: str | None
    ) -> MemoryNeed:
        """Return what they take, where they read `inputs`.

        Raises
        ------
        ConfigError
            If a layer is chosen that the model does not have.
        FedsimError
            If the model does not take the records, the features take more memory than the settings
            allow, or the attack cannot be made on such a model.
        """
        records, seen = prospect.records, prospect.snapshots
        chosen = tried_inputs(prospect, inputs, last_layer)
        spec = chosen.spec(last_layer)
        one = tried_features(prospect, spec)
        require_features_fit(one, spec, len(records), seen, inputs.memory_limit_gb)
        like = stack([one] * seen, chosen).latest(self.vector_snapshots)
        weights, size = network_size(self.build, like, len(records))
        size = max(size, _stack_bytes(weights, _bytes_read(like) * len(records), self.count))
        fewer = "observe fewer rounds (snapshots.rounds), " if seen > 1 else ""
        return MemoryNeed(
            size,
            f"{plural(self.count, 'network')} of {_counted(weights)} weights, {self.epochs} epochs "
            "each",
            f"{self.smaller}, {fewer}or read fewer or later layers (inputs)",
        )


def tried_inputs(
    prospect: ExpectedObservation, inputs: InputSettings, last_layer: str | None = None
) -> SelectedInputs:
    """Return what settings choose of the model that will be seen."""
    model, objective = prospect.new_model(), prospect.objective
    examples, targets = prospect.dataset.batch(prospect.records[:EXAMPLES])
    _require_runs(model, examples, targets, objective)
    return inputs.resolved(model, last_layer, examples, objective)


def tried_features(prospect: ExpectedObservation, spec: FeatureSpec) -> SnapshotFeatures:
    """Return the features of one record on an untrained model.

    Raises
    ------
    FedsimError
        If the model does not take the records, or such features cannot be extracted from it.
    """
    model, objective = prospect.new_model(), prospect.objective
    _require_runs(model, *prospect.dataset.batch(prospect.records[:EXAMPLES]), objective)
    return extract(model, prospect.dataset.batch, prospect.records[:1], spec, objective=objective)


@torch.no_grad()
def _require_runs(
    model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, objective: Objective
) -> None:
    """Raise unless the model takes the records and returns what the objective needs."""
    try:
        with evaluating(model):
            output = model(inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise PluginError(
            f"the model {type(model).__name__} does not take records of shape "
            f"{tuple(inputs.shape[1:])} and type {inputs.dtype}: {reason}"
        ) from error
    if not isinstance(output, torch.Tensor):
        raise PluginError(
            f"the model {type(model).__name__} returns a {type(output).__name__}, but attacks read "
            "one tensor with a row per record"
        )
    objective.require_fit(output, targets)


def network_weights(build: Build, like: Inputs) -> int:
    """Return how many weights a network has."""
    with torch.device("meta"):  # shapes without memory
        return sum(parameter.numel() for parameter in build(like).parameters())


def stack_size(build: Build, inputs: Inputs) -> int:
    """Return how many networks stand in a stack at most, from sizes alone."""
    return _at_once(network_weights(build, inputs), _bytes_read(inputs))


def _at_once(weights: int, bytes_read: int) -> int:
    by_weights = MOST_BYTES // (_BYTES * _IN_A_STACK * max(1, weights))
    return max(1, min(by_weights, MOST_BYTES // max(1, bytes_read)))


def _stack_bytes(weights: int, bytes_read: int, networks: int) -> int:
    """Return what as many networks as stand together take: weights, and what each reads."""
    together = min(networks, _at_once(weights, bytes_read))
    return together * (_BYTES * _IN_A_STACK * weights + bytes_read)


def _bytes_read(inputs: Inputs) -> int:
    return sum(part.numel() * part.element_size() for part in inputs.parts)


def network_size(build: Build, like: Inputs, records: int) -> tuple[int, int]:
    """Return how many weights a network has, and the bytes that training and scoring it take."""
    with torch.device("meta"):
        made = build(like)
    weights = [parameter.numel() for parameter in made.parameters()]
    maps = min(records * made.components.floats_per_record, network.MOST_FLOATS)
    return sum(weights), _BYTES * (_A_WEIGHT * sum(weights) + _PASSING * max(*weights, maps))


def _counted(number: int) -> str:
    return f"{number:,}" if number < 1e6 else f"{number / 1e6:,.0f} million"


def require_network_fits(build: Build, like: Inputs) -> None:
    """Raise `FedsimError` if a network takes more memory than there is."""
    (weights, size), there = network_size(build, like, len(like)), memory_there()
    if size > there:
        raise FedsimError(
            f"the attack network has {_counted(weights)} weights for "
            f"{len(like.scalars)} snapshots of this model and takes {size / 1e9:.1f} GB to train, "
            f"but this machine has {there / 1e9:.1f} GB; choose a smaller network, or observe "
            "fewer rounds (snapshots.rounds)"
        )


def require_features_fit(
    one: SnapshotFeatures, spec: FeatureSpec, records: int, snapshots: int, limit_gb: float
) -> None:
    """Raise `FedsimError` if the features chosen by layer take too much memory.

    `one` has the features of one record on one snapshot.
    """
    needed = one.nbytes * records * snapshots / 1e9
    if (spec.outputs or spec.gradients) and needed > limit_gb:
        layers = ", ".join((*spec.outputs, *spec.gradients))
        raise FedsimError(
            f"what the attack reads ({layers}) of {records:,} records on "
            f"{snapshots} snapshots takes {needed:.2g} GB, and "
            f"inputs.memory_limit_gb is {limit_gb:g}; name fewer or later layers, observe fewer "
            "rounds, or raise the limit"
        )
