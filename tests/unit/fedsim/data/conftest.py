from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedsim.data import Arrays, Dataset, SourceLocation
from fedsim.data.splitting import from_arrays


@pytest.fixture
def place(tmp_path: Path) -> SourceLocation:
    return SourceLocation(cache_dir=tmp_path / "cache", data_dir=tmp_path / "given")


@pytest.fixture
def make_dataset() -> Callable[..., Dataset]:
    def make(records: int = 100, classes: int = 5, test_records: int = 20) -> Dataset:
        """Every record has its own features, so that none are duplicates."""
        features = (np.arange(records)[:, None] >> np.arange(16)) & 1
        labels = np.arange(records) % classes
        arrays = Arrays(features.astype(np.bool_), labels)
        return from_arrays("tiny", arrays, test_records=test_records, seed=0)

    return make
