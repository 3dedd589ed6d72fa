"""Logarithms of what underflows for the records that a model is sure of."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from adversaries.inference.features import FloatArray, SnapshotFeatures

_SMALLEST_NORM = 1e-30
_UNDERFLOWS = 1e-36  # of norms in single precision: digits are lost below
_SMALLEST = -1e9  # in place of the logarithm of 0
_TINY = -30.0  # log s below which log(1 + s) is s in double precision


def log_norms(features: SnapshotFeatures) -> NDArray[np.float32]:
    """Return the logarithm of each layer's gradient norm, (N, L); also of those that underflow."""
    plain = np.log(np.maximum(features.gradient_norms, _SMALLEST_NORM))
    logs = features.log_gradient_norms
    underflows = (features.gradient_norms < _SMALLEST_NORM) & np.isfinite(logs)
    found: NDArray[np.float32] = np.where(underflows, logs, plain)
    return found


def log_norm(features: SnapshotFeatures) -> NDArray[np.float64]:
    """Return the logarithm (N,) of the gradient's norm over all layers, which cannot underflow."""
    if not features.layers:
        return np.full(len(features), _SMALLEST)
    return log_total_norm(features.gradient_norms, features.log_gradient_norms)


def log_total_norm(norms: FloatArray, log_norms: FloatArray) -> NDArray[np.float64]:
    """Return the same (N,) of the norms of the layers (N, L) and their logarithms."""
    total = np.linalg.norm(norms.astype(np.float64), axis=1)
    logs = logsumexp(2 * log_norms.astype(np.float64), axis=1) / 2
    sound = total > _UNDERFLOWS
    found: NDArray[np.float64] = np.where(sound, np.log(np.where(sound, total, 1.0)), logs)
    return np.maximum(found, _SMALLEST)


def normalised_entropy(features: SnapshotFeatures) -> NDArray[np.float64]:
    """Return -sum p log p / log C of the predictions over C classes, (N,) in 0..1."""
    log_p = log_softmax(features.logits.astype(np.float64), axis=1)
    entropy: NDArray[np.float64] = -(np.exp(log_p) * log_p).sum(axis=1) / np.log(log_p.shape[1])
    return entropy


def log_entropy(features: SnapshotFeatures) -> NDArray[np.float64]:
    """Return the logarithm of the normalised entropy (N,), which does not underflow.

    Each class adds p (-log p). Of the likeliest class -log p = log(1 + s) with s the sum of the
    others' odds against it, whose logarithm is log s where s is below the last digit of 1.
    """
    logits = features.logits.astype(np.float64)
    likeliest = np.arange(logits.shape[1]) == logits.argmax(axis=1)[:, None]
    odds = logits - logits.max(axis=1, keepdims=True)  # log p - log p of the likeliest
    log_s = logsumexp(np.where(likeliest, -np.inf, odds), axis=1, keepdims=True)
    surprise = np.log1p(np.exp(log_s))  # -log p of the likeliest
    tiny = log_s < _TINY
    log_surprise = np.where(tiny, log_s, np.log(np.where(tiny, 1.0, surprise)))
    of_others = odds + np.log(np.where(likeliest, 1.0, surprise - odds))
    terms = np.where(likeliest, log_surprise, of_others) - surprise
    found: NDArray[np.float64] = logsumexp(terms, axis=1) - np.log(np.log(logits.shape[1]))
    return found
