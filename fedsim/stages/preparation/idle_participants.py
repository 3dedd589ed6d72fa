"""Participants that a partition gives no records: they take no part in any round.

A skewed partition (Dirichlet with many participants) may leave some participants without records.
They are treated like participants that `federation.attendance` leaves out: they are never asked to
train or to evaluate, and never sampled. What remains of the experiment is reported before round 1;
if nothing remains, that is an error.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedsim.config.experiment import Experiment
from fedsim.errors import ConfigError, plural
from fedsim.stages.preparation.attackers import Attacker

_NAMED = 8  # how many participants a sentence lists


def idle_participants(training_sets: Iterable[NDArray[np.int64]]) -> tuple[int, ...]:
    """Return the participants without records, rising."""
    return tuple(place for place, records in enumerate(training_sets) if not len(records))


def without_idle(experiment: Experiment, idle: Sequence[int]) -> Experiment:
    """Return an experiment in which participants without records attend no round.

    Raises
    ------
    ConfigError
        If a round would have no participants.
    """
    federation = experiment.federation.without(idle)
    participants = experiment.partition.participants
    for first, present in federation.presences(participants).items():
        if not present:
            raise ConfigError(
                f"federation.attendance: no participant that attends from round {first} on has "
                f"records: partition {experiment.partition.name} gives {participant_list(idle)} "
                "none; name others, or choose a less skewed partition"
            )
    return experiment.model_copy(update={"federation": federation})


def attackers_without_idle(
    attackers: Iterable[Attacker],
    idle: Sequence[int],
    partition: str,
    say: Callable[[str], None],
) -> tuple[Attacker, ...]:
    """Return the attackers, each with its queries about participants that have records.

    Parameters
    ----------
    attackers
        All of them.
    idle
        The participants without records.
    partition
        The partition's name, for messages.
    say
        Called with a sentence on each omitted query.

    Raises
    ------
    ConfigError
        If no query is left.
    """
    found, left_out = [], []
    for attacker in attackers:
        sits = attacker.participant in idle
        empty = [one for one in attacker.queries if sits or {*one.victims} <= {*idle}]
        who = (attacker.participant,) if sits else sorted({v for q in empty for v in q.victims})
        if empty:
            left_out.append(
                f"{attacker.label} {'sits with' if sits else 'asks about'} "
                f"{participant_list(who)}, "
                f"but partition {partition} gives no records there"
            )
        found.append(attacker.asking_only({*attacker.queries} - {*empty}))
    if left_out and not any(one.queries for one in found):
        raise ConfigError(
            f"{left_out[0]}: nothing would be left to attack; name others (audit.victims, or the "
            f"adversary's participant; {participant_list(idle)} have none), or choose a less "
            "skewed partition (of DirichletPartitioner a larger alpha, or min_partition_size)"
        )
    for sentence in left_out:
        say(f"{sentence}; it is skipped, and the others are attacked")
    return tuple(found)


def idle_sentence(idle: Sequence[int], participants: int, partition: str) -> str:
    """Return the sentence on participants without records."""
    return (
        f"partition {partition} gives {len(idle)} of {plural(participants, 'participant')} no "
        f"records ({number_list(idle)}): they take no part in training"
    )


def participant_list(participants: Iterable[int | None]) -> str:
    """Return participants as they appear in a sentence, at most the first few.

    >>> participant_list([4]), participant_list(range(100, 120))
    ('participant 4', 'participants 100, 101, 102, 103, 104, 105, 106, 107, ...')
    """
    numbers = [*participants]
    return f"{'participant' if len(numbers) == 1 else 'participants'} {number_list(numbers)}"


def number_list(participants: Sequence[int | None]) -> str:
    """Return the numbers of participants, at most the first few."""
    more = ["..."] if len(participants) > _NAMED else []
    return ", ".join([*map(str, participants[:_NAMED]), *more])
