"""How figures are written, the same in the terminal and on the page."""

import math
from collections.abc import Iterable, Mapping, Sequence

from fedsim.report.results import Interval, Result


def percent(fraction: float) -> str:
    """Return a fraction in percent without the sign.

    >>> percent(0.8531), percent(1.0)
    ('85.3', '100.0')
    """
    return f"{100 * fraction:.1f}"


def percent_interval(interval: Interval) -> str:
    """Return an interval of fractions in percent.

    >>> percent_interval(Interval(low=0.837, high=0.869, method="exact"))
    '83.7–86.9'
    """
    return f"{percent(interval.low)}–{percent(interval.high)}"  # noqa: RUF001 a range's dash


def area(auc: float) -> str:
    """Return an AUC with three decimals and no leading zero, as the field prints it.

    >>> area(0.9184), area(1.0)
    ('.918', '1.000')
    """
    return f"{auc:.3f}".removeprefix("0")


def area_interval(interval: Interval) -> str:
    """Return an interval of AUCs.

    >>> area_interval(Interval(low=0.905, high=0.93, method="bootstrap"))
    '.905–.930'
    """
    return f"{area(interval.low)}–{area(interval.high)}"  # noqa: RUF001 a range's dash


def signed(difference: float) -> str:
    """Return a difference of AUCs: its sign, a true minus, no leading zero.

    >>> signed(-0.0131), signed(0.0131)
    ('−.013', '+.013')
    """
    return _sign(difference) + f"{abs(difference):.3f}".removeprefix("0")


def points(difference: float) -> str:
    """Return a difference of fractions in percentage points, with its sign.

    >>> points(-0.004), points(0.0125)
    ('−0.4', '+1.2')
    """
    return _sign(difference) + percent(abs(difference))


def probability(p: float) -> str:
    """Return a p-value.

    >>> probability(0.0009), probability(0.0312)
    ('< .001', '.031')
    """
    return "< .001" if p < 0.001 else area(p)


def rate_name(rate: str) -> str:
    """Return an FPR as it is spoken of.

    >>> rate_name("0.01"), rate_name("0.001")
    ('1 %', '0.1 %')
    """
    return f"{100 * float(rate):g} %"


def out_of_100(fraction: float) -> str:
    """Return how many times in 100, a whole number rounded half up.

    >>> out_of_100(0.8531), out_of_100(0.505)
    ('85', '51')
    """
    return str(math.floor(100 * fraction + 0.5))


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "seed"), plural(2000, "record")
    ('1 seed', '2,000 records')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def rates_of(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Return every FPR that is a key of some row, from the largest down.

    >>> rates_of([{"0.001": 1}, {"0.01": 1}])
    ['0.01', '0.001']
    """
    return sorted({rate for row in rows for rate in row}, key=float, reverse=True)


def footnotes(rows: Sequence[Result]) -> list[str]:
    """Return how few false positives stand behind each TPR, and what was refused and why."""
    lines = []
    for rate in rates_of(row.false_positives for row in rows):
        most = max(row.false_positives.get(rate, 0) for row in rows)
        behind = plural(round(most), "false positive")
        lines.append(f"TPR at {rate_name(rate)} FPR: at most {behind} behind each figure")
    reasons = {
        f"refused: TPR at {rate_name(rate)} FPR {why}"
        for row in rows
        for rate, why in row.refused_fprs.items()
    }
    return lines + sorted(reasons)


def _sign(number: float) -> str:
    return "−" if number < 0 else "+"  # noqa: RUF001 a true minus
