"""What every stage of an experiment starts from: the data, the model, and who is dishonest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from fedsim import plugins
from fedsim.attacks import Attack
from fedsim.config import Choice, DishonestParty, Experiment, LabelledChoice
from fedsim.data import (
    AuditSizes,
    Dataset,
    Ledger,
    Question,
    draw_audit,
    load_dataset,
    new_ledger,
    partition,
)
from fedsim.errors import ConfigError, DataError, PluginError
from fedsim.federation.adversary import Adversary, Threat
from fedsim.federation.optimizers import optimizer_factory
from fedsim.federation.participant_position import ParticipantAdversary
from fedsim.federation.participants import Participants
from fedsim.federation.server_position import ServerAdversary
from fedsim.federation.stack_trainer import required_stack_training, stacking_pays
from fedsim.federation.strategies import build_strategy
from fedsim.models import build_model
from fedsim.progress import Watcher
from fedsim.rundir import RunDirectory
from fedsim.snapshots import Policy, SnapshotStore, participant_owner


@dataclass(frozen=True)
class Party:
    """A dishonest party: its label, the adversaries in its seat, and what it asks."""

    label: str
    adversaries: tuple[Adversary, ...]
    questions: tuple[Question, ...]

    @property
    def participant(self) -> int | None:
        """The participant in whose seat it sits; None for the server's."""
        seats = [a.participant for a in self.adversaries if isinstance(a, ParticipantAdversary)]
        return seats[0] if seats else None

    def acts_from(self) -> int | None:
        """Return the first round in which any of its adversaries acts; None if none ever does."""
        starts = [adversary.acts_from() for adversary in self.adversaries]
        return min((start for start in starts if start is not None), default=None)

    def threat(self) -> Threat:
        """Return the threat model of its adversaries together."""
        threats = [adversary.threat() for adversary in self.adversaries]
        deeds = [threat.does for threat in threats if threat.active]
        return Threat(
            who=threats[0].who,
            sees="; ".join(dict.fromkeys(threat.sees for threat in threats)),
            does="; and ".join(deeds) or threats[0].does,
            active=bool(deeds),
            outside=all(threat.outside for threat in threats),
        )

    def answering(self, question: Question) -> tuple[str, ...]:
        """Return the owners of the snapshots that answer a question."""
        return tuple(dict.fromkeys(o for a in self.adversaries for o in a.owners(question)))

    def answering_while_acting(self, question: Question) -> tuple[str, ...]:
        """Return the owners of those that there are only from rounds in which it acts."""
        found = (o for a in self.adversaries for o in a.owners_while_acting(question))
        return tuple(dict.fromkeys(found))

    def owners(self, experiment: Experiment) -> frozenset[str]:
        """Return whose snapshots it keeps, in whatever round."""
        return self.owners_throughout(experiment) | {
            owner for q in self.questions for owner in self.answering_while_acting(q)
        }

    def owners_throughout(self, experiment: Experiment) -> frozenset[str]:
        """Return whose snapshots it keeps in every observed round."""
        owners = {owner for question in self.questions for owner in self.answering(question)}
        uploads = {participant_owner(victim) for victim in experiment.audit.victims}
        if experiment.snapshots.participants == "all" and uploads <= owners:
            owners |= {participant_owner(p) for p in range(experiment.partition.participants)}
        return frozenset(owners)

    def store(self, experiment: Experiment, run: RunDirectory) -> SnapshotStore:
        """Return where it keeps them, and which rounds."""
        policy = Policy(frozenset(experiment.observed_rounds), self.owners(experiment))
        return SnapshotStore(run.snapshots(self.label), policy)


@dataclass(frozen=True)
class Scene:
    """An experiment with its data, who holds them, model factory, dishonest parties and attacks."""

    experiment: Experiment
    dataset: Dataset
    ledger: Ledger
    new_model: Callable[[], nn.Module]
    parties: tuple[Party, ...]
    attacks: Mapping[str, Attack]

    @property
    def participants(self) -> Participants:
        """What takes part in each federation of the experiment."""
        settings = self.experiment.federation
        return Participants(
            self.dataset,
            self.ledger.training_sets,
            self.new_model,
            settings.local,
            settings.evaluation.records,
            self.experiment.seed,
        )


def set_scene(
    experiment: Experiment,
    data_dir: Path | None,
    watcher: Watcher,
    *,
    dataset: Dataset | None = None,
    ledger: Ledger | None = None,
) -> Scene:
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
    parties = parties_of(experiment)
    attacks = {choice.label: build_attack(choice) for choice in experiment.attacks}
    dataset = dataset or load_data(experiment, data_dir, watcher)
    new_model = partial(
        build_model,
        experiment.model.name,
        experiment.model.settings,
        input_shape=dataset.input_shape,
        num_classes=dataset.num_classes,
        seed=experiment.seed,
    )
    ledger = ledger or _ledger(experiment, dataset, parties)
    scene = Scene(experiment, dataset, ledger, new_model, parties, attacks)
    _require_buildable(scene)
    return _with_stacking_chosen(scene)


def _with_stacking_chosen(scene: Scene) -> Scene:
    """Return the scene with `engine.stacked` true or false: it decides the last digits."""
    engine, participants = scene.experiment.engine, scene.participants
    chosen = stacking_pays(participants) if engine.stacked == "auto" else engine.stacked
    if chosen:
        required_stack_training(participants)
    engine = engine.model_copy(update={"stacked": chosen})
    return replace(scene, experiment=scene.experiment.model_copy(update={"engine": engine}))


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
        seed=experiment.seed,
        test_records=data.test_records,
        say=watcher.say,
    )


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


def parties_of(experiment: Experiment) -> tuple[Party, ...]:
    """Return the dishonest parties of an experiment, built; no data is needed.

    Raises
    ------
    PluginError
        If a plugin cannot be built, or is not an `Adversary`.
    """
    return tuple(_party(choice, experiment) for choice in experiment.adversaries)


def _party(chosen: DishonestParty, experiment: Experiment) -> Party:
    victims, participants = experiment.audit.victims, experiment.partition.participants
    adversaries = tuple(_adversary(choice, experiment) for choice in chosen.together)
    asked = {adversary.questions(victims, participants) for adversary in adversaries}
    if len(asked) > 1 or len({isinstance(a, ServerAdversary) for a in adversaries}) > 1:
        raise PluginError(
            f"adversaries {chosen.label} cannot act together: they sit in different seats or are "
            "after different victims; list them apart, or give them the same seat and victims"
        )
    return Party(chosen.label, adversaries, asked.pop())


def _adversary(choice: Choice, experiment: Experiment) -> Adversary:
    adversary = plugins.build(
        "adversaries",
        choice.name,
        choice.settings,
        victims=experiment.audit.victims,
        participants=experiment.partition.participants,
    )
    if not isinstance(adversary, ServerAdversary | ParticipantAdversary):
        raise PluginError(
            f"adversary {choice.name!r} gave a {type(adversary).__name__}; a plugin of group "
            "adversaries must derive from fedsim.ServerAdversary or fedsim.ParticipantAdversary"
        )
    return adversary


def _ledger(experiment: Experiment, dataset: Dataset, parties: Sequence[Party]) -> Ledger:
    """Return who holds which record, with the audit of every question drawn, once."""
    chosen, audited = experiment.partition, experiment.audit
    training_sets = partition(
        dataset,
        chosen.name,
        participants=chosen.participants,
        records=chosen.records,
        settings=chosen.settings,
        seed=experiment.seed,
    )
    sizes = AuditSizes(
        audited.known_members,
        audited.known_nonmembers,
        audited.tested_members,
        audited.tested_nonmembers,
    )
    ledger = new_ledger(dataset, training_sets)
    asked = dict.fromkeys(question for party in parties for question in party.questions)
    for question in asked:  # in the order of the experiment, so that the file is always the same
        audit = draw_audit(
            ledger, question, sizes, nonmembers=audited.nonmembers, seed=experiment.seed
        )
        ledger = ledger.with_audit(question, audit)
    return ledger


def _require_buildable(scene: Scene) -> None:
    """Build what the first stage builds, for the sake of its errors."""
    federation = scene.experiment.federation
    for party in scene.parties:
        start = party.acts_from()
        if start is not None and start > federation.rounds:
            raise ConfigError(
                f"{party.label} acts from round {start} on, but federation.rounds is "
                f"{federation.rounds}; let it act earlier, or run for longer"
            )
    strategy, optimizer = federation.strategy, federation.local.optimizer
    present = federation.fewest_present(scene.ledger.participants)
    build_strategy(strategy.name, strategy.settings, present)
    optimizer_factory(optimizer.name, optimizer.settings)
    scene.new_model()
