"""The server's position: what a dishonest server sees, and what it decides.

A server adversary wraps any Flower strategy by delegation, as Flower's own wrappers for
differential privacy are, so it works in an app that knows nothing else of fedsim::

    strategy = CuriousServer().keep_in("audit").around(FedAvg())
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from flwr.app import ArrayRecord
from flwr.serverapp.strategy import Strategy

from fedsim.adversary.adversarial_strategy import AdversarialStrategy, transparent
from fedsim.adversary.base import Adversary
from fedsim.data import MembershipQuery, about_participant
from fedsim.errors import PluginError
from fedsim.observation.keys import SnapshotKey, SnapshotKind


class ServerAdversary(Adversary):
    """A dishonest server: it sees each participant's upload and decides what each receives."""

    is_simulator: ClassVar[bool] = False
    """Whether it is part of the simulator, and shown what a defence hides from the server."""

    def on_sums(self) -> "ServerAdversary | None":
        """Return what it is where the server is shown sums of uploads only.

        None, the default, for one that needs single uploads: it is refused before round 1. See
        `fedsim.defences.Defence.hides`.
        """
        return None

    def queries(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        """Ask about each victim separately: uploads name their participant."""
        return tuple(about_participant(victim) for victim in victims)

    def about(self, victims: Sequence[int], participants: int) -> tuple[MembershipQuery, ...]:
        """Return the queries of an adversary that targets some participants only.

        Raises
        ------
        PluginError
            If there is no such participant, or none is named.
        """
        unknown = [victim for victim in victims if not 0 <= victim < participants]
        if unknown or not victims or len(set(victims)) < len(victims):
            raise PluginError(
                f"{type(self).__name__}: victims cannot be {list(victims)}; name some "
                f"of 0 to {participants - 1}, each once"
            )
        return tuple(about_participant(victim) for victim in victims)

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from the victim's uploads."""
        return (SnapshotKind.UPLOAD.of(query.victims[0]),)

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Return what a participant is to train on."""
        return arrays

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Return what goes into the aggregate of a participant's upload; None leaves it out."""
        return arrays

    def summed(self, round_number: int, arrays: ArrayRecord) -> None:
        """See the mean that the sum of a round's uploads is, where that is all there is to see.

        Called in place of `receive` under secure aggregation, before the aggregate is made.
        """

    @classmethod
    def looks_at_sums(cls) -> bool:
        """Return whether it has a `summed` of its own."""
        return cls.summed is not ServerAdversary.summed

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """See the aggregate of a round."""

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Return what a participant is to evaluate after a round."""
        return arrays

    def around(self, strategy: Strategy) -> Strategy:
        """Return `strategy` wrapped by this adversary; its other methods remain available.

        Raises
        ------
        PluginError
            If it is no strategy of ``flwr.serverapp``: those of Flower's former API see no records.
        """
        given: object = strategy
        if not isinstance(given, Strategy):
            kind = type(given)
            raise PluginError(
                f"{type(self).__name__} cannot wrap a {kind.__module__}.{kind.__name__}; "
                "it needs a strategy that derives from flwr.serverapp.strategy.Strategy"
            )
        return transparent(AdversarialStrategy(strategy, (self,)))


class RecordingServer(ServerAdversary):
    """A server that follows the protocol and records what each participant is sent and uploads."""

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Record the parameters that a participant is sent."""
        self.record(round_number, SnapshotKind.SENT.of(participant), arrays)
        return arrays

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Record a participant's upload."""
        self.record(round_number, SnapshotKind.UPLOAD.of(participant), arrays)
        return arrays
