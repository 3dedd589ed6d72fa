"""Canaries: records that an audit chooses, and puts in by a coin. One kind a file."""

from fedsim.canaries.base import CanaryKind, CandidateRecords, CraftedCanaries

__all__ = ["CanaryKind", "CandidateRecords", "CraftedCanaries"]
