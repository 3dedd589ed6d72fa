"""Partial participation: the server's view of a round in which some participants are absent.

Participants who join late, drop out, or train one after the other (fine-tuning: first those with D,
then those with D_delta) are away in some rounds. To the strategy they are nodes that are not
connected, so it samples among the others, and no server adversary sees a message for
them.
"""

from collections.abc import Iterable
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid


class ParticipatingGrid(Grid):
    """A grid on which only some nodes are connected, in an order that is always the same.

    Flower's own runtimes give nodes at random; a strategy that samples some of them draws places in
    this order, and so the same participants on any engine.

    Parameters
    ----------
    grid
        What reaches all of them.
    nodes
        Ids of those that take part, in the order of the participants.
    """

    def __init__(self, grid: Grid, nodes: Iterable[int]) -> None:
        self._grid = grid
        self._nodes = tuple(nodes)

    @property
    def run(self) -> Any:
        """The run of the grid behind."""
        return self._grid.run

    def set_run(self, run: Any) -> None:
        """Set the run of the grid behind."""
        self._grid.set_run(run)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message of the grid behind."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> list[int]:
        """Return the ids of those that take part and are connected, in the order given."""
        connected = frozenset(self._grid.get_node_ids())
        return [node for node in self._nodes if node in connected]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Push messages on the grid behind."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull messages from the grid behind."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send and receive on the grid behind."""
        return self._grid.send_and_receive(messages, timeout=timeout)
