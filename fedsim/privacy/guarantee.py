"""A guarantee of differential privacy, its assumptions, and its bound on attacks.

An attack that tells members from non-members with a true positive rate above
``e^epsilon * FPR + delta`` refutes the guarantee (Wasserman and Zhou, JASA 2010; Kairouz, Oh and
Viswanath, ICML 2015, theorem 2.1). With as many members as non-members its accuracy is at most
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
    """The most that an attack can achieve where a guarantee holds.

    Examples
    --------
    >>> round(Ceiling(1.0, 0.0).accuracy, 3)
    0.731
    """

    epsilon: float
    delta: float

    @property
    def accuracy(self) -> float:
        """The accuracy on as many members as non-members."""
        # Divided by e^epsilon, which may be too large for a float.
        small = math.exp(-self.epsilon)
        return min(1.0, (1 + self.delta * small) / (1 + small))

    def tpr(self, fpr: float) -> float:
        """Return the true positive rate at a false positive rate.

        The bound holds for members as for non-members: ``1 - FPR <= e^epsilon (1 - TPR) + delta``.
        """
        small = math.exp(-self.epsilon)
        others = 1 - small * max(0.0, 1 - fpr - self.delta)
        if fpr > small:
            return others
        return min(fpr / small + self.delta if fpr else self.delta, others)

    @property
    def auc(self) -> float:
        """The area under the true positive rates."""
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
        Of adding or removing one unit; over all rounds, and of the participant with the largest.
    unit
        Whose presence is protected: that of one record, or of all that a participant has; of a
        user, where each participant is one.
    against
        The positions that it holds against.
    assumptions
        What must be true for it, a phrase each.
    each
        The epsilon of every participant, by its rounds; empty where all have the same.
    changed
        Where the unit is a participant: the epsilon, at the same delta, of changing its data
        instead of removing them, for each participant. It is what binds an attack on a record,
        whose owner takes part in either case.
    accountant
        Where the figures are from.

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
        """Against whom it holds, in words."""
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
        """Return what bounds the attacks on records of some participants: the largest of theirs.

        An audit compares a record that was trained on with others that were not, at the same number
        of records. A guarantee of adding or removing a record bounds that exactly where each record
        is in by a coin of its own; the record that stands in its place is neglected.
        """
        known = self.changed or self.each
        found = [known[p] for p in victims if p < len(known)]
        return Ceiling(max(found, default=self.epsilon), self.delta)


@dataclass(frozen=True)
class NoGuarantee:
    """No epsilon can be given, and why.

    Examples
    --------
    >>> NoGuarantee("no noise is added").in_words()
    'no guarantee of differential privacy: no noise is added'
    """

    why: str

    def in_words(self) -> str:
        """Return the reason as a phrase."""
        return f"no guarantee of differential privacy: {self.why}"
