"""What an attack will take is known from one record: the weights are those of the real network."""

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import toys
from test_paper_network import inputs
from torch import nn

from adversaries.inference import supervised
from adversaries.inference.crossfit import folds
from adversaries.inference.inputs import Inputs
from adversaries.inference.network import MembershipNetwork
from adversaries.inference.paper_network import PaperNetworkSettings
from adversaries.inference.plans import PLANS
from fedsim import plugins
from fedsim.attacks import ExpectedObservation, MemoryNeed
from fedsim.errors import ConfigError, FedsimError
from fedsim.models import build_model

WIDTH = 16


def prospect(snapshots: int = 3, **changed: Any) -> ExpectedObservation:
    usual = ExpectedObservation(toys.new_model, toys.dataset(), np.arange(40), snapshots)
    return replace(usual, **changed)


def need(
    name: str = "supervised", of: ExpectedObservation | None = None, **settings: Any
) -> MemoryNeed:
    found = plugins.build("attacks", name, settings).memory_needed(of or prospect())
    assert isinstance(found, MemoryNeed)
    return found


def wide(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Return a network with a last layer as wide as that of the paper's AlexNet."""
    return nn.Sequential(nn.Linear(*input_shape, 256), nn.ReLU(), nn.Linear(256, num_classes))


def like_alexnet() -> nn.Module:
    shapes: dict[str, Any] = {"input_shape": (toys.FEATURES,), "num_classes": toys.CLASSES}
    return build_model("test_network_memory:wide", {}, **shapes, seed=0)


@pytest.mark.parametrize(("snapshots", "millions"), [(1, "263"), (5, "1,314")])
def test_the_papers_network_takes_gigabytes_a_snapshot(snapshots: int, millions: str) -> None:
    found = need(network="paper", of=prospect(snapshots, new_model=like_alexnet))
    first = 256_000 * 1024  # of 1,000 maps into the first linear layer
    assert found.size == pytest.approx(snapshots * first * (16 + 8), rel=0.02)
    assert found.what == f"5 networks of {millions} million weights, 100 epochs each"
    assert found.instead.startswith(
        "set network: default, or fewer kernels (network: {kernels: 8})"
    )
    assert ("observe fewer rounds" in found.instead) == (snapshots > 1)
    shared = need(network="paper-shared", of=prospect(snapshots, new_model=like_alexnet))
    assert shared.size == pytest.approx(first * (16 + 8), rel=0.02)


@pytest.mark.parametrize("name", ["supervised", "shadow"])
def test_the_weights_are_those_of_the_network_that_is_trained(name: str) -> None:
    sizes = {"kernels": 3, "gradient_widths": [5], "vector_snapshots": 2}
    settings = {"network": sizes, "inputs": {"gradients": [-1]}, "training": {"folds": 2}}
    found = need(name, **settings)
    gradient = (toys.CLASSES * 3 + 3) + (3 * WIDTH * 5 + 5)
    label = toys.CLASSES * 4 + 4
    scalars = 3 * 3  # two of the last layer's gradient, and its norm, on all three snapshots
    encoder = (scalars + 2 * 5 + 4) * 64 + 64 + 64 + 1 + scalars + 1
    weights = 2 * gradient + label + encoder
    assert found.what == f"2 networks of {weights:,} weights, 40 epochs each"
    maps = 40 * 2 * 3 * WIDTH
    alone = 4 * weights + 2 * max(maps, 2 * 3 * WIDTH * 5)
    read = scalars + toys.CLASSES + 2 * (toys.CLASSES + WIDTH)  # of each record
    together = 2 * (5 * weights + 40 * read)  # with those after the best epoch so far
    assert found.size == 4 * max(alone, together)


def test_the_encoder_of_the_unsupervised_attack_reads_all_snapshots() -> None:
    one, many = (need("unsupervised", of=prospect(snapshots)) for snapshots in (1, 9))
    assert one.what.startswith("1 network of ")
    assert many.size > 5 * one.size
    assert many.instead.startswith("set fewer training.network.kernels, ")


def test_mistakes_in_what_is_read_are_told_before_round_1() -> None:
    with pytest.raises(ConfigError, match="inputs name layer 'conv7', which the model does not"):
        need(inputs={"gradients": ["conv7"]})
    with pytest.raises(FedsimError, match=r"\(linear1\) of 40 records on 3 snapshots takes .* GB"):
        need(inputs={"gradients": ["linear1"], "memory_limit_gb": 1e-6})


def test_a_model_that_does_not_take_the_records_is_refused_before_round_1() -> None:
    of = prospect(new_model=lambda: nn.Linear(toys.FEATURES + 1, 4))
    for name in ("supervised", "unsupervised", "shadow", "loss", "gradient-norm", "uncertainty"):
        with pytest.raises(FedsimError, match=r"Linear does not take records of shape \(12,\)"):
            plugins.build("attacks", name, {}).memory_needed(of)


def test_a_model_may_be_one_layer_but_not_none() -> None:
    assert need(of=prospect(new_model=lambda: nn.Linear(toys.FEATURES, toys.CLASSES))).size > 0
    with pytest.raises(ConfigError, match="layer -1, but the model has no Linear or convolutional"):
        need(of=prospect(new_model=nn.Identity))


def test_what_does_not_fit_is_not_trained_either() -> None:
    """Where nobody asked before: 10 billion weights a snapshot and unit."""
    member = np.arange(6) % 2 == 0
    given = inputs(count=6, hidden=10_000_000)
    with pytest.raises(FedsimError, match=r"million weights for 2 snapshots .* GB to train"):
        supervised.fit_and_score(given, member, given, replace(PLANS["paper"], folds=2), [0])


def test_a_large_network_is_let_go_before_the_next_one_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adversaries.inference.memory.MOST_BYTES", 0)
    made: list[weakref.ref[MembershipNetwork]] = []

    class Watched(PaperNetworkSettings):
        def build(self, like: Inputs) -> Any:
            network = super().build(like)
            if next(network.parameters()).device == torch.device("cpu"):
                gc.collect()
                assert [one() for one in made] == [None] * len(made)
                made.append(weakref.ref(network))
            return network

    member = np.arange(20) % 2 == 0
    settings = replace(
        PLANS["paper"], network=Watched(kernels=3, gradient_widths=(4,)), folds=4, epochs=1
    )
    given = inputs(20)
    supervised.fit_and_score(given, member, given, settings, [0])
    assert len(made) == 4 == len(list(folds(member, 4, 0, 0)))
