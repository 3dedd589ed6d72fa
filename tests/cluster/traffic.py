"""Apps and messages of the cluster's tests."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import toys
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod

from fedsim.config.federation import LocalTraining
from fedsim.federation.client_app import Participants, make_client_app, participant_of
from fedsim.transport.messages import PARTICIPANT, ROUND, round_of

Next = Callable[[Message, Context], Message]
LOCAL = LocalTraining(batch_size=10, learning_rate=0.1)


def toy_app(participants: int = 3, mods: Sequence[Mod] = ()) -> ClientApp:
    """Return the toy federation's app."""
    data = toys.dataset()
    sets = toys.training_sets(data, 3) * (participants // 3 + 1)
    members = Participants(data, sets[:participants], toys.new_model, LOCAL, None, 3)
    return make_client_app(members, mods)


def to_train(nodes: Sequence[int], round_number: int = 1, kind: str = "train") -> list[Message]:
    """Return messages with one and the same content to all nodes, as strategies make them."""
    content = RecordDict(
        {
            "arrays": ArrayRecord(toys.new_model().state_dict()),
            "config": ConfigRecord({ROUND: round_number}),
        }
    )
    return [Message(content, node, kind) for node in nodes]


def once(marker: Path, participant: int, deed: Callable[[], object]) -> Mod:
    """Return a mod that does something in its first training of a participant, and never again."""

    def mod(message: Message, context: Context, call_next: Next) -> Message:
        trains = message.metadata.message_type == MessageType.TRAIN
        if trains and participant_of(context) == participant and not marker.exists():
            marker.touch()
            deed()
        return call_next(message, context)

    return mod


def die() -> None:
    """End this process as the kernel does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """Take longer than anybody waits."""
    time.sleep(600)


__all__ = ["PARTICIPANT", "die", "hang", "once", "round_of", "to_train", "toy_app"]
