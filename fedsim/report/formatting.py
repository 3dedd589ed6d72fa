"""Formatting of figures, for the terminal and the page."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from fedsim.errors import plural
from fedsim.evaluation.metric import Unit
from fedsim.report.result_schema import MetricFigure, MetricInfo, ResultRow
from fedsim.report.utility_info import PARTS, UtilityInfo

DASH = "–"  # noqa: RUF001 a range's dash


def knowledge_lines(learns_from: Mapping[str, str]) -> list[str]:
    """Return a line for each kind of knowledge, with the attacks that learn from it.

    >>> knowledge_lines({"label": "members", "loss": "nothing", "supervised": "members"})
    ['members (label, supervised)', 'nothing (loss)']
    """
    kinds = dict.fromkeys(learns_from.values())
    attacks = {words: [a for a, one in learns_from.items() if one == words] for words in kinds}
    return [f"{words} ({', '.join(labels)})" for words, labels in attacks.items()]


def percent(fraction: float) -> str:
    """Return a fraction in percent without the sign.

    >>> percent(0.8531), percent(1.0)
    ('85.3', '100.0')
    """
    return f"{100 * fraction:.1f}"


def area(auc: float) -> str:
    """Return an AUC with three decimals and no leading zero, as the field prints it.

    >>> area(0.9184), area(1.0)
    ('.918', '1.000')
    """
    return f"{auc:.3f}".removeprefix("0")


def number(value: float) -> str:
    """Return any number with three significant digits and a true minus.

    >>> number(-0.01234), number(12.0)
    ('−0.0123', '12')
    """
    return f"{value:.3g}".replace("-", "−", 1)  # noqa: RUF001 a true minus


def figure_text(value: float, unit: Unit) -> str:
    """Return a figure as its metric's unit prints it.

    >>> figure_text(0.853, "percent"), figure_text(0.853, "area"), figure_text(0.853, "number")
    ('85.3', '.853', '0.853')
    """
    return _FIGURES[unit](value)


def interval_text(figure: MetricFigure, unit: Unit) -> str:
    """Return a figure's interval as its metric's unit prints it; a bound has none.

    >>> figure = MetricFigure(value=0.85, low=0.837, high=0.869, method="exact")
    >>> interval_text(figure, "percent"), interval_text(figure, "area")
    ('83.7–86.9', '.837–.869')
    >>> interval_text(MetricFigure(value=1.2, low=1.2, high=1.2, method="bound"), "number")
    ''
    """
    if figure.method == "bound":
        return ""
    return f"{figure_text(figure.low, unit)}{DASH}{figure_text(figure.high, unit)}"


def with_interval(value: str, interval: str) -> str:
    """Return a figure with its interval in parentheses, if it has one.

    >>> with_interval("85.0", "83.7-86.9"), with_interval("1.2", "")
    ('85.0 (83.7-86.9)', '1.2')
    """
    return f"{value} ({interval})" if interval else value


def difference_text(value: float, unit: Unit) -> str:
    """Return a difference of two figures with its sign: percentage points, or as the figures are.

    >>> difference_text(-0.013, "percent"), difference_text(-0.013, "area")
    ('−1.3', '−.013')
    """
    return _DIFFERENCES[unit](value)


def signed(difference: float) -> str:
    """Return a difference of AUCs: its sign, a true minus, no leading zero.

    >>> signed(-0.0131), signed(0.0131)
    ('−.013', '+.013')
    """
    return _sign(difference) + area(abs(difference))


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


def out_of_100(fraction: float) -> str:
    """Return how many times in 100, a whole number rounded half up.

    >>> out_of_100(0.8531), out_of_100(0.505)
    ('85', '51')
    """
    return str(math.floor(100 * fraction + 0.5))


def with_unit(info: MetricInfo) -> str:
    """Return a metric's long heading with its unit, as a column's title.

    >>> with_unit(MetricInfo(heading="TPR @ 1 %", title="TPR at 1 % FPR", unit="percent"))
    'TPR at 1 % FPR, %'
    """
    return info.long_heading + (", %" if info.unit == "percent" else "")


def units_and_guessing(metrics: Mapping[str, MetricInfo]) -> tuple[str, str]:
    """Return which metrics are in percent, and what guessing reaches in each.

    >>> units_and_guessing({"a": MetricInfo(heading="accuracy", unit="percent", guessing=0.5)})
    ('accuracy in %', 'accuracy 50.0')
    """
    percents = [info.heading for info in metrics.values() if info.unit == "percent"]
    guessed = [
        f"{info.heading} {figure_text(info.guessing, info.unit)}"
        for info in metrics.values()
        if info.guessing is not None
    ]
    return f"{', '.join(percents)} in %" if percents else "", ", ".join(guessed)


def interval_note(rows: Iterable[ResultRow]) -> str:
    """Return what must be said of intervals where some figures are bounds, else nothing."""
    figures = (figure for row in rows for figure in row.figures.values())
    return "; a lower bound has none" if any(one.method == "bound" for one in figures) else ""


def footnotes(rows: Sequence[ResultRow], metrics: Mapping[str, MetricInfo]) -> list[str]:
    """Return the footnotes of figures (few false positives), and refused figures with reasons."""
    lines = []
    for name, info in metrics.items():
        figures = [row.figures[name] for row in rows if name in row.figures]
        for detail in dict.fromkeys(detail for figure in figures for detail in figure.details):
            most = round(max(figure.details.get(detail, 0) for figure in figures))
            noun = detail.replace("_", " ").removesuffix("s")
            behind = f"at most {plural(most, noun)} behind each figure"
            lines.append(f"{info.long_heading}: {behind}")
    reasons = {
        f"refused: {metrics[name].long_heading} {why}"
        for row in rows
        for name, why in row.refused.items()
    }
    return lines + sorted(reasons)


def utility_name(name: str) -> str:
    """Return the printed name of a figure of utility: ``train_accuracy`` is "train accuracy"."""
    return name.replace("_", " ")


def utility_text(value: float | None, figure: UtilityInfo) -> str:
    """Return a figure of utility as text; None was not measured.

    >>> from fedsim.report.utility_info import ACCURACY
    >>> utility_text(0.372, ACCURACY), utility_text(None, ACCURACY)
    ('37.2 %', 'not measured')
    """
    if value is None:
        return "not measured"
    return figure_text(value, figure.unit) + (" %" if figure.unit == "percent" else "")


def utility_words(
    utility: Mapping[str, float | None], figure: UtilityInfo
) -> list[tuple[str, str]]:
    """Return a model's utility and its gap between training and test records: names and texts.

    >>> from fedsim.report.utility_info import ACCURACY
    >>> utility_words({"train_accuracy": 0.991, "test_accuracy": 0.372}, ACCURACY)
    [('train accuracy', '99.1 %'), ('test accuracy', '37.2 %'), ('gap', '61.9 points')]
    """
    pairs = [(utility_name(name), utility_text(value, figure)) for name, value in utility.items()]
    train, test = (utility.get(figure.of(part)) for part in PARTS)
    if train is not None and test is not None:
        gap = figure_text(figure.cost(test, honest=train), figure.unit)
        pairs.append(("gap", f"{gap} points" if figure.unit == "percent" else gap))
    return pairs


def ordered_union(rows: Iterable[Iterable[str]]) -> list[str]:
    """Return every name once, in the order of first appearance.

    >>> ordered_union([["a", "b"], ["c", "b"]])
    ['a', 'b', 'c']
    """
    return list(dict.fromkeys(name for row in rows for name in row))


def _sign(value: float) -> str:
    return "−" if value < 0 else "+"  # noqa: RUF001 a true minus


def _signed_number(value: float) -> str:
    return _sign(value) + number(abs(value))


_FIGURES: Mapping[Unit, Callable[[float], str]] = {
    "percent": percent,
    "area": area,
    "number": number,
}
_DIFFERENCES: Mapping[Unit, Callable[[float], str]] = {
    "percent": points,
    "area": signed,
    "number": _signed_number,
}
