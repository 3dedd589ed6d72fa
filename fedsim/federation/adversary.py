"""What every dishonest party is: a threat model, questions, and a store for what it sees.

An adversary touches only the Flower messages that its position carries. Its hooks are called on a
fixed timeline and do nothing by default, so a plugin overrides what it needs::

    round r   server: send -> ... -> receive -> aggregated -> send_evaluation
              participant: arrived (the aggregate of round r - 1) -> leaving -> arrived (of round r)

The two positions are in `server_position` and `participant_position`. This layer knows no adversary
by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from flwr.app import ArrayRecord

from fedsim.data import Question
from fedsim.errors import PluginError
from fedsim.snapshots import SnapshotStore


@dataclass(frozen=True)
class Threat:
    """A threat model in words, printed before anything runs.

    Attributes
    ----------
    who
        The position: "the server", "participant 3".
    sees
        What its position shows it.
    does
        What it does beyond the protocol; by default nothing.
    active
        Whether it does anything beyond the protocol.
    """

    who: str
    sees: str
    does: str = "nothing: it follows the protocol"
    active: bool = False


class Adversary(ABC):
    """A dishonest party; plugins derive from one of the two positions below."""

    store: SnapshotStore | None = None

    @abstractmethod
    def threat(self) -> Threat:
        """Return the threat model in words."""

    @abstractmethod
    def questions(self, victims: Sequence[int], participants: int) -> tuple[Question, ...]:
        """Return whose data this position asks about, one question an observation."""

    @abstractmethod
    def owner(self, question: Question) -> str:
        """Return the owner of the snapshots that answer a question."""

    def keep_in(self, store: SnapshotStore | Path | str) -> Self:
        """Keep what is recorded in `store` (a folder keeps everything), and return self."""
        self.store = store if isinstance(store, SnapshotStore) else SnapshotStore(Path(store))
        return self

    def record(self, round_number: int, owner: str, arrays: ArrayRecord) -> None:
        """Keep a snapshot, as far as the store's policy wants it.

        Raises
        ------
        PluginError
            If the adversary was given no place to keep it.
        SnapshotError
            If the disk does not take it.
        """
        if self.store is None:
            raise PluginError(f"{type(self).__name__} has no store; call keep_in(folder) first")
        self.store.keep(round_number, owner, arrays)
