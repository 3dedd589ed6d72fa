"""Checks of a metric: a figure in its range, and resamples that agree with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from fedsim import plugins
from fedsim.conformance.checklist import Check, Failed, NotApplicable
from fedsim.evaluation.metric import FRACTIONS, Metric, ResampledRecords, ScoredRecords

MEMBERS, NONMEMBERS, RESAMPLES, NULLS = 230, 210, 12, 60
CLOSE = 1e-9
FAR = 0.1
"""How far the mean figure of guesses may be from what the metric says that guessing reaches."""


@dataclass(frozen=True)
class MetricTrial:
    """A metric by name and settings, and scores to be evaluated."""

    name: str
    settings: Mapping[str, Any]

    @cached_property
    def metric(self) -> Metric:
        """The metric itself."""
        return plugins.build_member("metrics", self.name, self.settings, Metric)

    @staticmethod
    def scored(gap: float = 1.0, seed: int = 0) -> ScoredRecords:
        """Return normal scores, members' higher by `gap` standard deviations."""
        random = np.random.default_rng(seed)
        members = random.normal(gap, size=MEMBERS)
        return ScoredRecords(members, random.normal(size=NONMEMBERS), gap / 2)

    @cached_property
    def resampled(self) -> ResampledRecords:
        """Records under a few weightings, the first of which has each record once."""
        random = np.random.default_rng(1)
        weights = [
            np.stack([np.ones(n), *random.multinomial(n, np.full(n, 1 / n), RESAMPLES)])
            for n in (MEMBERS, NONMEMBERS)
        ]
        members, nonmembers = (one.astype(np.int32) for one in weights)
        return ResampledRecords(self.scored(), members, nonmembers)


def metric_checks(name: str, settings: Mapping[str, Any]) -> Sequence[Check]:
    """Return the checks of a metric."""
    trial = MetricTrial(name, settings)
    claims: Mapping[str, Callable[[MetricTrial], str | None]] = {
        "gives figures in its range": is_in_range,
        "does not depend on the order of the records": ignores_order,
        "leaves the scores as they were": leaves_scores_alone,
        "gives of each resample what it gives of those records": agrees_with_resamples,
        "finds a clear leak where there is one": finds_a_leak,
        "gives guesses what it says that guessing reaches": is_right_about_guesses,
    }
    return [
        Check("has a name, and gives a finite figure", partial(gives_a_figure, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
        Check("what it reads of the scores", partial(reads_what, trial), decides=False),
    ]


def gives_a_figure(trial: MetricTrial) -> str:
    """One finite number."""
    metric = trial.metric
    missing = [word for word in ("name", "heading") if not getattr(metric, word, "")]
    if missing:
        raise Failed(f"it has no {missing[0]}; tables and files need one")
    return f"{metric.name}: {_point(metric, trial.scored()):.4g} for a gap of one deviation"


def is_in_range(trial: MetricTrial) -> str | None:
    """Fractions are printed as such, with intervals clipped to 0..1."""
    if trial.metric.unit not in FRACTIONS:
        raise NotApplicable("its unit is any number")
    for gap in (-30.0, 0.0, 1.0, 30.0):
        figure = _point(trial.metric, trial.scored(gap))
        if not -CLOSE <= figure <= 1 + CLOSE:
            raise Failed(f"its unit is {trial.metric.unit}, but it gives {figure:.4g}")
    return None


def ignores_order(trial: MetricTrial) -> None:
    """Records have no order."""
    scored = trial.scored()
    turned = ScoredRecords(scored.members[::-1].copy(), scored.nonmembers[::-1].copy(), 0.5)
    if abs(_point(trial.metric, scored) - _point(trial.metric, turned)) > CLOSE:
        raise Failed("with the records in another order it gives another figure")


def leaves_scores_alone(trial: MetricTrial) -> None:
    """All metrics share the scores."""
    scored, expected = trial.scored(), trial.scored()
    trial.metric.point(scored)
    for what in ("members", "nonmembers"):
        if not np.array_equal(getattr(scored, what), getattr(expected, what)):
            raise Failed(f"point() changes scored.{what} in place")


def agrees_with_resamples(trial: MetricTrial) -> None:
    """Intervals come from resamples: a fast implementation must give the same figures."""
    if not trial.metric.resampled:
        raise NotApplicable("it is a bound, and is not resampled")
    found = np.asarray(trial.metric.on_resamples(trial.resampled))
    expected = Metric.on_resamples(trial.metric, trial.resampled)
    if found.shape != expected.shape:
        raise Failed(f"on_resamples() has shape {found.shape}; it must be {expected.shape}")
    worst = float(np.abs(found - expected).max())
    if not worst <= CLOSE:
        raise Failed(
            f"on_resamples() differs by up to {worst:.3g} from point() of the resampled records"
        )


def finds_a_leak(trial: MetricTrial) -> str:
    """Perfect separation must beat guessing."""
    clear, guess = (_point(trial.metric, trial.scored(gap)) for gap in (30.0, 0.0))
    better = clear > guess if trial.metric.higher_is == "better" else clear < guess
    if not better:
        raise Failed(
            f"of a perfect attack it gives {clear:.4g}, of guesses {guess:.4g}, though higher is "
            f"{trial.metric.higher_is}"
        )
    return f"{guess:.4g} of guesses, {clear:.4g} of a perfect attack"


def is_right_about_guesses(trial: MetricTrial) -> str:
    """Tables mark figures that are no better than guessing."""
    if trial.metric.guessing is None:
        raise NotApplicable("it names no figure of guessing")
    mean = float(np.mean([_point(trial.metric, trial.scored(0.0, s)) for s in range(NULLS)]))
    if abs(mean - trial.metric.guessing) > FAR:
        raise Failed(f"`guessing` is {trial.metric.guessing}, but guesses reach {mean:.4g}")
    return f"{mean:.4g} on average, stated {trial.metric.guessing}"


def reads_what(trial: MetricTrial) -> str:
    """Scores of different attacks have no common scale, so most metrics use only their order."""
    scored = trial.scored()
    stretched = ScoredRecords(
        np.exp(scored.members), np.exp(scored.nonmembers), float(np.exp(scored.threshold))
    )
    moved = ScoredRecords(scored.members, scored.nonmembers, scored.threshold + 0.5)
    figure = _point(trial.metric, scored)
    order_only = abs(_point(trial.metric, stretched) - figure) <= CLOSE
    threshold = abs(_point(trial.metric, moved) - figure) > CLOSE
    return ("their order only" if order_only else "their size, too") + (
        ", and the threshold" if threshold else ""
    )


def _point(metric: Metric, scored: ScoredRecords) -> float:
    figure = float(metric.point(scored))
    if not np.isfinite(figure):
        raise Failed(f"point() gives {figure}, which is not finite")
    return figure
