"""Flower's strategies by name: each can be built, runs a round, or says why not."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
import toys
from flwr.app import Array, ArrayRecord
from flwr.serverapp import strategy as flower_strategies
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedAvgM,
    Strategy,
)

from fedsim import plugins
from fedsim.errors import ConfigError, MessageError, PluginError
from fedsim.federation.strategies import build_strategy
from fedsim.federation.strategy_state import restore_strategy, strategy_state

STRATEGIES = set(plugins.available("strategies"))
FOR_TREES = {"FedXgbBagging"}  # it aggregates xgboost models, not parameters
WRAPPERS = {
    "DifferentialPrivacyClientSideAdaptiveClipping",
    "DifferentialPrivacyClientSideFixedClipping",
    "DifferentialPrivacyServerSideAdaptiveClipping",
    "DifferentialPrivacyServerSideFixedClipping",
}


class OwnAverage(FedAvg):  # type: ignore[misc]
    """A strategy of a user's own."""

    def __init__(
        self, power: int = 1, fraction_train: float = 1.0, min_available_nodes: int = 2
    ) -> None:
        super().__init__(fraction_train=fraction_train, min_available_nodes=min_available_nodes)
        self.power = power


SETTINGS: dict[str, dict[str, Any]] = {"QFedAvg": {"client_learning_rate": 0.1}}


def test_flowers_strategies_are_members_by_their_names() -> None:
    assert {
        name
        for name, kind in vars(flower_strategies).items()
        if isinstance(kind, type) and issubclass(kind, Strategy) and not inspect.isabstract(kind)
    } == STRATEGIES


def test_a_strategy_of_a_users_own_goes_by_module_and_class() -> None:
    built = build_strategy("flwr.serverapp.strategy:FedAvg", {}, 3)
    assert type(built) is type(build_strategy("FedAvg", {}, 3))
    own = build_strategy(f"{__name__}:OwnAverage", {"power": 2, "fraction_train": 0.5}, 3)
    assert isinstance(own, OwnAverage)
    assert (own.power, own.fraction_train, own.min_available_nodes) == (2, 0.5, 3)
    with pytest.raises(PluginError, match="must derive from flwr"):
        build_strategy("fractions:Fraction", {}, 3)


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("name", sorted(STRATEGIES - WRAPPERS - FOR_TREES))
def test_every_strategy_runs_a_round(name: str) -> None:
    federation = toys.Federation(strategy=name, settings=SETTINGS.get(name, {}), rounds=2)
    end = federation.run()
    assert end.round == 2
    assert list(end.arrays) == list(federation.initial.arrays)
    assert not toys.arrays_equal(end.arrays, federation.initial.arrays)
    assert end.history[1].of("test_accuracy") is not None


class GivesUp(FedAvg):
    def aggregate_train(self, *_: Any) -> Any:
        raise InconsistentMessageReplies("no two of them agree")


@pytest.mark.usefixtures("flower")
def test_a_strategy_that_gives_up_is_one_sentence() -> None:
    with pytest.raises(MessageError, match=r"^the strategy gave up in round 1: .*of them agree"):
        toys.Federation(strategy=f"{__name__}:GivesUp", rounds=1).run()


def test_a_strategy_for_trees_is_refused_for_networks() -> None:
    with pytest.raises(ConfigError, match="FedXgbBagging aggregates gradient-boosted trees"):
        build_strategy("FedXgbBagging", {}, 3)


@pytest.mark.usefixtures("flower")
def test_differential_privacy_is_worn_over_another_strategy() -> None:
    settings = {
        "strategy": {"name": "FedAvgM", "server_momentum": 0.5, "fraction_train": 1.0},
        "noise_multiplier": 0.0,
        "clipping_norm": 1e6,
        "num_sampled_clients": 3,
    }
    name = "DifferentialPrivacyServerSideFixedClipping"
    built = build_strategy(name, settings, 3)
    assert isinstance(built, DifferentialPrivacyServerSideFixedClipping)
    assert isinstance(built.strategy, FedAvgM)
    assert built.strategy.server_momentum == 0.5
    assert built.strategy.min_available_nodes == 3
    # A clip that nothing reaches and no noise leave the strategy below it as it is.
    private = toys.Federation(strategy=name, settings=settings, rounds=2).run()
    plain = toys.Federation(strategy="FedAvgM", settings={"server_momentum": 0.5}, rounds=2).run()
    one, other = private.arrays.to_torch_state_dict(), plain.arrays.to_torch_state_dict()
    assert all(torch.allclose(one[k], other[k], atol=1e-6) for k in other)


@pytest.mark.usefixtures("flower")
def test_noise_comes_from_the_seed() -> None:
    settings = {
        "strategy": {"name": "FedAvg"},
        "noise_multiplier": 0.5,
        "clipping_norm": 1.0,
        "num_sampled_clients": 3,
    }
    name = "DifferentialPrivacyServerSideFixedClipping"
    np.random.seed(1)  # noqa: NPY002
    one = toys.Federation(strategy=name, settings=settings, rounds=2).run()
    np.random.seed(2)  # noqa: NPY002
    two = toys.Federation(strategy=name, settings=settings, rounds=2).run()
    quiet = settings | {"noise_multiplier": 0.0}
    none = toys.Federation(strategy=name, settings=quiet, rounds=2).run()
    assert toys.arrays_equal(one.arrays, two.arrays)
    assert not toys.arrays_equal(one.arrays, none.arrays)


@pytest.mark.usefixtures("flower")
def test_sampled_participants_come_from_the_seed_and_the_round() -> None:
    def trained(rounds: int) -> list[int]:
        federation = toys.Federation(
            strategy="FedAvg", settings={"fraction_train": 0.4}, rounds=rounds, participants=5
        )
        federation.run()
        return [node for node, kind, _ in federation.grid.sent if kind == "train"]

    assert len(trained(4)) == 8
    assert trained(4)[:4] == trained(2)
    assert len({tuple(trained(4)[start : start + 2]) for start in (0, 2, 4, 6)}) > 1


@pytest.mark.usefixtures("flower")
def test_fedprox_keeps_uploads_near_what_was_sent() -> None:
    def moved(mu: float) -> float:
        federation = toys.Federation(strategy="FedProx", settings={"proximal_mu": mu}, rounds=1)
        before = federation.initial.arrays.to_torch_state_dict()
        after = federation.run().arrays.to_torch_state_dict()
        return float(sum((after[k] - before[k]).norm() ** 2 for k in before) ** 0.5)

    distances = [moved(mu) for mu in (0.0, 1.0, 5.0)]
    assert distances[0] > 1.1 * distances[1] > 1.1 * distances[2] > 0


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("FedSGD", {}, "there is no 'FedSGD' among the strategies; valid: Bulyan, "),
        ("FedAvg", {"momentum": 0.9}, "FedAvg: unknown setting 'momentum'; valid: arrayrecord_key"),
        ("FedAvg", {"fraction_train": "all"}, "FedAvg: setting 'fraction_train' is 'all'"),
        ("FedAvg", {"fraction_train": 2.0}, "FedAvg would wait forever for fraction_train = 2.0; "),
        ("Krum", {"weighted_by_key": "n"}, "'n', which they do not all send; it must be num-exam"),
        (
            "DifferentialPrivacyServerSideFixedClipping",
            {
                "noise_multiplier": 1.0,
                "clipping_norm": 1.0,
                "num_sampled_clients": 3,
                "strategy": {"name": "FedAdam", "weighted_by_key": "accuracy"},
            },
            "FedAdam would weight participants by weighted_by_key = 'accuracy', which they do not",
        ),
        ("FedAvgM", {"fraction_train": 40}, "wait forever for fraction_train = 40.0; it must be"),
        ("FedAvg", {"fraction_evaluate": 1.5}, "wait forever for fraction_evaluate = 1.5; it"),
        ("FedAvg", {"fraction_evaluate": -0.1}, "fraction_evaluate = -0.1; it must be a fraction"),
        ("FedAvg", {"fraction_train": 0.0}, "would train nobody with fraction_train = 0.0; it"),
        ("FedAdam", {"min_available_nodes": 9}, "wait forever for min_available_nodes = 9; in"),
        ("QFedAvg", {}, "QFedAvg: setting 'client_learning_rate' is missing"),
        ("FedAvg", {"strategy": "FedAvg"}, "FedAvg: unknown setting 'strategy'"),
        (
            "DifferentialPrivacyServerSideFixedClipping",
            {"noise_multiplier": 1.0, "clipping_norm": 1.0, "num_sampled_clients": 3},
            "wraps another strategy and needs it as strategy: ",
        ),
        (
            "DifferentialPrivacyServerSideFixedClipping",
            {
                "strategy": "Fed",
                "noise_multiplier": 1.0,
                "clipping_norm": 1,
                "num_sampled_clients": 3,
            },
            "there is no 'Fed' among the strategies; valid: ",
        ),
        (
            "DifferentialPrivacyServerSideFixedClipping",
            {
                "strategy": {"name": "FedAvg"},
                "noise_multiplier": -1.0,
                "clipping_norm": 1.0,
                "num_sampled_clients": 3,
            },
            "noise multiplier should be a non-negative",
        ),
        (
            "DifferentialPrivacyServerSideFixedClipping",
            {
                "strategy": {"name": "FedAvg"},
                "noise_multiplier": 1.0,
                "clipping_norm": 1.0,
                "num_sampled_clients": 3,
                "accountant": {},
            },
            "cannot be built with these settings .*; leave out those that are no numbers or text",
        ),
    ],
)
def test_a_wrong_strategy_is_one_sentence(name: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigError, PluginError), match=told) as error:
        toys.Federation(strategy=name, settings=settings, rounds=1)
    assert "\n" not in str(error.value)


def test_a_strategys_memory_is_kept_by_attribute_path() -> None:
    arrays = {"z": np.ones(2), "a": np.zeros((), np.float32)}
    strategy = build_strategy(
        "DifferentialPrivacyServerSideFixedClipping",
        {
            "strategy": {"name": "FedAvgM", "server_momentum": 0.5},
            "noise_multiplier": 0.0,
            "clipping_norm": 1.0,
            "num_sampled_clients": 3,
        },
        3,
    )
    inner: Any = strategy.strategy
    inner.momentum_vector = [np.full(n + 1, n) for n in range(12)]
    inner.current_arrays = ArrayRecord({k: Array(v) for k, v in arrays.items()})
    kept, plain = strategy_state(strategy)
    inner.momentum_vector[3][:] = -1  # what was kept is a copy
    assert plain["strategy/server_momentum"] == 0.5
    assert plain["clipping_norm"] == 1.0
    fresh: Any = FedAvg()
    fresh.strategy = FedAvgM(server_momentum=0.1)
    restore_strategy(fresh, kept, plain)
    assert [a.tolist() for a in fresh.strategy.momentum_vector] == [
        [n] * (n + 1) for n in range(12)
    ]
    assert list(fresh.strategy.current_arrays) == ["z", "a"]
    assert fresh.strategy.current_arrays["a"].numpy().shape == ()
    assert fresh.strategy.server_momentum == 0.5
