"""Identification of nodes: each node is asked once which participant it is."""

from flwr.app import Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid

from fedsim.errors import MessageError
from fedsim.transport.messages import PARTICIPANT


def identify_nodes(grid: Grid, participants: int, timeout: float | None = None) -> dict[int, int]:
    """Ask every node once, and return its participant by node id, in the order of participants.

    Node ids are random in Flower's own runtimes; ``partition-id`` identifies a participant.

    Raises
    ------
    MessageError
        If a node does not answer, or the answers are not the participants 0 to n - 1.
    """
    nodes = sorted(grid.get_node_ids())
    query = [Message(RecordDict(), node, MessageType.QUERY) for node in nodes]
    answers: dict[int, int] = {}
    for reply in grid.send_and_receive(query, timeout=timeout):
        require_content(reply, f"node {reply.metadata.src_node_id}")
        metrics = next(iter(reply.content.metric_records.values()), MetricRecord())
        answer = metrics.get(PARTICIPANT)
        known = isinstance(answer, int) and 0 <= answer < participants
        answers[reply.metadata.src_node_id] = int(str(answer)) if known else -1
    if sorted(answers.values()) != list(range(participants)):
        raise MessageError(
            f"{len(nodes)} nodes answered as participants {sorted(answers.values())}; the "
            f"federation needs each of 0 to {participants - 1} once"
        )
    return dict(sorted(answers.items(), key=lambda answer: answer[1]))


def require_content(reply: Message, sender: str) -> None:
    """Raise `MessageError` if a reply reports an error of its sender."""
    if reply.has_error():
        reason = " ".join((reply.error.reason or "no reason given").split())
        raise MessageError(f"{sender} failed: {reason}")
