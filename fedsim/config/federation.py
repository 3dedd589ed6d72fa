"""The honest part of an experiment: rounds, local training, evaluation, who takes part when."""

from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, PrivateAttr

from fedsim.config.choice import Choice
from fedsim.config.strict import Count, Participant, Strict


class LocalTraining(Strict):
    """What a participant does with the parameters that it receives in a round."""

    epochs: PositiveInt = 1
    batch_size: PositiveInt = 100
    optimizer: Choice = Choice(name="sgd")
    learning_rate: PositiveFloat = 0.01
    schedule: dict[PositiveInt, PositiveFloat] = Field({})
    keep_optimizer_state: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"
    drop_last: bool = False
    trainer: Choice = Choice(name="sgd")

    def learning_rate_in(self, round_number: int) -> float:
        """Return the learning rate of a round: the schedule's latest entry not after it."""
        started = [first for first in self.schedule if first <= round_number]
        return self.schedule[max(started)] if started else self.learning_rate


class EvaluationSettings(Strict):
    """How often and on how many records the aggregate's utility is measured."""

    every: PositiveInt = 5
    records: PositiveInt | None = None


class FederationSettings(Strict):
    """The honest part of the experiment.

    `attendance` says who takes part from which round on (``{1: [0], 41: [1]}``: participant 0 in
    the first 40 rounds, participant 1 in those after); all in the rounds before its first
    entry, and always where it is empty. Who is away is neither trained nor evaluated. So are those
    to whom the partition gives no records (see `without`); no file says so, as the data do.
    """

    rounds: Count
    strategy: Choice = Choice(name="FedAvg")
    local: LocalTraining = LocalTraining()
    evaluation: EvaluationSettings = EvaluationSettings()
    attendance: dict[PositiveInt, tuple[Participant, ...]] = Field({})
    _idle: frozenset[int] = PrivateAttr(frozenset())

    @property
    def some_are_away(self) -> bool:
        """Whether some participants are away in some rounds; strategies may sample besides."""
        return bool(self.attendance or self._idle)

    def without(self, participants: Iterable[int]) -> Self:
        """Return these settings with participants who are away in every round, without records.

        >>> sorted(FederationSettings(rounds=1).without([1]).present(1, participants=3))
        [0, 2]
        """
        found = self.model_copy()
        found._idle = frozenset(participants)
        return found

    def present(self, round_number: int, participants: int) -> frozenset[int]:
        """Return which of `participants` participants take part in a round.

        >>> honest = FederationSettings(rounds=80, attendance={1: (0,), 41: (1,)})
        >>> sorted(honest.present(40, participants=2)), sorted(honest.present(41, participants=2))
        ([0], [1])
        """
        started = [first for first in self.attendance if first <= round_number]
        named = self.attendance[max(started)] if started else range(participants)
        return frozenset(named) - self._idle

    def presences(self, participants: int) -> dict[int, frozenset[int]]:
        """Return who takes part from which round on, by rising round; the first is 1.

        >>> FederationSettings(rounds=80, attendance={41: (1,)}).presences(participants=2)
        {1: frozenset({0, 1}), 41: frozenset({1})}
        """
        return {r: self.present(r, participants) for r in sorted({1, *self.attendance})}

    def fewest_present(self, participants: int) -> int:
        """Return how many take part in the round with the fewest."""
        return min(map(len, self.presences(participants).values()))
