"""What an adversary passes to the attacks: snapshots under typed keys, with model and data.

A snapshot is requested by its kind and participant, never by its position in a tuple::

    uploads = view.snapshots(SnapshotKind.UPLOAD, participant=view.victim)
    last = view.closest[-1].load()
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fedsim.data import Dataset, MembershipQuery
from fedsim.files import share
from fedsim.objectives import Classification, Objective
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Needs
from fedsim.observation.shared_scores import SharedScores
from fedsim.observation.snapshot_file import Snapshot

RecordIds = NDArray[np.int64]

_BECOMES = {
    SnapshotKind.INTENDED: SnapshotKind.SENT,
    SnapshotKind.SENT: SnapshotKind.UPLOAD,
}
"""What the parameters of a kind become within a round."""


@dataclass(frozen=True)
class View:
    """What an adversary hands to the inference stage, for one query.

    Attributes
    ----------
    adversary
        The adversary's label.
    query
        Whose data is asked about.
    seen
        Everything that was seen and is given to the attack, by round and key; never empty.
    new_model
        Makes the model that the parameters of a snapshot fit into.
    dataset
        Where the audited records' features and labels are. Its membership is not in here.
    records
        All audited record ids, sorted: what an attack may be asked about.
    features
        A folder in which extracted features are kept; attacks share it.
    elsewhere
        Folders with features of other attackers, which may have seen the same parameters.
    shadows
        What the attacker saw in federations of its own, as many as the attacks ask for.
    objective
        The training objective.
    needed
        What attacks need that will read the same snapshots. Features may be extracted for
        all of them at once.
    shared
        Scores of the query that attacks have computed; see `Attack.shared_scores`.
    """

    adversary: str
    query: MembershipQuery
    seen: tuple[Snapshot, ...]
    new_model: Callable[[], nn.Module]
    dataset: Dataset
    records: RecordIds
    features: Path
    shadows: tuple["ShadowFederation", ...] = ()
    objective: Objective = field(default_factory=Classification)
    needed: tuple[Needs, ...] = ()
    elsewhere: tuple[Path, ...] = ()
    shared: SharedScores = field(default_factory=SharedScores, repr=False, compare=False)

    def snapshots(
        self,
        kind: SnapshotKind | None = None,
        participant: int | None = None,
        rounds: Collection[int] | None = None,
    ) -> tuple[Snapshot, ...]:
        """Return what was seen of a kind, of a participant and in some rounds, in their order.

        Parameters
        ----------
        kind, participant, rounds
            What to return; None leaves the choice open.
        """
        return tuple(
            s
            for s in self.seen
            if (kind is None or s.kind is kind)
            and (participant is None or s.participant == participant)
            and (rounds is None or s.round in rounds)
        )

    @property
    def victim(self) -> int | None:
        """The participant that is asked about; None where several are asked about together."""
        return self.query.victims[0] if len(self.query.victims) == 1 else None

    @property
    def others(self) -> tuple[int, ...]:
        """The other participants whose uploads were seen, ascending.

        Empty unless the attack declares `Needs.others` and the position sees uploads.
        """
        uploads = self.snapshots(SnapshotKind.UPLOAD)
        found = {s.participant for s in uploads if s.participant is not None}
        return tuple(sorted(found - {*self.query.victims}))

    @property
    def answering(self) -> tuple[Snapshot, ...]:
        """The snapshots that answer the query: all but those of the other participants."""
        return tuple(
            s for s in self.seen if s.participant is None or s.participant in self.query.victims
        )

    @property
    def trained(self) -> tuple[Snapshot, ...]:
        """Those of them that local training has made.

        Not what was sent to victims or meant to be; and not an aggregate where there is one
        without the attacker's own part.
        """
        clean = {s.round for s in self.seen if s.kind is SnapshotKind.CLEAN}
        return tuple(
            s
            for s in self.answering
            if s.kind.is_trained and not (s.kind is SnapshotKind.AGGREGATE and s.round in clean)
        )

    @property
    def closest(self) -> tuple[Snapshot, ...]:
        """Those of the trained ones that are closest to the victims' data, by round.

        The victims' uploads, where any were seen; otherwise the aggregates.
        """
        uploads = tuple(s for s in self.trained if s.kind is SnapshotKind.UPLOAD)
        return uploads or self.trained

    @property
    def changes(self) -> tuple[tuple[Snapshot, Snapshot], ...]:
        """Pairs (before, after) of the victims' snapshots within a round, in their order.

        What was meant to be sent and what was sent; what was sent and what came back.
        """
        places = {(s.round, s.key): s for s in self.answering}
        return tuple(
            (before, places[before.round, after])
            for before in self.answering
            if before.kind in _BECOMES
            and (after := _BECOMES[before.kind].of(before.participant))
            and (before.round, after) in places
        )

    def feature_files(self, pattern: str) -> list[Path]:
        """Return the files of features that match a pattern, by name.

        Where there are none, those of other attackers that match it are taken over first, so the
        pattern must state what the features follow from: a digest of parameters, records and data.
        """
        own = sorted(self.features.glob(pattern))
        if own:
            return own
        for path in (path for folder in self.elsewhere for path in folder.glob(pattern)):
            share(path, self.features / path.name)
        return sorted(self.features.glob(pattern))

    def keeping(self, snapshots: Collection[Snapshot]) -> "View":
        """Return this view with only some of what was seen."""
        return replace(self, seen=tuple(s for s in self.seen if s in snapshots))

    def given(self, needs: Needs, *, every: bool = False) -> "View":
        """Return what an attack with these needs is given of this view.

        With `every`, an attack that needs the last snapshot only is given all of them.
        """
        seen = self.seen if needs.others else self.answering
        if needs.kinds is not None:
            seen = tuple(s for s in seen if s.kind in needs.kinds)
        if needs.which == "last" and self.closest and not every:
            last = self.closest[-1]
            seen = tuple(
                s for s in seen if s == last or (s.round == last.round and s not in self.answering)
            )
        shadows = [s for s in self.shadows if (s.trained is not None) == needs.shadow_targets]
        return replace(self, seen=seen, shadows=tuple(shadows[: needs.shadow_federations]))


@dataclass(frozen=True)
class ShadowFederation:
    """A federation of the attacker's own, like the real one but on other records.

    Attributes
    ----------
    view
        What the attacker saw of the victim's stand-in; its records are to be learned from.
    member
        (n,) their truth.
    overlapping
        How many of the records that it was drawn from are training data or tested in the real
        federation; above 0 only where there are too few others.
    drawn
        How many records it was drawn from.
    trained
        Of each audited record of the real federation, in the order of its view: 1 if the victim's
        stand-in trains on it, 0 if nobody does, -1 if only others do. None where no audited record
        is meant to be in (`Needs.shadow_targets`).
    """

    view: View
    member: NDArray[np.bool_]
    overlapping: int
    drawn: int
    trained: NDArray[np.int8] | None = None
