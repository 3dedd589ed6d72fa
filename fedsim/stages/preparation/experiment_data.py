"""The data of an experiment, and which participant holds which record."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from fedsim.canaries import CandidateRecords
from fedsim.config.experiment import Experiment
from fedsim.config.fault_collector import FaultCollector
from fedsim.data import AuditSizes, Dataset, Ledger, draw_audit, load_dataset, new_ledger, partition
from fedsim.data.audit_cautions import audit_sentences, left_out_sentence
from fedsim.data.partitioners import TrainingSets
from fedsim.errors import DataError
from fedsim.progress import Watcher
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.built_plugins import objective_of
from fedsim.stages.preparation.canary_audit import with_canaries


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


def draw_training_sets(experiment: Experiment, dataset: Dataset, watcher: Watcher) -> TrainingSets:
    """Return each participant's records, and report how many records no participant has."""
    chosen = experiment.partition
    training_sets = partition(
        dataset,
        chosen.name,
        participants=chosen.participants,
        records=chosen.records,
        settings=chosen.settings,
        seed=experiment.seed if chosen.seed is None else chosen.seed,
        say=watcher.say,
    )
    if sentence := left_out_sentence(dataset, training_sets, chosen.name, chosen.records):
        watcher.say(sentence)
    return training_sets


def draw_ledger(
    experiment: Experiment,
    dataset: Dataset,
    training_sets: TrainingSets,
    attackers: Sequence[Attacker],
    new_model: Callable[[], nn.Module],
    watcher: Watcher,
) -> Ledger:
    """Return the ledger, with the audit of every query."""
    audited = experiment.audit
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
    faults = FaultCollector()
    draw = partial(
        draw_audit,
        ledger,
        sizes=sizes,
        nonmembers=audited.nonmembers,
        source=audited.nonmember_source,
        classes=audited.nonmember_classes,
        seed=experiment.seed,
    )
    audits = {query: faults.check(partial(draw, query)) for query in asked}
    faults.require_none()
    for query, audit in audits.items():  # in the experiment's order, so the file is the same
        if audit is None:
            continue
        for sentence in audit_sentences(dataset, ledger, query, audit, audited.nonmember_classes):
            watcher.say(sentence)
        ledger = ledger.with_audit(query, audit)
    return ledger


def require_labels(ledger: Ledger, dataset: Dataset, path: Path) -> None:
    """Raise `DataError` if a run's ledger belongs to other data.

    `path` is the ledger's, for the error message.
    """
    if not np.array_equal(ledger.labels, dataset.labels):
        raise DataError(
            f"{path} has other labels than {dataset.name} has now; give the data that the run was "
            "made with (--data-dir)"
        )
