"""Building the setup of an experiment: loading, drawing and checking all of its parts."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedsim.attacks import ExpectedObservation
from fedsim.config.experiment import Experiment
from fedsim.data import Dataset, Ledger
from fedsim.devices import forget_peak
from fedsim.errors import ConfigError
from fedsim.models import build_model, require_model_fits
from fedsim.progress import Watcher
from fedsim.stages.preparation.attack_needs import attackers_with_needs, report_needs
from fedsim.stages.preparation.attackers import Attacker, attackers_of
from fedsim.stages.preparation.built_plugins import build_attack
from fedsim.stages.preparation.canary_audit import require_canary_participants, with_canary_records
from fedsim.stages.preparation.engine_choice import (
    report_device_memory,
    with_device_chosen,
    with_engine_chosen,
)
from fedsim.stages.preparation.experiment_data import (
    draw_ledger,
    draw_training_sets,
    load_data,
)
from fedsim.stages.preparation.experiment_faults import require_sound
from fedsim.stages.preparation.guarantees import (
    ended,
    last_round_within_budget,
    may_promise,
)
from fedsim.stages.preparation.idle_participants import (
    attackers_without_idle,
    idle_participants,
    idle_sentence,
    without_idle,
)
from fedsim.stages.preparation.memory import require_memory
from fedsim.stages.preparation.refusals import (
    naming_what_is_given,
    require_aggregation,
    require_undefended,
)
from fedsim.stages.preparation.setup import Setup, shuffled_audit, strategy_of
from fedsim.stages.preparation.strategy_choice import (
    chosen_strategy,
    samples_participants,
    some_are_away,
)
from fedsim.stages.preparation.victim_visibility import (
    RoundDraws,
    attackers_with_audits,
    attackers_with_visible_victims,
    attackers_without_queries,
)
from fedsim.training.trial import require_training, require_training_step, require_usable_model


def build_setup(
    experiment: Experiment,
    data_dir: Path | None,
    watcher: Watcher,
    *,
    dataset: Dataset | None = None,
    ledger: Ledger | None = None,
) -> Setup:
    """Load, draw and build all parts of an experiment.

    Experiments that cannot work are refused here, before anything is written.

    Parameters
    ----------
    experiment, data_dir, watcher
        The experiment, the folder of the data set's files, and the receiver of progress.
    dataset, ledger
        A data set and a ledger that exist already.

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
        require_sound(experiment, data_dir)
    named = attackers = attackers_of(experiment)
    attacks = {choice.label: build_attack(choice) for choice in experiment.attacks}
    report_needs(attacks, experiment, watcher.say)
    dataset = dataset or load_data(experiment, data_dir, watcher)
    if ledger is not None:
        training_sets = ledger.training_sets
        if experiment.given is None:
            experiment = without_idle(experiment, idle_participants(training_sets))
        attackers = attackers_with_audits(attackers, ledger) if attackers else ()
    else:
        training_sets = draw_training_sets(experiment, dataset, watcher)
        experiment, attackers = _queries_with_records(experiment, training_sets, attackers, watcher)
    attackers = attackers_with_needs(attackers, attacks, experiment)
    new_model = partial(
        build_model,
        experiment.model.name,
        experiment.model.settings,
        input_shape=dataset.input_shape,
        num_classes=dataset.num_classes,
        seed=experiment.seed,
    )
    drawn = ledger or draw_ledger(experiment, dataset, training_sets, attackers, new_model, watcher)
    dataset = with_canary_records(dataset, drawn)
    unseeing = attackers_without_queries(named, attackers)
    setup = Setup(experiment, dataset, drawn, new_model, attackers, attacks, unseeing)
    with naming_what_is_given(experiment, dataset):
        require_model_fits(
            experiment.model.name,
            experiment.model.settings,
            input_shape=dataset.input_shape,
            num_classes=dataset.num_classes,
        )
        if (last := _last_round(setup, watcher)) < experiment.federation.rounds:
            shorter = ended(experiment, last)
            return build_setup(shorter, data_dir, watcher, dataset=dataset, ledger=ledger)
        setup = with_device_chosen(setup, watcher.say)
        if experiment.given is None:
            require_undefended(experiment, attackers, setup.defences)
            require_canary_participants(experiment, attackers)
            require_usable_model(new_model(), experiment.model.name)
        require_aggregation(strategy_of(setup), new_model)
        if experiment.given is None:
            model = experiment.model
            require_training(setup.participants, model.name, model.settings)
    setup = with_engine_chosen(setup)
    engine = setup.experiment.engine
    require_memory(attacks, _prospects(setup), engine.workers, watcher.say)
    if experiment.given is None and engine.stacked is not True:
        forget_peak(setup.device)
        require_training_step(setup.participants, experiment.model.name)
        report_device_memory(setup, watcher.say)
    return setup


def _queries_with_records(
    experiment: Experiment,
    training_sets: Sequence[NDArray[np.int64]],
    attackers: tuple[Attacker, ...],
    watcher: Watcher,
) -> tuple[Experiment, tuple[Attacker, ...]]:
    """Return an experiment without idle participants, and its attackers with valid queries."""
    if idle := idle_participants(training_sets):
        partition = experiment.partition
        watcher.say(idle_sentence(idle, partition.participants, partition.name))
        experiment = without_idle(experiment, idle)
        attackers = attackers_without_idle(attackers, idle, partition.name, watcher.say)
    if some_are_away(experiment):
        draws = RoundDraws(experiment, partial(chosen_strategy, experiment))
        attackers = attackers_with_visible_victims(attackers, draws, watcher.say)
    return experiment, attackers


def _last_round(setup: Setup, watcher: Watcher) -> int:
    """Return the last round that the privacy budgets allow."""
    experiment = setup.experiment
    if experiment.given is not None or not may_promise(experiment):
        return experiment.federation.rounds
    return last_round_within_budget(experiment, setup.defences, setup.facts, watcher.say)


def _prospects(setup: Setup) -> list[ExpectedObservation]:
    """Return the expected observation of each query of each attacker."""
    sampled, experiment = samples_participants(strategy_of(setup)), setup.experiment
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
