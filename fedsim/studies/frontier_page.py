"""The frontier on a study's page: a table per adversary, and the best choice at each cost."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from fedsim.errors import plural
from fedsim.evaluation.metric import Unit
from fedsim.report.formats import markdown_table
from fedsim.report.formatting import DASH, difference_text, figure_text, with_unit
from fedsim.report.guarantees import GuaranteeFigures
from fedsim.report.traffic import size_text
from fedsim.report.utility_info import UtilityInfo
from fedsim.studies.frontier import Frontier, FrontierPoint, Leakage
from fedsim.studies.pareto import MeanEstimate

BEST = "●"
POINTS_LOST = (0.01, 0.02, 0.05, 0.10)
"""How much utility one may be ready to lose: points of an accuracy, or a share of what there is."""


def frontier_markdown(found: Frontier, figure: str) -> Iterator[str]:
    """Yield the lines of the frontier's part of a page.

    Parameters
    ----------
    found
        The frontier.
    figure
        The file of its drawing.
    """
    drawn = found.metrics[found.spec.leakage].long_heading
    caption = (
        f"{drawn} of each adversary's strongest attack against the model's utility: below is less "
        "leakage, to the right is more utility. A line is a defence, from its first strength to "
        "its last; full marks are those that nothing dominates."
    )
    yield f"![{caption}]({figure})"
    yield ""
    yield f"*{caption}*"
    yield ""
    yield from _choice(found)
    for adversary, points in found.points.items():
        yield ""
        yield f"**Against {adversary}**"
        yield ""
        yield markdown_table(
            frontier_headings(found),
            [frontier_cells(found, point) for point in points],
            left=3,
            escaped=True,
        )
    yield ""
    yield " ".join(frontier_notes(found))


def frontier_headings(found: Frontier) -> list[str]:
    """Return the headings of the table of an adversary's points."""
    percent = ", %" if found.utility.unit == "percent" else ""
    metrics = [with_unit(info) for info in found.metrics.values()]
    return [
        *("", "defence", "strength", f"test {found.utility.name}{percent}", *metrics),
        *("strongest attack", "epsilon", "upload a round", "time a round"),
    ]


def frontier_cells(found: Frontier, point: FrontierPoint, bold: str = "**") -> list[str]:
    """Return the table row of a point."""
    leakage = [
        _metric(point.leakage.get(name), info.unit, bold) for name, info in found.metrics.items()
    ]
    return [
        BEST if point.undominated else "",
        point.defence,
        point.strength,
        _estimate(point.utility, found.utility.unit, bold),
        *leakage,
        point.leakage[found.spec.leakage].attack,
        _epsilon(point.guarantee),
        "-" if point.uploaded is None else size_text(point.uploaded),
        "-" if point.seconds is None else f"{point.seconds:.2g} s",
    ]


def frontier_notes(found: Frontier) -> Iterator[str]:
    """Yield notes on the tables, a sentence each."""
    yield (
        f"{BEST}: nothing dominates it, that is, no other line has as much utility and as little "
        f"leakage ({found.metrics[found.spec.leakage].heading}), by their means."
    )
    if found.federations > 1:
        yield (
            f"Figures are means over {plural(found.federations, 'federation')} with seeds of their "
            "own, with Student's 95 % intervals over them."
        )
    else:
        yield (
            "There is one federation: leakage has 95 % intervals over its records, utility none, "
            "and what another seed would give is not known."
        )
    yield (
        "Each metric is that of the adversary's strongest attack in it, chosen by these very "
        "figures. Epsilon is what is guaranteed against that adversary over all rounds, of a "
        "record or of all that a participant has; without one, an attack that was not tried may "
        "do better."
    )
    yield (
        "Upload: the parameters of all participants together, as the defence encodes them; what "
        "they are sent is not compressed. Time: simulating a round of the honest federation on the "
        "machine that ran it."
    )
    for adversary, defence in found.absent:
        yield f"{adversary} is in no federation with {defence}."


def frontier_json(found: Frontier) -> list[dict[str, Any]]:
    """Return every point for programs."""
    return [
        {
            "adversary": adversary,
            "defence": point.defence,
            "strength": point.strength,
            "undominated": point.undominated,
            "utility": asdict(point.utility),
            "leakage": {name: asdict(one) for name, one in point.leakage.items()},
            "guarantee": point.guarantee.model_dump(mode="json") if point.guarantee else None,
            "uploaded": point.uploaded,
            "seconds": point.seconds,
        }
        for adversary, points in found.points.items()
        for point in points
    ]


def _choice(found: Frontier) -> Iterator[str]:
    """Yield the point with the least leakage against each adversary, by acceptable utility loss."""
    percent = found.utility.unit == "percent"
    yield "**What leaves least to each attacker, by the utility that one is ready to lose**"
    yield ""
    shown = [
        plural(round(100 * lost), "point") if percent else f"{100 * lost:g} %"
        for lost in POINTS_LOST
    ]
    lines = []
    for adversary, points in found.points.items():
        plain = next(point for point in points if not point.is_defended)
        scale = 1.0 if percent else abs(plain.utility.value)
        cells = [found.best_within(adversary, lost * scale) for lost in POINTS_LOST]
        lines.append([adversary, _left(found, plain), *(_left(found, cell) for cell in cells)])
    yield markdown_table(["adversary", "undefended", *shown], lines, left=6, escaped=True)


def _left(found: Frontier, point: FrontierPoint) -> str:
    """Return a point in a few words: defence, leakage and cost."""
    info = found.metrics[found.spec.leakage]
    left = f"{info.heading} {figure_text(found.leaked(point), info.unit)}"
    if not point.is_defended:
        return left
    message = [left, _lost(found.utility, found.cost(point))]
    if point.guarantee is not None:
        message.append(f"epsilon {_epsilon(point.guarantee)}")
    return f"**{point.defence}**, {point.strength}<br>{'; '.join(message)}"


def _lost(utility: UtilityInfo, cost: float) -> str:
    """Return how a figure of utility changed, with its sign.

    >>> from fedsim.report.utility_info import ACCURACY
    >>> error = UtilityInfo(name="error", unit="number", higher_is="worse")
    >>> _lost(ACCURACY, 0.012), _lost(error, 0.5)
    ('accuracy −1.2', 'error +0.5')
    """
    change = -cost if utility.higher_is == "better" else cost
    return f"{utility.name} {difference_text(change, utility.unit)}"


def _metric(leakage: Leakage | None, unit: Unit, bold: str) -> str:
    return "-" if leakage is None else _estimate(leakage.figure, unit, bold)


def _estimate(estimate: MeanEstimate, unit: Unit, bold: str) -> str:
    text = f"{bold}{figure_text(estimate.value, unit)}{bold}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} {figure_text(estimate.low, unit)}{DASH}{figure_text(estimate.high, unit)}"


def _epsilon(guarantee: GuaranteeFigures | None) -> str:
    if guarantee is None or guarantee.epsilon is None:
        return "-"
    large = guarantee.epsilon >= 1000
    value = f"{guarantee.epsilon:,.0f}" if large else f"{guarantee.epsilon:.3g}"
    return f"{value} ({guarantee.unit})"
