"""The contract of a defence: measures of participants and the server against an attacker.

A defence stands on the other side of the same messages as an adversary. It has up to three parts:
mods of the participants' app, a wrapper around the server's strategy, and a wrapper around the
local trainer. It says in words what it does, what a position no longer sees because of it, and what
is guaranteed, if anything is.

The defences of an experiment wrap each other in the order of the list: an update passes the first
one first on its way from the local training to the aggregate. A dishonest participant that acts is
outside of them: it sees what its honest training and its defences would upload, and uploads
anything. A dishonest server is outside of the server's half, and sees the uploads as they arrive.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from flwr.app import ArrayRecord
from flwr.clientapp.typing import Mod
from flwr.serverapp.strategy import Strategy

from fedsim.observation.keys import SnapshotKind
from fedsim.privacy import FederationFacts, Guarantee, NoGuarantee, Position
from fedsim.training.trainer import LocalTrainer

Half = Literal["participants", "server"]


@dataclass(frozen=True)
class Hidden:
    """What a position no longer sees.

    Attributes
    ----------
    position
        The position from which they are hidden.
    kinds
        The kinds of snapshots that the position no longer sees.
    why
        What the position sees instead, as the end of a sentence: "it sees the sum of all uploads
        only".
    """

    position: Position
    kinds: frozenset[SnapshotKind]
    why: str


def require_positive(name: str, value: float) -> float:
    """Return a setting of a defence that is built in Python, where nothing else checks it.

    >>> require_positive("alpha", 0.5)
    0.5

    Raises
    ------
    ValueError
        If it is not a positive finite number.
    """
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a positive number, not {value}")
    return value


class Defence(ABC):
    """A defence; plugins of the group ``fedsim.defences`` derive from it.

    Attributes
    ----------
    halves
        Which sides have to act for it to be one. A side that is named and does nothing is an error
        before round 1: a half alone protects nobody.
    facts
        The federation that it protects; set before any of its parts is asked for.
    alters_updates
        Whether an update may be another one after it; a clipping that comes before is then none.
    budget
        The largest epsilon that is allowed: the federation ends before the round that would exceed
        it. None, the default, for no limit.
    label
        What the experiment calls it; set with `facts`. What it keeps goes by this name, as the
        same defence may be there twice.

    Examples
    --------
    Participants that round what they upload; the server needs to do nothing:

    >>> from flwr.app import Array, ArrayRecord, MessageType
    >>> from fedsim.defences import arrays_of, with_arrays
    >>> class Rounded(Defence):
    ...     halves = frozenset({"participants"})
    ...
    ...     def __init__(self, digits: int = 3) -> None:
    ...         self.digits = digits
    ...
    ...     def in_words(self) -> str:
    ...         return f"participants round their parameters to {self.digits} digits"
    ...
    ...     def client_mods(self):
    ...         return (self.round,)
    ...
    ...     def round(self, message, context, call_next):
    ...         reply = call_next(message, context)
    ...         if reply.metadata.message_type == MessageType.TRAIN and reply.has_content():
    ...             arrays = arrays_of(reply.content, "local training")
    ...             rounded = {n: Array(a.numpy().round(self.digits)) for n, a in arrays.items()}
    ...             reply.content = with_arrays(reply.content, ArrayRecord(rounded))
    ...         return reply
    >>> Rounded(2).in_words()
    'participants round their parameters to 2 digits'
    """

    halves: ClassVar[frozenset[Half]] = frozenset()
    alters_updates: ClassVar[bool] = True
    facts: FederationFacts | None = None
    budget: float | None = None
    label: str = ""

    @abstractmethod
    def in_words(self) -> str:
        """Return what it does, as a sentence without its stop; printed before anything runs."""

    def client_mods(self) -> Sequence[Mod]:
        """Return Flower mods for the participants' app, the outermost first; by default none.

        They are copied to other processes and must not keep state of their own: what a participant
        remembers belongs into its ``Context.state``.
        """
        return ()

    def upload_bytes(self, upload: ArrayRecord) -> int | None:
        """Return how many bytes an upload takes that this defence encodes; by default None.

        None, if it is sent as it is, number by number. Messages of the simulator hold every upload
        as it is; this is what would go over a network, and stands in the history of the federation.
        It is asked of the last defence that alters what participants upload, and of no other.
        """
        return None

    def wrap_strategy(self, strategy: Strategy) -> Strategy:
        """Return the strategy with the server's half around it; by default as it is.

        Attributes of the result are kept in checkpoints, as those of every strategy.
        """
        return strategy

    def wrap_trainer(self, trainer: LocalTrainer) -> LocalTrainer:
        """Return the trainer with this defence around it; by default as it is."""
        return trainer

    def hides(self) -> tuple[Hidden, ...]:
        """Return what positions no longer see; by default nothing is hidden.

        A position that would need it is refused before round 1.
        """
        return ()

    def guarantee(self, facts: FederationFacts) -> Guarantee | NoGuarantee | None:
        """Return what is guaranteed for such a federation; None, the default, if nothing is.

        It is a function of `facts` alone, which say who trains in which round: asked again, after a
        stop or elsewhere, it is the same. Where no accountant covers a case, `NoGuarantee` says
        why. With `facts.until(r)` it must not be larger than with all rounds.
        """
        return None
