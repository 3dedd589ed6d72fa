"""Reference models that were not trained on a record, for each observed round.

Calibrated attacks compare the victim's model with models trained in the same way without the record
(*OUT* models). With a disjoint partition the server has them: no other participant trains on a
victim's record, so the others' uploads of the round are OUT models (as in FedMIA). Otherwise, and
from positions that see no uploads, shadow federations provide them.

Others' uploads are no OUT models of non-members that are drawn from the others' own data
(``audit.nonmembers: others``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adversaries.inference.feature_cache import features_on, last_features, own_features
from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.memory import tried_features
from adversaries.inference.needed_features import FIT
from fedsim.attacks import Attack, ExpectedObservation, View
from fedsim.errors import FedsimError, shown
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Knowledge, Needs
from fedsim.observation.snapshot_file import Snapshot
from fedsim.progress import Watcher

Floats = NDArray[np.float64]
MOST_FEDERATIONS = 10_000
"""Of one's own that an attack may ask for."""
FEWEST = 2
"""Of the OUT models in a round: one alone has no spread."""
FEWEST_OF_BOTH = 2 * FEWEST


@dataclass(frozen=True)
class RoundReferences:
    """Values of a round's models for N records.

    Attributes
    ----------
    round
        Its number.
    victim
        The features on the model closest to the victim's data.
    out
        Those on each OUT model; on each reference model, where some have trained on the records.
    trained
        (K, N) who has: see `ShadowFederation.trained`. None where all models are OUT.
    """

    round: int
    victim: SnapshotFeatures
    out: tuple[SnapshotFeatures, ...]
    trained: NDArray[np.int8] | None = None

    def scalars(self, name: str) -> tuple[Floats, Floats]:
        """Return a scalar of the objective, of the victim's model (N,) and of the others (K, N)."""
        return (
            self.victim.scalar(name).astype(np.float64),
            np.stack([one.scalar(name) for one in self.out]).astype(np.float64),
        )

    def fits(self) -> tuple[Floats, Floats]:
        """Return the first scalar, which orders records by fit: the log-odds of a classifier."""
        return self.scalars(self.victim.scalar_names[0])

    def log_likelihoods(self) -> tuple[Floats, Floats]:
        """Return minus the loss, log p_y of a classifier, likewise."""
        return (
            -self.victim.losses.astype(np.float64),
            -np.stack([one.losses for one in self.out]).astype(np.float64),
        )


def reference_needs(federations: int, *, known: bool = False, targets: bool = False) -> Needs:
    """Return the needs with this number of shadow federations; with none, of others' uploads.

    With `targets`, the federations train on the audited records, each of them in half of them.

    Raises
    ------
    FedsimError
        If the number is out of range.
    """
    if targets and not FEWEST_OF_BOTH <= federations <= MOST_FEDERATIONS:
        raise FedsimError(
            f"federations is {shown(federations)}, and models with and without each record take "
            f"{FEWEST_OF_BOTH} to {MOST_FEDERATIONS:,} shadow federations"
        )
    if federations == 1 or not 0 <= federations <= MOST_FEDERATIONS:
        raise FedsimError(
            f"federations is {shown(federations)}; valid: 0, for the other participants' uploads, "
            f"or 2 to {MOST_FEDERATIONS:,} shadow federations"
        )
    knowledge = {Knowledge.KNOWN_RECORDS} if known else set()
    if federations:
        knowledge.add(Knowledge.SHADOW_DATA)
    if targets:
        knowledge.add(Knowledge.TARGET_RECORDS)
    return Needs(
        others=not federations,
        scalars=True,
        shadow_federations=federations,
        shadow_targets=targets,
        knowledge=frozenset(knowledge),
    )


class ReferenceAttack(Attack):
    """An attack that compares the victim's model with OUT models: `needs` says where from."""

    def memory_needed(self, prospect: ExpectedObservation) -> None:
        """Try the model; it takes little memory."""
        tried_features(prospect, FIT)

    def extract(self, view: View, watcher: Watcher) -> None:
        """Keep what `round_references` will read of the snapshots that are there."""
        keep_references(view, watcher, self.needs)


def keep_references(view: View, watcher: Watcher, needs: Needs) -> None:
    """Extract what `round_references` will read of the snapshots that are there."""
    own_features(view, watcher, FIT)
    if needs.others:
        features_on(view, watcher, others_in(view), FIT)


def round_references(
    view: View, watcher: Watcher, needs: Needs, name: str
) -> tuple[RoundReferences, ...]:
    """Return every round with at least two OUT models and the victim's.

    Parameters
    ----------
    view, watcher
        What was seen, and the watcher.
    needs
        As `reference_needs` returned it.
    name
        Name of the attack, for the error message.

    Raises
    ------
    FedsimError
        If there is no such round.
    """
    found = []
    for number in dict.fromkeys(snapshot.round for snapshot in view.closest):
        own = view.keeping([s for s in view.seen if s.round == number])
        shadows = () if needs.others else _shadows(view, needs, number)
        models = others_in(own) if needs.others else [one for one, _ in shadows]
        if len(models) >= FEWEST:
            victim = last_features(own, watcher, FIT)
            out = features_on(view, watcher, models, FIT)
            sides = [trained for _, trained in shadows if trained is not None]
            trained = np.stack(sides) if sides else None
            found.append(RoundReferences(number, victim, tuple(out), trained))
    if not found:
        raise FedsimError(
            f"{name} compares the victim with at least two models that have not trained on its "
            "records, and in no observed round there are two; let more participants take part, or "
            "set federations"
        )
    return tuple(found)


def sees_references(view: View) -> bool:
    """Return whether there is a round in which enough others' uploads were seen."""
    rounds = {snapshot.round for snapshot in view.closest}
    return any(len(others_in(view, number)) >= FEWEST for number in rounds)


def others_in(view: View, number: int | None = None) -> Sequence[Snapshot]:
    """Return the uploads of participants that are not asked about, of one round or of all."""
    rounds = None if number is None else (number,)
    uploads = view.snapshots(SnapshotKind.UPLOAD, rounds=rounds)
    return [s for s in uploads if s.participant not in view.query.victims]


def _shadows(
    view: View, needs: Needs, number: int
) -> Sequence[tuple[Snapshot, NDArray[np.int8] | None]]:
    """Return the snapshot closest to the stand-in's data in a round of each shadow federation."""
    last = []
    fitting = [s for s in view.shadows if (s.trained is not None) == needs.shadow_targets]
    for shadow in fitting[: needs.shadow_federations]:
        closest = [s for s in shadow.view.closest if s.round == number]
        last += [(one, shadow.trained) for one in closest[-1:]]
    return last
