"""Parameters that are let go leave the same scores, bit for bit, and one sentence for more."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys

from adversaries.inference.feature_cache import observed_features
from adversaries.inference.feature_file import load_features
from adversaries.inference.needed_features import needed_features
from fedsim import attack, run
from fedsim.attacks import Attack, View
from fedsim.errors import ConfigError, SnapshotError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.needs import Needs
from fedsim.observation.snapshots import SnapshotStore
from fedsim.rundir import RunDirectory

SECTIONS: dict[str, Any] = {
    "data": {"records": 400},
    "partition": {"participants": 3, "records": 60},
    "federation": {"rounds": 5},
    "snapshots": {"rounds": [2, 3, 5]},
    "adversaries": [
        "curious-server",
        {"name": "gradient-ascent-server", "first": 4, "targets": 20},
        {"name": "gradient-ascent-participant", "participant": 2, "first": 4, "targets": 20},
    ],
    "attacks": [
        {"name": "supervised", "training": {"epochs": 2, "folds": 2}},
        {"name": "shadow", "training": {"epochs": 2, "folds": 2}},
        {"name": "unsupervised", "training": {"epochs": 2}},
        *("scalar-logistic", "gradient-norm", "loss", "uncertainty", "label", "gradient-alignment"),
    ],
}


class Neighbours(Attack):
    """Score by the victim's loss against the mean loss on what all the others upload."""

    needs = Needs(others=True, scalars=True)

    def extract(self, view: View, watcher: Any) -> None:
        self._losses(view, view.snapshots(SnapshotKind.UPLOAD), watcher)

    def score(self, view: View, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        own = self._losses(view, view.snapshots(SnapshotKind.UPLOAD, view.victim), watcher)
        others = [
            self._losses(view, view.snapshots(SnapshotKind.UPLOAD, participant), watcher)
            for participant in view.others
        ]
        assert len(others) == 2
        places = np.searchsorted(view.records, candidates)
        return (np.mean(others, axis=0) - own)[places]

    def _losses(self, view: View, snapshots: Any, watcher: Any) -> Any:
        """Return the mean losses on snapshots, read as if each were the victim's."""
        found = []
        for one in snapshots:
            about = view.query.__class__("x", (one.participant,))
            alone = View(**{**vars(view), "query": about, "seen": (one,)})
            found += observed_features(alone, watcher, needed_features(self.needs))
        return np.mean([features.losses.astype(np.float64) for features in found], axis=0)


def files(run_path: Path, *folders: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(run_path)): path.read_bytes()
        for folder in folders
        for path in sorted((run_path / folder).rglob("*.parquet"))
    }


def test_all_attacks_score_alike_bit_for_bit(tmp_path: Path) -> None:
    for keep in ("parameters", "features"):
        snapshots = {"rounds": [2, 3, 5], "keep": keep}
        run(toys.experiment(**SECTIONS | {"snapshots": snapshots}), tmp_path / keep)
    ours, theirs = (
        files(tmp_path / keep, "scores", "exposure", "traces")
        for keep in ("parameters", "features")
    )
    assert len(ours) > 40
    assert ours == theirs
    for label in ("curious-server", "gradient-ascent-server", "gradient-ascent-participant"):
        kept = SnapshotStore(RunDirectory(tmp_path / "features").snapshots(label)).index()
        assert kept
        assert not any(snapshot.has_parameters for snapshot in kept)
        assert all(path.path.stat().st_size < 1000 for path in kept)


def test_uploads_of_others_and_pairs_of_aggregates_are_let_go_with_the_same_scores(
    tmp_path: Path,
) -> None:
    for keep in ("parameters", "features"):
        for who, attacks in (
            ("curious-server", ["fedmia", {"name": "fedmia", "label": "loss", "measure": "loss"}]),
            ("released-model", ["gradient-alignment"]),
        ):
            snapshots = {"rounds": [2, 3, 5], "keep": keep}
            sections = {"snapshots": snapshots, "adversaries": [who], "attacks": attacks}
            run(toys.experiment(**SECTIONS | sections), tmp_path / keep / who)
            store = SnapshotStore(RunDirectory(tmp_path / keep / who).snapshots(who))
            left = {snapshot.has_parameters for snapshot in store.index()}
            assert left == {keep == "parameters"}
    ours, theirs = (files(tmp_path / keep, "") for keep in ("parameters", "features"))
    assert len([name for name in ours if "/scores/" in name]) == 3
    assert {k: v for k, v in ours.items() if "/scores/" in k} == {
        k: v for k, v in theirs.items() if "/scores/" in k
    }


def test_an_attack_on_updates_is_refused_where_none_is_seen(tmp_path: Path) -> None:
    sections = {"adversaries": ["released-model"], "attacks": ["gradient-alignment"]}
    toy = toys.experiment(**SECTIONS | sections | {"snapshots": {"rounds": [5]}})
    with pytest.raises(ConfigError, match="compares gradients with updates, and released-model"):
        run(toy, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_extraction_of_a_snapshot_serves_all_attacks(tmp_path: Path) -> None:
    """No attack reads the last layer's vectors here, so they are not kept."""
    sections = SECTIONS | {
        "snapshots": {"rounds": [3, 5], "keep": "features"},
        "adversaries": ["curious-server"],
        "attacks": ["loss", "scalar-logistic", "gradient-norm", "uncertainty"],
    }
    run(toys.experiment(**sections), tmp_path / "run")
    kept = sorted((tmp_path / "run" / "features").rglob("*.safetensors"))
    snapshots = {(path.parent, ".".join(path.name.split(".")[:2])) for path in kept}
    assert len(kept) == len(snapshots) == 4  # one participant's uploads and what it was sent
    for path in kept:
        found = load_features(path)
        assert found.hidden.shape[1] == found.deltas.shape[1] == 0
        assert found.logits.shape[1] == found.classes
        assert bool(found.layers) == (".participant-" in path.name)  # uploads have norms


def test_what_was_not_extracted_cannot_be_read_later(tmp_path: Path) -> None:
    snapshots = {"rounds": [3, 5], "keep": "features"}
    sections = SECTIONS | {"snapshots": snapshots, "adversaries": ["curious-server"]}
    run(toys.experiment(**sections | {"attacks": ["loss"]}), tmp_path / "run")
    with pytest.raises(SnapshotError) as error:
        attack(tmp_path / "run", attacks=["supervised"])
    assert "were let go (snapshots.keep: features)" in str(error.value)
    assert "simulate again with this attack" in str(error.value)
    assert attack(tmp_path / "run", attacks=["loss"]).results.results


def test_an_attack_that_loads_parameters_is_refused_before_round_1(tmp_path: Path) -> None:
    snapshots = {"rounds": [3, 5], "keep": "features"}
    toy = toys.experiment(
        **SECTIONS | {"snapshots": snapshots, "attacks": ["fedsim.conformance.toy:Unmoved"]}
    )
    with pytest.raises(ConfigError, match="attack Unmoved reads the parameters of snapshots"):
        run(toy, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    snapshots = {"rounds": [2, 3, 5], "keep": "features"}
    sections = SECTIONS | {"snapshots": snapshots, "attacks": ["loss", "scalar-logistic"]}
    toy = toys.experiment(**sections)
    run(toy, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(toy, tmp_path / "stopped", watcher=toys.Stopping(3))
    run(toy, tmp_path / "stopped")
    assert files(tmp_path / "whole", "scores") == files(tmp_path / "stopped", "scores")


@pytest.mark.parametrize("keep", ["parameters", "features"])
def test_an_attack_reads_what_all_the_others_upload(tmp_path: Path, keep: str) -> None:
    """They are kept though the settings ask for the victims' only, and it is told."""
    told: list[str] = []

    class Listening(toys.Stopping):
        def say(self, text: str) -> None:
            told.append(text)

    sections = SECTIONS | {
        "snapshots": {"rounds": [3, 5], "keep": keep},
        "adversaries": ["curious-server"],
        "attacks": ["test_parameter_release:Neighbours", "loss"],
    }
    run(toys.experiment(**sections), tmp_path / "run", watcher=Listening(-1))
    assert any("reads the uploads of all 3 participants, so all are kept" in t for t in told)
    store = SnapshotStore(RunDirectory(tmp_path / "run").snapshots("curious-server"))
    uploads = [s for s in store.index() if s.kind is SnapshotKind.UPLOAD]
    assert [(s.round, s.participant) for s in uploads] == [(r, p) for r in (3, 5) for p in range(3)]
    if keep == "features":
        with pytest.raises(SnapshotError, match="were let go"):
            uploads[0].load()
    else:
        assert uploads[0].load()
