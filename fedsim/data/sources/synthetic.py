"""Synthetic stand-ins for Purchase100 and Texas100, for machines without a network.

They are not the real data, and their names say so. They share the properties that matter for
membership inference: sparse bits, 100 classes, and a published network that fits its training
records completely and new records as well as new records of the real data.

The model, for bits j, classes c and styles s (sub-groups of a class):

- popularity: pi_j is log-normal with a given mean, at most 1/2: few bits are common, many are rare;
- class prototype: a_cj ~ Bernoulli(pi_j);
- style prototype: b_csj is a_cj, or with probability `spread` a new draw from Bernoulli(pi_j);
- class sizes: the k-th class is as large as k ** -`size_skew`, its styles are equally likely;
- record of style (c, s): each bit is b_csj, or with probability `noise` a new draw from
  Bernoulli(pi_j). All marginals stay pi_j.

`noise` alone was tuned, to the accuracy that is published for the real data sets: with the network
bits-1024-512-256-128-100, tanh, Adam at 1e-4 and batches of 100,

- synthetic-purchase100, 20,000 training records: train 100 %, test 82.7 % after 100 epochs (78.4 %
  after 40, the first with all training records right); the real one about 82 %;
- synthetic-texas100, 10,000 training records: train 100 %, test 52.0 % from epoch 15 to 60; the
  real one about 52 %.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.data.arrays import Arrays
from fedsim.data.cache import load_or_decode
from fedsim.data.sources.base import SourceLocation

DECODER = 1
CLASSES = 100
MOST_RECORDS = 10_000_000
ROWS_A_CHUNK = 1024
GREATEST_POPULARITY = 0.5


@dataclass(frozen=True)
class BitModel:
    """The parameters of the model in the module's docstring."""

    name: str
    bits: int
    styles: int
    mean: float
    popularity_skew: float
    size_skew: float
    spread: float
    noise: float


PURCHASE = BitModel(
    name="synthetic-purchase100",
    bits=600,
    styles=8,
    mean=0.15,
    popularity_skew=0.8,
    size_skew=0.3,
    spread=0.3,
    noise=0.679,
)
TEXAS = BitModel(
    name="synthetic-texas100",
    bits=6169,
    styles=4,
    mean=0.03,
    popularity_skew=1.2,
    size_skew=0.7,
    spread=0.3,
    noise=0.84,
)


@dataclass
class SyntheticBits:
    """Records drawn from a model of bits; needs no network.

    Parameters
    ----------
    records
        The number of records; the first n are the same for any number.
    seed
        The seed of the data set, which is not the experiment's seed.
    """

    model: ClassVar[BitModel]
    records: int
    seed: int = 2019

    def __post_init__(self) -> None:
        """Refuse a data set without records, or with too many for a machine."""
        if not 1 <= self.records <= MOST_RECORDS:
            raise ValueError(f"records is {self.records}; valid: 1 to {MOST_RECORDS:,}")

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return the records, without a test split."""
        return load_or_decode(
            place,
            self.model.name,
            decoder=DECODER,
            source=f"{self.model} {self.records} {self.seed}",
            decode=lambda: draw_records(self.model, self.records, self.seed),
        )


@dataclass
class SyntheticPurchase100(SyntheticBits):
    """Synthetic stand-in for Purchase100: 600 bits, 100 classes; needs no network."""

    model = PURCHASE
    records: int = 60_000


@dataclass
class SyntheticTexas100(SyntheticBits):
    """Synthetic stand-in for Texas100: 6,169 bits, 100 classes of unequal sizes; no network."""

    model = TEXAS
    records: int = 30_000


def draw_records(model: BitModel, records: int, seed: int) -> Arrays:
    """Draw `records` records from `model`.

    Returns
    -------
    Arrays
        Features of shape (records, model.bits), bool.
    """
    # Shape (classes x styles, bits): the probability of each bit, noise included.
    chances = _style_chances(model, seed)
    sizes = np.arange(1, CLASSES + 1) ** -model.size_skew
    features = np.empty((records, model.bits), dtype=np.bool_)
    labels = np.empty(records, dtype=np.int64)
    for start in range(0, records, ROWS_A_CHUNK):
        rows = slice(start, min(start + ROWS_A_CHUNK, records))
        random = seeds.generator(seed, model.name, "records", start)
        # The classes of a whole chunk, so that the first rows do not depend on the number of rows.
        classes = random.choice(CLASSES, size=ROWS_A_CHUNK, p=sizes / sizes.sum())
        styles = classes * model.styles + random.integers(model.styles, size=ROWS_A_CHUNK)
        chance = chances[styles[: rows.stop - start]]
        features[rows] = random.random(chance.shape, dtype=np.float32) < chance
        labels[rows] = classes[: len(chance)]
    return Arrays(features, labels, num_classes=CLASSES)


def _style_chances(model: BitModel, seed: int) -> NDArray[np.float32]:
    random = seeds.generator(seed, model.name, "prototypes")
    weight = random.lognormal(0.0, model.popularity_skew, model.bits)
    popularity = np.minimum(weight / weight.mean() * model.mean, GREATEST_POPULARITY)
    shape = (CLASSES, model.styles, model.bits)
    of_class = random.random((CLASSES, 1, model.bits)) < popularity
    of_style = random.random(shape) < popularity
    style = np.where(random.random(shape) < model.spread, of_style, of_class)
    chances = (1 - model.noise) * style.reshape(-1, model.bits) + model.noise * popularity
    return np.asarray(chances, dtype=np.float32)
