"""The server's position: a strategy that lets attackers see and change what passes it.

A server adversary wraps any Flower strategy by delegation, as Flower's own wrappers for
differential privacy are, so it works in an app that knows nothing else of fedsim::

    strategy = CuriousServer().keep_in("audit").around(FedAvg())
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.app.exception import AppExitException
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.adversary.base import Adversary
from fedsim.adversary.update_distance import UpdateDistance, compare_updates, note_distance
from fedsim.data import MembershipQuery, about_participant
from fedsim.errors import FedsimError, MessageError, PluginError
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.transport.fast_fedavg import FastFedAvg
from fedsim.transport.messages import arrays_of, require_readable, with_arrays, with_own_record


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

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """See the aggregate of a round."""

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Return what a participant is to evaluate after a round."""
        return arrays

    def around(self, strategy: Strategy) -> Strategy:
        """Return `strategy` with this adversary over it; whatever else it can do, it still can.

        Raises
        ------
        PluginError
            If it is no strategy of ``flwr.serverapp``: those of Flower's former API see no records.
        """
        given: object = strategy
        if not isinstance(given, Strategy):
            kind = type(given)
            raise PluginError(
                f"{type(self).__name__} cannot be worn around a {kind.__module__}.{kind.__name__}; "
                "it needs a strategy that derives from flwr.serverapp.strategy.Strategy"
            )
        return transparent(AdversarialStrategy(strategy, (self,)))


class AdversarialStrategy(Strategy):
    """Any Flower strategy with server adversaries over it.

    Parameters
    ----------
    honest
        The strategy that is wrapped; it never notices.
    adversaries
        Asked in order on the way out, and in the same order on the way in.
    participant_of
        Node ids to participants; a node that is not in it goes by its id.
    """

    def __init__(
        self,
        honest: Strategy,
        adversaries: Sequence[ServerAdversary],
        participant_of: Mapping[int, int] | None = None,
    ) -> None:
        self.honest = honest
        self.adversaries = tuple(adversaries)
        self.participant_of = dict(participant_of or {})

    def summary(self) -> None:
        """Log the honest strategy's configuration."""
        self.honest.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let each adversary change what each participant trains on."""
        messages = self.honest.configure_train(server_round, arrays, config, grid)
        return [self._altered(m, server_round, lambda a: a.send, noted=True) for m in messages]

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let each adversary change what each participant evaluates."""
        messages = self.honest.configure_evaluate(server_round, arrays, config, grid)
        return [self._altered(m, server_round, lambda a: a.send_evaluation) for m in messages]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Show each adversary each upload, aggregate what they leave, and show the aggregate."""
        replies = list(replies)
        if shows_sums_only(self.honest):
            self._show_sum(server_round, replies)
        left = (self._received(reply, server_round) for reply in replies)
        replies = [m for m in left if m]
        with self._named_failures(server_round):
            arrays, metrics = self.honest.aggregate_train(server_round, replies)
        if arrays is not None:
            for adversary in self.adversaries:
                adversary.aggregated(server_round, arrays)
        return arrays, metrics

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Aggregate evaluations as the honest strategy does."""
        with self._named_failures(server_round):
            return self.honest.aggregate_evaluate(server_round, replies)

    @contextmanager
    def _named_failures(self, server_round: int) -> Iterator[None]:
        """Turn whatever a strategy raises on replies that it cannot use into one sentence."""
        try:
            yield
        except (AppExitException, FedsimError):
            raise
        except Exception as error:  # a hostile reply may make it fail in any way
            reason = " ".join(str(error).split())
            raise MessageError(
                f"the strategy {type(self.honest).__name__} cannot use the replies of round "
                f"{server_round}: {type(error).__name__}: {reason}"
            ) from error

    def _altered(
        self,
        message: Message,
        server_round: int,
        hook: Callable[[ServerAdversary], Callable[[int, int, ArrayRecord], ArrayRecord]],
        noted: bool = False,
    ) -> Message:
        honest = arrays = arrays_of(message.content, "the server")
        participant = self._participant(message.metadata.dst_node_id)
        changed_by: ServerAdversary | None = None
        for adversary in self.adversaries:
            left = hook(adversary)(server_round, participant, arrays)
            changed_by = changed_by if left is arrays else adversary
            arrays = left
        if changed_by is not None:
            message.content = with_arrays(message.content, arrays)
            if noted:
                _note_distance(changed_by, server_round, participant, honest, arrays)
        return message

    def _received(self, reply: Message, server_round: int) -> Message | None:
        if reply.has_error():
            return reply
        participant = self._participant(reply.metadata.src_node_id)
        honest = arrays = arrays_of(reply.content, f"participant {participant}")
        require_readable(honest, f"participant {participant} in round {server_round}")
        left_out = False
        for adversary in self._shown_uploads:
            if _uploaded(participant) in adversary.memory:
                adversary.memory[_uploaded(participant)] = honest
            left = adversary.receive(server_round, participant, arrays)
            # One that leaves the upload out does not hide it from the next.
            left_out |= left is None
            arrays = arrays if left is None else left
        if left_out:
            return None
        if arrays is not honest:
            reply.content = with_arrays(reply.content, arrays)
        if self.adversaries:  # what they were shown stays, whatever the strategy does with its own
            reply.content = with_own_record(reply.content)
        return reply

    @property
    def _shown_uploads(self) -> tuple[ServerAdversary, ...]:
        """The adversaries that a single upload is shown to."""
        if shows_sums_only(self.honest):
            return tuple(one for one in self.adversaries if one.is_simulator)
        return self.adversaries

    def _show_sum(self, server_round: int, replies: Sequence[Message]) -> None:
        """Show each adversary that looks at sums the mean of the uploads."""
        asking = [a for a in self.adversaries if type(a).summed is not ServerAdversary.summed]
        if not asking:
            return
        mean, _ = FastFedAvg().aggregate_train(server_round, replies)
        if mean is not None:
            for adversary in asking:
                adversary.summed(server_round, mean)

    def _participant(self, node: int) -> int:
        return self.participant_of.get(node, node)


class SumsOnly(Strategy):
    """A strategy under secure aggregation: adversaries in its position are shown sums.

    It aggregates as the strategy that it is worn over, which must need no more than the sum.
    """

    sums_suffice: ClassVar[bool] = True

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def summary(self) -> None:
        """Log the honest strategy's configuration."""
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the honest strategy."""
        return self.strategy.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate as the honest strategy."""
        return self.strategy.aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the honest strategy."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Ask the honest strategy."""
        return self.strategy.aggregate_evaluate(server_round, replies)


def shows_sums_only(strategy: Strategy) -> bool:
    """Return whether a strategy, or one that it is worn over, is under secure aggregation."""
    inner = vars(strategy).get("strategy")
    return isinstance(strategy, SumsOnly) or (
        isinstance(inner, Strategy) and shows_sums_only(inner)
    )


_HOOKS = ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate")


def transparent(outer: AdversarialStrategy) -> Strategy:
    """Return a strategy that is the honest one in all but the four hooks, which are `outer`'s.

    It is of a subclass of the honest strategy's own class and shares its attributes, so that a
    `start` that it overrides, further methods, and ``isinstance`` work as they do without it. A
    `start` that sends messages past the four hooks shows them to no adversary.
    """
    honest, kind = outer.honest, type(outer.honest)
    methods = {name: _passed_to(outer, getattr(kind, name), name) for name in _HOOKS}
    words = {"__doc__": kind.__doc__, "__module__": kind.__module__}
    wrapped = type(kind.__name__, (kind,), {**methods, **words})
    strategy: Strategy = object.__new__(wrapped)
    strategy.__dict__ = honest.__dict__
    return strategy


def _passed_to(outer: AdversarialStrategy, like: Callable[..., Any], name: str) -> Any:
    @functools.wraps(like)
    def hook(_: Strategy, *positional: Any, **named: Any) -> Any:
        return getattr(outer, name)(*positional, **named)

    return hook


def _uploaded(participant: int) -> str:
    """Return the key of a participant's last upload in an active server's memory."""
    return f"uploaded-{participant}"


def _note_distance(
    adversary: ServerAdversary,
    server_round: int,
    participant: int,
    honest: ArrayRecord,
    malicious: ArrayRecord,
) -> None:
    """Note how far a sent message lies from the honest one.

    Both are updates from the receiver's last upload. It is kept from the first malicious
    message on, which therefore has no figure itself.
    """
    place = _uploaded(participant)
    base = adversary.memory.get(place)
    if not isinstance(base, ArrayRecord):
        adversary.memory[place] = honest
    else:
        names = adversary.trainable(base, honest, malicious)
        figures = compare_updates(base, honest, malicious, names)
        note_distance(adversary.memory, UpdateDistance(server_round, participant, *figures))
