"""The local engine: a Flower Grid that calls the ClientApp in this process.

No Ray, no polling, no serialisation beyond what Flower's `ArrayRecord` is. Participants run one
after the other in the order of their messages; each keeps its own `Context` between rounds.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedsim.engines.flower_identity import SERVER_NODE, local_identity
from fedsim.errors import FedsimError
from fedsim.federation.messages import PARTICIPANT

CLIENT_APP_RAISED = 2  # Flower's code for it


class LocalGrid(Grid):
    """All participants of a federation, in this process.

    Parameters
    ----------
    client_app
        The participants' app, fedsim's or anybody's.
    participants
        How many nodes there are; node ``SERVER_NODE + 1 + i`` has ``partition-id`` i.
    """

    def __init__(self, client_app: ClientApp, participants: int) -> None:
        self._client_app = client_app
        self._contexts = {
            SERVER_NODE + 1 + i: Context(
                run_id=1,
                node_id=SERVER_NODE + 1 + i,
                node_config={PARTICIPANT: i, "num-partitions": participants},
                state=RecordDict(),
                run_config={},
            )
            for i in range(participants)
        }
        self._waiting: dict[str, Message] = {}
        self._numbers = count(1)

    @property
    def run(self) -> Any:
        """A local federation has no run at a SuperLink."""
        raise FedsimError("the local engine has no SuperLink, so there is no run to ask about")

    def set_run(self, run: Any) -> None:
        """Ignore it: there is no SuperLink."""

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message from the server to a node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> list[int]:
        """Return all node ids, in the order of the participants."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Run each message's participant at once; the ids are for `pull_messages`."""
        ids = []
        for message in messages:
            ids.append(str(next(self._numbers)))
            self._waiting[ids[-1]] = self._run(message)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to pushed messages, each once."""
        return [self._waiting.pop(i) for i in message_ids if i in self._waiting]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Run all messages and return the replies, in the same order.

        `timeout` cannot be kept: nothing in this process could stop a participant that hangs.
        """
        return [self._run(message) for message in messages]

    def serve(self, server_app: ServerApp) -> None:
        """Run a ServerApp to its end on this grid."""
        context = Context(1, SERVER_NODE, {}, RecordDict(), {})
        with local_identity():
            server_app(self, context)

    def states(self) -> dict[int, RecordDict]:
        """Return what each node keeps between rounds; later rounds do not change the result."""
        return {node: _detached(context.state) for node, context in self._contexts.items()}

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Put back what `states` returned."""
        for node, state in states.items():
            self._contexts[node].state = _detached(state)

    def _run(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        if node not in self._contexts:
            return Message(Error(CLIENT_APP_RAISED, f"there is no node {node}"), reply_to=message)
        # Strategies put one content into all messages; what one participant does to it must not
        # reach the next one.
        message.content = _detached(message.content)
        try:
            return self._client_app(message, self._contexts[node])
        except FedsimError:
            raise
        except Exception as error:  # a participant may fail in any way; the server decides
            reason = f"{type(error).__name__}: {error}"
            return Message(Error(CLIENT_APP_RAISED, reason), reply_to=message)


def _detached(content: RecordDict) -> RecordDict:
    """Return a copy whose records can be changed apart; the arrays in them are immutable."""
    return RecordDict({key: record.copy() for key, record in content.items()})


__all__ = ["LocalGrid", "local_identity"]
