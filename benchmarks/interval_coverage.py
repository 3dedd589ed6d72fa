"""How often 95 % intervals cover: scores with a known truth, 1,000 + 1,000 records.

    python benchmarks/interval_coverage.py --runs 400

Binormal scores: members lie one standard deviation above non-members. Overfit ones: seven members
of ten lie far above (mean 3, deviation 1/2), the others among the non-members, as where a model has
learned most of its records by heart. Of the variance of a record's score a share of .7 is its own
in all seeds and victims, the rest is drawn anew for each; victims have members of their own and
share non-members.

For each figure its coverage by the percentile bootstrap, by fedsim's own intervals (what
`fedsim.evaluation.evaluate_attack` gives), and of the one-sided limits of gates, in per cent; and
the width.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from fedsim.evaluation import estimates, intervals
from fedsim.evaluation.evaluate import evaluate_attack, mean_evaluation_result
from fedsim.evaluation.metric import Metric
from fedsim.evaluation.metrics import Accuracy, Auc, TprAtFpr
from fedsim.evaluation.scores import Scores, Truth

RECORDS = 1000
COMMON = 0.7
METRICS: tuple[Metric, ...] = (
    Accuracy(),
    Auc(),
    TprAtFpr(0.05),
    TprAtFpr(0.01),
    TprAtFpr(0.003),
    TprAtFpr(0.001),
)
THRESHOLD = {"binormal": 0.5, "overfit": 1.5}
Floats = NDArray[np.float64]


def survival(kind: str, cut: Floats) -> Floats:
    """Return how likely a member scores at least `cut`."""
    if kind == "binormal":
        return np.asarray(norm.sf(cut - 1))
    return np.asarray(0.7 * norm.sf((cut - 3) / 0.5) + 0.3 * norm.sf(cut))


def true_figures(kind: str) -> dict[str, float]:
    """Return the figures of endlessly many records."""
    cut = np.array(THRESHOLD[kind])
    grid = (np.arange(200_000) + 0.5) / 200_000
    found = {
        "accuracy": float((survival(kind, cut) + norm.cdf(cut)) / 2),
        "auc": float(survival(kind, norm.isf(grid)).mean()),
    }
    rates = [metric for metric in METRICS if isinstance(metric, TprAtFpr)]
    return found | {one.name: float(survival(kind, norm.isf(one.fpr))) for one in rates}


def noise(random: np.random.Generator, seeds: int, common: Floats) -> Floats:
    """Return standard normal noise, (seeds, records), of which a share is `common`."""
    own = random.normal(size=(seeds, len(common)))
    return np.asarray(COMMON**0.5 * common + (1 - COMMON) ** 0.5 * own)


def scored(kind: str, seeds: int, victims: int, random: np.random.Generator) -> Iterator[Scores]:
    """Yield the scores of each victim's records: members, then the shared non-members."""
    shared = random.normal(size=RECORDS)
    for victim in range(victims):
        members = noise(random, seeds, random.normal(size=RECORDS))
        if kind == "binormal":
            members += 1
        else:
            learned = random.random(RECORDS) < 0.7
            members = np.where(learned, 3 + members / 2, members)
        others = noise(random, seeds, shared)
        ids = np.r_[np.arange(RECORDS) + RECORDS * (victim + 1), np.arange(RECORDS)]
        yield Scores(ids, np.concatenate([members, others], axis=1))


def calibration(kind: str, seeds: int) -> tuple[Scores, Truth]:
    """Return two known records whose best threshold is the one that the truth is about."""
    cut = THRESHOLD[kind]
    ids = np.array([10**6, 10**6 + 1])
    known = np.tile([cut - 1.0, cut + 1.0], (seeds, 1))
    return Scores(ids, known), Truth(ids, np.array([False, True]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--resamples", type=int, default=400)
    args = parser.parse_args()
    print("| scores | seeds, victims | figure | bootstrap | fedsim | low, high | width |")
    print("|---|---|---|---|---|---|---|")
    for kind in ("binormal", "overfit"):
        truth = true_figures(kind)
        for seeds, victims in ((1, 1), (3, 1), (1, 2), (3, 2)):
            for line in _lines(kind, seeds, victims, truth, args.runs, args.resamples):
                print(line, flush=True)


def _lines(
    kind: str, seeds: int, victims: int, truth: dict[str, float], runs: int, resamples: int
) -> Iterator[str]:
    random = np.random.default_rng([seeds, victims, len(kind)])
    hits: dict[str, list[tuple[bool, bool, bool, bool, float]]] = defaultdict(list)
    known, known_truth = calibration(kind, seeds)
    member = np.arange(2 * RECORDS) < RECORDS
    for run in range(runs):
        each = [
            evaluate_attack(
                scores,
                known,
                Truth(scores.records, member),
                known_truth,
                seed=run,
                metrics=METRICS,
                resamples=resamples if victims == 1 else 2,
            )
            for scores in scored(kind, seeds, victims, random)
        ]
        found = (
            each[0]
            if victims == 1
            else mean_evaluation_result(each, seed=run, metrics=METRICS, resamples=resamples)
        )
        drawn = intervals.bootstrap([found.cases], METRICS, random, resamples)[0]
        for name, value in truth.items():
            low, high = estimates.percentile_interval(drawn[name])
            own = found.figures[name]
            hits[name].append(
                (
                    low <= value <= high,
                    own.low <= value <= own.high,
                    own.least <= value,
                    value <= own.most,
                    own.high - own.low,
                )
            )
    for name, rows in hits.items():
        bootstrap, fedsim, least, most, width = np.mean(np.array(rows, dtype=float), axis=0)
        yield (
            f"| {kind} | {seeds}, {victims} | {name} | {100 * bootstrap:.1f} | {100 * fedsim:.1f} "
            f"| {100 * least:.1f}, {100 * most:.1f} | {width:.3f} |"
        )


if __name__ == "__main__":
    main()
