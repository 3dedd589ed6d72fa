"""Objectives: the loss that is minimised, and how well a record is fitted; one per file."""

from fedsim.objectives.base import Objective, RecordFit, UtilityFigure
from fedsim.objectives.classification import Classification
from fedsim.objectives.multilabel import MultiLabel
from fedsim.objectives.next_token import NextToken
from fedsim.objectives.regression import Regression

__all__ = [
    "Classification",
    "MultiLabel",
    "NextToken",
    "Objective",
    "RecordFit",
    "Regression",
    "UtilityFigure",
]
