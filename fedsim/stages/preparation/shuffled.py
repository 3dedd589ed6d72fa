"""The order in which an attack is handed the audited records of a query."""

import numpy as np
from numpy.typing import NDArray

from fedsim import seeds
from fedsim.data import MembershipQuery


def shuffled_records(seed: int, query: MembershipQuery, count: int) -> NDArray[np.intp]:
    """Return a permutation of 0..count-1, the same one for a run's seed and a query."""
    return seeds.generator(seed, "order of the audited records", query.key).permutation(count)
