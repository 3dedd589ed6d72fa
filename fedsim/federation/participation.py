"""Partial participation: the server's view of a round in which some participants are absent.

Participants who join late, drop out, or train one after the other (fine-tuning: first those with D,
then those with D_delta) are absent in some rounds. The strategy sees them as nodes that are not
connected, so it samples among the others, and a server adversary sees no message of theirs.
"""

from collections.abc import Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid


class ParticipatingGrid(Grid):
    """A grid on which only some nodes are connected, in a fixed order.

    Flower's own runtimes list nodes in a random order. A strategy samples by position in the list,
    so with a fixed order it samples the same participants on every engine.

    Parameters
    ----------
    grid
        The grid with all nodes.
    nodes
        Ids of the participating nodes, in the order of the participants.
    """

    def __init__(self, grid: Grid, nodes: Iterable[int]) -> None:
        self._grid = grid
        self._nodes = tuple(nodes)

    @property
    def run(self) -> Any:
        """The run of the wrapped grid."""
        return self._grid.run

    def set_run(self, run: Any) -> None:
        """Set the run of the wrapped grid."""
        self._grid.set_run(run)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message of the wrapped grid."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> list[int]:
        """Return the ids of participating nodes that are connected, in the given order."""
        connected = frozenset(self._grid.get_node_ids())
        return [node for node in self._nodes if node in connected]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Push messages on the wrapped grid."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull messages from the wrapped grid."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send and receive on the wrapped grid."""
        return self._grid.send_and_receive(messages, timeout=timeout)
