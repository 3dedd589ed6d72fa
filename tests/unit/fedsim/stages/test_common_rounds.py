"""Federations of a run train nothing twice that they have in common, and give the same bits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from toys import content_of, experiment, simulated

from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.federations import federations_of
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulation import common_rounds
from fedsim.stages.simulation.common_rounds import CommonRounds
from fedsim.training.sgd import SGD
from fedsim.training.training_memory import TrainingMemory

TRIAL = 1  # of the trainer, before round 1
ISOLATING = {"name": "isolating-server", "first": 2}
ASCENT = {"name": "gradient-ascent-server", "first": 3, "rate": 0.3}
ADVERSARIES: list[Any] = [
    "curious-server",
    ISOLATING,
    {"label": "both", "together": [ISOLATING, ASCENT]},
]


class Fits:
    """Counts the times that a participant is trained."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, fit = 0, SGD.fit

        def counted(trainer: SGD, *given: Any) -> Mapping[str, float]:
            self.count += 1
            return fit(trainer, *given)

        monkeypatch.setattr(SGD, "fit", counted)


@pytest.mark.parametrize("optimizer", ["adam", {"name": "sgd", "momentum": 0.0}])
def test_what_federations_have_in_common_is_trained_once(
    optimizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = Fits(monkeypatch)
    sections: dict[str, Any] = {"adversaries": ADVERSARIES}
    sections |= {"federation": {"local": {"optimizer": optimizer}}}
    run = simulated(tmp_path / "run", **sections)
    # Of 3 participants: honest, 4 rounds. Isolating: 3 rounds, in the first of which two are sent
    # what the honest federation sent them. Both: as before, and in rounds 3 and 4 the victim alone
    # is sent something else.
    assert fits.count == TRIAL + 12 + (1 + 6) + 2
    assert not run.states.exists()
    monkeypatch.setattr(CommonRounds, "memory", lambda *_: None)
    each_alone = simulated(tmp_path / "alone", **sections)
    assert fits.count == TRIAL + 21 + TRIAL + 12 + 9 + 9
    assert content_of(run) == content_of(each_alone)


def test_a_damaged_result_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulated(tmp_path / "whole", adversaries=ADVERSARIES)
    fits, result = Fits(monkeypatch), TrainingMemory.result

    def damaged(memory: TrainingMemory, *given: Any) -> Any:
        for path in memory.folder.glob("*.safetensors"):
            path.write_bytes(path.read_bytes()[:100])
        return result(memory, *given)

    monkeypatch.setattr(TrainingMemory, "result", damaged)
    again = simulated(tmp_path / "again", adversaries=ADVERSARIES)
    assert fits.count == TRIAL + 12 + 9 + 9
    assert content_of(again) == content_of(whole)


def test_what_is_left_of_a_stopped_run_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = Fits(monkeypatch)
    toy = experiment(adversaries=ADVERSARIES)
    left = RunDirectory.create(tmp_path / "run", toy.resolved()).states / "trained"
    left.mkdir(parents=True)
    (left / "round-00001.left").write_text("over")
    simulated(tmp_path / "run", adversaries=ADVERSARIES)
    assert fits.count == TRIAL + 21
    assert not left.exists()


def test_who_looks_up_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = experiment(adversaries=ADVERSARIES)
    run = RunDirectory.create(tmp_path / "run", toy.resolved())
    setup = build_setup(toy, None, SILENCE)
    federations = federations_of(setup.attackers)
    common = CommonRounds(setup, run, federations)
    found = {one.name: common.memory(one) for one in federations}
    rounds = {
        name: [[r for r in range(1, 5) if of(r)] for of in (memory.looks_up, memory.keeps)]
        for name, memory in found.items()
        if memory is not None
    }
    assert rounds == {
        "honest": [[], [2]],
        "isolating-server": [[2], [2, 3, 4]],
        "both": [[2, 3, 4], []],
    }
    monkeypatch.setattr(common_rounds, "_SHARE_OF_DISK", 0.0)
    assert CommonRounds(setup, run, federations).memory(federations[0]) is None
