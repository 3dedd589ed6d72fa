"""Facts of a federation that are known before round 1, for the computation of guarantees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from fedsim.config.federation import LocalTraining


@dataclass(frozen=True)
class FederationFacts:
    """What a defence may know of the federation that it protects.

    Attributes
    ----------
    rounds, participants
        How many there are.
    present
        How many take part in the round with the fewest.
    records
        How many training records each participant has.
    trainable
        Names of the model's parameters that training changes; buffers are none.
    local
        How participants train.
    seed
        All randomness of a defence comes from it.
    attendance
        The rounds in which each participant trains, drawn beforehand as they will be drawn; empty
        where each trains in every round.
    buffers
        Names of the floating-point buffers that travel with the parameters.
    averages
        Whether the aggregate is the mean of the uploads, weighted by their numbers of records, as
        FedAvg's is.
    later
        Labels of the defences that act on an update after this one.
    of_users
        Whether each participant is a person: it holds records of one user, and no other does.
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
        """Return the rounds in which a participant trains, rising."""
        if self.attendance:
            return self.attendance[participant]
        return tuple(range(1, self.rounds + 1))

    @cached_property
    def shares(self) -> Mapping[int, Mapping[int, float]]:
        """By round and participant, the weight in the aggregate of each that trains in it."""
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
        """Return on how many records of its own a participant trains."""
        own = self.records[participant]
        return own - own % self.local.batch_size if self.local.drop_last else own

    def until(self, last: int) -> Self:
        """Return the facts of a federation that ends after the round `last`."""
        attendance = tuple(tuple(r for r in rounds if r <= last) for rounds in self.attendance)
        return replace(self, rounds=min(last, self.rounds), attendance=attendance)
