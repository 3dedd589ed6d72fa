"""Flower's robust strategies against a participant that acts: what of its upload arrives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore

ACTIVE = "gradient-ascent-participant"
LENGTHS = {"short": 4.0, "long": 40.0}
"""Of the ascent, in honest updates, before it is boosted sevenfold."""


def aggregates(path: Path, strategy: dict[str, Any]) -> dict[str, dict[int, np.ndarray]]:
    """Return the last two aggregates, where participant 6 looks, and where it acts."""
    acting = {"name": ACTIVE, "participant": 6, "first": 3, "drop": None}
    run = toys.simulated(
        path,
        partition={"participants": 7, "records": 20},
        federation={"rounds": 3, "strategy": strategy},
        snapshots={"rounds": [2, 3]},
        adversaries=[
            {"name": "curious-participant", "participant": 6},
            *({**acting, "label": label, "rate": rate} for label, rate in LENGTHS.items()),
        ],
    )
    return {
        who: {
            s.round: np.concatenate([v.double().numpy().ravel() for v in s.load().values()])
            for s in SnapshotStore(run.snapshots(who)).index()
            if s.key.kind is SnapshotKind.AGGREGATE
        }
        for who in ("curious-participant", *LENGTHS)
    }


@pytest.mark.parametrize(
    ("strategy", "dropped"),
    [
        ({"name": "FedAvg"}, False),
        ({"name": "FedMedian"}, False),
        ({"name": "Krum", "num_malicious_nodes": 1}, True),
        ({"name": "Bulyan", "num_malicious_nodes": 1}, True),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_what_of_a_malicious_upload_arrives(
    strategy: dict[str, Any], dropped: bool, tmp_path: Path
) -> None:
    found = aggregates(tmp_path, strategy)
    honest = found["curious-participant"]
    step = np.linalg.norm(honest[3] - honest[2])
    moved = {who: np.linalg.norm(found[who][3] - honest[3]) / step for who in LENGTHS}
    if strategy["name"] == "FedAvg":  # as far as it likes
        assert moved["long"] > 5 * moved["short"] > 5
    else:  # no further than honest updates differ, however long it is
        assert moved["long"] < 0.6
    assert np.array_equal(found["short"][3], found["long"][3]) is dropped
