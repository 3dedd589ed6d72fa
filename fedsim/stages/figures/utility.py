"""The utility of a run's federations by round, and the cost of attacks, from their files."""

import statistics

from fedsim.errors import RunDirectoryError
from fedsim.federation.round_figures import TRAFFIC
from fedsim.report.chart_data import UtilityPoint
from fedsim.report.costs import Cost
from fedsim.report.traffic import Traffic
from fedsim.report.utility_info import PARTS
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.federations import PlannedFederation
from fedsim.stages.simulation.history import HistoryFile, read_history_file, read_malicious_updates


def read_history(run: RunDirectory, federation: str) -> HistoryFile:
    """Return a federation's figures, round by round.

    Raises
    ------
    RunDirectoryError
        If it has none, or the file is damaged, or it ends before its last evaluation.
    """
    path = run.history(federation)
    history = read_history_file(path)
    # A strategy may leave out the participants' own evaluation; the server's is always there.
    if not history.rounds or history.rounds[-1].of("test_loss") is None:
        raise RunDirectoryError(
            f"{path} ends before its last evaluation; run the federation to its end first"
        )
    return history


def utility_points(history: HistoryFile) -> list[UtilityPoint]:
    """Return the utility of a federation's model in the rounds in which it was measured."""
    train, test = map(history.figure.of, PARTS)
    return [
        UtilityPoint(
            figures.round,
            figures.of(train),
            figures.of(test),
            figures.of("train_loss"),
            figures.of("test_loss"),
        )
        for figures in history.rounds
        if figures.of("test_loss") is not None
    ]


def final_utility(history: HistoryFile) -> dict[str, float | None]:
    """Return the final utility of the model, by name; None if not measured."""
    return {name: history.rounds[-1].of(name) for name in map(history.figure.of, PARTS)}


def traffic_of(history: HistoryFile) -> Traffic | None:
    """Return the mean size of a federation's messages per round; None if not recorded."""
    sizes = [[figures.of(name) for figures in history.rounds] for name in TRAFFIC]
    counted = [[one for one in column if one is not None] for column in sizes]
    sent, received, encoded = (statistics.fmean(one) if one else None for one in counted)
    if sent is None or received is None:
        return None
    return Traffic(sent=sent, received=received, encoded=encoded)


def cost_of(run: RunDirectory, federation: PlannedFederation, honest: HistoryFile | None) -> Cost:
    """Return the utility cost of the adversary of an active federation.

    Raises
    ------
    RunDirectoryError
        If a file of the federation is missing or damaged.
    """
    (attacker,) = federation.attackers
    updates = read_malicious_updates(run.malicious_updates(federation.name))
    messages = updates.messages
    (_, attacked) = final_utility(read_history(run, federation.name)).values()
    (_, before) = (None, None) if honest is None else final_utility(honest).values()
    return Cost(
        adversary=attacker.label,
        utility=attacked,
        honest_utility=before,
        norm_ratio=statistics.median(m.norm_ratio for m in messages) if messages else None,
        cosine=statistics.median(m.cosine for m in messages) if messages else None,
        messages=len(messages),
        buffers=statistics.median(m.buffers for m in messages) if messages else None,
        remarks=updates.remarks,
    )
