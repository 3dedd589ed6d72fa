"""Data and models of each objective, with nothing to learn but the records by heart."""

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.data import Arrays

RECORDS, FEATURES, OUTPUTS = 500, 24, 4
TOKENS, VOCABULARY = 6, 12


def _features() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(RECORDS, FEATURES)).astype(np.float32)


def numbers() -> Arrays:
    """Return records with targets of noise, two each."""
    targets = np.random.default_rng(2).normal(size=(RECORDS, 2)).astype(np.float32)
    return Arrays(_features(), targets, objective="regression")


def several_labels() -> Arrays:
    """Return records with labels by coin tosses, four each."""
    targets = np.random.default_rng(2).integers(0, 2, size=(RECORDS, OUTPUTS))
    return Arrays(_features(), targets, objective="multilabel")


def sequences() -> Arrays:
    """Return sequences of random tokens, some of them padded at their end."""
    random = np.random.default_rng(2)
    drawn = random.integers(VOCABULARY, size=(RECORDS, TOKENS + 1))
    inputs, targets = drawn[:, :-1].copy(), drawn[:, 1:].copy()
    targets[::3, -2:] = -100
    return Arrays(inputs, targets, objective="next-token", num_classes=VOCABULARY)


def classes() -> Arrays:
    """Return records with labels by dice."""
    labels = np.random.default_rng(2).integers(OUTPUTS, size=RECORDS)
    return Arrays(_features(), labels)


def network(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Return a network that can learn records by heart."""
    return nn.Sequential(nn.Linear(input_shape[0], 96), nn.Tanh(), nn.Linear(96, num_classes))


class Language(nn.Module):
    """A network over whole sequences, which can learn them by heart."""

    def __init__(self, num_classes: int, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, 12)
        self.hidden = nn.Linear(12 * input_shape[0], 96)
        self.output = nn.Linear(96, num_classes * input_shape[0])

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (n, T, V)."""
        read = self.embedding(tokens).flatten(1)
        logits: Tensor = self.output(torch.tanh(self.hidden(read)))
        return logits.reshape(*tokens.shape, -1)
