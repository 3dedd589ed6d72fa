"""Comparison of several runs, or of several adversaries of one run.

A contender is an adversary of a run. Contenders are compared attack by attack,
like with like: with the same adversary in an earlier run, else with the first contender of the
attack (`references`). Differences come from the scores (`differences`); without scores the rows
stand alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fedsim.evaluation import Comparison, EvaluationResult, compare
from fedsim.evaluation.intervals import RESAMPLES
from fedsim.report.formatting import probability, signed
from fedsim.report.result_schema import MetricInfo, ResultRow
from fedsim.report.results import Results

Contender = tuple[str, str, str]
"""Run, adversary, attack: what a row of a comparison is about."""


@dataclass(frozen=True)
class Against:
    """The reference of a contender, and the difference from it."""

    reference: Contender
    difference: Comparison


@dataclass(frozen=True)
class ComparedRow:
    """One contender's result in one attack, and its difference from the reference.

    Attributes
    ----------
    run, result
        The contender's.
    metrics
        How the result's figures are printed.
    difference
        None without a reference.
    reference
        The reference's row; None where there is no difference.
    """

    run: str
    result: ResultRow
    metrics: Mapping[str, MetricInfo]
    difference: Comparison | None = None
    reference: "ComparedRow | None" = None

    @property
    def contender(self) -> Contender:
        """The run and adversary of the row."""
        return self.run, self.result.adversary, self.result.attack

    @property
    def like_with_like(self) -> bool:
        """Whether the reference is the same adversary, in another run."""
        reference = self.reference
        return reference is not None and reference.result.adversary == self.result.adversary


def references(contenders: Iterable[Contender]) -> dict[Contender, Contender]:
    """Return the reference of each contender in the same attack.

    The reference is the same adversary in the first run that has it. If that is the contender
    itself, it is the first contender of the attack, which has no reference.
    """
    firsts: dict[str, Contender] = {}
    same: dict[tuple[str, str], Contender] = {}
    found = {}
    for contender in contenders:
        _, adversary, attack = contender
        first = firsts.setdefault(attack, contender)
        alike = same.setdefault((adversary, attack), contender)
        reference = first if alike == contender else alike
        if reference != contender:
            found[contender] = reference
    return found


def differences(
    evaluation_results: Mapping[Contender, EvaluationResult],
    populations: Mapping[str, str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[Contender, Against]:
    """Compare every contender with its reference (see `references`).

    Parameters
    ----------
    evaluation results
        In the order of the runs; each the mean over its victims, or of the only victim.
    populations
        The data set that the record ids of each run refer to; records of different data sets are
        never paired.
    seed, resamples
        Resamples of the bootstrap.
    """
    compared = {}
    for contender, reference in references(evaluation_results).items():
        difference = compare(
            evaluation_results[reference],
            evaluation_results[contender],
            seed=seed,
            resamples=resamples,
            same_records=populations[reference[0]] == populations[contender[0]],
        )
        compared[contender] = Against(reference, difference)
    return compared


def compared_rows(
    runs: Mapping[str, Results], differences: Mapping[Contender, Against]
) -> list[ComparedRow]:
    """Return the rows of all runs, those of one attack together, in the order of the runs."""
    attacks = dict.fromkeys(attack for results in runs.values() for attack in results.attacks())
    rows = [
        ComparedRow(run, row, results.metrics)
        for attack in attacks
        for run, results in runs.items()
        for row in results.summary()
        if row.attack == attack
    ]
    alone = {row.contender: row for row in rows}
    return [_with_difference(row, differences.get(row.contender), alone) for row in rows]


def _with_difference(
    row: ComparedRow, against: Against | None, alone: Mapping[Contender, ComparedRow]
) -> ComparedRow:
    """Return the row with its difference, if the reference is part of the comparison."""
    if against is None or against.reference not in alone:
        return row
    return replace(row, difference=against.difference, reference=alone[against.reference])


def contenders_of(rows: Sequence[ComparedRow]) -> dict[tuple[str, str], str]:
    """Return the shortest unambiguous name of each run and adversary."""
    found = list(dict.fromkeys((row.run, row.result.adversary) for row in rows))
    runs, adversaries = ({who[part] for who in found} for part in (0, 1))
    if len(runs) == 1:
        return {who: who[1] for who in found}
    if len(adversaries) == 1:
        return {who: who[0] for who in found}
    return {who: " · ".join(who) for who in found}


def reference_name(row: ComparedRow) -> str:
    """Return the name of a row's reference: the run, the adversary, or both."""
    if row.reference is None:
        return ""
    run, adversary = row.reference.run, row.reference.result.adversary
    parts = (run if run != row.run else "", adversary if adversary != row.result.adversary else "")
    return " · ".join(part for part in parts if part)


def metrics_of(rows: Iterable[ComparedRow]) -> dict[str, MetricInfo]:
    """Return every metric that some row has a figure of, in the order of the runs."""
    found: dict[str, MetricInfo] = {}
    for row in rows:
        for name, info in row.metrics.items():
            if name in row.result.figures:
                found.setdefault(name, info)
    return found


def auc_in_words(comparison: Comparison | None, separator: str = " ") -> tuple[str, str]:
    """Return the AUC's difference with its interval, and its p-value."""
    if comparison is None:
        return "", ""
    auc = comparison.auc
    bounds = f"{signed(auc.low)}, {signed(auc.high)}"
    return f"{signed(auc.value)}{separator}({bounds})", probability(auc.p)
