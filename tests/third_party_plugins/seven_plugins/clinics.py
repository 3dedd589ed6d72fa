"""A data set whose records are of users."""

import numpy as np

from fedsim import Arrays, SourceLocation


class Clinics:
    """Measurements of patients with labels at random, which can only be learned by heart."""

    def __init__(self, records: int = 800, users: int = 40) -> None:
        self.records = records
        self.users = users

    def arrays(self, place: SourceLocation) -> Arrays:
        """Return all records, with the patient of each."""
        random = np.random.default_rng(0)
        users = random.integers(self.users, size=self.records)
        features = random.normal(size=(self.records, 24)).astype(np.float32)
        labels = random.integers(4, size=self.records)
        return Arrays(features, labels, num_classes=4, groups=users)
