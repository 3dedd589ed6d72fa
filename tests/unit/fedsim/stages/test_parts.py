"""What is wrong with an experiment is told at once, and before any record is decoded."""

from typing import Any

import pytest
import toys

from fedsim.config.loading import parse_experiment
from fedsim.errors import ConfigError, FedsimError
from fedsim.progress import SILENCE
from fedsim.stages.setup import set_setup

DECODED: list[str] = []


def records() -> object:
    """Return what must not be asked for."""
    DECODED.append("records")
    raise AssertionError("the records were decoded")


class Source:
    """A source whose constructor only looks at its settings."""

    def __init__(self, size: int = 1) -> None:
        if size < 1:
            raise ValueError(f"size is {size}")

    def arrays(self, place: object) -> object:
        """Return what must not be asked for."""
        return records()


DATA = {"name": "test_parts:Source", "test_records": 60}


def refused(**sections: Any) -> str:
    """Return the one error of an experiment, wherever it is raised."""
    DECODED.clear()
    with pytest.raises(FedsimError) as error:
        set_setup(parse_experiment(toys.tree(data=DATA, **sections), "exp.yaml"), None, SILENCE)
    assert DECODED == []
    return str(error.value)


def federation(**settings: Any) -> dict[str, Any]:
    return {"federation": {**toys.tree()["federation"], **settings}}


def local(**settings: Any) -> dict[str, Any]:
    own = toys.tree()["federation"]["local"]
    return federation(local={**own, **settings})


ALONE: dict[str, tuple[dict[str, Any], str]] = {
    "strategy": (federation(strategy="FedAvgg"), "there is no 'FedAvgg' among the strategies"),
    "strategy's setting": (
        federation(strategy={"name": "FedAdam", "etaa": 1}),
        "FedAdam: unknown setting 'etaa'",
    ),
    "strategy's value": (
        federation(strategy={"name": "FedAvg", "fraction_train": 2.0}),
        "would wait forever for fraction_train",
    ),
    "wrapped strategy": (
        federation(
            strategy={
                "name": "DifferentialPrivacyServerSideFixedClipping",
                "noise_multiplier": 0.1,
                "clipping_norm": 1.0,
                "num_sampled_clients": 2,
                "strategy": {"name": "FedAvg", "fraction": 1},
            }
        ),
        "FedAvg: unknown setting 'fraction'",
    ),
    "optimizer": (local(optimizer="sgdd"), "there is no 'sgdd' among the optimizers"),
    "optimizer's value": (
        local(optimizer={"name": "sgd", "momentum": -0.5}),
        "sgd: setting 'momentum' is -0.5",
    ),
    "optimizer's values": (
        local(optimizer={"name": "sgd", "momentum": 0.0, "nesterov": True}),
        "nesterov is a form of momentum, which is 0",
    ),
    "PyTorch's optimizer": (
        local(optimizer={"name": "torch.optim:RMSprop", "alpha": -1.0}),
        "torch.optim:RMSprop: ValueError: Invalid alpha value: -1.0",
    ),
    "trainer": (local(trainer={"name": "sgd", "clip": -1}), "sgd: unknown setting 'clip'"),
    "partitioner": (
        {"partition": {"name": "disjoin"}},
        "there is no 'disjoin' among the partitioners",
    ),
    "partitioner's setting": (
        {"partition": {"name": "disjoint", "alpha": 1}},
        "disjoint: unknown setting 'alpha'",
    ),
    "Flower's partitioner": (
        {"partition": {"name": "DirichletPartitioner", "alpha": -1.0}},
        "partition DirichletPartitioner",
    ),
    "Flower's partitioner without": (
        {"partition": {"name": "DirichletPartitioner"}},
        "setting 'alpha' is missing",
    ),
    "defence": ({"defences": ["clip"]}, "there is no 'clip' among the defences"),
    "defence's value": (
        {"defences": [{"name": "clipped-updates", "clipping_norm": -1}]},
        "clipped-updates",
    ),
    "attack's value": ({"attacks": [{"name": "scalar-logistic", "folds": 1}]}, "folds"),
    "adversary's value": (
        {"adversaries": [{"name": "gradient-ascent-server", "rate": -1.0}]},
        "gradient-ascent-server cannot be built: rate must be a positive number",
    ),
    "late adversary": (
        {"adversaries": [{"name": "isolating-server", "first": 9}]},
        "isolating-server acts from round 9 on, but federation.rounds is 4",
    ),
    "objective": ({"objective": "clasification"}, "no 'clasification' among the objectives"),
    "metric": ({"metrics": ["tpr@2.0"]}, "an fpr of 2.0 was asked for"),
    "model": ({"model": {"name": "fully-connected", "widht": 2}}, "unknown setting 'widht'"),
}


@pytest.mark.parametrize("what", ALONE)
def test_each_fault_is_told_before_the_data_are_decoded(what: str) -> None:
    sections, sentence = ALONE[what]
    assert sentence in refused(**sections)


def test_a_source_is_built_but_not_read() -> None:
    toy = toys.tree(data={**DATA, "size": 0})
    with pytest.raises(FedsimError, match=r"test_parts:Source cannot be built: size is 0"):
        parse_experiment(toy, "exp.yaml")


def test_faults_of_all_plugins_are_one_error() -> None:
    said = refused(
        partition={"name": "disjoin"},
        federation={
            "rounds": 4,
            "strategy": {"name": "FedAdam", "etaa": 1},
            "local": {"optimizer": {"name": "sgd", "momentum": -0.5}, "trainer": "sgdd"},
        },
        defences=["clip"],
        attacks=[{"name": "scalar-logistic", "folds": 1}],
        adversaries=[{"name": "gradient-ascent-server", "rate": -1.0}],
    )
    assert said.startswith("exp.yaml: 7 faults: (1) ")
    for part in ("disjoin", "etaa", "momentum", "sgdd", "clip", "folds", "rate"):
        assert said.count(f"{part!r}") >= 1 or part in said


def test_a_misspelt_key_hides_no_fault_of_a_plugin() -> None:
    said = refused(sead=1, attacks=[{"name": "scalar-logistic", "folds": 1}])
    assert "unknown key 'sead'" in said
    assert "folds" in said


def test_what_only_constructors_refuse_is_one_error() -> None:
    with pytest.raises(ConfigError) as error:
        set_setup(
            parse_experiment(
                toys.tree(
                    data=DATA,
                    partition={"name": "DirichletPartitioner", "participants": 3, "alpha": -1.0},
                    federation={
                        "rounds": 4,
                        "strategy": {"name": "FedAvg", "fraction_train": 2.0},
                        "local": {"optimizer": {"name": "torch.optim:RMSprop", "alpha": -1.0}},
                    },
                    adversaries=[{"name": "isolating-server", "first": 9}],
                ),
                "exp.yaml",
            ),
            None,
            SILENCE,
        )
    said = str(error.value)
    assert said.startswith("4 faults: (1) isolating-server acts from round 9 on")
    assert "(2) partition DirichletPartitioner" in said
    assert "(3) federation.strategy: FedAvg would wait forever" in said
    assert "(4) federation.local.optimizer: torch.optim:RMSprop" in said
