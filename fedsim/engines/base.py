"""Base classes of the grids of fedsim's own engines, which have no SuperLink."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from itertools import count
from typing import Any, Protocol

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedsim.engines.flower_identity import SERVER_NODE, local_identity
from fedsim.errors import FedsimError


class NodesGrid(Grid):
    """A Flower Grid over a fixed number of participants, one per node.

    Parameters
    ----------
    participants
        The number of participants; node ``SERVER_NODE + 1 + i`` has ``partition-id`` i.
    """

    def __init__(self, participants: int) -> None:
        self._nodes = range(SERVER_NODE + 1, SERVER_NODE + 1 + participants)
        self._waiting: dict[str, Message] = {}
        self._numbers = count(1)

    @abstractmethod
    def states(self) -> Mapping[int, RecordDict]:
        """Return each node's state between rounds; later rounds do not change the result."""

    @abstractmethod
    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """Restore the states that `states` returned."""

    @property
    def run(self) -> Any:
        """Raise `FedsimError`: a local federation has no run at a SuperLink."""
        raise FedsimError("the local engine has no SuperLink, so there is no run to ask about")

    def set_run(self, run: Any) -> None:
        """Ignore the run, as there is no SuperLink."""

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
        return list(self._nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Process each message immediately, and return the ids that `pull_messages` takes."""
        replies = self.send_and_receive(messages)
        ids = [str(next(self._numbers)) for _ in replies]
        self._waiting.update(zip(ids, replies, strict=True))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to pushed messages; each reply is returned once."""
        return [self._waiting.pop(i) for i in message_ids if i in self._waiting]

    def serve(self, server_app: ServerApp) -> None:
        """Run a ServerApp to its end on this grid."""
        context = Context(1, SERVER_NODE, {}, RecordDict(), {})
        with local_identity():
            server_app(self, context)


class NewGrid(Protocol):
    """Opens a grid over the participants of an app, fedsim's or a third party's."""

    def __call__(
        self, client_app: ClientApp, participants: int, /
    ) -> AbstractContextManager[NodesGrid]:
        """Return the grid of one federation; its processes end with the context."""


class FetchedStates(Mapping[int, RecordDict]):
    """The states of all nodes, which are fetched from their processes on first access."""

    def __init__(self, fetch: Callable[[], dict[int, RecordDict]]) -> None:
        self._fetch = fetch

    @cached_property
    def _fetched(self) -> dict[int, RecordDict]:
        return self._fetch()

    def __getitem__(self, node: int) -> RecordDict:
        return self._fetched[node]

    def __iter__(self) -> Iterator[int]:
        return iter(self._fetched)

    def __len__(self) -> int:
        return len(self._fetched)
