"""SeqMIA: a recurrent network over several measures of each round's prediction.

Li et al., *SeqMIA: Sequential-Metric Based Membership Inference Attack*, CCS 2024. Of each
snapshot: the loss, the largest probability, the standard deviation of the probabilities, their
entropy, and the modified entropy - (1 - p_y) log p_y - sum_{c != y} p_c log(1 - p_c). An LSTM with
hidden size 4 reads the sequence; its outputs are weighted by their softmax product with the last
one, and a linear layer reads both. The paper distils the target to get a sequence; in a federation
the rounds are one. It learns from the known records, cross-fitted.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy.special import log_softmax, logsumexp
from torch import Tensor, nn

from adversaries.inference.features import SnapshotFeatures
from adversaries.inference.needed_features import needed_features
from adversaries.inference.sequence_training import Floats
from adversaries.inference.series_classifier import SeriesClassifier
from fedsim.errors import FedsimError
from fedsim.observation.needs import Knowledge, Needs

_NEEDS = Needs(outputs=True, knowledge=frozenset({Knowledge.KNOWN_RECORDS}))


class SeqMIA(SeriesClassifier):
    """Score a record by a recurrent network over five measures of each round (SeqMIA, 2024).

    For classifiers.

    Parameters
    ----------
    epochs
        Of training.
    hidden
        Size of the LSTM's state.
    """

    needs = _NEEDS
    read = needed_features(_NEEDS)
    title = "SeqMIA"
    learning_rate = 1e-2

    def __init__(
        self,
        epochs: Annotated[int, Field(ge=1)] = 100,
        hidden: Annotated[int, Field(ge=1)] = 4,
    ) -> None:
        self.epochs, self.hidden = epochs, hidden

    def network(self, rounds: int, columns: int) -> nn.Module:
        """Return the LSTM with attention."""
        return AttentiveLstm(columns, self.hidden)

    def measures(self, features: SnapshotFeatures) -> Floats:
        """Return the five measures, (N, 5)."""
        return prediction_measures(features)

    def require_readable(self, features: SnapshotFeatures) -> None:
        """Raise `FedsimError` unless a classifier is attacked."""
        if not features.classes:
            raise FedsimError(
                "SeqMIA measures the probabilities of classes, and the objective is no "
                "classification; choose another attack (confidence-series reads any objective)"
            )


class AttentiveLstm(nn.Module):
    """An LSTM whose outputs are attended to by its last one: (B, T, S) to logits (B,)."""

    def __init__(self, columns: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(columns, hidden, batch_first=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, series: Tensor) -> Tensor:
        """Return the logit of membership."""
        outputs, _ = self.lstm(series)
        last = outputs[:, -1]
        weights = torch.softmax((outputs @ last[..., None])[..., 0], 1)
        context = (weights[..., None] * outputs).sum(1)
        logits: Tensor = self.head(torch.cat([last, context], 1))[:, 0]
        return logits


def prediction_measures(features: SnapshotFeatures) -> Floats:
    """Return log loss, log(1 - largest p), sd of p, log entropy, log modified entropy: (N, 5).

    Logarithms keep apart the records that a model is sure of; the networks read an order.
    """
    logits, labels = features.logits.astype(np.float64), features.labels
    log_p = log_softmax(logits, axis=1)
    p = np.exp(log_p)
    rows = np.arange(len(logits))
    # log(1 - p_c), by the other classes where p_c is near 1.
    largest = logits.argmax(1)
    others = logits.copy()
    others[rows, largest] = -np.inf
    log_q = np.log1p(-np.minimum(p, 0.75))
    near = logsumexp(others, axis=1) - logsumexp(logits, axis=1)
    sure = p[rows, largest] > 0.75
    log_q[rows[sure], largest[sure]] = near[sure]
    loss = features.losses.astype(np.float64)
    entropy = -(p * log_p).sum(1)
    terms = -p * log_q
    modified = (
        terms.sum(1) - terms[rows, labels] - np.exp(log_q[rows, labels]) * log_p[rows, labels]
    )
    tiny = np.finfo(np.float64).tiny
    columns = [
        np.log(np.maximum(loss, tiny)),
        near,
        p.std(1),
        np.log(np.maximum(entropy, tiny)),
        np.log(np.maximum(modified, tiny)),
    ]
    return np.stack(columns, 1)
