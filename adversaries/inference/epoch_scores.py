"""Scores of the candidates after every epoch of a network's training."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from adversaries.inference.inputs import Inputs
from adversaries.inference.network import MembershipNetwork, membership_logits
from adversaries.inference.network_stack import inputs_side_by_side
from adversaries.inference.standardiser import Standardiser

ScoreArray = NDArray[np.float64]
MOST_WEIGHTS = 50_000_000  # kept over the epochs of the networks of a stack: 200 MB


class CandidateScores:
    """A stack of networks after every epoch, to score the candidates once epochs are chosen.

    Their weights are kept if they are few. If not, the candidates are scored after every epoch: it
    takes longer, but no memory.
    """

    def __init__(
        self,
        stack: MembershipNetwork,
        standardisers: Sequence[Standardiser],
        raw: Inputs,
        epochs: int,
    ) -> None:
        self._stack, self._standardisers, self._raw = stack, standardisers, raw
        self._states: list[dict[str, Tensor]] = []
        self._scores: list[list[ScoreArray]] = []
        weights = sum(parameter.numel() for parameter in stack.parameters())
        self._keeps_weights = weights * epochs <= MOST_WEIGHTS

    def note_epoch(self) -> None:
        """Keep what the networks are now."""
        state = {name: value.detach() for name, value in self._stack.named_parameters()}
        if self._keeps_weights:
            self._states.append({name: value.clone() for name, value in state.items()})
        else:
            places = range(len(self._standardisers))
            self._scores.append([self._scored(place, state) for place in places])

    def after_training(self, place: int) -> Callable[[int], ScoreArray]:
        """Return what gives the candidates' membership logits by one network after an epoch.

        A large network is released, because those of all folds would not fit in memory.
        """
        if not self._keeps_weights:
            return partial(_at, [of_all[place] for of_all in self._scores])
        self._stack.zero_grad()
        return partial(self._scored_after, place)

    def _scored_after(self, place: int, epoch: int) -> ScoreArray:
        return self._scored(place, self._states[epoch])

    def _scored(self, place: int, state: dict[str, Tensor]) -> ScoreArray:
        own = {name: value[place : place + 1] for name, value in state.items()}
        read = inputs_side_by_side([self._standardisers[place].apply(self._raw).summarised])
        logits = membership_logits(self._stack, read, own)[0]
        scores: ScoreArray = logits.double().numpy()
        return scores


def _at(scores: Sequence[ScoreArray], epoch: int) -> ScoreArray:
    return scores[epoch]
