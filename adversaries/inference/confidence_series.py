"""Confidence series: a small convolutional network over the log-odds of each round.

Zari, Xu and Neglia, *Efficient Passive Membership Inference Attack in Federated Learning*, NeurIPS
PriML 2021: a classifier on the sequence of true-class probabilities over the rounds, trained on
known records. The original code is not available; a public re-implementation, based on
correspondence with the author, has three convolutions over the rounds. Here they have an eighth of
its channels (the paper argues for a small network), and the network reads log-odds, which are
monotone in the probabilities and lose no digits.
"""

from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.sequence_training import Floats
from adversaries.inference.series_classifier import SeriesClassifier


class ConfidenceSeries(SeriesClassifier):
    """Score a record by a small network over its fit in each round (Zari et al. 2021).

    Parameters
    ----------
    epochs
        Number of training epochs.
    """

    title = "confidence series"
    learning_rate = 3e-3

    def __init__(self, epochs: Annotated[int, Field(ge=1)] = 60) -> None:
        self.epochs = epochs

    def network(self, rounds: int, columns: int) -> nn.Module:
        """Return three convolutions."""
        return Convolutions(columns)

    def measures(self, features: SnapshotFeatures) -> Floats:
        """Return the log-odds, (N, 1); for other objectives their measure of fit."""
        return features.scalars[:, :1].astype(np.float64)


class Convolutions(nn.Module):
    """Three convolutions over the rounds and their mean: (B, T, S) to logits (B,)."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        sizes = ((columns, 16, 7), (16, 32, 5), (32, 16, 3))
        self.body = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(before, after, kernel, padding=kernel // 2),
                    nn.BatchNorm1d(after),
                    nn.ReLU(),
                )
                for before, after, kernel in sizes
            )
        )
        self.head = nn.Linear(16, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return the logit of membership."""
        logits: Tensor = self.head(self.body(series.transpose(1, 2)).mean(2))[:, 0]
        return logits
