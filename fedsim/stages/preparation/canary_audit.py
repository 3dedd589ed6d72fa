"""Audits by canaries: from the names in an experiment to a ledger with the canaries."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedsim import plugins
from fedsim.canaries import CanaryKind, CandidateRecords
from fedsim.canaries.drawing import draw_canaries
from fedsim.config.choice import LabelledChoice
from fedsim.config.experiment import Experiment
from fedsim.data import AuditSizes, Dataset, Ledger, MembershipQuery
from fedsim.data.designed import with_designed_features
from fedsim.errors import ConfigError
from fedsim.stages.preparation.attackers import Attacker


def build_canaries(choice: LabelledChoice) -> CanaryKind:
    """Return the kind of canaries that a choice names.

    Raises
    ------
    PluginError
        If the plugin is not a `CanaryKind`.
    """
    return plugins.build_member("canaries", choice.name, choice.settings, CanaryKind)


def with_canaries(
    experiment: Experiment,
    ledger: Ledger,
    queries: Sequence[MembershipQuery],
    sizes: AuditSizes,
    candidates: CandidateRecords,
) -> Ledger:
    """Return a ledger whose audits are of canaries.

    Parameters
    ----------
    experiment
        Its `audit` section names the kinds.
    ledger
        The ledger without canaries.
    queries
        What is asked about.
    sizes
        How many.
    candidates
        The whole data set, the model and the objective.

    Raises
    ------
    FedsimError
        If a victim has too few records, or a kind cannot be made of them.
    """
    dataset = candidates.dataset
    drawn = draw_canaries(
        ledger,
        [one for one in experiment.audit.victims if len(ledger.training_sets[one])],
        {choice.label: build_canaries(choice) for choice in experiment.audit.canaries},
        sizes,
        lambda records: replace(candidates, dataset=dataset.only(records)),
        experiment.seed,
    )
    found = drawn.ledger
    for query in queries:
        found = found.with_audit(query, drawn.audit(query))
    return found


def with_canary_records(dataset: Dataset, ledger: Ledger) -> Dataset:
    """Return a data set in which canaries have the labels, and the features, of a ledger."""
    if ledger.canaries is None:
        return dataset
    labels, canaries = np.array(dataset.labels), ledger.canaries != ""
    if len(labels) != len(canaries):  # other data, which is reported where labels are compared
        return dataset
    labels[canaries] = ledger.labels.reshape(labels.shape)[canaries]
    return with_designed_features(dataset.relabelled(labels), ledger.designed)


def require_canary_participants(experiment: Experiment, attackers: Sequence[Attacker]) -> None:
    """Raise `ConfigError` if canary participants cannot be hidden, or a query asks about one.

    Without a defence that clips, their updates dominate every aggregate.
    """
    if not experiment.audit.canary_participants:
        return
    if not experiment.defences:
        raise ConfigError(
            "audit.canary_participants: without a defence that clips updates, such as "
            "fixed-clipping, an aggregate is nothing but its canaries; name one in defences"
        )
    placed = [one.label for one in attackers if one.participant is not None]
    if placed:
        raise ConfigError(
            f"audit.canary_participants: {placed[0]} sits in a participant's position and asks "
            "about everybody's data, and canaries do not train on theirs; audit from the server's "
            "position, or without canary participants"
        )
