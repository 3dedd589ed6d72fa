"""Defences: the contract, and those that come with fedsim, one per file."""

from fedsim.defences.base import Defence, Half, Hidden
from fedsim.privacy import FederationFacts, Guarantee, NoGuarantee, Position
from fedsim.transport.messages import arrays_of, with_arrays

__all__ = [
    "Defence",
    "FederationFacts",
    "Guarantee",
    "Half",
    "Hidden",
    "NoGuarantee",
    "Position",
    "arrays_of",
    "with_arrays",
]
