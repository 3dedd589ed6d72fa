"""Dishonest parties and their attacks, as plugins of fedsim like anybody's."""

from adversaries.positions.curious_participant import CuriousParticipant
from adversaries.positions.curious_server import CuriousServer

__all__ = ["CuriousParticipant", "CuriousServer"]
