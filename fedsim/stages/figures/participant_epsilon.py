"""The epsilon of a participant, from the canary participants of a run (Andrew et al. 2024)."""

from collections.abc import Iterable, Sequence

import numpy as np

from fedsim.evaluation.one_shot import (
    cosine_estimate,
    cosine_lower_bound,
    two_gaussians_epsilon,
)
from fedsim.finding import OwnedFinding
from fedsim.report.guarantees import GuaranteeFigures
from fedsim.rundir import RunDirectory
from fedsim.stages.simulation.canary_cosines import CanaryCosines, read_cosines

TITLE = "canary participants"
ALPHA = 0.025
"""The level of each of the two rates' limits: of both together 5 %, at all thresholds together."""
DELTA = 1e-5


def participant_findings(
    run: RunDirectory,
    federations: Iterable[str],
    rounds: int,
    guarantees: Sequence[GuaranteeFigures],
) -> Iterable[OwnedFinding]:
    """Yield the findings from the canary participants of each federation with recorded rounds."""
    promised = [one for one in guarantees if one.unit != "record" and one.epsilon is not None]
    tightest = min(promised, key=lambda one: one.epsilon or 0.0, default=None)
    delta = DELTA if tightest is None or not tightest.delta else tightest.delta
    for name in federations:
        cosines = read_cosines(run.canary_cosines(name))
        if cosines is None or not cosines.rows:
            continue
        figures: dict[str, str | int | float | bool | None] = {
            "canaries": len(cosines.rows[-1].sent),
            "dimensions": cosines.dimensions,
            "delta": delta,
        }
        if tightest is not None:
            figures["guaranteed epsilon"] = tightest.epsilon
        yield OwnedFinding(
            adversary=TITLE,
            victim=name,
            title="the epsilon of a participant, estimated and from below at 95 %",
            figures=figures,
            columns=("released", "mean cosine, deviations", "estimate", "epsilon >="),
            rows=tuple(_rows(cosines, rounds, delta)),
        )


def _rows(
    cosines: CanaryCosines, rounds: int, delta: float
) -> Iterable[tuple[str | float | None, ...]]:
    last, scale = cosines.rows[-1], cosines.dimensions**0.5
    sent = np.array(last.sent_since)
    level = ALPHA / len(sent)  # each canary is a threshold (Bonferroni)
    estimate = cosine_estimate(sent, cosines.dimensions, delta)
    yield (
        f"last iterate (round {last.round})",
        round(float(sent.mean()) * scale, 4),
        None if estimate is None else round(estimate, 4),
        round(cosine_lower_bound(sent, level, delta, dimensions=cosines.dimensions), 4),
    )
    if len(cosines.rows) < rounds:
        return  # taken over from another run, whose rounds were not noted here
    largest, unsent = (
        np.array([getattr(row, side) for row in cosines.rows]).max(0) for side in ("sent", "unsent")
    )
    spread = all(np.ptp(one) > 0 for one in (unsent, largest))
    fitted = [(float(one.mean()), float(one.std())) for one in (unsent, largest)]
    yield (
        f"all iterates (largest of {rounds})",
        round(float(largest.mean()) * scale, 4),
        round(two_gaussians_epsilon(*fitted[0], *fitted[1], delta), 4) if spread else None,
        round(cosine_lower_bound(largest, level, delta, unseen=unsent), 4),
    )
