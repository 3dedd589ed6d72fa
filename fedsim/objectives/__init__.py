"""Objectives: what is learned, and how well a record is fitted. One objective a file."""

from fedsim.objectives.base import Objective
from fedsim.objectives.classification import Classification

__all__ = ["Classification", "Objective"]
