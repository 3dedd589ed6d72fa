"""What every stage of an experiment starts from: the data, the model, and who is dishonest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from flwr.serverapp.strategy import Strategy
from torch import nn

from fedsim import plugins
from fedsim.attacks import Attack, Prospect
from fedsim.config.experiment import Experiment, LabelledChoice
from fedsim.data import (
    AuditSizes,
    Dataset,
    Ledger,
    draw_audit,
    load_dataset,
    new_ledger,
    partition,
)
from fedsim.errors import ConfigError, DataError, PluginError
from fedsim.federation.strategies import INNER, build_strategy
from fedsim.models import build_model
from fedsim.progress import Watcher
from fedsim.stages.attackers import Party as Party
from fedsim.stages.attackers import parties_of as parties_of
from fedsim.stages.memory import require_memory
from fedsim.training.client_tasks import Participants
from fedsim.training.optimizers import optimizer_factory
from fedsim.training.vectorized.trainer import required_stack_training, stacking_pays


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
    require_memory(attacks, _prospects(scene), experiment.engine.workers, watcher.say)
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
    _strategy(scene)
    optimizer = federation.local.optimizer
    optimizer_factory(optimizer.name, optimizer.settings)
    scene.new_model()


def _strategy(scene: Scene) -> Strategy:
    federation = scene.experiment.federation
    chosen, present = federation.strategy, federation.fewest_present(scene.ledger.participants)
    return build_strategy(chosen.name, chosen.settings, present)


def _samples(strategy: Strategy) -> bool:
    """Return whether a strategy, or one that it is worn over, trains only some who are there."""
    inner = getattr(strategy, INNER, None)
    return getattr(strategy, "fraction_train", 1.0) < 1.0 or (inner is not None and _samples(inner))


def _prospects(scene: Scene) -> list[Prospect]:
    """Return what the attacks will be given, for each question of each party."""
    sampled, experiment = _samples(_strategy(scene)), scene.experiment
    return [
        Prospect(
            scene.new_model,
            scene.dataset,
            scene.ledger.audit(question).records,
            party.sure_rounds(experiment, question, sampled=sampled),
        )
        for party in scene.parties
        for question in party.questions
    ]
