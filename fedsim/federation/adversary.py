"""The plugin contract of a dishonest party: a position, what it sees there, and what it does.

An adversary touches only the Flower messages that its position carries. Its hooks are called on a
fixed timeline and do nothing by default, so a plugin overrides what it needs::

    round r   server: send -> ... -> receive -> aggregated -> send_evaluation
              participant: arrived (the aggregate of round r - 1) -> leaving -> arrived (of round r)

A server adversary is worn over any Flower strategy, a participant adversary is a Flower mod, so
both work in a Flower app that knows nothing else of fedsim::

    strategy = CuriousServer().keep_in("audit").around(FedAvg())
    app = ClientApp(mods=[CuriousParticipant(participant=3).keep_in("audit")])

This layer knows no adversary by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flwr.app import ArrayRecord, Context, Message, MessageType
from flwr.serverapp.strategy import Strategy

from fedsim.data import Question, about_all_but, about_participant
from fedsim.errors import PluginError
from fedsim.federation.messages import PARTICIPANT, arrays_of, round_of, with_arrays
from fedsim.snapshots import AGGREGATE, SnapshotStore, participant_owner


@dataclass(frozen=True)
class Threat:
    """A threat model in words, printed before anything runs.

    Attributes
    ----------
    who
        The position: "the server", "participant 3".
    sees
        What its position shows it.
    does
        What it does beyond the protocol; "nothing: it follows the protocol" when passive.
    """

    who: str
    sees: str
    does: str


class Adversary(ABC):
    """A dishonest party; plugins derive from one of the two positions below."""

    store: SnapshotStore | None = None

    @abstractmethod
    def threat(self) -> Threat:
        """Return the threat model in words."""

    @abstractmethod
    def questions(self, victims: Sequence[int], participants: int) -> tuple[Question, ...]:
        """Return whose data this position asks about, one question an observation."""

    @abstractmethod
    def owner(self, question: Question) -> str:
        """Return the owner of the snapshots that answer a question."""

    def keep_in(self, store: SnapshotStore | Path | str) -> Self:
        """Keep what is recorded in `store` (a folder keeps everything), and return self."""
        self.store = store if isinstance(store, SnapshotStore) else SnapshotStore(Path(store))
        return self

    def record(self, round_number: int, owner: str, arrays: ArrayRecord) -> None:
        """Keep a snapshot, as far as the store's policy wants it.

        Raises
        ------
        PluginError
            If the adversary was given no place to keep it.
        SnapshotError
            If the disk does not take it.
        """
        if self.store is None:
            raise PluginError(f"{type(self).__name__} has no store; call keep_in(folder) first")
        self.store.keep(round_number, owner, arrays)


class ServerAdversary(Adversary):
    """A dishonest server: it sees each participant's upload and decides what each receives."""

    def questions(self, victims: Sequence[int], participants: int) -> tuple[Question, ...]:
        """Ask about each victim separately: its uploads are told apart."""
        return tuple(about_participant(victim) for victim in victims)

    def owner(self, question: Question) -> str:
        """Answer from the victim's uploads."""
        return participant_owner(question.victims[0])

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Return what a participant is to train on."""
        return arrays

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Return what goes into the aggregate of a participant's upload; None leaves it out."""
        return arrays

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """See the aggregate of a round."""

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Return what a participant is to evaluate after a round."""
        return arrays

    def around(self, strategy: Strategy) -> Strategy:
        """Return `strategy` with this adversary over it."""
        from fedsim.federation.server import DishonestServer  # noqa: PLC0415 - it wears this class

        return DishonestServer(strategy, (self,))


class ParticipantAdversary(Adversary):
    """A dishonest participant: it sees the aggregates and decides what it uploads.

    It is a Flower mod: put it among a ClientApp's mods. It acts on its own node only, the one whose
    ``partition-id`` is `participant`.
    """

    def __init__(self, participant: int) -> None:
        self.participant = participant

    def questions(self, victims: Sequence[int], participants: int) -> tuple[Question, ...]:
        """Ask about everybody else together: an aggregate does not tell them apart."""
        if not 0 <= self.participant < participants or participants < 2:
            raise PluginError(
                f"{type(self).__name__}: there is no participant {self.participant} with others "
                f"beside it; participants are numbered 0 to {participants - 1}"
            )
        return (about_all_but(self.participant, participants),)

    def owner(self, question: Question) -> str:
        """Answer from the aggregates."""
        return AGGREGATE

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
        trains = kind == MessageType.TRAIN
        current = round_of(message)
        came = arrays_of(message.content, "the server")
        given = self.arrived(current - 1 if trains else current, came)
        if given is not came:
            message.content = with_arrays(message.content, given)
        reply = call_next(message, context)
        if trains and reply.has_content():
            honest = arrays_of(reply.content, f"participant {self.participant}")
            left = self.leaving(current, honest)
            if left is not honest:
                reply.content = with_arrays(reply.content, left)
        return reply
