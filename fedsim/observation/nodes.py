"""Which participant each node of Flower's is: noted by a mod, as only nodes themselves know it.

Snapshots in an app of a third party go by Flower's node numbers, which are drawn at random in its
simulation. A node knows its ``partition-id``; the server does not.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from flwr.app import Context, Message
from pydantic import Field, TypeAdapter, ValidationError

from fedsim.errors import SnapshotError
from fedsim.files import OWNER_ONLY_FILE, make_private_folder, read_bytes, write_json

FILE = "nodes.json"
PARTITION = "partition-id"
_NODES: TypeAdapter[dict[int, int]] = TypeAdapter(dict[int, Annotated[int, Field(ge=0)]])


class NodeNumbers:
    """A Flower mod that writes which participant each node is to ``nodes.json`` in a folder.

    Put it among the mods of a ClientApp, beside a server adversary whose snapshots are attacked
    later. It changes no message, and nodes without a ``partition-id`` are left out.

    Parameters
    ----------
    folder
        Where the file is written; all nodes of a simulation may share it.

    Examples
    --------
    ::

        app = ClientApp(mods=[NodeNumbers("/home/me/audit/server")])
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._noted: set[int] = set()

    def __call__(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Note the node once a process, and let the message pass."""
        participant = context.node_config.get(PARTITION)
        if context.node_id not in self._noted and isinstance(participant, int):
            self._note(context.node_id, participant)
            self._noted.add(context.node_id)
        return call_next(message, context)

    def _note(self, node: int, participant: int) -> None:
        """Add a node to the file; several processes take turns."""
        make_private_folder(self.folder)
        turn = os.open(self.folder / f".{FILE}.lock", os.O_CREAT | os.O_RDWR, OWNER_ONLY_FILE)
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            path = self.folder / FILE
            known = read_nodes(self.folder) if path.is_file() else {}
            if known.get(node) != participant:
                together = sorted({**known, node: participant}.items(), key=lambda one: one[::-1])
                write_json(path, {str(number): part for number, part in together})
        finally:
            os.close(turn)


def read_nodes(folder: Path | str) -> dict[int, int]:
    """Return the participant that each node is, by Flower's number of the node.

    Raises
    ------
    SnapshotError
        If there is no ``nodes.json`` in the folder, or it is damaged.
    """
    path = Path(folder) / FILE
    try:
        return _NODES.validate_json(read_bytes(path))
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise SnapshotError(
            f"cannot read {path} ({reason}); put fedsim.NodeNumbers({str(folder)!r}) among the "
            "mods of the ClientApp and run the app again"
        ) from error
