"""Branching from an honest federation as if an attacker had been in it from the start.

Until an active attacker acts, its federation is the honest one, message by message. So a run may
start where the honest one stood, if the attacker remembers what it would remember then. By its
contract (`Adversary.acts_from`) that is what the last round alone showed it: a last-round recorder
keeps that round's messages, and `catch_up` shows them to the attacker again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from flwr.app import ArrayRecord, MetricRecord, RecordDict

from fedsim.adversary.base import Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.transport.record_views import Content

_ROUND = "round"
_AGGREGATE = "aggregate"
_SENT, _RECEIVED, _EVALUATED = "sent-", "received-", "evaluated-"


class LastRoundRecorder(ServerAdversary):
    """Remember every message of the last round, and change none."""

    is_simulator: ClassVar[bool] = True

    def threat(self) -> Threat:
        """Return that it is none."""
        return Threat(who="the simulator", sees="the messages of the last round")

    @property
    def took_part(self) -> int:
        """How many participants trained in the last round."""
        return len(_participants(self.memory, _SENT))

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Remember what a participant is sent."""
        if _round(self.memory) != round_number:
            self.memory = Content({})
            self.memory[_ROUND] = MetricRecord({_ROUND: round_number})
        self.memory[f"{_SENT}{participant}"] = arrays
        return arrays

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Remember what came back."""
        self.memory[f"{_RECEIVED}{participant}"] = arrays
        return arrays

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """Remember the aggregate."""
        self.memory[_AGGREGATE] = arrays

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Remember who evaluates it: a strategy may ask others than those that it trained."""
        self.memory[f"{_EVALUATED}{participant}"] = MetricRecord({_ROUND: round_number})
        return arrays


def catch_up(
    seen: RecordDict,
    servers: Sequence[ServerAdversary],
    participants: Sequence[ParticipantAdversary],
    states: Mapping[int, RecordDict],
) -> None:
    """Show attackers the messages of the last honest round.

    Parameters
    ----------
    seen
        A last-round recorder's memory.
    servers, participants
        The attackers; their memories are filled.
    states
        Each participant's state between rounds; a dishonest participant's memory is written there.
    """
    current = _round(seen)
    arrays = seen.array_records
    evaluating = _participants(seen, _EVALUATED)
    for attacker in servers:
        _show_server(attacker, current, arrays, evaluating)
    for one in participants:
        one.memory = Content({})
        sent = arrays.get(f"{_SENT}{one.participant}")
        if sent is not None:
            one.arrived(current - 1, sent)
            one.leaving(current, arrays[f"{_RECEIVED}{one.participant}"])
        if one.participant in evaluating:
            one.arrived(current, arrays[_AGGREGATE])
        one.memorise(states[one.participant])


def _show_server(
    attacker: ServerAdversary,
    current: int,
    arrays: Mapping[str, ArrayRecord],
    evaluating: Sequence[int],
) -> None:
    present = _participants(arrays, _SENT)
    for participant in present:
        attacker.send(current, participant, arrays[f"{_SENT}{participant}"])
    for participant in present:
        attacker.receive(current, participant, arrays[f"{_RECEIVED}{participant}"])
    attacker.aggregated(current, arrays[_AGGREGATE])
    for participant in evaluating:
        attacker.send_evaluation(current, participant, arrays[_AGGREGATE])


def _participants(keys: Iterable[str], prefix: str) -> list[int]:
    """Return the participants of whom something is remembered under a prefix, in their order."""
    return sorted(int(key.removeprefix(prefix)) for key in keys if key.startswith(prefix))


def _round(memory: RecordDict) -> int:
    # Not from Flower's view of the metrics: it goes through all that is there, and who asks once
    # for each participant would go through all participants for each.
    record = memory.get(_ROUND)
    return int(str(record[_ROUND])) if isinstance(record, MetricRecord) else 0
