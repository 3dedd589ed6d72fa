"""The utility of a run's federations, from their files: over the rounds, and what attacks cost."""

import statistics
from dataclasses import fields

from fedsim.errors import RunDirectoryError
from fedsim.federation.rounds import RoundFigures
from fedsim.report.costs import Cost
from fedsim.report.data import UtilityPoint
from fedsim.rundir import RunDirectory
from fedsim.stages.federations import PlannedFederation
from fedsim.stages.history import read_crafted, read_history_file

History = tuple[RoundFigures, ...]


def read_history(run: RunDirectory, federation: str) -> History:
    """Return a federation's figures, round by round.

    Raises
    ------
    RunDirectoryError
        If it has none, or the file is damaged, or it ends before its last evaluation.
    """
    path = run.history(federation)
    history = read_history_file(path).rounds
    last = history[-1] if history else RoundFigures(0)
    # A strategy may leave out the participants' own evaluation; the server's is always there.
    if last.test_accuracy is None:
        raise RunDirectoryError(
            f"{path} ends before its last evaluation; run the federation to its end first"
        )
    return history


def utility_points(history: History) -> list[UtilityPoint]:
    """Return what a federation's model achieves, round by round, where it was measured."""
    names = [field.name for field in fields(UtilityPoint)]
    return [
        UtilityPoint(**{name: getattr(figures, name) for name in names})
        for figures in history
        if figures.test_accuracy is not None
    ]


def final_utility(history: History) -> dict[str, float | None]:
    """Return what the model achieves at the end, by name; None is what was not measured.

    Objectives without an accuracy have figures of their own, and no accuracy is named then.
    """
    last = history[-1]
    accuracies = {"train_accuracy": last.train_accuracy, "test_accuracy": last.test_accuracy}
    if last.others:
        accuracies = {name: value for name, value in accuracies.items() if value is not None}
    return {**accuracies, **last.others}


def cost_of(run: RunDirectory, federation: PlannedFederation, honest: History | None) -> Cost:
    """Return what the adversary of an active federation costs.

    Raises
    ------
    RunDirectoryError
        If a file of the federation is missing or damaged.
    """
    (attacker,) = federation.attackers
    told = read_crafted(run.crafted(federation.name))
    crafted = told.messages
    return Cost(
        adversary=attacker.label,
        test_accuracy=_test_accuracy(read_history(run, federation.name)),
        honest_test_accuracy=None if honest is None else _test_accuracy(honest),
        norm_ratio=statistics.median(c.norm_ratio for c in crafted) if crafted else None,
        cosine=statistics.median(c.cosine for c in crafted) if crafted else None,
        messages=len(crafted),
        buffers=statistics.median(c.buffers for c in crafted) if crafted else None,
        remarks=told.remarks,
    )


def _test_accuracy(history: History) -> float:
    accuracy = history[-1].test_accuracy
    assert accuracy is not None  # noqa: S101 - `read_history` has looked
    return accuracy
