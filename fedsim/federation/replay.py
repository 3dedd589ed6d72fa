"""Branching off an honest federation as if an attacker had taken part from the start.

Until an active attacker acts, its federation equals the honest one, message by message. A run may
therefore start from a round of the honest federation if the attacker's memory is the one that it
would have by then. By its contract (`Adversary.acts_from`) that memory depends on the last round
alone: `LastRoundRecorder` keeps that round's messages, and `catch_up` replays them to the attacker.
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
    """Record every message of the last round, and change none."""

    is_simulator: ClassVar[bool] = True

    def threat(self) -> Threat:
        """Return a threat model for display; the recorder attacks nothing."""
        return Threat(who="the simulator", sees="the messages of the last round")

    @property
    def took_part(self) -> int:
        """Number of participants that trained in the last round."""
        return len(_participants(self.memory, _SENT))

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Record the parameters sent to a participant."""
        if _round(self.memory) != round_number:
            self.memory = Content({})
            self.memory[_ROUND] = MetricRecord({_ROUND: round_number})
        self.memory[f"{_SENT}{participant}"] = arrays
        return arrays

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Record the upload of a participant."""
        self.memory[f"{_RECEIVED}{participant}"] = arrays
        return arrays

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """Record the aggregate."""
        self.memory[_AGGREGATE] = arrays

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Record which participants evaluate: a strategy may ask others than those it trained."""
        self.memory[f"{_EVALUATED}{participant}"] = MetricRecord({_ROUND: round_number})
        return arrays


def catch_up(
    seen: RecordDict,
    servers: Sequence[ServerAdversary],
    participants: Sequence[ParticipantAdversary],
    states: Mapping[int, RecordDict],
) -> None:
    """Replay the messages of the last honest round to attackers.

    Parameters
    ----------
    seen
        The memory of a `LastRoundRecorder`.
    servers, participants
        The attackers; their memories are filled.
    states
        Each participant's state between rounds, into which a dishonest participant's memory is
        written.
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
    """Return, in order, the participants that have a recorded message under a prefix."""
    return sorted(int(key.removeprefix(prefix)) for key in keys if key.startswith(prefix))


def _round(memory: RecordDict) -> int:
    # Flower's view of the metric records iterates over all records. A caller that reads one value
    # for each participant would take quadratic time.
    record = memory.get(_ROUND)
    return int(str(record[_ROUND])) if isinstance(record, MetricRecord) else 0
