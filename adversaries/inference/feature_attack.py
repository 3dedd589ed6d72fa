"""Attacks that read the same features of every snapshot that was observed: what they share."""

from typing import ClassVar

from adversaries.inference.feature_cache import observed_features
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import FIT
from fedsim.attacks import Attack, AuxiliaryRecords, ExpectedObservation, RecordIds, View
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import SILENCE, Watcher


class FeatureAttack(Attack):
    """An attack on what snapshots say of each record.

    Attributes
    ----------
    read
        Which features; by default losses and the objective's scalars.
    """

    read: ClassVar[FeatureSpec] = FIT

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model on one record; it takes little memory."""
        self.require_readable(tried_features(prospect, self.read))

    def dry_run(self, view: View, known: AuxiliaryRecords, candidates: RecordIds) -> None:
        """Read one round, in which there is no course yet; learn nothing."""
        self.features(view, SILENCE)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep what is read."""
        self.features(view, watcher)

    def features(self, view: View, watcher: Watcher) -> dict[Snapshot, SnapshotFeatures]:
        """Return the features of all audited records on each snapshot that is read."""
        found = observed_features(view, watcher, self.read)
        return dict(zip(view.answering, found, strict=True))

    def require_readable(self, features: SnapshotFeatures) -> None:
        """Raise `FedsimError` if the features are of an objective that the attack cannot read."""
