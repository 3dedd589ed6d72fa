"""The paper's network is of the sizes that are known of it, and it learns."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from adversaries.inference.gradient_inputs import RankOne
from adversaries.inference.inputs import LAST_LAYER, Inputs
from adversaries.inference.network import NetworkSettings
from adversaries.inference.network_layers import SnapshotLinear
from adversaries.inference.network_training import fit_and_score
from adversaries.inference.paper_network import PaperNetwork, PaperNetworkSettings
from adversaries.inference.plans import PLANS, TrainingChanges, plan
from adversaries.inference.training_settings import SupervisedSettings
from fedsim import plugins, seeds
from fedsim.errors import ConfigError
from fedsim.evaluation.metrics import auc

SNAPSHOTS, CLASSES, HIDDEN = 2, 5, 7


def inputs(count: int = 6, hidden: int = HIDDEN, leak: torch.Tensor | None = None) -> Inputs:
    random = seeds.torch_generator(0, "inputs")

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    losses = normal(SNAPSHOTS, count, 1)
    return Inputs(
        scalars=normal(SNAPSHOTS, count, 3),
        losses=losses if leak is None else losses - 8 * leak[None, :, None],
        outputs={LAST_LAYER: normal(SNAPSHOTS, count, CLASSES)},
        labels=nn.functional.one_hot(torch.arange(count) % CLASSES, CLASSES).float()[None],
        gradients={
            LAST_LAYER: RankOne(normal(SNAPSHOTS, count, CLASSES), normal(SNAPSHOTS, count, hidden))
        },
        reactions=torch.zeros(0, count, 3),
    )


def weights(*widths: int) -> int:
    """Return how many weights and biases linear layers of these widths have."""
    return sum(a * b + b for a, b in pairwise(widths))


@pytest.mark.parametrize("shared", [False, True])
def test_every_layer_is_of_its_size(shared: bool) -> None:
    network = PaperNetworkSettings(shared=shared).build(inputs())
    gradient = CLASSES * 1000 + 1000 + weights(1000 * HIDDEN, 1024, 512, 128)
    output, loss, label = weights(CLASSES, 100, 64), weights(1, 100, 64), weights(CLASSES, 128, 64)
    sets = 1 if shared else SNAPSHOTS
    # The label is the same in all snapshots, so it has one component.
    components = sets * (gradient + output + loss) + label
    encoder = weights(SNAPSHOTS * (128 + 64 + 64) + 64, 256, 128, 64, 1)
    assert sum(p.numel() for p in network.parameters()) == components + encoder
    found = sum(p.numel() for p in network.component_parameters())
    assert found == components
    assert found + sum(p.numel() for p in network.encoder_parameters()) == components + encoder


def test_weights_are_small_and_biases_nought() -> None:
    with seeds.global_draws(0, "network"):
        network = PaperNetworkSettings().build(inputs())
    linear = [m.weight for m in network.modules() if isinstance(m, SnapshotLinear)]
    assert max(linear, key=torch.numel).std().item() == pytest.approx(0.01, rel=0.01)
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))


def test_it_reads_no_scalars() -> None:
    network = PaperNetworkSettings(kernels=4, gradient_widths=(8,)).build(inputs()).eval()
    given = inputs()
    deaf = replace(given, scalars=given.scalars + 1)
    assert torch.equal(network(given), network(deaf))


def test_its_training_is_the_papers() -> None:
    paper = PLANS["paper"]
    assert (paper.epochs, paper.batch_size, paper.loss) == (100, 64, "squared-error")
    assert paper.learning_rate == paper.component_learning_rate == 1e-4
    assert (paper.weight_decay, paper.schedule) == (0, "constant")
    assert paper.network == PaperNetworkSettings()
    assert PLANS["paper-shared"] == replace(paper, network=PaperNetworkSettings(shared=True))


def test_it_learns_a_planted_leak_of_tiny_data() -> None:
    """At ten times its learning rate: from such small weights the start takes a thousand steps."""
    member = seeds.generator(0, "member").permutation(240) < 120
    given = inputs(240, leak=torch.from_numpy(member).float())
    known, other = (given.take(torch.arange(start, start + 120)) for start in (0, 120))
    tiny = PaperNetworkSettings(kernels=10, gradient_widths=(16, 8), encoder_widths=(256, 128, 64))
    changes = TrainingChanges(
        folds=2, epochs=12, batch_size=8, learning_rate=1e-3, component_learning_rate=1e-3
    )
    settings = replace(plan("paper", changes), network=tiny)
    scores = fit_and_score(known, member[:120], other, settings, [0])[1][0]
    truth = member[120:]
    assert auc(scores[truth], scores[~truth]) > 0.99


@pytest.fixture
def double_precision(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything is computed in double precision."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")  # stacks sum in another order: 1e-7 near a score of 0
def test_large_networks_are_scored_epoch_by_epoch_with_the_same_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    member = np.arange(80) % 2 == 0
    given = inputs(80, leak=torch.from_numpy(member).float())
    settings = SupervisedSettings(folds=2, epochs=4)
    kept = fit_and_score(given, member, given, settings, [0])
    monkeypatch.setattr("adversaries.inference.memory.MOST_BYTES", 0)
    scored = fit_and_score(given, member, given, settings, [0])
    np.testing.assert_allclose(kept, scored, rtol=1e-9)  # in stacks of two, and alone
    monkeypatch.setattr("adversaries.inference.network.MOST_FLOATS", 100)
    np.testing.assert_allclose(kept, fit_and_score(given, member, given, settings, [0]), rtol=1e-9)


def built(**settings: object) -> SupervisedSettings:
    return plugins.build("attacks", "supervised", settings).training  # type: ignore[no-any-return]


def test_an_experiment_names_the_network_and_changes_its_training() -> None:
    assert built() == SupervisedSettings()
    assert built(network="paper") == PLANS["paper"]
    few = built(network="paper", training={"epochs": 3, "loss": "cross-entropy"})
    assert few == replace(PLANS["paper"], epochs=3, loss="cross-entropy")
    shared = built(network={"shared": True, "kernels": 3})
    assert shared == SupervisedSettings(network=NetworkSettings(shared=True, kernels=3))
    with pytest.raises(ConfigError, match="epochs must be at least 1, not 0"):
        plan("paper", TrainingChanges(epochs=0))


def test_its_type_is_told_apart() -> None:
    small = PaperNetworkSettings(kernels=2, gradient_widths=(4,))
    assert isinstance(small.build(inputs()), PaperNetwork)
