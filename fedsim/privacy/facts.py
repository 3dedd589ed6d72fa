"""The facts about a federation, known before round 1, from which guarantees are computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from fedsim.config.federation import LocalTraining


@dataclass(frozen=True)
class FederationFacts:
    """The facts about a federation that a defence may use.

    Attributes
    ----------
    rounds, participants
        The numbers of rounds and of participants.
    present
        The number of participants in the round with the fewest.
    records
        The number of training records of each participant.
    trainable
        Names of the model's parameters that training changes, without buffers.
    local
        The settings of local training.
    seed
        The seed of all randomness of a defence.
    attendance
        The rounds in which each participant trains, drawn in advance as the federation will draw
        them; empty if each trains in every round.
    buffers
        Names of the floating-point buffers that are sent with the parameters.
    averages
        Whether the aggregate is the mean of the uploads weighted by their numbers of records, as
        in FedAvg.
    later
        Labels of the defences that act on an update after this one.
    of_users
        Whether each participant is one user: it holds all records of that user, and no others.
    """

    rounds: int
    participants: int
    present: int
    records: tuple[int, ...]
    trainable: frozenset[str]
    local: LocalTraining
    seed: int
    attendance: tuple[tuple[int, ...], ...] = ()
    buffers: frozenset[str] = frozenset()
    averages: bool = True
    later: tuple[str, ...] = ()
    of_users: bool = False

    def rounds_of(self, participant: int) -> tuple[int, ...]:
        """Return the rounds in which a participant trains, in ascending order."""
        if self.attendance:
            return self.attendance[participant]
        return tuple(range(1, self.rounds + 1))

    @cached_property
    def shares(self) -> Mapping[int, Mapping[int, float]]:
        """The weight in the aggregate of each participant that trains, by round and participant."""
        if not self.attendance:  # one mapping for all rounds: there may be 10,000 participants
            return dict.fromkeys(range(1, self.rounds + 1), self._shares(range(self.participants)))
        there: dict[int, list[int]] = {r: [] for r in range(1, self.rounds + 1)}
        for participant in range(self.participants):
            for number in self.rounds_of(participant):
                there[number].append(participant)
        made = {training: self._shares(training) for training in {*map(tuple, there.values())}}
        return {number: made[tuple(training)] for number, training in there.items()}

    def _shares(self, training: Sequence[int]) -> dict[int, float]:
        total = sum(map(self._weight, training))
        return {p: self._weight(p) / total for p in training}

    def _weight(self, participant: int) -> int:
        """Return the number of records on which a participant trains."""
        own = self.records[participant]
        return own - own % self.local.batch_size if self.local.drop_last else own

    def until(self, last: int) -> Self:
        """Return the facts of the federation if it ended after the round `last`."""
        attendance = tuple(tuple(r for r in rounds if r <= last) for rounds in self.attendance)
        return replace(self, rounds=min(last, self.rounds), attendance=attendance)
