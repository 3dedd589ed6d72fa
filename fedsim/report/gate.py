"""A gate: the figures of a run are checked against the limits of a release.

A limit names a metric of the results (``auc``, ``tpr@0.01``), which every attack of every adversary
must keep, or a figure of utility (``test_accuracy``). A figure that was not measured breaks its
limit, too: a gate must not pass because a figure is missing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from fedsim.errors import ConfigError, listed
from fedsim.report.formatting import (
    figure_text,
    interval_text,
    utility_name,
    utility_text,
    with_interval,
)
from fedsim.report.limits import Limit
from fedsim.report.result_schema import MetricFigure, ResultRow
from fedsim.report.results import Results

GUARANTEED = "epsilon"
"""What the guarantees of a run are called; the metric of that name is a lower bound, of attacks."""

JudgedBy = Literal["cautious", "value", "lenient"]
"""Which number of a figure is compared with a limit: its one-sided 95 % limit on the side of a
breach, the figure itself, or the limit on the other side."""


@dataclass(frozen=True)
class GateCheck:
    """The check of one figure against one limit.

    Attributes
    ----------
    limit
        The limit.
    subject
        Whose figure it is: ``supervised by curious-server``, ``utility`` or ``guarantee``.
    judged
        The number that was compared with the limit; None if nothing was measured.
    breach
        The breach as a sentence; empty if the limit is kept.
    """

    limit: Limit
    subject: str
    judged: float | None
    breach: str = ""

    @property
    def passed(self) -> bool:
        """Whether the limit is kept."""
        return not self.breach


def check_limits(
    results: Results,
    limits: Iterable[Limit],
    *,
    judged_by: JudgedBy = "cautious",
    each_victim: bool = False,
) -> list[GateCheck]:
    """Check the figures of a run against limits.

    Parameters
    ----------
    results
        Of the run.
    limits
        The limits to check.
    judged_by
        Which number of a figure counts; utility has no interval, so its value does.
    each_victim
        Whether to check the figures of each victim, too, not only their mean.

    Returns
    -------
    list
        A check for each limit and row that it applies to, in the order of limits and rows.

    Raises
    ------
    ConfigError
        If there is no limit, or a limit names a figure that the results do not have.
    """
    wanted = list(limits)
    if not wanted:
        raise ConfigError(
            f"a gate needs at least one limit, such as --max auc=.60; figures: {_figures(results)}"
        )
    for limit in wanted:
        if limit.figure not in {*results.metrics, *results.utility, GUARANTEED}:
            raise ConfigError(
                f"the results have no figure {limit.figure!r}; there are: {_figures(results)}"
            )
    rows = results.results if each_victim else results.summary()
    return [check for limit in wanted for check in _checks(results, limit, rows, judged_by)]


def _figures(results: Results) -> str:
    return listed({*results.metrics, *results.utility, GUARANTEED})


def _checks(
    results: Results, limit: Limit, rows: Iterable[ResultRow], judged_by: JudgedBy
) -> Iterator[GateCheck]:
    if limit.figure == GUARANTEED:
        yield _guarantee_check(results, limit)
    if limit.figure in results.metrics:
        for row in rows:
            yield _attack_check(results, limit, row, judged_by)
    elif limit.figure in results.utility:
        yield _utility_check(results, limit)


def _attack_check(results: Results, limit: Limit, row: ResultRow, judged_by: JudgedBy) -> GateCheck:
    subject = f"{row.attack} by {row.adversary}" + (
        "" if row.victim == "mean" else f" against {row.victim}"
    )
    info = results.metrics[limit.figure]
    figure = row.figures.get(limit.figure)
    if figure is None:
        why = row.refused.get(limit.figure, "the attack has no such figure")
        return GateCheck(
            limit, subject, None, f"{info.heading} of {subject} was not measured: {why}"
        )
    high_end = (judged_by == "cautious") == (limit.bound == "max")
    judged = figure.value if judged_by == "value" else _one_sided(figure, high=high_end)
    if limit.is_kept_by(judged):
        return GateCheck(limit, subject, judged)
    end = "" if judged_by == "value" else f"its {'upper' if high_end else 'lower'} limit "
    shown = with_interval(figure_text(figure.value, info.unit), interval_text(figure, info.unit))
    return GateCheck(
        limit,
        subject,
        judged,
        f"{info.heading} of {subject} is {shown}: "
        f"{end or 'it '}{f'of {figure_text(judged, info.unit)} ' if end else ''}is "
        f"{_beyond(limit)} {figure_text(limit.number, info.unit)}",
    )


def _one_sided(figure: MetricFigure, *, high: bool) -> float:
    """Return a one-sided limit; of files that have none, the end of the central interval."""
    limit, end = (figure.most, figure.high) if high else (figure.least, figure.low)
    return end if limit is None else limit


def _guarantee_check(results: Results, limit: Limit) -> GateCheck:
    """Check the smallest guaranteed epsilon against a limit; no guarantee is a breach."""
    found = [(one.epsilon, one) for one in results.guarantees if one.epsilon is not None]
    if not found:
        reasons = [f"{one.defence}: {one.why}" for one in results.guarantees]
        why = "; ".join(reasons) or "the experiment has no defence that does"
        return GateCheck(limit, "guarantee", None, f"no epsilon is guaranteed: {why}")
    epsilon, best = min(found, key=lambda pair: pair[0])
    if results.self_check:
        return GateCheck(limit, "guarantee", epsilon, results.self_check[0])
    if limit.is_kept_by(epsilon):
        return GateCheck(limit, "guarantee", epsilon)
    return GateCheck(
        limit,
        "guarantee",
        epsilon,
        f"the epsilon that {best.defence} guarantees a {best.unit} is {epsilon:.3g}, "
        f"{_beyond(limit)} {limit.number:g}",
    )


def _utility_check(results: Results, limit: Limit) -> GateCheck:
    value, name = results.utility[limit.figure], utility_name(limit.figure)
    if value is None:
        return GateCheck(limit, "utility", None, f"{name} was not measured")
    if limit.is_kept_by(value):
        return GateCheck(limit, "utility", value)
    figure = results.utility_figure
    shown, bound = (utility_text(number, figure) for number in (value, limit.number))
    return GateCheck(limit, "utility", value, f"{name} is {shown}, {_beyond(limit)} {bound}")


def _beyond(limit: Limit) -> str:
    return "above the limit" if limit.bound == "max" else "below the limit"


def gate_entries(checks: Iterable[GateCheck]) -> list[dict[str, str | float | bool | None]]:
    """Return the checks as plain mappings, for JSON and data frames."""
    return [
        {
            "figure": check.limit.figure,
            "bound": check.limit.bound,
            "limit": check.limit.number,
            "subject": check.subject,
            "judged": check.judged,
            "passed": check.passed,
            "breach": check.breach,
        }
        for check in checks
    ]
