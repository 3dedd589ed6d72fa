"""The utility of a run's federations, from their files: over the rounds, and what attacks cost."""

import statistics
from typing import Any

from fedsim.errors import RunDirectoryError
from fedsim.federation.rounds import RoundFigures
from fedsim.report.costs import Cost
from fedsim.report.data import UtilityPoint
from fedsim.rundir import RunDirectory
from fedsim.stages.federations import PlannedFederation
from fedsim.stages.history import read_history_file, read_malicious_updates

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
    # A strategy may leave out the participants' own evaluation; the server's is always there.
    if not history or history[-1].test_loss is None:
        raise RunDirectoryError(
            f"{path} ends before its last evaluation; run the federation to its end first"
        )
    return history


def figure_name(figures: RoundFigures) -> str:
    """Return which figure of utility a round was evaluated by: accuracy, error, perplexity, ...

    >>> figure_name(RoundFigures(1, others={"test_error": 0.5}))
    'error'
    """
    return next(iter(figures.others), "test_accuracy").partition("_")[2]


def utility_points(history: History) -> list[UtilityPoint]:
    """Return what a federation's model achieves, round by round, where it was measured."""
    name = figure_name(history[-1])
    return [
        UtilityPoint(
            figures.round,
            figures.of(f"train_{name}"),
            figures.of(f"test_{name}"),
            figures.train_loss,
            figures.test_loss,
            name,
        )
        for figures in history
        if figures.test_loss is not None
    ]


def final_utility(history: History) -> dict[str, float | None]:
    """Return what the model achieves at the end, by name; None is what was not measured."""
    last = history[-1]
    names = [f"{part}_{figure_name(last)}" for part in ("train", "test")]
    return {name: last.of(name) for name in names}


def cost_of(run: RunDirectory, federation: PlannedFederation, honest: History | None) -> Cost:
    """Return what the adversary of an active federation costs.

    Raises
    ------
    RunDirectoryError
        If a file of the federation is missing or damaged.
    """
    (attacker,) = federation.attackers
    told = read_malicious_updates(run.malicious_updates(federation.name))
    crafted = told.messages
    last = read_history(run, federation.name)[-1]
    name = f"test_{figure_name(last)}"
    attacked = last.of(name)
    before = None if honest is None else honest[-1].of(name)
    figures: dict[str, Any] = {"test_accuracy": attacked, "honest_test_accuracy": before}
    if name != "test_accuracy":
        named = {name: attacked, f"honest_{name}": before}
        figures = {"others": {key: value for key, value in named.items() if value is not None}}
    return Cost(
        adversary=attacker.label,
        **figures,
        norm_ratio=statistics.median(c.norm_ratio for c in crafted) if crafted else None,
        cosine=statistics.median(c.cosine for c in crafted) if crafted else None,
        messages=len(crafted),
        buffers=statistics.median(c.buffers for c in crafted) if crafted else None,
        remarks=told.remarks,
    )
