"""Attacks that read others' uploads or series of rounds: the same scores where parameters go."""

from pathlib import Path
from typing import Any

import toys

import fedsim
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.score_files import read_scores

ATTACKS: list[Any] = [
    *("lira", "multi-signal-lira", "rmia", "base", "source-inference", "loss-series", "ensemble"),
    {"name": "loss-series", "score": "change", "label": "change"},
    "quantile-regression",
    {"name": "seqmia", "epochs": 1},
    {"name": "confidence-series", "epochs": 1},
    {"name": "loss-trajectory", "epochs": 1},
]


def test_scores_are_the_same_bit_for_bit_where_features_alone_are_kept(tmp_path: Path) -> None:
    found = []
    for keep in ("parameters", "features"):
        tree = toys.tree(
            data={"records": 600},
            snapshots={"rounds": [2, 4], "keep": keep},
            audit={"known_nonmembers": 20},
            adversaries=["curious-server"],
            attacks=ATTACKS,
        )
        run = RunDirectory(fedsim.run(tree, tmp_path / keep).path)
        paths = run.scored("curious-server", "participant-0")
        found.append({path.stem: read_scores(path).scores.tolist() for path in paths})
    assert len(found[0]) == len(ATTACKS)
    assert found[0] == found[1]
