"""Scores of the candidates after every epoch of a network's training."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from adversaries.inference.inputs import Inputs
from adversaries.inference.network import MembershipNetwork, membership_logits
from adversaries.inference.standardiser import Standardiser

ScoreArray = NDArray[np.float64]
MOST_WEIGHTS = 50_000_000  # kept over the epochs of one network: 200 MB


class CandidateScores:
    """A network after every epoch, to score the candidates once the epoch is chosen.

    Its weights are kept if they are few. If not, the candidates are scored after every epoch: it
    takes longer, but no memory.
    """

    def __init__(
        self, network: MembershipNetwork, standardiser: Standardiser, raw: Inputs, epochs: int
    ) -> None:
        self._network, self._standardiser, self._raw = network, standardiser, raw
        self._states: list[dict[str, Tensor]] = []
        self._scores: list[ScoreArray] = []
        weights = sum(parameter.numel() for parameter in network.parameters())
        self._keeps_weights = weights * epochs <= MOST_WEIGHTS

    def note_epoch(self) -> None:
        """Keep what the network is now."""
        if self._keeps_weights:
            state = self._network.state_dict()
            self._states.append({name: value.clone() for name, value in state.items()})
        else:
            self._scores.append(self._scored())

    def after_training(self) -> Callable[[int], ScoreArray]:
        """Return what gives the candidates' membership logits after an epoch.

        A large network is released: those of all folds together would take far more than one.
        """
        if not self._keeps_weights:
            return self._scores.__getitem__
        self._network.zero_grad()
        return self._scored_after

    def _scored_after(self, epoch: int) -> ScoreArray:
        self._network.load_state_dict(self._states[epoch])
        return self._scored()

    def _scored(self) -> ScoreArray:
        logits = membership_logits(self._network, self._standardiser.apply(self._raw))
        scores: ScoreArray = logits.double().numpy()
        return scores
