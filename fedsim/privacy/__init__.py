"""Differential privacy: guarantees, accountants, and the ceilings on attacks that follow."""

from fedsim.privacy.accountants import Accountant, Release, total_epsilon
from fedsim.privacy.facts import FederationFacts
from fedsim.privacy.guarantee import Guarantee, NoGuarantee, Position

__all__ = [
    "Accountant",
    "FederationFacts",
    "Guarantee",
    "NoGuarantee",
    "Position",
    "Release",
    "total_epsilon",
]
