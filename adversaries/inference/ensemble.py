"""An ensemble: logistic regression on the scores of all attacks that need no training.

Gradient alignment (cosine and inner product) and the loss series (level, slope, change) for any
position; also offline LiRA, RMIA and source inference where all uploads are visible. A logistic
regression on the standardised scores is trained on the known records, cross-fitted. This attack
is our own.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from adversaries.inference.crossfit import scalar_logistic
from adversaries.inference.feature_cache import positions
from adversaries.inference.gradient_alignment import GradientAlignment
from adversaries.inference.lira import LiRA
from adversaries.inference.loss_series import LossSeries
from adversaries.inference.reference_models import Floats
from adversaries.inference.rmia import RMIA
from adversaries.inference.source_inference import SourceInference
from fedsim.attacks import Attack, AuxiliaryRecords, ExpectedObservation, RecordIds, View
from fedsim.observation.needs import Knowledge, Needs
from fedsim.progress import Watcher

_FARTHEST = 5.0  # standard deviations at which values are clipped


class Ensemble(Attack):
    """Score a record by a logistic regression of several attacks' scores, cross-fitted.

    Parameters
    ----------
    others
        Whether the uploads of the other participants are read (default). Set it to false for
        positions that do not see them.
    folds
        Number of folds of the known records.
    """

    stochastic = True

    def __init__(self, others: bool = True, folds: Annotated[int, Field(ge=2)] = 5) -> None:
        self.folds = folds
        self.needs = Needs(
            others=others,
            scalars=True,
            update_alignment=True,
            knowledge=frozenset({Knowledge.KNOWN_RECORDS}),
        )
        own: list[Attack] = [
            GradientAlignment("cosine"),
            GradientAlignment("inner"),
            LossSeries("level"),
            LossSeries("slope"),
            LossSeries("change"),
        ]
        compared: list[Attack] = [LiRA(), RMIA(offline_a=1.0), SourceInference("loss")]
        self.attacks: Sequence[Attack] = [*own, *(compared if others else ())]

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model; it takes little memory."""
        for attack in self.attacks:
            attack.memory_needed(prospect)

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Try each attack."""
        for attack in self.attacks:
            attack.dry_run(view, known, candidates)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep the features that the attacks read."""
        for attack in self.attacks:
            attack.extract(view, watcher)

    def score(
        self,
        view: View,
        known: AuxiliaryRecords,
        candidates: RecordIds,
        seed: int,
        watcher: Watcher,
    ) -> Floats:
        """Return log-odds of membership; a known record's come from folds without it.

        Raises
        ------
        FedsimError
            If one of the attacks cannot be computed from what was seen.
        """
        every = view.records
        columns = [one.score(view, known, every, seed, watcher) for one in self.attacks]
        places = positions(view, known.records)
        rows = np.stack(columns, 1)
        spread = rows[places].std(0)
        rows = (rows - rows[places].mean(0)) / np.where(spread > 0, spread, 1.0)
        rows = np.clip(rows, -_FARTHEST, _FARTHEST).astype(np.float32)
        held_out, scores = scalar_logistic(rows[places], known.member, rows, self.folds, seed)
        scores[places] = held_out
        found: Floats = scores[positions(view, candidates)]
        return found
