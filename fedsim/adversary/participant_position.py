"""A participant's position: a Flower mod with which it sees and changes its own messages.

It works in any Flower app::

    app = ClientApp(mods=[CuriousParticipant(participant=3).keep_in("audit")])
"""

from collections.abc import Callable, Iterable, Sequence

from flwr.app import ArrayRecord, Context, Message, MessageType, RecordDict

from fedsim.adversary.base import Adversary
from fedsim.adversary.update_distance import UpdateDistance, compare_updates, note_distance
from fedsim.data import MembershipQuery, about_all_but
from fedsim.errors import PluginError
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.transport.messages import (
    PARTICIPANT,
    arrays_of,
    replace_records,
    require_readable,
    round_of,
    with_arrays,
    with_own_record,
)
from fedsim.transport.record_views import Content

MEMORY = "fedsim-adversary-"


class ParticipantAdversary(Adversary):
    """A dishonest participant: it sees the aggregates and decides what it uploads.

    It is a Flower mod: put it among a ClientApp's mods. It acts on its own node only, the one whose
    ``partition-id`` is `participant`.
    """

    def __init__(self, participant: int) -> None:
        self.participant = participant

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        """Ask about all others together: an aggregate does not separate them."""
        if not 0 <= self.participant < participants or participants < 2:
            raise PluginError(
                f"{type(self).__name__}: there is no participant {self.participant} with others "
                f"beside it; participants are numbered 0 to {participants - 1}"
            )
        return (about_all_but(self.participant, participants),)

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from the aggregates."""
        return (SnapshotKind.AGGREGATE.of(),)

    def arrived(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Return what its own training or evaluation is to start from.

        Parameters
        ----------
        round_number
            The round whose aggregate this is; 0 for the initial parameters.
        arrays
            The aggregate.
        """
        return arrays

    def leaving(self, round_number: int, arrays: ArrayRecord) -> ArrayRecord:
        """Return what it uploads in a round, given what honest training made."""
        return arrays

    def __call__(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Stand between the server and the ClientApp of this node, as Flower mods do."""
        kind = message.metadata.message_type.partition(".")[0]
        if kind == MessageType.QUERY or context.node_config.get(PARTICIPANT) != self.participant:
            return call_next(message, context)
        self.recall(context.state)
        trains = kind == MessageType.TRAIN
        current = round_of(message)
        came = arrays_of(message.content, "the server")
        require_readable(came, f"the server in round {current}")
        given = self.arrived(current - 1 if trains else current, came)
        if given is not came:
            message.content = with_arrays(message.content, given)
        message.content = with_own_record(message.content)
        reply = call_next(message, context)
        if trains and reply.has_content():
            honest = arrays_of(reply.content, f"participant {self.participant}")
            left = self.leaving(current, honest)
            if left is not honest:
                reply.content = with_arrays(reply.content, left)
                figures = compare_updates(came, honest, left, self.trainable(came, honest, left))
                note_distance(self.memory, UpdateDistance(current, self.participant, *figures))
        self.memorise(context.state)
        return reply

    def recall(self, state: RecordDict) -> None:
        """Take the memory from a node's state, where any engine keeps it."""
        kept = [key for key in state if key.startswith(MEMORY)]
        self.memory = Content({key.removeprefix(MEMORY): state[key] for key in kept})

    def memorise(self, state: RecordDict) -> None:
        """Put the memory into a node's state."""
        replace_records(state, {MEMORY + key: record for key, record in self.memory.items()})
