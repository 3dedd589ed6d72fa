"""Records on a device: the same tensors as on the CPU, lying there at once or by batches."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fedsim import devices
from fedsim.data import Arrays
from fedsim.data.placed_records import PlacedRecords
from fedsim.data.splitting import from_arrays

CPU = torch.device("cpu")
DRAW = np.random.default_rng(0)
KINDS = {
    "pixels": (DRAW.integers(0, 256, (40, 3, 4, 4), dtype=np.uint8), (0.4, 0.5, 0.6)),
    "bits": (DRAW.integers(0, 2, (40, 9), dtype=np.uint8), None),
    "numbers": (DRAW.normal(size=(40, 5)).astype(np.float32), None),
    "tokens": (DRAW.integers(0, 99, (40, 7)).astype(np.int32), None),
}


@pytest.mark.parametrize("there", [True, False], ids=["there at once", "by batches"])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_those_of_the_cpu(
    kind: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, mean = KINDS[kind]
    std = None if mean is None else (0.2, 0.3, 0.25)
    labels: NDArray[np.int64] = DRAW.integers(0, 3, 40)
    dataset = from_arrays("x", Arrays(features, labels, mean=mean, std=std), test_records=4, seed=0)
    monkeypatch.setattr(devices, "free_memory", lambda device: None if there else 100)
    placed = PlacedRecords.of(features, labels, dataset.affine, dataset.batch, CPU)
    assert (placed.stored is not None) is there
    records = np.array([31, 2, 2, 17])
    for one, other in zip(placed.batch(records), dataset.batch(records), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
