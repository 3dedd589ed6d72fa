"""Defences with noise in whole runs: the same bits on engines and after a stop, and budgets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from scipy.stats import chi2

from fedsim.config.choice import LabelledChoice
from fedsim.defences import Guarantee, NoGuarantee
from fedsim.defences.composition import build_defences, mods_of
from fedsim.errors import ConfigError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.client_app import PLAIN_STATE
from fedsim.observation.snapshots import SnapshotStore
from fedsim.privacy import FederationFacts, Release, total_epsilon
from fedsim.privacy.facts import LocalTraining
from fedsim.progress import SILENCE
from fedsim.stages.preparation.plan import plan
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.training.privacy_history import epsilon_of_history
from fedsim.training.trainer import TrainerState

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
NOISE = {"clipping_norm": 0.3, "noise_multiplier": 1.0}


def chosen(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **NOISE, **more}


@pytest.mark.usefixtures("flower")
def test_the_noise_of_each_participant_is_of_its_size_and_its_own() -> None:
    facts = FederationFacts(
        1, 3, 3, (40, 30, 20), frozenset(toys.new_model().state_dict()), LocalTraining(), 3
    )

    def uploads(noise: float) -> list[np.ndarray]:
        choice = LabelledChoice(name="local-dp", clipping_norm=0.2, noise_multiplier=noise)
        defence = build_defences([choice], facts)["local-dp"]
        federation = toys.Federation(mods=mods_of((defence,)), rounds=1)
        federation.run()
        sizes = {n: v.numel() for n, v in toys.new_model().state_dict().items()}
        sent = [c for _, kind, c in federation.grid.returned if kind == "train"][:3]
        return [
            np.concatenate(
                [np.frombuffer(c[f"arrays/{n}"][-4 * k :], np.float32) for n, k in sizes.items()]
            )
            for c in sent
        ]

    noises = [a - b for a, b in zip(uploads(5.0), uploads(0.0), strict=True)]
    for noise in noises:
        low, high = chi2.ppf([0.0005, 0.9995], len(noise)) * (5.0 * 0.2) ** 2
        assert low < float(np.square(noise).sum()) < high
    # Of different participants it is not related: 5 deviations of a correlation of 276 pairs.
    assert abs(np.corrcoef(noises[0], noises[1])[0, 1]) < 5 / np.sqrt(len(noises[0]))


def prepared(**sections: Any) -> tuple[Setup, list[str]]:
    told: list[str] = []

    class Listening:
        say = staticmethod(told.append)
        task = staticmethod(SILENCE.task)

    return build_setup(toys.experiment(**sections), None, Listening()), told


def test_a_budget_ends_the_federation_before_the_round_that_would_exceed_it(
    tmp_path: Path,
) -> None:
    budget = total_epsilon((Release(1.0, count=2),), 1e-5) + 0.01
    sections: dict[str, Any] = {"defences": [chosen("local-dp", budget=budget)]}
    setup, told = prepared(**sections, snapshots={"rounds": [1, 2, 4]})
    assert told[-1] == (
        "defence local-dp: the federation ends after round 2 of 4; the next would exceed the "
        f"budget of epsilon {budget:g}"
    )
    assert setup.experiment.federation.rounds == 2
    assert setup.experiment.observed_rounds == (1, 2)
    [stated] = setup.guarantees
    assert isinstance(stated.found, Guarantee)
    assert stated.found.epsilon == pytest.approx(budget - 0.01)
    again = build_setup(setup.experiment, None, SILENCE)
    assert again.experiment.plain() == setup.experiment.plain()
    # Where no observed round is left, the last one is observed.
    alone, _ = prepared(**sections, snapshots={"rounds": [4]})
    assert alone.experiment.observed_rounds == (2,)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (
            {"defences": [chosen("local-dp", budget=2.0)]},
            r"defence local-dp: round 1 alone has an epsilon of 4.73, which exceeds the budget of "
            "2; allow more, or add more noise",
        ),
        (
            {
                "defences": [chosen("fixed-clipping", budget=8.0)],
                "federation": {"strategy": "FedMedian"},
            },
            r"defence fixed-clipping: budget 8 cannot be kept: the strategy's aggregate is not the",
        ),
        (
            {"federation": {"local": {"trainer": {"name": "dp-sgd", "budget": 1.0}}}},
            r"trainer dp-sgd: round 1 alone has an epsilon of .* budget of 1",
        ),
    ],
)
def test_a_budget_that_cannot_be_kept_is_one_sentence(sections: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        prepared(**sections)


def test_rounds_in_which_a_participant_is_away_cost_it_nothing() -> None:
    sections: dict[str, Any] = {
        "defences": [chosen("local-dp")],
        "federation": {"attendance": {1: [0, 1, 2], 3: [0, 2]}},
    }
    setup, _ = prepared(**sections)
    [stated] = setup.guarantees
    assert isinstance(stated.found, Guarantee)
    assert stated.found.each == pytest.approx(
        [total_epsilon((Release(1.0, count=count),), 1e-5) for count in (4, 2, 4)]
    )


def test_participants_that_a_strategy_draws_are_counted_as_they_are_drawn(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "defences": [chosen("local-dp")],
        "federation": {"strategy": {"name": "FedAvg", "fraction_train": 0.67}},
        "snapshots": {"rounds": [1, 2, 3, 4], "participants": "all"},
    }
    setup, _ = prepared(**sections)
    run = toys.simulated(tmp_path, **sections)
    kept = SnapshotStore(run.snapshots("curious-server")).index()
    for participant in range(3):
        rounds = {s.round for s in kept if s.key.name == f"participant-{participant}"}
        assert rounds == set(setup.facts.rounds_of(participant))
    assert 0 < sum(map(len, setup.facts.attendance)) < 12


def test_what_dp_sgd_promises_is_what_its_participants_have_counted(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "federation": {"local": {"trainer": "dp-sgd"}},
        "snapshots": {"rounds": [4]},
    }
    setup, _ = prepared(**sections)
    [stated] = setup.guarantees
    assert isinstance(stated.found, Guarantee)
    assert (stated.defence, stated.found.unit) == ("trainer dp-sgd", "record")
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path, watcher=toys.Stopping(2), **sections)
    run = toys.simulated(tmp_path, **sections)
    states = Checkpoint.load(run.checkpoint("honest")).states
    counted = [
        epsilon_of_history(
            TrainerState.of(None, s.config_records[PLAIN_STATE]).plain["accountant"], 1e-5
        )
        for s in states.values()
    ]
    assert sorted(counted) == pytest.approx(sorted(stated.found.each))
    assert "of a record against the server, participants and outsiders" in plan(setup).guarantees[0]


def test_a_defence_around_dp_sgd_leaves_no_guarantee() -> None:
    setup, _ = prepared(
        federation={"local": {"trainer": "dp-sgd"}},
        defences=[{"name": "test_composition:Untrained"}],
    )
    assert isinstance(setup.guarantees[-1].found, NoGuarantee)
