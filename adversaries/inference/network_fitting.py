"""Attack networks of several folds, repeats and attack seeds, trained together.

The networks of one seed and repeat go through the epochs side by side, and one epoch is chosen for
all of them (`EpochChoice`): their parameters are kept after the best epoch so far, and training
ends when no later one can be chosen. How many stand together follows from sizes alone, never from
what else is attacked. Where a set is too large for that, its networks are trained one stack after
the other, and their scores are kept after every epoch: the same choice, at the price of all epochs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from adversaries.inference import memory
from adversaries.inference.crossfit import BoolArray, OnProgress, ScoreArray
from adversaries.inference.epoch_choice import EpochChoice
from adversaries.inference.fold_stack import (
    FoldStack,
    HeldOut,
    NetworkFold,
    Weights,
    longer_side,
)
from adversaries.inference.inputs import Inputs
from adversaries.inference.training_settings import SupervisedSettings


@dataclass(frozen=True)
class FittedNetwork:
    """A network after the epoch that was chosen: its scores of held-out records and candidates."""

    fold: NetworkFold
    held_out_scores: ScoreArray
    candidate_scores: ScoreArray


def fit_networks(
    inputs: Inputs,
    member: BoolArray,
    candidates: Inputs,
    settings: SupervisedSettings,
    networks: Sequence[NetworkFold],
    progress: OnProgress | None = None,
) -> list[FittedNetwork]:
    """Train a network for each fold, as many at a time as `memory.stack_size` says.

    Parameters
    ----------
    inputs, member, candidates, settings, progress
        As in `network_training.fit_and_score`.
    networks
        What is trained: all folds of each seed and repeat, next to each other.
    """
    job = _Job(inputs, member, candidates, settings, progress)
    sets = [list(own) for _, own in groupby(networks, key=lambda fold: (fold.seed, fold.repeat))]
    at_once = memory.stack_size(settings.network.build, inputs)
    together = at_once // settings.folds
    if not together:
        return [fit for own in sets for fit in job.one_stack_after_another(own, at_once)]
    fits: list[FittedNetwork] = []
    for start in range(0, len(sets), together):
        fits += job.side_by_side(sets[start : start + together])
    return fits


@dataclass
class _Best:
    """A network of a set that is trained side by side, after the best epoch so far."""

    stack: FoldStack
    place: int
    said: HeldOut | None = None
    weights: Weights | None = None


class _Job:
    """What is learned from and scored, and how many epochs of networks are done."""

    def __init__(
        self,
        inputs: Inputs,
        member: BoolArray,
        candidates: Inputs,
        settings: SupervisedSettings,
        progress: OnProgress | None,
    ) -> None:
        self._inputs, self._member, self._candidates = inputs, member, candidates
        self._settings, self._progress = settings, progress
        self._done = 0

    def side_by_side(self, sets: Sequence[Sequence[NetworkFold]]) -> list[FittedNetwork]:
        """Train sets of folds together, until the epoch of each is chosen."""
        settings = self._settings
        stacks = self._stacks([fold for own in sets for fold in own])
        places = {
            (fold.seed, fold.repeat, fold.number): (stack, place)
            for stack in stacks
            for place, fold in enumerate(stack.folds)
        }
        networks = [
            [_Best(*places[fold.seed, fold.repeat, fold.number]) for fold in own] for own in sets
        ]
        choices = [EpochChoice(settings.patience) for _ in sets]
        count = sum(map(len, sets))
        for epoch in range(settings.epochs):
            said = {id(stack): stack.train_epoch() for stack in stacks}
            self._advance(count)
            for choice, own in zip(choices, networks, strict=True):
                latest = [said[id(one.stack)][one.place] for one in own]
                if choice.note(float(np.mean([one.loss for one in latest]))):
                    for one, now in zip(own, latest, strict=True):
                        one.said, one.weights = now, one.stack.weights(one.place)
            if all(choice.made for choice in choices):
                self._advance(count * (settings.epochs - epoch - 1))
                break
        for stack in stacks:
            stack.release()
        return [
            FittedNetwork(
                one.stack.folds[one.place],
                one.said.scores,
                one.stack.candidate_scores(one.place, self._candidates, one.weights),
            )
            for own in networks
            for one in own
            if one.said is not None
        ]

    def one_stack_after_another(
        self, folds: Sequence[NetworkFold], at_once: int
    ) -> list[FittedNetwork]:
        """Train a set of folds, its stacks one after the other; the epoch is chosen then."""
        trained: list[tuple[NetworkFold, list[HeldOut], list[ScoreArray]]] = []
        for start in range(0, len(folds), at_once):
            for stack in self._stacks(folds[start : start + at_once]):
                own = [(fold, list[HeldOut](), list[ScoreArray]()) for fold in stack.folds]
                for _ in range(self._settings.epochs):
                    for place, now in enumerate(stack.train_epoch()):
                        own[place][1].append(now)
                        own[place][2].append(stack.candidate_scores(place, self._candidates))
                    self._advance(len(own))
                trained += own
                del stack
        curves = np.mean([[now.loss for now in said] for _, said, _ in trained], axis=0)
        best = EpochChoice.of(curves, self._settings.patience).best
        return [FittedNetwork(fold, said[best].scores, of[best]) for fold, said, of in trained]

    def _stacks(self, folds: Sequence[NetworkFold]) -> list[FoldStack]:
        """Return the networks of some folds in stacks of those that take as many batches."""

        def length(fold: NetworkFold) -> int:
            return longer_side(self._member[fold.rest])

        return [
            FoldStack(self._inputs, self._member, list(alike), self._settings)
            for _, alike in groupby(sorted(folds, key=length), key=length)
        ]

    def _advance(self, epochs: int) -> None:
        for _ in range(epochs):
            self._done += 1
            if self._progress is not None:
                self._progress(self._done)
