"""The setup of an experiment, from which every stage starts: data, model, attackers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from torch import nn

from fedsim import seeds
from fedsim.attacks import Attack
from fedsim.config.experiment import Experiment
from fedsim.data import Dataset, Ledger, MembershipQuery
from fedsim.data.null_audit import null_training_sets
from fedsim.defences.base import Defence
from fedsim.defences.composition import (
    build_defences,
    wrapped_strategy,
    wrapped_trainer,
    wraps_training,
)
from fedsim.devices import CPU
from fedsim.federation.strategies import is_weighted_mean
from fedsim.models.convolutions import prepare_model
from fedsim.models.placement import placed_model
from fedsim.models.trainable import float_buffers, trainable_names
from fedsim.objectives import Objective
from fedsim.privacy import FederationFacts
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.built_plugins import objective_of
from fedsim.stages.preparation.guarantees import (
    StatedGuarantee,
    may_promise,
    stated_guarantees,
)
from fedsim.stages.preparation.idle_participants import (
    idle_participants,
)
from fedsim.stages.preparation.strategy_choice import chosen_strategy, some_are_away
from fedsim.stages.preparation.user_level import is_a_user_each
from fedsim.stages.preparation.victim_visibility import RoundDraws
from fedsim.training.client_tasks import Participants


@dataclass(frozen=True)
class Setup:
    """An experiment with its data set, ledger, model factory, attackers and attacks.

    `unseeing` are the attackers that would see none of their victims: they take no part.
    """

    experiment: Experiment
    dataset: Dataset
    ledger: Ledger
    new_model: Callable[[], nn.Module]
    attackers: tuple[Attacker, ...]
    attacks: Mapping[str, Attack]
    unseeing: tuple[Attacker, ...] = ()

    @cached_property
    def objective(self) -> Objective:
        """The objective: that of the experiment, else of the data source, else classification."""
        return objective_of(self.experiment, self.dataset)

    @cached_property
    def training_sets(self) -> tuple[NDArray[np.int64], ...]:
        """The training set of each participant; in a null run without audited records."""
        if self.experiment.audit.null:
            return null_training_sets(self.ledger, self.experiment.seed)
        return self.ledger.training_sets

    @property
    def idle(self) -> tuple[int, ...]:
        """The participants without records, who take no part; none where nothing is simulated."""
        if self.experiment.given is not None:
            return ()
        return idle_participants(self.ledger.training_sets)

    @cached_property
    def defences(self) -> Mapping[str, Defence]:
        """The defences by label, in the order in which they wrap."""
        if not self.experiment.defences:
            return {}
        return build_defences(self.experiment.defences, self.facts)

    @cached_property
    def facts(self) -> FederationFacts:
        """The facts of the federation that defences may use."""
        federation, participants = self.experiment.federation, self.ledger.participants
        return FederationFacts(
            federation.rounds,
            participants,
            federation.fewest_present(participants),
            tuple(len(records) for records in self.training_sets),
            trainable_names(self.new_model()),
            federation.local,
            self.experiment.seed,
            self._attendance,
            float_buffers(self.new_model()),
            is_weighted_mean(chosen_strategy(self.experiment)),
            of_users=is_a_user_each(self.dataset.groups, self.training_sets),
        )

    @property
    def guarantees(self) -> tuple[StatedGuarantee, ...]:
        """The guarantees of the defences and the local trainer, or why there are none."""
        if not may_promise(self.experiment):
            return ()
        return stated_guarantees(self.experiment, self.defences, self.facts)

    @cached_property
    def _attendance(self) -> tuple[tuple[int, ...], ...]:
        """The rounds in which each participant trains; empty where each trains in all."""
        if not some_are_away(self.experiment):
            return ()
        draws = RoundDraws(self.experiment, partial(chosen_strategy, self.experiment))
        rounds: list[list[int]] = [[] for _ in range(self.ledger.participants)]
        for number in range(1, self.experiment.federation.rounds + 1):
            for participant in draws.training(number):
                rounds[participant].append(number)
        return tuple(map(tuple, rounds))

    @property
    def device(self) -> torch.device:
        """Where the experiment computes; the CPU until that is chosen."""
        chosen = self.experiment.engine.device
        return CPU if chosen == "auto" else torch.device(chosen)

    @cached_property
    def placed_dataset(self) -> Dataset:
        """The data set on the device, where it is put once."""
        return self.dataset.on(self.device)

    def on_device(self, new_model: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        """Return a factory of the same models on the device."""
        if self.device.type == "cpu":
            return new_model
        return partial(placed_model, new_model, str(self.device))

    @property
    def computing_model(self) -> Callable[[], nn.Module]:
        """The model factory for computing: on the device, with the chosen convolutions."""
        engine = self.experiment.engine
        small = () if engine.small_convolutions == "auto" else engine.small_convolutions
        channels_last = engine.channels_last is True
        new_model = self.new_model
        if small or channels_last:
            new_model = partial(prepare_model, new_model, small, channels_last=channels_last)
        return self.on_device(new_model)

    @property
    def participants(self) -> Participants:
        """The participants of each federation of the experiment."""
        settings, defences = self.experiment.federation, tuple(self.defences.values())
        return Participants(
            self.placed_dataset,
            self.training_sets,
            self.computing_model,
            settings.local,
            settings.evaluation.records,
            self.experiment.seed,
            self.objective,
            settings.rounds,
            partial(wrapped_trainer, defences) if wraps_training(defences) else None,
        )


def strategy_of(setup: Setup) -> Strategy:
    """Return a new instance of the experiment's strategy, wrapped by its defences."""
    return wrapped_strategy(setup.defences.values(), chosen_strategy(setup.experiment))


def shuffled_audit(setup: Setup, query: MembershipQuery) -> NDArray[np.int64]:
    """Return the audited records of a query in the order in which an attack is handed them."""
    records = setup.ledger.audit(query).records
    return records[shuffled_records(setup.experiment.seed, query, len(records))]


def shuffled_records(seed: int, query: MembershipQuery, count: int) -> NDArray[np.intp]:
    """Return a permutation of 0..count-1, the same one for a run's seed and a query."""
    return seeds.generator(seed, "order of the audited records", query.key).permutation(count)
