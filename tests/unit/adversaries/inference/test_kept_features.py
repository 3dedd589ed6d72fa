"""Attacks that read others' uploads or series of rounds: the same scores where parameters go."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from server_views import MEMBERS, server_view

import fedsim
from adversaries.inference.ensemble import Ensemble
from adversaries.signals.loss import Loss
from fedsim.attacks import AuxiliaryRecords
from fedsim.errors import SnapshotError
from fedsim.progress import SILENCE
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


def test_what_another_attacker_s_features_say_is_not_extracted_again(tmp_path: Path) -> None:
    first = server_view(tmp_path, rounds=2)
    attacks = Ensemble(supervised=False), Loss()
    known = AuxiliaryRecords(first.records[::2], np.isin(first.records[::2], MEMBERS))
    asked = known, first.records, 0, SILENCE
    scores = [attack.score(first, *asked).tolist() for attack in attacks]
    for snapshot in first.seen:
        snapshot.let_go()
    second = replace(first, features=tmp_path / "second", elsewhere=(first.features,))
    assert [attack.score(second, *asked).tolist() for attack in attacks] == scores
    names = {path.name for path in first.features.iterdir()}
    assert {path.name for path in second.features.iterdir()} <= names
    third = replace(first, features=tmp_path / "third")
    with pytest.raises(SnapshotError, match="were let go"):
        attacks[0].score(third, *asked)
    other = replace(second, features=tmp_path / "other", records=first.records[1:])
    with pytest.raises(SnapshotError, match="were let go"):  # of other records it is another digest
        attacks[1].score(other, known, other.records[1:], 0, SILENCE)
