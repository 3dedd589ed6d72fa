"""Clipped updates: the closed form, what is left alone, on every engine, and in a whole run."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from fedsim.defences.clipped_updates import ClippedUpdates, clipped_update
from fedsim.defences.composition import mods_of
from fedsim.errors import ConfigError
from fedsim.observation.snapshots import SnapshotStore
from fedsim.plugins import build

NAMES = frozenset({"w", "b"})


def record(**arrays: NDArray[Any]) -> ArrayRecord:
    return ArrayRecord({name: Array(value) for name, value in arrays.items()})


def test_an_update_is_scaled_to_the_norm() -> None:
    sent = record(w=np.ones((2, 2), np.float64), b=np.zeros(1), n=np.asarray(3.0))
    upload = record(
        w=np.full((2, 2), 2.5, np.float32), b=np.asarray([4.0], np.float32), n=np.asarray(9)
    )
    # The update is 1.5 four times and 4: its length is 5.
    found = clipped_update(sent, upload, 2.0, NAMES)
    np.testing.assert_allclose(found["w"].numpy(), 1 + 1.5 * 2 / 5)
    np.testing.assert_allclose(found["b"].numpy(), [1.6], rtol=1e-6)
    assert found["w"].dtype == "float32"
    assert (found["n"].dtype, int(found["n"].numpy())) == ("int64", 9)
    assert list(found) == list(upload)
    assert clipped_update(sent, upload, 5.0, NAMES) is upload


@pytest.mark.usefixtures("flower")
def test_no_upload_lies_further_than_the_norm() -> None:
    def moved(defence: ClippedUpdates | None) -> list[float]:
        mods = [] if defence is None else mods_of((defence,))
        federation = toys.Federation(mods=mods, rounds=2)
        federation.run()
        start = federation.initial.arrays.to_torch_state_dict()
        trained = [c for _, kind, c in federation.grid.returned if kind == "train"][:3]
        return [_distance(content, start) for content in trained]

    free = moved(None)
    assert min(free) > 0.2
    assert moved(ClippedUpdates(0.1)) == pytest.approx([0.1] * 3, rel=1e-4)
    assert moved(ClippedUpdates(100.0)) == free


def _distance(content: dict[str, bytes], start: dict[str, torch.Tensor]) -> float:
    total = 0.0
    for name, value in start.items():
        found = np.frombuffer(content[f"arrays/{name}"][-4 * value.numel() :], np.float32)
        total += float(np.square(found - value.numpy().ravel()).sum())
    return math.sqrt(total)


@pytest.mark.parametrize("engine", [{}, {"workers": 2}, {"stacked": True}])
def test_every_engine_clips(engine: dict[str, Any], tmp_path: Path) -> None:
    sections: dict[str, Any] = {"snapshots": {"rounds": [1, 2]}, "engine": engine}
    clipped = [{"name": "clipped-updates", "max_norm": 1e-6}]
    run = toys.simulated(tmp_path / "run", defences=clipped, **sections)
    kept = {(s.round, s.key.name): s.load() for s in _snapshots(run)}
    first, second = kept[1, "participant-0"], kept[2, "participant-0"]
    # Nothing is learned: two rounds move no parameter by more than two millionths.
    for name, value in toys.new_model().state_dict().items():
        assert float((first[name] - value).norm()) <= 1.1e-6
        assert float((second[name] - value).norm()) <= 2.2e-6


def _snapshots(run: Any) -> list[Any]:
    return list(SnapshotStore(run.snapshots("curious-server")).index())


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan])
def test_a_norm_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be a positive number"):
        ClippedUpdates(value)


def test_a_defence_is_part_of_what_decides_a_run(tmp_path: Path) -> None:
    plain = toys.experiment()
    assert "defences" not in plain.plain()
    clipped = toys.experiment(defences=[{"name": "clipped-updates", "max_norm": 1.0}])
    assert clipped.plain()["defences"] == [
        {"name": "clipped-updates", "label": "clipped-updates", "max_norm": 1.0}
    ]
    twice = [{"name": "clipped-updates", "max_norm": 1.0}] * 2
    with pytest.raises(ConfigError, match="defences has 'clipped-updates' twice; give one"):
        toys.experiment(defences=twice)


def test_a_defended_run_that_was_stopped_ends_in_the_same_bits(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "defences": [{"name": "clipped-updates", "max_norm": 0.1}],
        "adversaries": ["curious-server", {"name": "isolating-server", "first": 3}],
        "snapshots": {"rounds": [1, 2, 3, 4]},
    }
    whole = toys.simulated(tmp_path / "whole", **sections)
    stopped = toys.Stopping(3)
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "stopped", watcher=stopped, **sections)
    again = toys.simulated(tmp_path / "stopped", **sections)
    ours, theirs = (
        {k: v for k, v in toys.content_of(run).items() if k.startswith("snapshots")}
        for run in (whole, again)
    )
    assert len(ours) >= 8
    assert ours == theirs


def test_a_plugin_is_built_by_its_name() -> None:
    assert build("defences", "clipped-updates", {"max_norm": 2}).max_norm == 2.0
