"""What every stage of an experiment starts from: the data, the model, and who is dishonest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from flwr.serverapp.strategy import Strategy
from numpy.typing import NDArray
from torch import nn

from fedsim import plugins
from fedsim.attacks import Attack, ExpectedObservation
from fedsim.canaries import CandidateRecords
from fedsim.config.experiment import Choice, Experiment, LabelledChoice
from fedsim.data import (
    AuditSizes,
    Dataset,
    Ledger,
    MembershipQuery,
    draw_audit,
    load_dataset,
    new_ledger,
    partition,
)
from fedsim.data.left_out import audit_sentences, left_out
from fedsim.data.null_audit import null_training_sets
from fedsim.defences.base import Defence
from fedsim.defences.composition import (
    build_defences,
    require_seen,
    wrapped_strategy,
    wrapped_trainer,
    wraps_training,
)
from fedsim.errors import ConfigError, DataError, FedsimError, PluginError
from fedsim.federation.strategies import (
    INNER,
    build_strategy,
    is_weighted_mean,
    require_aggregable,
)
from fedsim.federation.strategy_state import strategy_state
from fedsim.models import build_model, exchanged_state, require_room
from fedsim.models.trainable import float_buffers, trainable_names
from fedsim.objectives import Objective
from fedsim.observation.keys import SnapshotKind
from fedsim.privacy import FederationFacts, Position
from fedsim.progress import Watcher
from fedsim.stages.attackers import Attacker as Attacker
from fedsim.stages.attackers import attackers_of as attackers_of
from fedsim.stages.canary_audit import (
    require_canary_participants,
    with_canaries,
    with_canary_labels,
)
from fedsim.stages.guarantees import (
    StatedGuarantee,
    ended,
    last_round_within_budget,
    may_promise,
    stated_guarantees,
)
from fedsim.stages.memory import require_memory
from fedsim.stages.needs import attackers_reading, tell_needs
from fedsim.stages.parts import require_parts
from fedsim.stages.shuffled import shuffled_records
from fedsim.stages.who_is_seen import Draws, asked_about, seen_attackers
from fedsim.training.client_tasks import Participants
from fedsim.training.trial import (
    require_training,
    require_training_step,
    require_usable_model,
)
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
            is_weighted_mean(_strategy(self.experiment)),
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
        if not _partial(self.experiment):
            return ()
        draws = Draws(self.experiment, partial(_strategy, self.experiment))
        there = {r: draws.training(r) for r in range(1, self.experiment.federation.rounds + 1)}
        participants = range(self.ledger.participants)
        return tuple(tuple(r for r, some in there.items() if p in some) for p in participants)

    @property
    def participants(self) -> Participants:
        """What takes part in each federation of the experiment."""
        settings, defences = self.experiment.federation, tuple(self.defences.values())
        return Participants(
            self.dataset,
            self.training_sets,
            self.new_model,
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

    What cannot work is told here, before anything is written.

    Parameters
    ----------
    experiment, data_dir, watcher
        What is named, where the data set's files are, and who listens.
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
        require_parts(experiment)
    attackers = attackers_of(experiment)
    if ledger is not None and attackers:
        attackers = asked_about(attackers, ledger)
    elif _partial(experiment):
        draws = Draws(experiment, partial(_strategy, experiment))
        attackers = seen_attackers(attackers, draws, watcher.say)
    attacks = {choice.label: build_attack(choice) for choice in experiment.attacks}
    attackers = attackers_reading(attackers, attacks, experiment)
    tell_needs(attacks, experiment, watcher.say)
    dataset = dataset or load_data(experiment, data_dir, watcher)
    new_model = partial(
        build_model,
        experiment.model.name,
        experiment.model.settings,
        input_shape=dataset.input_shape,
        num_classes=dataset.num_classes,
        seed=experiment.seed,
    )
    drawn = ledger or _ledger(experiment, dataset, attackers, new_model, watcher)
    dataset = with_canary_labels(dataset, drawn)
    setup = Setup(experiment, dataset, drawn, new_model, attackers, attacks)
    with _naming_what_is_given(experiment, dataset):
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
            _require_undefended(setup)
            require_canary_participants(experiment, attackers)
            require_usable_model(new_model(), experiment.model.name)
        _require_buildable(setup)
        if experiment.given is None:
            require_training(setup.participants, experiment.model.name)
    require_memory(attacks, _prospects(setup), experiment.engine.workers, watcher.say)
    setup = _with_stacking_chosen(setup)
    if experiment.given is None and setup.experiment.engine.stacked is not True:
        require_training_step(setup.participants, experiment.model.name)
    return setup


def _last_round(setup: Setup, watcher: Watcher) -> int:
    """Return the last round that the privacy budgets allow."""
    experiment = setup.experiment
    if experiment.given is not None or not may_promise(experiment):
        return experiment.federation.rounds
    return last_round_within_budget(experiment, setup.defences, setup.facts, watcher.say)


@contextmanager
def _naming_what_is_given(experiment: Experiment, data: Dataset) -> Iterator[None]:
    """Add to an error of the block what the experiment says of the model that the data say, too."""
    settings = experiment.model.settings
    said = {"input_shape": list(data.input_shape), "num_classes": data.num_classes}
    try:
        yield
    except FedsimError as error:
        given = [
            f"model.{key} is given as {settings[key]}, and is {value} by the data"
            for key, value in said.items()
            if key in settings and settings[key] != value
        ]
        if not given:
            raise
        raise type(error)(f"{error}; {' and '.join(given)}: leave it out") from error


def _with_stacking_chosen(setup: Setup) -> Setup:
    """Return the setup with `engine.stacked` true or false: it decides the last digits."""
    engine, participants = setup.experiment.engine, setup.participants
    chosen = stacking_pays(participants) if engine.stacked == "auto" else engine.stacked
    if chosen:
        required_stack_training(participants)
    engine = engine.model_copy(update={"stacked": chosen})
    return replace(setup, experiment=setup.experiment.model_copy(update={"engine": engine}))


def load_data(experiment: Experiment, data_dir: Path | None, watcher: Watcher) -> Dataset:
    """Return the data set that an experiment names.

    Raises
    ------
    FedsimError
        As `fedsim.data.load_dataset`.
    """
    data = experiment.data
    return load_dataset(
        data.name,
        data.settings,
        data_dir=data_dir,
        seed=experiment.seed if data.split_seed is None else data.split_seed,
        test_records=data.test_records,
        test_by_user=experiment.audit.unit == "user",
        say=watcher.say,
        objective=None if experiment.objective is None else experiment.objective.name,
        beside=experiment.folder,
    )


def objective_of(experiment: Experiment, dataset: Dataset) -> Objective:
    """Return what an experiment learns: what it says, else the data source, else classification.

    Raises
    ------
    PluginError
        If the plugin is not an `Objective`.
    """
    choice = experiment.objective or Choice(name=dataset.objective or "classification")
    objective = plugins.build("objectives", choice.name, choice.settings)
    if not isinstance(objective, Objective):
        raise PluginError(
            f"objective {choice.name!r} gave a {type(objective).__name__}; a plugin of group "
            "objectives must derive from fedsim.objectives.Objective"
        )
    return objective


def require_labels(ledger: Ledger, dataset: Dataset, path: Path) -> None:
    """Raise `DataError` if a run's ledger is of other data than these.

    `path` is the ledger's, for the sentence.
    """
    if not np.array_equal(ledger.labels, dataset.labels):
        raise DataError(
            f"{path} has other labels than {dataset.name} has now; give the data that the run was "
            "made with (--data-dir)"
        )


def build_attack(choice: LabelledChoice) -> Attack:
    """Return the attack that a choice names.

    Raises
    ------
    PluginError
        If the plugin is not an `Attack`.
    """
    attack = plugins.build("attacks", choice.name, choice.settings)
    if not isinstance(attack, Attack):
        raise PluginError(
            f"attack {choice.name!r} gave a {type(attack).__name__}; a plugin of group attacks "
            "must derive from fedsim.Attack"
        )
    return attack


def _ledger(
    experiment: Experiment,
    dataset: Dataset,
    attackers: Sequence[Attacker],
    new_model: Callable[[], nn.Module],
    watcher: Watcher,
) -> Ledger:
    """Return who holds which record, with the audit of every query drawn, once."""
    chosen, audited = experiment.partition, experiment.audit
    training_sets = partition(
        dataset,
        chosen.name,
        participants=chosen.participants,
        records=chosen.records,
        settings=chosen.settings,
        seed=experiment.seed if chosen.seed is None else chosen.seed,
        say=watcher.say,
    )
    if sentence := left_out(dataset, training_sets, chosen.name, chosen.records):
        watcher.say(sentence)
    sizes = AuditSizes(
        audited.known_members,
        audited.known_nonmembers,
        audited.tested_members,
        audited.tested_nonmembers,
    )
    user_score = audited.user_score if audited.unit == "user" else None
    ledger = new_ledger(dataset, training_sets, user_score)
    asked = dict.fromkeys(query for attacker in attackers for query in attacker.queries)
    if audited.canaries:
        objective = objective_of(experiment, dataset)
        candidates = CandidateRecords(dataset, new_model, objective)
        return with_canaries(experiment, ledger, tuple(asked), sizes, candidates)
    for query in asked:  # in the order of the experiment, so that the file is always the same
        audit = draw_audit(
            ledger,
            query,
            sizes,
            nonmembers=audited.nonmembers,
            source=audited.nonmember_source,
            classes=audited.nonmember_classes,
            seed=experiment.seed,
        )
        for sentence in audit_sentences(dataset, ledger, query, audit, audited.nonmember_classes):
            watcher.say(sentence)
        ledger = ledger.with_audit(query, audit)
    return ledger


def _require_buildable(setup: Setup) -> None:
    """Build what the first stage builds, for the sake of its errors."""
    strategy = strategy_of(setup)
    strategy_state(strategy)  # what it cannot keep is told now, and not after a round
    require_aggregable(strategy, exchanged_state(setup.new_model()))


def strategy_of(setup: Setup) -> Strategy:
    """Return the strategy that an experiment names, as new, with its defences around it."""
    return wrapped_strategy(setup.defences.values(), _strategy(setup.experiment))


def _strategy(experiment: Experiment) -> Strategy:
    """Return the strategy without its defences, for what is asked before there are any data."""
    federation, participants = experiment.federation, experiment.partition.participants
    chosen, present = federation.strategy, federation.fewest_present(participants)
    return build_strategy(chosen.name, chosen.settings, present)


def _require_undefended(setup: Setup) -> None:
    """Raise if a defence hides what an attacker needs."""
    for attacker in setup.attackers:
        position: Position = "server" if attacker.participant is None else "participant"
        if attacker.threat().outside:
            position = "outside"
        keys = attacker.keys_throughout(setup.experiment)
        if position == "server" and attacker.threat().active:
            keys |= {SnapshotKind.UPLOAD.of(v) for q in attacker.queries for v in q.victims}
        require_seen(setup.defences, attacker.label, position, keys)


def _partial(experiment: Experiment) -> bool:
    """Return whether some participants are away in some rounds, drawn or set so."""
    return bool(experiment.federation.attendance) or _samples(_strategy(experiment))


def _samples(strategy: Strategy) -> bool:
    """Return whether a strategy, or one that it is worn over, trains only some who are there."""
    inner = getattr(strategy, INNER, None)
    return getattr(strategy, "fraction_train", 1.0) < 1.0 or (inner is not None and _samples(inner))


def shuffled_audit(setup: Setup, query: MembershipQuery) -> NDArray[np.int64]:
    """Return the audited records of a query in the order in which an attack is handed them."""
    records = setup.ledger.audit(query).records
    return records[shuffled_records(setup.experiment.seed, query, len(records))]


def _prospects(setup: Setup) -> list[ExpectedObservation]:
    """Return what the attacks will be given, for each query of each attacker."""
    sampled, experiment = _samples(strategy_of(setup)), setup.experiment
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
