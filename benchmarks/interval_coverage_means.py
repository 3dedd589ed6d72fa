"""How often 95 % intervals of AUC and accuracy cover, by enough audits to tell 94 from 95.

    python benchmarks/interval_coverage_means.py --runs 2000

The setting of `interval_coverage.py`. Means over attack seeds and victims are linear in the weights
that the bootstrap gives to members and to non-members, so all resamples are one product of
matrices: the first audit of each setting is held against what `fedsim.evaluation` gives for the
same draws. In per cent, with its standard error: the ends at the order statistics of number
(n + 1) / 40 of n resamples, as fedsim's, and those at the quantiles of the resamples alone.
"""

import argparse
from collections import defaultdict

import numpy as np
from interval_coverage import THRESHOLD, Floats, calibration, scored, true_figures
from numpy.typing import NDArray

from fedsim.evaluation import estimates
from fedsim.evaluation.evaluate import evaluate_attack, mean_evaluation_result
from fedsim.evaluation.metrics import Accuracy, Auc
from fedsim.evaluation.scores import Scores, Truth

RECORDS = 1000
POOL = 10  # draws of members and of non-members, of which each audit takes some at random
METRICS = (Accuracy(), Auc())


def counts(random: np.random.Generator, resamples: int) -> NDArray[np.float32]:
    """Return how often each record is drawn, (resamples, records)."""
    share = np.full(RECORDS, 1 / RECORDS)
    return random.multinomial(RECORDS, share, resamples).astype(np.float32)


def resampled(
    kind: str, audits: list[Scores], members: list[NDArray[np.float32]], others: NDArray[np.float32]
) -> dict[str, tuple[float, Floats]]:
    """Return accuracy and AUC, means over victims and seeds, with what resamples give."""
    found: dict[str, list[tuple[float, Floats]]] = defaultdict(list)
    for audit, drawn in zip(audits, members, strict=True):
        own, rest = audit.scores[:, :RECORDS], audit.scores[:, RECORDS:]
        hits, rejected = (own >= THRESHOLD[kind]).mean(0), (rest < THRESHOLD[kind]).mean(0)
        share = (drawn @ hits.astype(np.float32) + others @ rejected.astype(np.float32)) / 2
        found["accuracy"].append(((hits.mean() + rejected.mean()) / 2, share / RECORDS))
        beats = np.zeros((RECORDS, RECORDS), np.float32)
        for a, b in zip(own, rest, strict=True):
            beats += a[:, None] > b
        beats /= len(own)
        area = np.einsum("ij,ij->i", drawn @ beats, others) / RECORDS**2
        found["auc"].append((float(beats.mean()), area))
    return {
        name: (
            float(np.mean([value for value, _ in several])),
            np.mean([drawn for _, drawn in several], axis=0),
        )
        for name, several in found.items()
    }


def require_the_same(kind: str, audits: list[Scores], values: dict[str, float]) -> None:
    """Raise `AssertionError` unless fedsim gives the same figures for the same scores."""
    member = np.arange(2 * RECORDS) < RECORDS
    known, truth = calibration(kind, len(audits[0].scores))
    each = [
        evaluate_attack(
            audit,
            known,
            Truth(audit.records, member),
            truth,
            seed=0,
            metrics=METRICS,
            resamples=2,
        )
        for audit in audits
    ]
    found = (
        each[0]
        if len(each) == 1
        else mean_evaluation_result(each, seed=0, metrics=METRICS, resamples=2)
    )
    for name, value in values.items():
        if abs(found.figures[name].value - value) > 1e-6:
            raise AssertionError(name)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--scores", nargs="+", choices=THRESHOLD, default=list(THRESHOLD))
    args = parser.parse_args()
    print("| scores | seeds | victims | figure | fedsim | of the resamples alone | error |")
    print("|---|---|---|---|---|---|---|")
    for kind in args.scores:
        truth = true_figures(kind)
        for seeds, victims in ((1, 1), (3, 1), (1, 2), (3, 2)):
            random = np.random.default_rng([seeds, victims, len(kind)])
            pool = [counts(random, args.resamples) for _ in range(POOL)]
            hits: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
            for run in range(args.runs):
                audits = list(scored(kind, seeds, victims, random))
                *members, others = (pool[n] for n in random.choice(POOL, victims + 1, False))
                found = resampled(kind, audits, members, others)
                if run == 0:
                    require_the_same(kind, audits, {n: value for n, (value, _) in found.items()})
                for name, (_, drawn) in found.items():
                    low, high = estimates.percentile_interval(drawn.astype(np.float64))
                    inner, outer = np.quantile(drawn, [0.025, 0.975])
                    hits[name].append(
                        (low <= truth[name] <= high, bool(inner <= truth[name] <= outer))
                    )
            for name, rows in hits.items():
                own, alone = 100 * np.mean(np.array(rows, dtype=float), axis=0)
                error = (own * (100 - own) / args.runs) ** 0.5
                print(
                    f"| {kind} | {seeds} | {victims} | {name} | {own:.1f} | {alone:.1f} "
                    f"| {error:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
