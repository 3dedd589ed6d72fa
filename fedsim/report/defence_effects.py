"""The effect of a defence on each adversary of another run, one sentence each."""

from collections.abc import Iterator, Sequence

from fedsim.evaluation import Comparison
from fedsim.report.comparison_rows import ComparedRow
from fedsim.report.formatting import difference_text, figure_text, probability


def defence_effect_lines(rows: Sequence[ComparedRow]) -> list[str]:
    """Return a line for each adversary that is compared with itself in another run.

    It describes the strongest attack of the other run by AUC, because the defender does not choose
    the attack.
    """
    strongest: dict[tuple[str, str], ComparedRow] = {}
    for row in rows:
        if row.reference is None or not row.like_with_like:
            continue
        who = row.run, row.result.adversary
        known = strongest.get(who)
        if known is None or _before(row) > _before(known):
            strongest[who] = row
    return [
        f"{run} against {row.reference.run}, {adversary}, {row.result.attack}: "
        f"{'; '.join(_changes(row, row.reference, row.difference))}"
        for (run, adversary), row in strongest.items()
        if row.reference is not None and row.difference is not None
    ]


def _before(row: ComparedRow) -> float:
    return 0.0 if row.reference is None else row.reference.result.auc.value


def _changes(row: ComparedRow, reference: ComparedRow, difference: Comparison) -> Iterator[str]:
    """Yield each metric that both have: before, after, and the difference with its interval."""
    for name, info in row.metrics.items():
        change = difference.figures.get(name)
        before, after = (one.result.figures.get(name) for one in (reference, row))
        if change is None or before is None or after is None:
            continue
        value, low, high = (
            difference_text(one, info.unit) for one in (change.value, change.low, change.high)
        )
        figures = (figure_text(one.value, info.unit) for one in (before, after))
        yield (
            f"{info.heading} {' to '.join(figures)}, {value} ({low} to {high}), "
            f"p {probability(change.p)}"
        )
