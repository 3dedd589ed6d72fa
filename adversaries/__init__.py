"""Adversaries and membership-inference attacks, installed as plugins of fedsim."""

from adversaries.positions.curious_participant import CuriousParticipant
from adversaries.positions.curious_server import CuriousServer
from adversaries.positions.gradient_ascent_participant import GradientAscentParticipant
from adversaries.positions.gradient_ascent_server import GradientAscentServer
from adversaries.positions.isolating_server import IsolatingServer

__all__ = [
    "CuriousParticipant",
    "CuriousServer",
    "GradientAscentParticipant",
    "GradientAscentServer",
    "IsolatingServer",
]
