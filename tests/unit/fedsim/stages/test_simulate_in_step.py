"""Shadow federations in step: bit for bit what each gives alone; a stopped one goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys

from fedsim.data import about_participant
from fedsim.errors import ConfigError
from fedsim.observation.snapshots import Snapshot
from fedsim.progress import SILENCE, Advance
from fedsim.rundir import RunDirectory
from fedsim.stages import shadow_federations, simulate_in_step
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.shadow_federations import shadows_of
from fedsim.stages.simulate import simulate

FEDERATIONS = 3


def setup_of(**engine: Any) -> Setup:
    experiment = toys.experiment(
        data={"name": "toys:blobs", "records": 900, "noise": 4.0, "test_records": 100},
        partition={"participants": 4, "records": 50},
        model={"name": "fully-connected", "widths": [16]},
        federation={
            "rounds": 4,
            # Half of them in each round: whom a strategy draws is the federation's own, too.
            "strategy": {"name": "FedAvg", "fraction_train": 0.5, "min_train_nodes": 2},
            "local": {
                "batch_size": 10,
                "learning_rate": 0.1,
                "optimizer": {"name": "sgd", "momentum": 0.9},
                "keep_optimizer_state": True,
            },
            "evaluation": {"every": 2},
        },
        snapshots={"rounds": {"every": 1}},
        audit={
            "victims": [0],
            "known_members": 20,
            "known_nonmembers": 20,
            "tested_members": 20,
            "tested_nonmembers": 20,
        },
        adversaries=["curious-server"],
        attacks=[{"name": "lira", "federations": FEDERATIONS}],
        engine=engine,
    )
    return build_setup(experiment, None, SILENCE)


def seen_in(path: Path, **engine: Any) -> list[list[Snapshot]]:
    setup = setup_of(**engine)
    found = shadows_of(setup, RunDirectory(path), SILENCE)
    shadows = found["curious-server", about_participant(0).key]
    return [list(one.view.seen) for one in shadows]


def arrays_of(seen: list[list[Snapshot]]) -> list[tuple[str, torch.Tensor]]:
    return [
        (f"{number} {s.round} {s.key.name} {name}", value)
        for number, one in enumerate(seen)
        for s in one
        for name, value in s.load().items()
    ]


def require_same(a: list[list[Snapshot]], b: list[list[Snapshot]]) -> None:
    for (name, one), (other, two) in zip(arrays_of(a), arrays_of(b), strict=True):
        assert name == other
        assert np.array_equal(one, two), name


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[list[Snapshot]]:
    return seen_in(tmp_path_factory.mktemp("together"))


def test_they_give_what_each_gives_alone(
    together: list[list[Snapshot]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(together) == FEDERATIONS
    uploads = {
        value.numpy().tobytes() for name, value in arrays_of(together) if "participant-0" in name
    }
    assert len(uploads) > FEDERATIONS  # they are not one federation three times
    monkeypatch.setattr(
        shadow_federations,
        "simulate_in_step",
        lambda places, watcher: [simulate(setup, run, watcher) for setup, run in places],
    )
    require_same(together, seen_in(tmp_path))


def test_one_by_one_they_agree_but_for_the_last_digits(
    together: list[list[Snapshot]], tmp_path: Path
) -> None:
    apart = arrays_of(seen_in(tmp_path, stacked_shadows=False))
    for (name, one), (other, two) in zip(arrays_of(together), apart, strict=True):
        assert name == other
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)


def test_processes_change_no_bit(together: list[list[Snapshot]], tmp_path: Path) -> None:
    require_same(together, seen_in(tmp_path, workers=2))


def test_what_was_stopped_goes_on(together: list[list[Snapshot]], tmp_path: Path) -> None:
    class Stopped:
        def say(self, text: str) -> None:
            pass

        @contextmanager
        def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
            def stop(standing: str) -> None:
                if standing == "round 2":
                    raise KeyboardInterrupt

            yield stop

    with pytest.raises(KeyboardInterrupt):
        shadows_of(setup_of(), RunDirectory(tmp_path), Stopped())
    kept = list((tmp_path / "shadows").rglob("checkpoint*"))
    assert len(kept) == FEDERATIONS
    require_same(together, seen_in(tmp_path))


def test_what_cannot_be_stacked_is_said(tmp_path: Path) -> None:
    setup = setup_of(stacked_shadows=True)
    assert simulate_in_step.go_in_step(setup)
    local = setup.experiment.federation.local.model_copy(update={"drop_last": True})
    federation = setup.experiment.federation.model_copy(update={"local": local})
    experiment = setup.experiment.model_copy(update={"federation": federation})
    changed = Setup(
        experiment, setup.dataset, setup.ledger, setup.new_model, setup.attackers, setup.attacks
    )
    with pytest.raises(ConfigError, match="drop_last"):
        simulate_in_step.go_in_step(changed)
