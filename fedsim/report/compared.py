"""Several runs, or several adversaries of one run, beside each other.

Whoever attacks is a contender: an adversary of a run. Contenders are compared attack by attack; the
first one that ran an attack is the reference of that attack. Differences come from the scores
(`differences`); without scores the rows stand alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedsim.evaluation import Comparison, Verdict, compare
from fedsim.evaluation.intervals import RESAMPLES
from fedsim.report.results import Result, Results
from fedsim.report.words import (
    area,
    percent,
    plural,
    probability,
    rate_name,
    rates_of,
    signed,
)

Contender = tuple[str, str, str]
"""Run, adversary, attack: what a row of a comparison is about."""


@dataclass(frozen=True)
class ComparedRow:
    """One contender's result in one attack, and how it differs from the attack's reference."""

    run: str
    result: Result
    difference: Comparison | None = None


def differences(
    verdicts: Mapping[Contender, Verdict],
    populations: Mapping[str, str],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[Contender, Comparison]:
    """Compare every contender with the first one of the same attack.

    Parameters
    ----------
    verdicts
        In the order of the runs; each the mean over its victims, or of the only victim.
    populations
        What the record ids of each run count in (the data set); records of different populations
        are never paired.
    seed, resamples
        Of the bootstrap.
    """
    reference: dict[str, Contender] = {}
    compared = {}
    for contender, verdict in verdicts.items():
        run, _, attack = contender
        first = reference.setdefault(attack, contender)
        if first != contender:
            same = populations[first[0]] == populations[run]
            compared[contender] = compare(
                verdicts[first], verdict, seed=seed, resamples=resamples, same_records=same
            )
    return compared


def compared_rows(
    runs: Mapping[str, Results], differences: Mapping[Contender, Comparison]
) -> list[ComparedRow]:
    """Return the rows of all runs, those of one attack together, in the order of the runs."""
    attacks = dict.fromkeys(attack for results in runs.values() for attack in results.attacks())
    return [
        ComparedRow(run, row, differences.get((run, row.adversary, attack)))
        for attack in attacks
        for run, results in runs.items()
        for row in results.summary()
        if row.attack == attack
    ]


def compared_table(rows: Sequence[ComparedRow]) -> RenderableType:
    """Return the comparison for the terminal: who is who, then a section for each attack."""
    numbers: dict[tuple[str, str], int] = {}
    for row in rows:
        numbers.setdefault((row.run, row.result.adversary), len(numbers) + 1)
    rates = rates_of(row.result.tpr_at_fpr for row in rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("attack", no_wrap=True)
    for heading in ("acc.", "AUC", *(f"TPR {rate_name(rate)}" for rate in rates)):
        table.add_column(heading, justify="right")
    for heading in ("Δ AUC (95 % interval)", "p"):
        table.add_column(heading)
    previous = None
    for row in rows:
        if row.result.attack != previous:
            table.add_row(Text(row.result.attack, "bold"))
        previous = row.result.attack
        who = Text(f"  {numbers[row.run, row.result.adversary]}")
        cells = [percent(row.result.accuracy), area(row.result.auc)]
        cells += [rate_cell(row.result, rate) for rate in rates]
        table.add_row(who, *cells, *auc_in_words(row.difference))
    return Group(*_legend(rows, numbers), Text(), table)


def _legend(rows: Sequence[ComparedRow], numbers: Mapping[tuple[str, str], int]) -> Iterator[Text]:
    """Yield who each number is, and how its records were paired with the first one's."""
    for who, number in numbers.items():
        against = [
            f"{row.difference.pairing} with the first ({plural(row.difference.shared, 'record')})"
            for row in rows
            if row.difference is not None and (row.run, row.result.adversary) == who
        ]
        pairing = "; ".join(dict.fromkeys(against))
        yield Text.assemble((f"{number}  ", "bold"), " · ".join(who), (f"  {pairing}", "dim"))


def rate_cell(result: Result, rate: str) -> str:
    """Return the TPR at a rate in percent, or a dash where it was not measured."""
    return percent(result.tpr_at_fpr[rate]) if rate in result.tpr_at_fpr else "-"


def auc_in_words(comparison: Comparison | None) -> tuple[str, str]:
    """Return the AUC's difference with its interval, and its p-value."""
    if comparison is None:
        return "", ""
    auc = comparison.auc
    bounds = f"{signed(auc.low)}, {signed(auc.high)}"
    return f"{signed(auc.value)} ({bounds})", probability(auc.p)
