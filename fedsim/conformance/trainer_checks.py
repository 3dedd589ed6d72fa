"""Checks of a local trainer: it learns, and keeps everything in the participant's state."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedsim import seeds
from fedsim.config.choice import Choice
from fedsim.config.federation import LocalTraining
from fedsim.conformance import toy
from fedsim.conformance.checklist import Check, Failed
from fedsim.data import Dataset
from fedsim.data.splitting import from_arrays
from fedsim.models import build_model
from fedsim.objectives import Classification
from fedsim.training.sgd_loop import evaluate
from fedsim.training.trainer import Batches, LocalTrainer, TrainerState, build_trainer

ROUNDS, RECORDS = 6, 60
Parameters = Mapping[str, Tensor]


@dataclass(frozen=True)
class TrainerTrial:
    """A trainer by name and settings, with participants that have 60 records each."""

    name: str
    settings: Mapping[str, Any]

    @cached_property
    def dataset(self) -> Dataset:
        """Clouds of points."""
        return from_arrays("clouds", toy.clouds(), test_records=60, seed=0)

    @cached_property
    def local(self) -> LocalTraining:
        """The settings of local training."""
        chosen = Choice(name=self.name, **self.settings)
        return LocalTraining(trainer=chosen, batch_size=20, learning_rate=0.05)

    def trainer(self) -> LocalTrainer:
        """Return the trainer, freshly built."""
        return build_trainer(self.local)

    def model(self) -> nn.Module:
        """Return a small network with its initial parameters."""
        shape, outputs = self.dataset.input_shape, self.dataset.num_classes
        settings = {"widths": [16]}
        return build_model(
            "fully-connected", settings, input_shape=shape, num_classes=outputs, seed=0
        )

    def records(self, participant: int) -> Any:
        """Return a participant's records."""
        return self.dataset.pool_records[participant * RECORDS : (participant + 1) * RECORDS]

    def fitted(
        self, trainer: LocalTrainer, model: nn.Module, state: TrainerState, number: int, who: int
    ) -> Mapping[str, float]:
        """Train a participant in a round."""
        batches = Batches(
            self.dataset, self.records(who), Classification(), self.local, 0, number, who, ROUNDS
        )
        generator = torch.Generator().manual_seed(seeds.derive(0, "trainer", number, who))
        with seeds.global_draws(0, "training", number, who):
            return trainer.fit(model, batches, state, generator, torch.device("cpu"))

    def rounds(self, *, travelling: bool = False, anew: bool = False) -> Parameters:
        """Return the parameters after all rounds of participant 0.

        Its state is sent like messages, or the trainer is built again in each round.
        """
        trainer, model, state = self.trainer(), self.model(), TrainerState()
        for number in range(1, ROUNDS + 1):
            trainer = self.trainer() if anew else trainer
            self.fitted(trainer, model, state, number, 0)
            if travelling:
                state = TrainerState.of(state.array_record(), state.config_record())
        return {name: value.detach().clone() for name, value in model.state_dict().items()}

    @cached_property
    def end(self) -> Parameters:
        """The parameters after all rounds of plain training."""
        return self.rounds()


def trainer_checks(name: str, settings: Mapping[str, Any]) -> Sequence[Check]:
    """Return the checks of a trainer."""
    trial = TrainerTrial(name, settings)
    claims: Mapping[str, Callable[[TrainerTrial], str | None]] = {
        "learns": learns,
        "gives the same parameters to the same seed": repeats,
        "its state survives a message": travels,
        "keeps nothing of a participant on itself": keeps_nothing,
    }
    return [
        Check("trains, and returns finite figures", partial(trains, trial), gate=True),
        *(Check(claim, partial(check, trial)) for claim, check in claims.items()),
    ]


def trains(trial: TrainerTrial) -> str:
    """One round of one participant."""
    figures = trial.fitted(trial.trainer(), trial.model(), TrainerState(), 1, 0)
    wrong = [name for name, value in figures.items() if not math.isfinite(value)]
    if wrong:
        raise Failed(f"fit() returned {wrong[0]} = {figures[wrong[0]]}, which is not finite")
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())


def learns(trial: TrainerTrial) -> str:
    """The loss of the participant's own records falls."""
    model, records = trial.model(), trial.records(0)
    before = evaluate(model, trial.dataset, records, Classification()).loss
    model.load_state_dict(trial.end)
    after = evaluate(model, trial.dataset, records, Classification()).loss
    if before is None or after is None or not after < before:
        raise Failed(f"after {ROUNDS} rounds the loss is {after:.3f}, from {before:.3f}")
    return f"the loss falls from {before:.3f} to {after:.3f} in {ROUNDS} rounds"


def repeats(trial: TrainerTrial) -> None:
    """All draws come from the generator, from torch's, or from the order of the batches."""
    np.random.seed(1)  # noqa: NPY002 - a trainer that draws there is found by it
    if not _alike(trial.rounds(), trial.end):
        raise Failed("trained again, it ends elsewhere; every draw must come from `generator`")


def travels(trial: TrainerTrial) -> None:
    """State consists of tensors in `state.arrays` and JSON values in `state.plain`."""
    if not _alike(trial.rounds(travelling=True), trial.end):
        raise Failed(
            "where its state goes through a message between rounds, as it does in a federation, it "
            "ends elsewhere"
        )


def keeps_nothing(trial: TrainerTrial) -> None:
    """Any worker may train any participant, in any order, and a new one after a resume."""
    if not _alike(trial.rounds(anew=True), trial.end):
        raise Failed(
            "built anew in each round, as after a resume, it ends elsewhere: what belongs to a "
            "participant must be in `state`"
        )


def _alike(one: Parameters, other: Parameters) -> bool:
    return all(torch.equal(one[name], other[name]) for name in other)
