"""Keys of snapshots: a kind, and for some kinds a participant.

Positions keep parameters under such keys, views are queried by them, and files are named after
them. The name of a key is written and parsed only here.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import total_ordering

from fedsim.errors import SnapshotError, listed


@total_ordering
class SnapshotKind(Enum):
    """What was seen. The order of the kinds is the order of events within a round.

    An aggregate, by contrast, comes first: it is the least specific about any one participant, so
    the last snapshot of a round is the closest to a participant's data.

    Examples
    --------
    >>> SnapshotKind.UPLOAD.of(3)
    SnapshotKey(kind=<SnapshotKind.UPLOAD: 'participant'>, participant=3)
    """

    CLEAN = "clean"
    """The aggregate without what an active participant put into it."""
    AGGREGATE = "aggregate"
    """What the server made of a round's uploads."""
    INTENDED = "meant"
    """What a participant would have been sent by an honest server."""
    SENT = "sent"
    """What a participant was sent."""
    UPLOAD = "participant"
    """What a participant returned after its local training."""

    def of(self, participant: int | None = None) -> "SnapshotKey":
        """Return the key of a snapshot of this kind, of a participant if the kind has one."""
        return SnapshotKey(self, participant)

    @property
    def has_participant(self) -> bool:
        """Whether a snapshot of this kind is of one participant."""
        return self not in (SnapshotKind.CLEAN, SnapshotKind.AGGREGATE)

    @property
    def is_trained(self) -> bool:
        """Whether local training made it, of one participant or of several."""
        return self not in (SnapshotKind.INTENDED, SnapshotKind.SENT)

    def __lt__(self, other: "SnapshotKind") -> bool:
        return _ORDER[self] < _ORDER[other]


_ORDER = {kind: place for place, kind in enumerate(SnapshotKind)}
_NAME = re.compile(r"([a-z]+)(?:-(\d+))?")


@dataclass(frozen=True)
class SnapshotKey:
    """What a snapshot is of.

    Attributes
    ----------
    kind
        What was seen.
    participant
        Of whom; None where the kind is of no one participant.

    Raises
    ------
    SnapshotError
        If the kind needs a participant and has none, or the other way round.
    """

    kind: SnapshotKind
    participant: int | None = None

    def __post_init__(self) -> None:
        numbered = self.participant is not None and self.participant >= 0
        if numbered != self.kind.has_participant or (self.participant or 0) < 0:
            need = "the number of a participant" if self.kind.has_participant else "no participant"
            raise SnapshotError(
                f"a snapshot of kind {self.kind.name} needs {need}, not {self.participant}"
            )

    @property
    def name(self) -> str:
        """The key as it stands in file names: ``aggregate``, ``participant-3``."""
        number = "" if self.participant is None else f"-{self.participant}"
        return f"{self.kind.value}{number}"

    @property
    def in_words(self) -> str:
        """The key in words, for messages."""
        return _WORDS[self.kind].format(self.participant)

    @classmethod
    def parse(cls, name: str) -> "SnapshotKey":
        """Return the key that a name stands for.

        Raises
        ------
        SnapshotError
            If it stands for none.

        Examples
        --------
        >>> SnapshotKey.parse("sent-12").participant
        12
        """
        match = _NAME.fullmatch(name)
        kinds = {kind.value: kind for kind in SnapshotKind}
        try:
            if match is not None and match[1] in kinds:
                return cls(kinds[match[1]], None if match[2] is None else int(match[2]))
        except SnapshotError:
            pass
        valid = [f"{k.value}-N" if k.has_participant else k.value for k in SnapshotKind]
        raise SnapshotError(f"{name!r} is not the name of a snapshot; valid: {listed(valid)}")

    def __lt__(self, other: "SnapshotKey") -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[int, int]:
        return _ORDER[self.kind], -1 if self.participant is None else self.participant


_WORDS = {
    SnapshotKind.CLEAN: "the aggregate without the attacker's own part",
    SnapshotKind.AGGREGATE: "the aggregate",
    SnapshotKind.INTENDED: "what an honest server would have sent participant {}",
    SnapshotKind.SENT: "what participant {} was sent",
    SnapshotKind.UPLOAD: "the upload of participant {}",
}
