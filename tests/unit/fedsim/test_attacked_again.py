"""A run that was simulated is attacked by others, and by the same with other settings."""

from pathlib import Path
from typing import Any

import pytest
import toys
from command_line import Fedsim

from fedsim import attack, run
from fedsim.errors import FedsimError
from fedsim.rundir import RunDirectory

QUICK = {"epochs": 2, "folds": 2}
SECTIONS: dict[str, Any] = {
    "adversaries": ["curious-server"],
    "attacks": [{"name": "supervised", "training": QUICK}, "label"],
}


@pytest.fixture
def finished(tmp_path: Path) -> RunDirectory:
    run(toys.experiment(**SECTIONS), tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def scored(folder: RunDirectory) -> set[str]:
    return {path.stem for path in folder.scored("curious-server", "participant-0")}


def test_an_attack_with_settings_stands_beside_the_runs_own(finished: RunDirectory) -> None:
    before = finished.scores("curious-server", "participant-0", "supervised").read_bytes()
    chosen = {"name": "supervised", "inputs": "black-box", "training": QUICK}
    found = attack(finished.path, chosen).results
    assert scored(finished) == {"supervised", "supervised-2", "label"}
    assert "supervised-2" in {row.attack for row in found.results}
    own = finished.scores("curious-server", "participant-0", "supervised")
    other = finished.scores("curious-server", "participant-0", "supervised-2")
    assert own.read_bytes() == before != other.read_bytes()
    labelled = {**chosen, "label": "from-outputs"}
    attack(finished.path, ["loss", labelled])
    assert {"loss", "from-outputs"} <= scored(finished)


def test_the_same_on_the_command_line(finished: RunDirectory, fedsim: Fedsim) -> None:
    named = "{name: supervised, inputs: black-box, training: {epochs: 1, folds: 2}}"
    assert fedsim("attack", str(finished.path), "--attack", named, "--quiet").code == 0
    assert "supervised-2" in scored(finished)
    with pytest.raises(FedsimError, match="blackbox"):
        attack(finished.path, {"name": "supervised", "inputs": "blackbox"})


def test_other_attacks_and_seeds_take_up_a_run_that_is_there(finished: RunDirectory) -> None:
    history = finished.history("honest").stat().st_mtime_ns
    changed = SECTIONS | {"attacks": ["loss", "random"], "audit": {"attack_seeds": 2}}
    found = run(toys.experiment(**changed), finished.path).results
    assert {"loss", "random"} <= {row.attack for row in found.results}
    assert finished.history("honest").stat().st_mtime_ns == history
    assert "attack_seeds: 2" in finished.experiment.read_text()
    with pytest.raises(FedsimError, match="holds a run of another experiment"):
        run(toys.experiment(**changed | {"seed": 4}), finished.path)
