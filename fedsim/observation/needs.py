"""What an attack needs of an observation, declared before anything is simulated.

Only what is needed is kept and extracted, and a need that cannot be met is refused before round 1.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from fedsim.errors import PluginError
from fedsim.observation.keys import SnapshotKind

Layers = tuple[str | int, ...]
"""Layers by name, or by place from the end: -1 is the last one."""


class Knowledge(Enum):
    """What an attacker knows beside what it sees, for an attack to learn from."""

    KNOWN_RECORDS = "known members and non-members"
    SHADOW_DATA = "data of the same kind, for federations of its own"
    TARGET_RECORDS = "the audited records themselves, to train on"


@dataclass(frozen=True)
class Needs:
    """What an attack reads. By default nothing at all.

    Attributes
    ----------
    kinds
        Kinds of snapshots that are read; None for whatever answers the query.
    others
        Whether the uploads of the other participants are read, too (`View.others`).
    which
        ``last``: only the last of the snapshots closest to the victims' data; or ``all``.
    parameters
        Whether `Snapshot.load` is called. It cannot be where parameters are let go
        (``snapshots.keep: features``).
    outputs
        Whether the model's output on each record is read.
    scalars
        Whether the objective's scalars of the output are read: loss, margin, log-odds and the like.
    last_layer_norms
        Whether the norms of the last layer's input and of its gradient are read.
    last_layer
        Whether the gradient of the last layer is read.
    layer_outputs
        Layers whose outputs are read.
    gradient_norms
        Layers whose per-record gradient norms are read, or ``all``.
    gradients
        Layers whose per-record gradients are read.
    update_alignment
        Whether it is read how well each record's gradient agrees with updates: pairs of snapshots
        before and after training.
    shadow_federations
        How many federations of the attacker's own it learns from.
    shadow_targets
        Whether the victim's stand-in in them trains on audited records, each of them in half of the
        federations (`ShadowFederation.trained`).
    knowledge
        What it learns from.
    optional
        Which of ``others`` and ``update_alignment`` are read where a position shows them, and done
        without where it does not. What is needed and not optional is refused there.

    Examples
    --------
    The loss on the last snapshot, which is one forward pass:

    >>> Needs(which="last", scalars=True).reads_features
    True

    Other participants' uploads, in the positions that see them:

    >>> Needs(others=True, scalars=True, optional=frozenset({"others"})).requires_others
    False
    """

    kinds: frozenset[SnapshotKind] | None = None
    others: bool = False
    which: Literal["last", "all"] = "all"
    parameters: bool = False
    outputs: bool = False
    scalars: bool = False
    last_layer_norms: bool = False
    last_layer: bool = False
    layer_outputs: Layers = ()
    gradient_norms: Literal["all"] | Layers = ()
    gradients: Layers = ()
    update_alignment: bool = False
    shadow_federations: int = 0
    shadow_targets: bool = False
    knowledge: frozenset[Knowledge] = frozenset()
    optional: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.which not in ("last", "all"):
            raise PluginError(f"needs.which is {self.which!r}; valid: all, last")
        if self.shadow_federations < 0:
            raise PluginError(
                f"needs.shadow_federations must not be negative, but is {self.shadow_federations}"
            )
        if unknown := sorted(self.optional - OPTIONAL):
            raise PluginError(
                f"needs.optional names {unknown[0]!r}; valid: {', '.join(sorted(OPTIONAL))}"
            )

    @property
    def requires_others(self) -> bool:
        """Whether it cannot do without the uploads of the other participants."""
        return self.others and "others" not in self.optional

    @property
    def requires_update_alignment(self) -> bool:
        """Whether it cannot do without an update to compare gradients with."""
        return self.update_alignment and "update_alignment" not in self.optional

    @property
    def knowledge_in_words(self) -> str:
        """What is learned from, in words.

        >>> Needs().knowledge_in_words
        'nothing'
        """
        return " and ".join(sorted(one.value for one in self.knowledge)) or "nothing"

    @property
    def reads_features(self) -> bool:
        """Whether anything is to be extracted from snapshots."""
        return any(bool(getattr(self, name)) for name in FEATURES)

    @property
    def names_layers(self) -> bool:
        """Whether outputs or gradients of layers are to be extracted that are chosen."""
        return bool(self.layer_outputs or self.gradients)


OPTIONAL = frozenset({"others", "update_alignment"})
"""The fields of `Needs` that an attack may do without."""

FEATURES = (
    "outputs",
    "scalars",
    "last_layer_norms",
    "last_layer",
    "layer_outputs",
    "gradient_norms",
    "gradients",
    "update_alignment",
)
"""The fields of `Needs` that name features of a snapshot."""

UNDECLARED = Needs(parameters=True, knowledge=frozenset({Knowledge.KNOWN_RECORDS}))
"""What an attack is taken to need that declares nothing: the snapshots themselves."""
