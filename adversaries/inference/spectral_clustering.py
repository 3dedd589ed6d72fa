"""Spectral clustering of records into two groups, on a sample of them and then for all.

Clustering needs no n x n matrix. The eigenproblem is solved among landmarks, a random sample of the
records, and its solution is extended to all records by Nystroem's formula, in blocks.
"""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics.pairwise import rbf_kernel

from fedsim import seeds

ScoreArray = NDArray[np.float64]

_BLOCK = 4096  # records a block of the extension


def spectral_coordinate(
    embeddings: ScoreArray, landmarks: int, kernel_width: float, generator: np.random.Generator
) -> ScoreArray:
    """Return the coordinate in which spectral clustering cuts records into two.

    It is the second eigenvector of the random walk D^-1 W on the landmarks, W their Gaussian
    affinities and D their sums: the relaxed normalised cut of Shi and Malik (IEEE TPAMI 2000). A
    record's coordinate is the mean of the landmarks' weighted by its affinities, which is
    Nystroem's extension (Bengio et al., Neural Computation 2004) but for a constant factor. Takes
    O(N landmarks) time, and memory for `_BLOCK` rows at a time.

    Parameters
    ----------
    embeddings
        (N,), at least two of them different.
    landmarks
        How many records the eigenproblem is solved for, if there are as many.
    kernel_width
        Standard deviation of the affinity over that of the embeddings.
    generator
        Draws the landmarks.
    """
    points = ((embeddings - embeddings.mean()) / embeddings.std() / kernel_width)[:, None]
    chosen = generator.choice(len(points), min(landmarks, len(points)), replace=False)
    anchors = points[chosen]
    affinities = rbf_kernel(anchors, gamma=0.5)
    degrees = np.sqrt(affinities.sum(1))
    second = len(anchors) - 2  # eigh sorts upwards
    _, vectors = scipy.linalg.eigh(
        affinities / np.outer(degrees, degrees), subset_by_index=(second, second)
    )
    walk = vectors[:, 0] / degrees
    blocks = []
    for start in range(0, len(points), _BLOCK):
        weights = rbf_kernel(points[start : start + _BLOCK], anchors, gamma=0.5)
        blocks.append(weights @ walk / weights.sum(1))
    coordinate: ScoreArray = np.concatenate(blocks)
    return coordinate


def place_between_centres(coordinate: ScoreArray, seed: int) -> ScoreArray:
    """Return the place of each record on the line through two groups' centres, at -1 and 1."""
    clusters = KMeans(2, n_init=10, random_state=seeds.derive(seed, "clusters") % 2**32)
    low, high = np.sort(clusters.fit(coordinate[:, None]).cluster_centers_[:, 0])
    sides: ScoreArray = (2 * coordinate - low - high) / (high - low)
    return sides
