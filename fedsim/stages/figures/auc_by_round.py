"""How exposure grows with the number of observed rounds.

An attack with `fedsim.Attack.by_rounds` is scored again as if the adversary had left early: on the
snapshots of the first rounds, from features that are already extracted. Only the attack itself is
trained again. The AUC of single rounds comes from the stored traces of signals.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from fedsim.attacks import View
from fedsim.data import AuditSet
from fedsim.errors import RunDirectoryError
from fedsim.evaluation import Estimate, Scores
from fedsim.evaluation.metrics import Auc, auc
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.evaluate import evaluate_scores
from fedsim.stages.figures.score_files import read_scores, read_trace, write_scores

MOST_POINTS = 8
RESAMPLES = 500
"""Of the bootstrap behind each point; a chart's whisker needs no more."""


def last_rounds(rounds: Sequence[int]) -> list[int]:
    """Return the last round of each prefix to be scored, except the whole series.

    The prefixes grow by about the same factor, because the first rounds show most.

    >>> last_rounds([10, 20, 30, 40])
    [10, 20, 30]
    >>> last_rounds(range(1, 101))
    [1, 2, 4, 7, 14, 27, 52]
    """
    every = sorted(set(rounds))
    counts = np.geomspace(1, len(every), min(len(every), MOST_POINTS)).round().astype(int)
    return [every[count - 1] for count in sorted(set(counts.tolist())) if count < len(every)]


def write_exposure(
    run: RunDirectory, view: View, attack: str, score: Callable[[View], Scores]
) -> None:
    """Write an attack's scores after the first observed rounds.

    Parameters
    ----------
    run
        Where to.
    view
        All that the adversary saw.
    attack
        The attack's label.
    score
        Scores every audited record from a view.
    """
    for last in last_rounds([snapshot.round for snapshot in view.answering]):
        seen = view.keeping([s for s in view.seen if s.round <= last])
        path = run.exposure(view.adversary, view.query.key, attack, last)
        write_scores(path, score(seen), {"until round": last})


def read_exposure(path: Path, audit: AuditSet, seed: int) -> tuple[int, Estimate]:
    """Return the last round of each prefix, and the AUC reached by then.

    Raises
    ------
    FedsimError
        If the scores are damaged or do not fit the audit.
    """
    return int(path.stem.removeprefix("round-")), _auc(audit, read_scores(path), seed)


def rounds_alone(path: Path, audit: AuditSet, seed: int) -> Iterator[tuple[int, Estimate]]:
    """Yield each observed round and the AUC of a signal in it alone, from the signal's trace.

    The known records decide whether members have the higher or the lower signal.

    Raises
    ------
    FedsimError
        If the trace is damaged or does not fit the audit.
    """
    rounds, values = read_trace(path)
    if values.shape != (len(rounds), len(audit.records)):
        raise RunDirectoryError(f"{path} does not fit the audit; attack the run again")
    members, others = audit.known & audit.member, audit.known & ~audit.member
    for number, signal in zip(rounds, values, strict=True):
        sign = 1.0 if auc(signal[members], signal[others]) >= 0.5 else -1.0
        scores = Scores(audit.records, sign * signal)
        yield int(number), _auc(audit, scores, seed)


def _auc(audit: AuditSet, scores: Scores, seed: int) -> Estimate:
    return evaluate_scores(audit, scores, seed, [Auc()], RESAMPLES).auc
