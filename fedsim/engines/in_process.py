"""The local engine: a Flower Grid that calls the ClientApp in this process.

It needs no Ray, no polling, and no serialisation besides Flower's `ArrayRecord`. Participants run
one after the other in the order of their messages; each keeps its own `Context` between rounds. An
app that computes for many participants at once is given their messages in advance.
"""

from collections.abc import Iterable, Mapping

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from fedsim.engines.base import NodesGrid
from fedsim.engines.flower_identity import local_identity
from fedsim.errors import FedsimError
from fedsim.federation.client_app import PrefetchingApp
from fedsim.transport.messages import PARTICIPANT

CLIENT_APP_RAISED = 2  # Flower's code for an exception in the ClientApp


class LocalGrid(NodesGrid):
    """All participants of a federation, in this process.

    Parameters
    ----------
    client_app
        The participants' app, fedsim's or a third party's.
    participants
        The number of nodes.
    """

    def __init__(self, client_app: ClientApp, participants: int) -> None:
        super().__init__(participants)
        self._client_app = client_app
        self._only_reads = isinstance(client_app, PrefetchingApp) and client_app.only_reads
        self._contexts = {
            node: Context(
                run_id=1,
                node_id=node,
                node_config={PARTICIPANT: participant, "num-partitions": participants},
                state=RecordDict(),
                run_config={},
            )
            for participant, node in enumerate(self._nodes)
        }
        self._states = {node: RecordDict() for node in self._nodes}
        self._ran: set[int] = set()

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Process all messages and return the replies, in the same order.

        `timeout` has no effect, because nothing in this process could stop a hanging participant.
        """
        coming = list(messages)
        if len(coming) > 1:
            self.foresee(coming)
        return self.answer(coming)

    def answer(self, messages: Iterable[Message]) -> list[Message]:
        """Process all messages without announcing them to the app, and return the replies."""
        return [self._run(message) for message in messages]

    def foresee(self, messages: Iterable[Message]) -> None:
        """Announce the coming messages to the app, if it makes use of this."""
        if isinstance(self._client_app, PrefetchingApp):
            self._client_app.foresee(self.addressed(messages))

    def addressed(self, messages: Iterable[Message]) -> list[tuple[Message, Context]]:
        """Return messages to nodes of this grid, each with its node's context."""
        nodes = ((message, message.metadata.dst_node_id) for message in messages)
        return [
            (message, self._contexts[node]) for message, node in nodes if node in self._contexts
        ]

    def states(self) -> dict[int, RecordDict]:
        """Return each node's state between rounds; later rounds do not change the result."""
        self._states |= {node: _detached(self._contexts[node].state) for node in self._ran}
        self._ran.clear()
        return dict(self._states)

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Restore the states that `states` returned."""
        for node, state in states.items():
            self._contexts[node].state = _detached(state)
            self._ran.add(node)

    def _run(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        if node not in self._contexts:
            return Message(Error(CLIENT_APP_RAISED, f"there is no node {node}"), reply_to=message)
        if not self._only_reads:
            # Strategies put one content object into all messages. A participant that changes it
            # must not affect the next one.
            message.content = _detached(message.content)
        self._ran.add(node)
        try:
            reply = self._client_app(message, self._contexts[node])
            if not isinstance(reply, Message):
                raise TypeError(f"it answered with {type(reply).__name__} instead of Message")
        except FedsimError:
            raise
        # A participant may raise any exception; the server decides what follows.
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            return Message(Error(CLIENT_APP_RAISED, reason), reply_to=message)
        return reply


def _detached(content: RecordDict) -> RecordDict:
    """Return a copy with records of its own; the arrays in them are immutable and shared."""
    return RecordDict({key: record.copy() for key, record in content.items()})


__all__ = ["LocalGrid", "local_identity"]
