"""A strategy that lets attackers in the server's position see and change what passes it."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.exception import AppExitException
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.adversary.update_distance import UpdateDistance, compare_updates, note_distance
from fedsim.defences.outer_strategy import shows_sums_only
from fedsim.errors import FedsimError, MessageError
from fedsim.transport.fast_fedavg import FastFedAvg
from fedsim.transport.messages import arrays_of, require_readable, with_arrays, with_own_record


class ServerHooks(Protocol):
    """What the strategy asks of an adversary in its position; see `fedsim.ServerAdversary`."""

    is_simulator: ClassVar[bool]

    @property
    def memory(self) -> RecordDict:
        """What it remembers from round to round."""

    def looks_at_sums(self) -> bool:
        """Return whether it is shown sums of uploads."""

    def send(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        """Return what a participant is to train on."""

    def receive(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord | None:
        """Return what goes into the aggregate of an upload."""

    def summed(self, round_number: int, arrays: ArrayRecord) -> None:
        """See the mean that a sum is."""

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """See an aggregate."""

    def send_evaluation(
        self, round_number: int, participant: int, arrays: ArrayRecord
    ) -> ArrayRecord:
        """Return what a participant is to evaluate."""

    def trainable(self, *records: ArrayRecord) -> frozenset[str]:
        """Return the names of the arrays that training changes."""


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
        adversaries: Sequence[ServerHooks],
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
        hook: Callable[[ServerHooks], Callable[[int, int, ArrayRecord], ArrayRecord]],
        noted: bool = False,
    ) -> Message:
        honest = arrays = arrays_of(message.content, "the server")
        participant = self._participant(message.metadata.dst_node_id)
        changed_by: ServerHooks | None = None
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
    def _shown_uploads(self) -> tuple[ServerHooks, ...]:
        """The adversaries that a single upload is shown to."""
        if shows_sums_only(self.honest):
            return tuple(one for one in self.adversaries if one.is_simulator)
        return self.adversaries

    def _show_sum(self, server_round: int, replies: Sequence[Message]) -> None:
        """Show each adversary that looks at sums the mean of the uploads."""
        asking = [a for a in self.adversaries if a.looks_at_sums()]
        if not asking:
            return
        mean, _ = FastFedAvg().aggregate_train(server_round, replies)
        if mean is not None:
            for adversary in asking:
                adversary.summed(server_round, mean)

    def _participant(self, node: int) -> int:
        return self.participant_of.get(node, node)


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
    adversary: ServerHooks,
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
