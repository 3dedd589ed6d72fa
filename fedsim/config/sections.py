"""The small sections of an experiment: data, partition, snapshots, audit, an external model."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, PositiveInt, Tag

from fedsim.config.choice import Choice, LabelledChoice
from fedsim.config.strict import Count, NaturalNumber, Participant, Strict


class DataSettings(Choice):
    """A data set; `test_records` are held out where the source has no test split of its own."""

    test_records: PositiveInt | None = None
    split_seed: NaturalNumber | None = None


class PartitionSettings(Choice):
    """How records go to participants: `records` each, or all there are."""

    name: str = "disjoint"
    participants: Count = 4
    records: PositiveInt | None = None
    seed: NaturalNumber | None = None


class EveryRound(Strict):
    """Observed rounds at a distance: `first`, `first + every`, ... and the last round."""

    every: PositiveInt
    first: PositiveInt | None = None


class SnapshotSettings(Strict):
    """Which rounds are kept, whose uploads, and what of them.

    Uploads: the victims' only, or all participants'. Of a snapshot its parameters, or only the
    features that the experiment's attacks read.
    """

    rounds: Annotated[
        Annotated[tuple[PositiveInt, ...], Tag("(list)")] | Annotated[EveryRound, Tag("(mapping)")],
        Discriminator(lambda v: "(mapping)" if isinstance(v, dict | EveryRound) else "(list)"),
    ] = EveryRound(every=5)
    participants: Literal["victims", "all"] = "victims"
    keep: Literal["parameters", "features"] = "parameters"

    def observed(self, last: int) -> tuple[int, ...]:
        """Return the rounds whose snapshots are kept, of a federation of `last` rounds."""
        if isinstance(self.rounds, EveryRound):
            every, first = self.rounds.every, self.rounds.first
            return tuple(sorted({*range(first or every, last, every), last}))
        return tuple(sorted(set(self.rounds)))


class AuditSettings(Strict):
    """Whose data is asked about, and how many records are known to the attacker and tested.

    With `canaries` the audited records are canaries: of each victim as many as the four sizes say
    together, an even share of each kind, each in its data by a coin.
    """

    victims: tuple[Participant, ...] = (0,)
    known_members: PositiveInt = 1000
    known_nonmembers: PositiveInt = 1000
    tested_members: PositiveInt = 1000
    tested_nonmembers: PositiveInt = 1000
    nonmembers: Literal["unseen", "others", "both", "label-matched"] = "unseen"
    nonmember_source: Literal["any", "pool"] = "any"
    nonmember_classes: Literal["victim", "any"] = "victim"
    unit: Literal["record", "user"] = "record"
    user_score: Literal["mean", "max"] = "mean"
    attack_seeds: PositiveInt = 1
    federation_seeds: Annotated[int, Field(gt=0, le=1000)] = 1
    null: bool = False
    canaries: tuple[LabelledChoice, ...] = ()
    canary_participants: NaturalNumber = 0


class ExternalModelSettings(Strict):
    """What a model that was trained elsewhere goes by.

    Checksums: of its weights, one per snapshot, and of who was in its data.
    """

    weights: tuple[str, ...]
    membership: str
