"""The contract of a local trainer: what a participant does with the parameters of a round.

A trainer is given the model, the participant's batches, and a state of its own that lives from
round to round: arrays (an optimiser's moments) and plain values (an accountant's history). The
state travels in Flower's ``Context.state``, so every engine carries it, and checkpoints keep it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord
from numpy.typing import NDArray
from torch import Tensor, nn

from fedsim import plugins, seeds
from fedsim.config.federation import LocalTraining
from fedsim.data import Dataset
from fedsim.errors import MessageError
from fedsim.objectives import Objective
from fedsim.privacy import FederationFacts, Guarantee, NoGuarantee
from fedsim.transport.lazy_arrays import tensors_as_record

RecordIds = NDArray[np.int64]
_JSON = "json"


@dataclass
class TrainerState:
    """What a trainer keeps for one participant from round to round, and through a resume.

    Attributes
    ----------
    arrays
        Tensors by name.
    plain
        Whatever JSON can hold, by name.
    """

    arrays: dict[str, Tensor] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, arrays: ArrayRecord | None, plain: ConfigRecord | None) -> "TrainerState":
        """Return the state that was kept as Flower records, if any was."""
        text = None if plain is None else plain.get(_JSON)
        return cls(
            {} if arrays is None else dict(arrays.to_torch_state_dict()),
            json.loads(text) if isinstance(text, str) else {},
        )

    def array_record(self) -> ArrayRecord | None:
        """Return the arrays as a record, without a copy; None where there are none."""
        return tensors_as_record(self.arrays) if self.arrays else None

    def config_record(self) -> ConfigRecord | None:
        """Return the plain values as a record; None where there are none.

        Raises
        ------
        MessageError
            If JSON cannot hold one of them.
        """
        if not self.plain:
            return None
        try:
            return ConfigRecord({_JSON: json.dumps(self.plain, allow_nan=False)})
        except (TypeError, ValueError) as error:
            raise MessageError(
                f"the local trainer keeps plain values that JSON cannot hold ({error}); keep "
                "finite numbers, texts, lists and mappings, and tensors in `state.arrays`"
            ) from error


@dataclass(frozen=True, eq=False)
class Batches:
    """A participant's records in a round, in batches, and what the round asks of it.

    Iterating goes once over all records, in a new random order each time: an epoch.

    Attributes
    ----------
    dataset, records
        All records there are, and the ids of the participant's own, shape (n,).
    objective
        What is learned.
    local
        The settings of `federation.local`: epochs, batch size, optimizer, precision.
    seed, round, participant
        What every draw of the round depends on; rounds count from 1.
    rounds
        How many rounds the federation has.
    proximal
        The mu of FedProx (Li et al., MLSys 2020, equation 2), 0 for other strategies:
        ``mu / 2 * |w - w_received|^2`` is added to the loss.
    """

    dataset: Dataset
    records: RecordIds
    objective: Objective
    local: LocalTraining
    seed: int
    round: int
    participant: int
    rounds: int
    proximal: float = 0.0

    @cached_property
    def _order(self) -> np.random.Generator:
        return seeds.generator(self.seed, "batches", self.round, self.participant)

    @property
    def learning_rate(self) -> float:
        """The learning rate that `federation.local` gives for this round."""
        return self.local.learning_rate_in(self.round)

    @property
    def records_a_pass(self) -> int:
        """How many records an epoch has: all, or without those of an unfilled last batch."""
        rest = len(self.records) % self.local.batch_size if self.local.drop_last else 0
        return len(self.records) - rest

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the inputs and targets of each batch of an epoch."""
        shuffled = self._order.permutation(self.records)
        for start in range(0, self.records_a_pass, self.local.batch_size):
            yield self.of(shuffled[start : start + self.local.batch_size])

    def of(self, records: RecordIds) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets of records by id, for a sampling of the trainer's own."""
        return self.dataset.batch(records)


class LocalTrainer(ABC):
    """How a participant trains.

    A trainer is made once a process from its settings (the parameters of ``__init__``), and its
    `fit` is called for each participant and round: what belongs to one participant is kept in
    `state` and never on the object.

    Examples
    --------
    Plain gradient descent on all records at once, whose steps get shorter by a factor; the number
    of steps so far is kept with the participant:

    >>> class Shrinking(LocalTrainer):
    ...     def __init__(self, factor: float = 0.9) -> None:
    ...         self.factor = factor
    ...
    ...     def fit(self, model, batches, state, generator, device):
    ...         steps = state.plain.get("steps", 0)
    ...         inputs, targets = batches.of(batches.records)
    ...         loss = batches.objective.mean_loss(model(inputs), targets)
    ...         loss.backward()
    ...         with torch.no_grad():
    ...             for parameter in model.parameters():
    ...                 parameter -= batches.learning_rate * self.factor**steps * parameter.grad
    ...         model.zero_grad()
    ...         state.plain["steps"] = steps + 1
    ...         return {"loss": loss.item()}
    """

    budget: float | None = None
    """The largest epsilon that is allowed; see `fedsim.defences.Defence.budget`."""

    @abstractmethod
    def fit(
        self,
        model: nn.Module,
        batches: Batches,
        state: TrainerState,
        generator: torch.Generator,
        device: torch.device,
    ) -> Mapping[str, float]:
        """Train `model` in place on a participant's records.

        Parameters
        ----------
        model
            With the parameters that the participant received.
        batches
            Its records, and what the round asks.
        state
            What this participant kept in the last round in which it trained; changed in place.
        generator
            For the trainer's own draws, on the CPU; it depends on seed, round and participant.
        device
            Where to compute.

        Returns
        -------
        Mapping
            Figures of the training passes, sent to the server beside the parameters: ``loss``, and
            the objective's utility term (``accuracy``), or any others.
        """

    def remembers(self, local: LocalTraining) -> bool:
        """Return whether participants keep state between rounds; without it, engines do less."""
        return True

    def guarantee(self, facts: FederationFacts) -> Guarantee | NoGuarantee | None:
        """Return what is guaranteed where participants train with it; by default nothing.

        See `fedsim.defences.Defence.guarantee`.
        """
        return None

    def require_fit(self, objective: Objective, local: LocalTraining) -> None:  # noqa: B027
        """Raise `ConfigError` where these settings cannot work; asked before round 1."""


def build_trainer(local: LocalTraining) -> LocalTrainer:
    """Return the trainer that `federation.local` names.

    Raises
    ------
    PluginError
        If there is no such trainer, its settings are not valid, or it is no `LocalTrainer`.
    """
    return plugins.build_member(
        "trainers", local.trainer.name, local.trainer.settings, LocalTrainer
    )
