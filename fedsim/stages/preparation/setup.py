"""What every stage of an experiment starts from: the data, the model, and who is dishonest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from torch import nn

from fedsim.attacks import Attack, ExpectedObservation
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
from fedsim.errors import ConfigError
from fedsim.federation.strategies import is_weighted_mean
from fedsim.models import build_model, require_room
from fedsim.models.convolutions import prepared_model
from fedsim.models.trainable import float_buffers, trainable_names
from fedsim.objectives import Objective
from fedsim.privacy import FederationFacts
from fedsim.progress import Watcher
from fedsim.stages.preparation.attackers import Attacker, attackers_of
from fedsim.stages.preparation.built_plugins import build_attack, objective_of
from fedsim.stages.preparation.canary_audit import require_canary_participants, with_canary_labels
from fedsim.stages.preparation.chosen_strategy import chosen_strategy, samples, some_are_away
from fedsim.stages.preparation.data_of_experiment import (
    draw_ledger,
    draw_training_sets,
    load_data,
)
from fedsim.stages.preparation.experiment_faults import require_sound
from fedsim.stages.preparation.guarantees import (
    StatedGuarantee,
    ended,
    last_round_within_budget,
    may_promise,
    stated_guarantees,
)
from fedsim.stages.preparation.idle_participants import (
    attackers_beside,
    idle_participants,
    told,
    without_idle,
)
from fedsim.stages.preparation.memory import require_memory
from fedsim.stages.preparation.needs import attackers_reading, tell_needs
from fedsim.stages.preparation.refusals import (
    naming_what_is_given,
    require_aggregation,
    require_undefended,
)
from fedsim.stages.preparation.shuffled import shuffled_records
from fedsim.stages.preparation.user_level import is_a_user_each
from fedsim.stages.preparation.who_is_seen import Draws, asked_about, seen_attackers
from fedsim.training.client_tasks import Participants
from fedsim.training.convolution_choice import convolution_ways
from fedsim.training.trial import require_training, require_training_step, require_usable_model
from fedsim.training.vectorized.trainer import required_stack_training, stacking_pays


@dataclass(frozen=True)
class Setup:
    """An experiment with its data, who holds them, model factory, attackers and attacks."""

    experiment: Experiment
    dataset: Dataset
    ledger: Ledger
    new_model: Callable[[], nn.Module]
    attackers: tuple[Attacker, ...]
    attacks: Mapping[str, Attack]

    @cached_property
    def objective(self) -> Objective:
        """What is learned: what the experiment says, else the data source, else classification."""
        return objective_of(self.experiment, self.dataset)

    @cached_property
    def training_sets(self) -> tuple[NDArray[np.int64], ...]:
        """What each participant trains on: its data, in a null run without audited records."""
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
        """What the defences may know of the federation."""
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
        """What the defences and the local trainer guarantee, or why they do not."""
        if not may_promise(self.experiment):
            return ()
        return stated_guarantees(self.experiment, self.defences, self.facts)

    @cached_property
    def _attendance(self) -> tuple[tuple[int, ...], ...]:
        """The rounds in which each participant trains; empty where each trains in all."""
        if not some_are_away(self.experiment):
            return ()
        draws = Draws(self.experiment, partial(chosen_strategy, self.experiment))
        there = {r: draws.training(r) for r in range(1, self.experiment.federation.rounds + 1)}
        participants = range(self.ledger.participants)
        return tuple(tuple(r for r, some in there.items() if p in some) for p in participants)

    @property
    def computing_model(self) -> Callable[[], nn.Module]:
        """What makes the model where it is trained or read: with convolutions as chosen."""
        engine = self.experiment.engine
        small = () if engine.small_convolutions == "auto" else engine.small_convolutions
        channels_last = engine.channels_last is True
        if not small and not channels_last:
            return self.new_model
        return partial(prepared_model, self.new_model, small, channels_last=channels_last)

    @property
    def participants(self) -> Participants:
        """What takes part in each federation of the experiment."""
        settings, defences = self.experiment.federation, tuple(self.defences.values())
        return Participants(
            self.dataset,
            self.training_sets,
            self.computing_model,
            settings.local,
            settings.evaluation.records,
            self.experiment.seed,
            self.objective,
            settings.rounds,
            partial(wrapped_trainer, defences) if wraps_training(defences) else None,
        )


def set_setup(
    experiment: Experiment,
    data_dir: Path | None,
    watcher: Watcher,
    *,
    dataset: Dataset | None = None,
    ledger: Ledger | None = None,
) -> Setup:
    """Load, draw and build everything that an experiment names.

    What cannot work is reported here, before anything is written.

    Parameters
    ----------
    experiment, data_dir, watcher
        What is named, where the data set's files are, and the watcher.
    dataset, ledger
        What is loaded and drawn already.

    Raises
    ------
    FedsimError
        If any of it is missing or not valid.
    """
    if experiment.given is not None and ledger is None:
        raise ConfigError(
            "this experiment is about a model that was trained elsewhere, so there is nothing to "
            "run; `fedsim attack RUN` attacks it again"
        )
    if ledger is None:
        require_sound(experiment)
    attackers = attackers_of(experiment)
    attacks = {choice.label: build_attack(choice) for choice in experiment.attacks}
    tell_needs(attacks, experiment, watcher.say)
    dataset = dataset or load_data(experiment, data_dir, watcher)
    if ledger is not None:
        training_sets = ledger.training_sets
        if experiment.given is None:
            experiment = without_idle(experiment, idle_participants(training_sets))
        attackers = asked_about(attackers, ledger) if attackers else ()
    else:
        training_sets = draw_training_sets(experiment, dataset, watcher)
        experiment, attackers = _asking(experiment, training_sets, attackers, watcher)
    attackers = attackers_reading(attackers, attacks, experiment)
    new_model = partial(
        build_model,
        experiment.model.name,
        experiment.model.settings,
        input_shape=dataset.input_shape,
        num_classes=dataset.num_classes,
        seed=experiment.seed,
    )
    drawn = ledger or draw_ledger(experiment, dataset, training_sets, attackers, new_model, watcher)
    dataset = with_canary_labels(dataset, drawn)
    setup = Setup(experiment, dataset, drawn, new_model, attackers, attacks)
    with naming_what_is_given(experiment, dataset):
        require_room(
            experiment.model.name,
            experiment.model.settings,
            input_shape=dataset.input_shape,
            num_classes=dataset.num_classes,
        )
        if (last := _last_round(setup, watcher)) < experiment.federation.rounds:
            shorter = ended(experiment, last)
            return set_setup(shorter, data_dir, watcher, dataset=dataset, ledger=ledger)
        if experiment.given is None:
            require_undefended(experiment, attackers, setup.defences)
            require_canary_participants(experiment, attackers)
            require_usable_model(new_model(), experiment.model.name)
        require_aggregation(strategy_of(setup), new_model)
        if experiment.given is None:
            require_training(setup.participants, experiment.model.name)
    require_memory(attacks, _prospects(setup), experiment.engine.workers, watcher.say)
    setup = _with_engine_chosen(setup)
    if experiment.given is None and setup.experiment.engine.stacked is not True:
        require_training_step(setup.participants, experiment.model.name)
    return setup


def _asking(
    experiment: Experiment,
    training_sets: Sequence[NDArray[np.int64]],
    attackers: tuple[Attacker, ...],
    watcher: Watcher,
) -> tuple[Experiment, tuple[Attacker, ...]]:
    """Return an experiment without idle participants, and its attackers with what they can ask."""
    if idle := idle_participants(training_sets):
        partition = experiment.partition
        watcher.say(told(idle, partition.participants, partition.name))
        experiment = without_idle(experiment, idle)
        attackers = attackers_beside(attackers, idle, partition.name, watcher.say)
    if some_are_away(experiment):
        draws = Draws(experiment, partial(chosen_strategy, experiment))
        attackers = seen_attackers(attackers, draws, watcher.say)
    return experiment, attackers


def _last_round(setup: Setup, watcher: Watcher) -> int:
    """Return the last round that the privacy budgets allow."""
    experiment = setup.experiment
    if experiment.given is not None or not may_promise(experiment):
        return experiment.federation.rounds
    return last_round_within_budget(experiment, setup.defences, setup.facts, watcher.say)


def _with_engine_chosen(setup: Setup) -> Setup:
    """Return the setup with what is `auto` of its engine chosen: it decides the last digits."""
    engine, participants = setup.experiment.engine, setup.participants
    chosen = stacking_pays(participants) if engine.stacked == "auto" else engine.stacked
    if chosen:
        required_stack_training(participants)
    engine = engine.model_copy(update={"stacked": chosen, **_convolution_settings(setup)})
    return replace(setup, experiment=setup.experiment.model_copy(update={"engine": engine}))


def _convolution_settings(setup: Setup) -> dict[str, object]:
    """Return the settings of an engine that are about convolutions, with none of them `auto`."""
    engine = setup.experiment.engine
    small, channels_last = engine.small_convolutions, engine.channels_last
    if small != "auto":
        prepared_model(setup.new_model, small, channels_last=False)  # refuses what it cannot do
    if "auto" in (small, channels_last):
        trains = setup.experiment.given is None
        by_rule = convolution_ways(setup.participants) if trains else ((), False)
        small = by_rule[0] if small == "auto" else small
        channels_last = by_rule[1] if channels_last == "auto" else channels_last
    return {"small_convolutions": small, "channels_last": channels_last}


def strategy_of(setup: Setup) -> Strategy:
    """Return the strategy that an experiment names, as new, with its defences around it."""
    return wrapped_strategy(setup.defences.values(), chosen_strategy(setup.experiment))


def shuffled_audit(setup: Setup, query: MembershipQuery) -> NDArray[np.int64]:
    """Return the audited records of a query in the order in which an attack is handed them."""
    records = setup.ledger.audit(query).records
    return records[shuffled_records(setup.experiment.seed, query, len(records))]


def _prospects(setup: Setup) -> list[ExpectedObservation]:
    """Return what the attacks will be given, for each query of each attacker."""
    sampled, experiment = samples(strategy_of(setup)), setup.experiment
    return [
        ExpectedObservation(
            setup.new_model,
            setup.dataset.only(shuffled_audit(setup, query)),
            np.arange(len(setup.ledger.audit(query))),
            attacker.sure_rounds(experiment, query, sampled=sampled),
            setup.objective,
        )
        for attacker in setup.attackers
        for query in attacker.queries
    ]
