"""The frontier of a study: the leakage that each defence leaves, and its cost.

A point is a defence at one strength against one adversary. Its leakage is that of the adversary's
strongest attack by the mean over federations, because the defender does not choose the attack. Its
utility is that of the honest federation. Points are compared by their means (see `pareto`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fedsim.config.choice import HONEST
from fedsim.config.engine import LocalEngine
from fedsim.evaluation.metric import FRACTIONS
from fedsim.report.guarantees import GuaranteeFigures
from fedsim.report.result_schema import MetricInfo
from fedsim.report.utility_info import UtilityInfo
from fedsim.rundir import RunDirectory
from fedsim.stages.simulation.round_timing import read_round_timing
from fedsim.studies.evidence import Finder
from fedsim.studies.output_specs import ADVERSARY, FrontierSpec
from fedsim.studies.pareto import MeanEstimate, mean_estimate, undominated
from fedsim.studies.rows import Row
from fedsim.studies.strengths import DEFENCE, STRENGTH, UNDEFENDED

POSITIONS = 3
"""The number of positions; a guarantee against all of them holds against any attacker."""


@dataclass(frozen=True)
class Leakage:
    """The figure of the strongest attack in one metric."""

    attack: str
    figure: MeanEstimate


@dataclass(frozen=True)
class FrontierPoint:
    """A defence at one strength, against one adversary; costs are means over the federations.

    Attributes
    ----------
    adversary, defence, strength
        What it is.
    utility
        On held-out records, of the honest federation.
    leakage
        By metric, what the strongest attack reaches.
    guarantee
        The smallest epsilon that binds the adversary, in the federation where it is largest; None
        if there is none.
    uploaded
        Bytes per round that all participants upload; None if not recorded.
    seconds
        Seconds to simulate a round on the machine that ran it; None if unknown.
    undominated
        Whether no other point of the adversary dominates it.
    """

    adversary: str
    defence: str
    strength: str
    utility: MeanEstimate
    leakage: Mapping[str, Leakage]
    guarantee: GuaranteeFigures | None = None
    uploaded: float | None = None
    seconds: float | None = None
    undominated: bool = False

    @property
    def is_defended(self) -> bool:
        """Whether there is a defence at all."""
        return self.defence != UNDEFENDED

    @property
    def name(self) -> str:
        """The defence and its strength, in words."""
        return f"{self.defence}, {self.strength}" if self.is_defended else UNDEFENDED


@dataclass(frozen=True)
class Frontier:
    """All points of a study.

    Attributes
    ----------
    spec
        What was asked for.
    points
        By adversary, in the order of the study.
    utility
        Which figure of utility they have.
    metrics
        How the metrics are printed.
    federations
        How many federations the means are over.
    absent
        Adversaries that are missing in the cells of some defences: adversary and defence.
    """

    spec: FrontierSpec
    points: Mapping[str, tuple[FrontierPoint, ...]]
    utility: UtilityInfo
    metrics: Mapping[str, MetricInfo]
    federations: int
    absent: tuple[tuple[str, str], ...]

    def cost(self, point: FrontierPoint) -> float:
        """Return the utility that a point has lost; negative if it has gained."""
        plain = next(one for one in self.points[point.adversary] if not one.is_defended)
        return self.utility.cost(point.utility.value, honest=plain.utility.value)

    def best_within(self, adversary: str, cost: float) -> FrontierPoint:
        """Return the point with the least leakage among those that cost no more utility."""
        affordable = [p for p in self.points[adversary] if self.cost(p) <= cost + 1e-12]
        return min(affordable, key=self.leaked)

    def leaked(self, point: FrontierPoint) -> float:
        """Return the leakage of a point as it is drawn."""
        return point.leakage[self.spec.leakage].figure.value


def frontier(spec: FrontierSpec, rows: Sequence[Row], evidence: Finder) -> Frontier | None:
    """Return the frontier of a study's rows; None where no utility was measured."""
    by_place: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        at = row.coordinates
        by_place.setdefault((at[ADVERSARY], at[DEFENCE], at[STRENGTH]), []).append(row)
    points: dict[str, list[FrontierPoint]] = {}
    for place, own in by_place.items():
        if (point := _point(spec, place, own, evidence)) is not None:
            points.setdefault(place[0], []).append(point)
    # Against an adversary that is not in the undefended federation nothing can be compared.
    points = {who: own for who, own in points.items() if any(not p.is_defended for p in own)}
    if not points:
        return None
    results = rows[0].results
    defences = dict.fromkeys(row.coordinates[DEFENCE] for row in rows)
    return Frontier(
        spec,
        {who: _marked(spec, own, results.utility_figure) for who, own in points.items()},
        results.utility_figure,
        {name: results.metrics[name] for name in spec.shown if name in results.metrics},
        len({row.coordinates[spec.repeats] for row in rows}) if spec.repeats else 1,
        tuple(
            (who, defence)
            for who, own in points.items()
            for defence in defences
            if defence not in {point.defence for point in own}
        ),
    )


def _point(
    spec: FrontierSpec, place: tuple[str, str, str], rows: Sequence[Row], evidence: Finder
) -> FrontierPoint | None:
    """Return the point of all rows of an adversary, a defence and a strength."""
    cells = list({row.cell.digest: row for row in rows}.values())
    measured = [row.results.measured_utility("test") for row in cells]
    utility = [one for one in measured if one is not None]
    leakage = {
        name: strongest for name in spec.shown if (strongest := _strongest(rows, name)) is not None
    }
    if len(utility) < len(cells) or spec.leakage not in leakage:
        return None
    figure = rows[0].results.utility_figure
    return FrontierPoint(
        *place,
        mean_estimate(utility, fractions=figure.unit == "percent"),
        leakage,
        max(filter(None, map(_guarantee, cells)), key=lambda one: one.epsilon or 0.0, default=None),
        _mean(row.results.traffic.uploaded if row.results.traffic else None for row in cells),
        _mean(_seconds(row, evidence) for row in cells),
    )


def _strongest(rows: Sequence[Row], metric: str) -> Leakage | None:
    """Return the attack with the largest mean; a single federation has intervals over records.

    Attacks without a figure in some federation are skipped.
    """
    by_attack: dict[str, list[Row]] = {}
    for row in rows:
        by_attack.setdefault(row.result.attack, []).append(row)
    found = []
    for attack, own in by_attack.items():
        figures = [row.result.figures[metric] for row in own if metric in row.result.figures]
        if len(figures) == len(own):
            unit = own[0].results.metrics[metric].unit
            estimate = mean_estimate([one.value for one in figures], fractions=unit in FRACTIONS)
            if len(figures) == 1:
                estimate = MeanEstimate(estimate.value, figures[0].low, figures[0].high)
            found.append(Leakage(attack, estimate))
    return max(found, key=lambda one: one.figure.value, default=None)


def _guarantee(row: Row) -> GuaranteeFigures | None:
    """Return the guarantee with the smallest epsilon among those that bind a row's adversary."""
    ceiling = row.result.ceiling
    binding = [
        one
        for one in row.results.guarantees
        if one.epsilon is not None
        and (len(one.against) == POSITIONS or (ceiling and ceiling.defence == one.defence))
    ]
    return min(binding, key=lambda one: one.epsilon or 0.0, default=None)


def _seconds(row: Row, evidence: Finder) -> float | None:
    """Return the seconds of a round of the honest federation.

    Processor time if one process does all the work, since other programs do not affect it.
    """
    took = read_round_timing(RunDirectory(evidence(row).folder), HONEST)
    if took is None:
        return None
    engine = row.cell.experiment.engine
    alone = isinstance(engine, LocalEngine) and engine.workers == 1
    return (took.processor if alone else took.wall) / took.rounds


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _marked(
    spec: FrontierSpec, points: Sequence[FrontierPoint], utility: UtilityInfo
) -> tuple[FrontierPoint, ...]:
    """Return the points, with undominated ones marked."""
    sign = 1 if utility.higher_is == "better" else -1
    marks = undominated(
        [sign * point.utility.value for point in points],
        [point.leakage[spec.leakage].figure.value for point in points],
    )
    return tuple(
        replace(point, undominated=mark) for point, mark in zip(points, marks, strict=True)
    )
