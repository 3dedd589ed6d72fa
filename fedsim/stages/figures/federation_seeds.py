"""Repetitions of an experiment on other federations: how far its figures vary.

Intervals over records describe one federation. With `audit.federation_seeds`, a run repeats it:
data, split and partition stay the same, and all random draws of training, audit and attacks differ.
Student's t interval is then reported for the mean over federations. With few degrees of freedom it
is wide, as it should be.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import t

from fedsim import seeds
from fedsim.config.experiment import Experiment
from fedsim.evaluation.estimates import CONFIDENCE
from fedsim.evaluation.metric import FRACTIONS
from fedsim.finding import OwnedFinding
from fedsim.report.results import Results
from fedsim.report.results_file import read_results
from fedsim.rundir import RunDirectory

TITLE = "federation seeds"
_MOST_ROWS = 200


def repeats_of(experiment: Experiment, run: Path) -> Mapping[Path, Experiment]:
    """Return the repetitions of a run's experiment, by run directory."""
    return {
        run / "federation-seeds" / str(number): _with_seed(experiment, number)
        for number in range(2, experiment.audit.federation_seeds + 1)
    }


def _with_seed(experiment: Experiment, number: int) -> Experiment:
    """Return an experiment on the same data and partition, with other random draws."""
    data, partition = experiment.data, experiment.partition
    split = experiment.seed if data.split_seed is None else data.split_seed
    shared = experiment.seed if partition.seed is None else partition.seed
    return experiment.model_copy(
        update={
            "seed": seeds.derive(experiment.seed, "federation", number),
            "data": data.model_copy(update={"split_seed": split}),
            "partition": partition.model_copy(update={"seed": shared}),
            "audit": experiment.audit.model_copy(update={"federation_seeds": 1}),
        }
    )


def results_of_repeats(experiment: Experiment, run: Path) -> dict[str, Results]:
    """Return the results of a run's other federations that are finished, by their numbers."""
    return {
        folder.name: read_results(RunDirectory(folder).results)
        for folder in repeats_of(experiment, run)
        if RunDirectory(folder).results.is_file()
    }


def seeds_finding(
    experiment: Experiment, run: RunDirectory, own: Results
) -> Iterator[OwnedFinding]:
    """Yield the figures over a run's federations; nothing before two of them are finished."""
    others = results_of_repeats(experiment, run.path).values()
    if not others:
        return
    yield OwnedFinding(
        adversary=TITLE,
        title="figures over federations that were trained anew",
        figures={"federations": 1 + len(others), "confidence": CONFIDENCE},
        columns=("adversary", "attack", "metric", "mean", "from", "to", "deviation"),
        rows=tuple(_rows([own, *others]))[:_MOST_ROWS],
    )


def _rows(federations: Sequence[Results]) -> Iterable[tuple[str | float, ...]]:
    for row in federations[0].summary():
        for name in row.figures:
            found = [
                other.figures[name].value
                for one in federations
                for other in one.summary()
                if (other.adversary, other.attack) == (row.adversary, row.attack)
                and name in other.figures
            ]
            if len(found) < 2:
                continue
            low, high = mean_interval(found)
            if federations[0].metrics[name].unit in FRACTIONS:
                low, high = max(0.0, low), min(1.0, high)
            numbers = (np.mean(found), low, high, np.std(found, ddof=1))
            yield row.adversary, row.attack, name, *(round(float(one), 4) for one in numbers)


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Student's interval of a mean.

    >>> low, high = mean_interval([0.8, 0.9])
    >>> round(low, 3), round(high, 3)
    (0.215, 1.485)
    """
    half = t.ppf((1 + confidence) / 2, len(values) - 1) * np.std(values, ddof=1)
    half /= len(values) ** 0.5
    return float(np.mean(values) - half), float(np.mean(values) + half)
