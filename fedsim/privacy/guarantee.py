"""A guarantee of differential privacy, its assumptions, and its bound on attacks.

A membership inference attack with a true positive rate above ``e^epsilon * FPR + delta`` refutes
the guarantee (Wasserman and Zhou, JASA 2010; Kairouz, Oh and Viswanath, ICML 2015, theorem 2.1).
With as many members as non-members its accuracy is at most
``(e^epsilon + delta) / (1 + e^epsilon)`` (Humphries et al., CSF 2023, theorem 3.1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Position = Literal["server", "participant", "outside"]
PrivacyUnit = Literal["record", "participant", "user"]

EVERYBODY: tuple[Position, ...] = ("server", "participant", "outside")
_NAMES = {"server": "the server", "participant": "participants", "outside": "outsiders"}


@dataclass(frozen=True)
class Ceiling:
    """The upper limits of an attack's figures under a guarantee.

    Examples
    --------
    >>> round(Ceiling(1.0, 0.0).accuracy, 3)
    0.731
    """

    epsilon: float
    delta: float

    @property
    def accuracy(self) -> float:
        """The largest accuracy on as many members as non-members."""
        # Divided by e^epsilon, which may be too large for a float.
        small = math.exp(-self.epsilon)
        return min(1.0, (1 + self.delta * small) / (1 + small))

    def tpr(self, fpr: float) -> float:
        """Return the largest true positive rate at a false positive rate.

        The inequality holds with the classes exchanged, too:
        ``1 - FPR <= e^epsilon (1 - TPR) + delta``.
        """
        small = math.exp(-self.epsilon)
        others = 1 - small * max(0.0, 1 - fpr - self.delta)
        if fpr > small:
            return others
        return min(fpr / small + self.delta if fpr else self.delta, others)

    @property
    def auc(self) -> float:
        """The largest area under the ROC."""
        corner = (1 - self.delta) / (1 + math.exp(self.epsilon)) if self.epsilon < 700 else 0.0
        at = (0.0, corner, 1 - self.delta, 1.0)
        heights = (self.delta, 1 - corner, 1.0, 1.0)
        return sum(
            (at[i + 1] - at[i]) * (heights[i] + heights[i + 1]) / 2 for i in range(len(at) - 1)
        )


@dataclass(frozen=True)
class Guarantee:
    """A guarantee of (epsilon, delta)-differential privacy.

    Attributes
    ----------
    epsilon, delta
        The guarantee for adding or removing one unit, over all rounds; the largest epsilon of any
        participant.
    unit
        The unit whose presence is protected: ``record``, ``participant`` (all its records), or
        ``user`` if each participant is one user.
    against
        The positions that the guarantee holds against.
    assumptions
        The assumptions of the guarantee, one phrase each.
    each
        The epsilon of every participant over its rounds; empty if all are equal.
    changed
        If the unit is a participant: for each participant the epsilon, at the same delta, of
        replacing its data instead of removing them. It limits attacks on a record, because the
        record's owner takes part whether or not the record is in its data.
    accountant
        The accountant that computed epsilon.

    Examples
    --------
    >>> Guarantee(2.0, 1e-5, "record", ("participant", "outside")).in_words()
    '(2, 1e-05)-differential privacy of a record against participants and outsiders'
    """

    epsilon: float
    delta: float
    unit: PrivacyUnit
    against: tuple[Position, ...]
    assumptions: tuple[str, ...] = ()
    each: tuple[float, ...] = ()
    changed: tuple[float, ...] = ()
    accountant: str = ""

    @property
    def whom(self) -> str:
        """The positions that the guarantee holds against, in words."""
        names = [_NAMES[one] for one in self.against]
        return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

    def in_words(self) -> str:
        """Return the guarantee as a phrase."""
        rests = f", if {' and '.join(self.assumptions)}" if self.assumptions else ""
        return (
            f"({self.epsilon:.3g}, {self.delta:.3g})-differential privacy of a {self.unit} against "
            f"{self.whom}{rests}"
        )

    def ceiling(self, victims: Sequence[int]) -> Ceiling:
        """Return the ceiling on attacks on records of some participants, the largest of theirs.

        An audit compares a training record with records that were not trained on, at a fixed number
        of records. A guarantee for adding or removing a record is an exact limit only if each
        record is included independently; the record that takes its place is neglected here.
        """
        known = self.changed or self.each
        found = [known[p] for p in victims if p < len(known)]
        return Ceiling(max(found, default=self.epsilon), self.delta)


@dataclass(frozen=True)
class NoGuarantee:
    """The reason why no epsilon can be given.

    Examples
    --------
    >>> NoGuarantee("no noise is added").in_words()
    'no guarantee of differential privacy: no noise is added'
    """

    why: str

    def in_words(self) -> str:
        """Return the reason as a phrase."""
        return f"no guarantee of differential privacy: {self.why}"
