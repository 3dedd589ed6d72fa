"""Differential privacy: guarantees, accountants, and ceilings."""

from fedsim.privacy.accountants import Accountant, Release, epsilon_of
from fedsim.privacy.facts import FederationFacts
from fedsim.privacy.guarantee import Guarantee, NoGuarantee, Position

__all__ = [
    "Accountant",
    "FederationFacts",
    "Guarantee",
    "NoGuarantee",
    "Position",
    "Release",
    "epsilon_of",
]
