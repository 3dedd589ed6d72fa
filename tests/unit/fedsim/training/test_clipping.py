"""Sums of clipped gradients against the slow truth, and which way is taken for which model."""

from typing import Any

import numpy as np
import pytest
import torch
from opacus.layers import DPLSTM
from torch import Tensor, nn
from torch.nn import functional

from fedsim.config.federation import LocalTraining
from fedsim.data import Arrays
from fedsim.data.splitting import from_arrays
from fedsim.errors import ConfigError
from fedsim.objectives import Classification
from fedsim.training.clipping import choose_clipping
from fedsim.training.clipping.by_layer import LayerClipping
from fedsim.training.clipping.by_sample import SampleClipping
from fedsim.training.clipping.linear import is_ghost_cheaper
from fedsim.training.trainer import Batches

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning")
RECORDS, CLASSES = 7, 5


class Flat(nn.Module):
    """Positions first, then a mean over them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layers(inputs).mean(1)
        return found


class Twice(nn.Module):
    """A layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(6, 6), nn.Linear(6, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.last(self.layer(self.layer(inputs).tanh()))
        return found


class Scaled(nn.Module):
    """A parameter of the module's own, for which nobody has a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((6,), 0.5))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.factor


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(9, 4), DPLSTM(4, 6, batch_first=True)
        self.last = nn.Linear(6, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.last(self.lstm(self.embedding(tokens))[0][:, -1])
        return found


class Behind(nn.Module):
    """Uses a weight without calling its layer, besides."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layer(inputs) + functional.linear(inputs**2, self.layer.weight)
        return found


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    model[0].weight.requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


def convolutions(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1, dilation=1),
        nn.GroupNorm(2, width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 4, 2, dilation=2, padding="same", bias=False),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.LazyLinear(CLASSES),
    )


VECTORS, TOKENS, IMAGES, SERIES = (6,), (11,), (3, 8, 8), (3, 12)
MODELS: dict[str, tuple[Any, tuple[int, ...], type]] = {
    "linear": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, CLASSES)),
        VECTORS,
        LayerClipping,
    ),
    "frozen": (frozen, VECTORS, LayerClipping),
    "few places": (
        lambda: Flat(nn.Embedding(9, 16), nn.LayerNorm(16), nn.Linear(16, 99), nn.Linear(99, 5)),
        TOKENS,
        LayerClipping,
    ),
    "many places": (
        lambda: Flat(nn.Embedding(9, 3, padding_idx=2), nn.Linear(3, CLASSES)),
        TOKENS,
        LayerClipping,
    ),
    "images, many places": (lambda: convolutions(4), IMAGES, LayerClipping),
    "images, few places": (lambda: convolutions(64), IMAGES, LayerClipping),
    "series": (
        lambda: nn.Sequential(
            nn.Conv1d(3, 4, 5, stride=2, padding=2), nn.Tanh(), nn.Flatten(), nn.Linear(24, 5)
        ),
        SERIES,
        LayerClipping,
    ),
    "twice": (Twice, VECTORS, SampleClipping),
    "own parameter": (
        lambda: nn.Sequential(Scaled(), nn.Linear(6, CLASSES)),
        VECTORS,
        SampleClipping,
    ),
    "recurrent": (Recurrent, TOKENS, SampleClipping),
}


def participant(shape: tuple[int, ...]) -> Batches:
    random = np.random.default_rng(5)
    features = random.integers(0, 9, (RECORDS + 1, *shape))
    inputs = features if shape == TOKENS else features.astype(np.float32) / 4 - 1
    arrays = Arrays(inputs, random.integers(0, CLASSES, RECORDS + 1), num_classes=CLASSES)
    data = from_arrays("made", arrays, test_records=1, seed=0)
    return Batches(data, data.pool_records, Classification(), LocalTraining(), 3, 1, 0, 1)


def made(kind: str) -> tuple[nn.Module, Batches]:
    make, shape, _ = MODELS[kind]
    torch.manual_seed(2)
    model, batches = make(), participant(shape)
    model.train()(batches.of(batches.records)[0])  # lazy layers
    return model, batches


def truth(model: nn.Module, batches: Batches, clip: float) -> list[Tensor]:
    """Return the sum of clipped gradients, a record at a time."""
    trained = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in trained]
    for record in batches.records:
        inputs, labels = batches.of(np.array([record]))
        loss = functional.cross_entropy(model(inputs), labels)
        found = torch.autograd.grad(loss, trained)
        norm = float(torch.cat([g.flatten() for g in found]).norm())
        for whole, part in zip(total, found, strict=True):
            whole += part * min(1.0, clip / (norm + 1e-6))
    return total


@pytest.mark.parametrize("clip", [0.05, 1e6])
@pytest.mark.parametrize("kind", MODELS)
def test_sums_are_those_of_one_record_at_a_time(kind: str, clip: float) -> None:
    model, batches = made(kind)
    state, random = torch.random.get_rng_state(), [p.clone() for p in model.parameters()]
    way = choose_clipping(model, batches)
    assert way is MODELS[kind][2]
    assert torch.equal(torch.random.get_rng_state(), state)  # the choice has drawn nothing
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    inputs, labels = batches.of(batches.records)
    with way(model) as clipping:
        loss = functional.cross_entropy(model(inputs), labels)
        sums = clipping.clipped_sum(loss, RECORDS, clip)
    expected = truth(model, batches, clip)
    for parameter, whole in zip(clipping.parameters, expected, strict=True):
        torch.testing.assert_close(sums[parameter], whole, rtol=1e-4, atol=1e-6)
    assert all(p.grad is None and not hasattr(p, "grad_sample") for p in model.parameters())
    assert not any(layer._forward_hooks or layer._backward_hooks for layer in model.modules())
    for parameter, before in zip(model.parameters(), random, strict=True):
        assert torch.equal(parameter, before)


def test_few_and_many_places_are_on_both_sides_of_the_rule() -> None:
    assert is_ghost_cheaper(11, 16, 99)
    assert not is_ghost_cheaper(11, 3, CLASSES)
    assert is_ghost_cheaper(16, 3 * 9, 64)
    assert not is_ghost_cheaper(16, 3 * 9, 4)


def test_a_weight_that_is_used_behind_its_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="the gradient of a record of this model is another one"):
        choose_clipping(Behind(), participant(VECTORS))


def test_records_that_are_mixed_are_refused() -> None:
    class Centred(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs - inputs.mean(0)

    model = nn.Sequential(nn.Linear(6, 8), Centred(), nn.Tanh(), nn.Linear(8, CLASSES))
    with pytest.raises(ConfigError, match="does not mix records"):
        choose_clipping(model, participant(VECTORS))


@pytest.mark.parametrize(("kind", "instead"), [("LSTM", "DPLSTM"), ("GRU", "DPGRU")])
def test_a_layer_that_opacus_cannot_follow_is_named_with_its_own(kind: str, instead: str) -> None:
    model = Recurrent()
    model.lstm = getattr(nn, kind)(4, 6, batch_first=True)
    with pytest.raises(ConfigError, match=rf"lstm \({kind}\); .* opacus.layers.{instead}, with"):
        choose_clipping(model, participant(TOKENS))
