"""Products of gradients with directions, layer by layer: against autograd in double precision."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import toys
from torch import Tensor, nn
from torch.nn import functional

from adversaries.inference import alignment as module
from adversaries.inference.alignment import alignments
from adversaries.inference.gradient_rules import RuleDoesNotApplyError, has_products, products
from adversaries.inference.layer_products import LayerProducts
from fedsim.data import Dataset
from fedsim.objectives import Classification

RECORDS = np.arange(40)
ROUNDING = 2e-5  # in single precision, behind normalisations of a few numbers


class Positions(nn.Module):
    """Reads the twelve features as positions, one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = nn.Linear(3, 6), nn.Linear(6, 6, bias=False)
        self.norm, self.root, self.head = nn.LayerNorm(6), nn.RMSNorm(6), nn.Linear(6, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        inner = self.norm(self.first(inputs.view(-1, 4, 3))).tanh()
        inner = self.root(self.twice(inner)).tanh()
        found: Tensor = self.head(self.twice(inner).mean(1))
        return found


class Tokens(nn.Module):
    """Reads the signs of the features as tokens; token 1 is padding."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(2, 5, padding_idx=1), nn.Linear(60, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.head(self.words((inputs > 0).long()).tanh().flatten(1))
        return found


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4))


def images() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (3, 2, 2)),
        nn.Conv2d(3, 6, 2, padding=1, padding_mode="circular", groups=3),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 4, 2, stride=2, bias=False),
        nn.GroupNorm(2, 4),
        nn.Flatten(2),
        nn.Conv1d(4, 3, 1, dilation=2),
        nn.Flatten(),
        nn.LazyLinear(4),
    )


def frozen() -> nn.Module:
    model = plain()
    model[0].bias.requires_grad_(False)  # type: ignore[index,union-attr,operator]
    model[2].weight.requires_grad_(False)  # type: ignore[index,union-attr,operator]
    return model


def made(kind: Callable[[], nn.Module]) -> nn.Module:
    """Return a model whose buffers are those of some training."""
    torch.manual_seed(3)
    model = kind()
    with torch.no_grad():
        model(toys.dataset().batch(RECORDS)[0])
    return model.eval()


def directions(model: nn.Module) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [
        {n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}
        for _ in range(3)
    ]


def by_autograd(model: nn.Module, data: Dataset, along: dict[str, Tensor]) -> list[float]:
    """Return the products of records one by one, in double precision."""
    model = model.double()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found = []
    for record in RECORDS:
        inputs, labels = data.batch(np.array([record]))
        loss = functional.cross_entropy(model(inputs.double()), labels)
        slopes = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        terms = [
            (slope * along[name].double()).sum()
            for name, slope in zip(trained, slopes, strict=True)
            if slope is not None
        ]
        found.append(float(torch.stack(terms).sum()))
    model.float()
    return found


@pytest.mark.parametrize("kind", [plain, images, frozen, Positions, Tokens])
def test_products_of_layers_are_those_of_the_gradient(kind: Callable[[], nn.Module]) -> None:
    model, data = made(kind), toys.dataset()
    work = LayerProducts(model, Classification())
    batch = data.batch(RECORDS)
    assert work.applies(*data.batch(RECORDS[:3]))
    along = directions(model)
    found = work.of_batch(*batch, along)
    assert found is not None
    scale = found.fit.log_scale.double().exp()
    for direction, slopes in zip(along, found.products, strict=True):
        truth = np.array(by_autograd(model, data, direction))
        wrong = np.abs((slopes * scale).numpy() - truth).max()
        assert wrong <= ROUNDING * np.abs(truth).max()


@pytest.mark.parametrize("kind", [plain, images, frozen, Positions, Tokens])
def test_both_ways_give_the_same_alignments(
    kind: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = made(kind), toys.dataset()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    afters = [
        {n: before[n] - d[n] if n in d else before[n] for n in before} for d in directions(model)
    ]
    if kind is Tokens:  # what is padding does not learn
        for after in afters:
            after["words.weight"][1] = before["words.weight"][1]
    given = model, before, afters, data.batch, RECORDS, Classification()
    monkeypatch.setattr(module, "_in_forward_mode", None)
    by_layer = alignments(*given)
    monkeypatch.undo()
    monkeypatch.setattr(module, "_by_layer", lambda *_: None)
    in_forward_mode = alignments(*given)
    for one, other in zip(by_layer, in_forward_mode, strict=True):
        assert one.log_norm.tolist() == other.log_norm.tolist()
        assert one.log_scale.tolist() == other.log_scale.tolist()
        assert one.update_norm == other.update_norm
        assert np.abs(one.cosine - other.cosine).max() < ROUNDING


class Residual(nn.Linear):
    """A layer that is not linear in its parameters alone, though its gradient is a Linear's."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - its name in torch
        return super().forward(input) + input


class Elsewhere(nn.Module):
    """A model that uses a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.head(functional.linear(inputs, self.first.weight, self.first.bias))
        return found


def residual() -> nn.Module:
    return nn.Sequential(Residual(12, 12), nn.Tanh(), nn.Linear(12, 4))


def test_a_subclass_whose_gradient_is_a_linear_layer_s_is_right_too() -> None:
    model, data = made(residual), toys.dataset()
    work = LayerProducts(model, Classification())
    assert work.applies(*data.batch(RECORDS[:3]))
    [direction, *_] = directions(model)
    found = work.of_batch(*data.batch(RECORDS), [direction])
    assert found is not None
    truth = np.array(by_autograd(model, data, direction))
    wrong = (found.products[0] * found.fit.log_scale.double().exp()).numpy() - truth
    assert np.abs(wrong).max() <= ROUNDING * np.abs(truth).max()


def test_a_weight_that_is_used_elsewhere_goes_the_general_way() -> None:
    model, data = made(Elsewhere), toys.dataset()
    work = LayerProducts(model, Classification())
    assert not (
        work.applies(*data.batch(RECORDS[:3]))
        and work.of_batch(*data.batch(RECORDS), directions(model)) is not None
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    after = {name: value + 0.1 for name, value in before.items()}
    [found] = alignments(model, before, [after], data.batch, RECORDS, Classification())
    along = {name: before[name] - after[name] for name in before}
    truth = np.array(by_autograd(model, data, along))
    assert np.abs(found.inner - truth).max() <= ROUNDING * np.abs(truth).max()


def test_layers_without_a_rule() -> None:
    layer = nn.PReLU()
    assert not has_products(layer)
    assert not LayerProducts(nn.Sequential(nn.Linear(12, 4), layer), Classification()).applies(
        *toys.dataset().batch(RECORDS[:3])
    )
    with pytest.raises(RuleDoesNotApplyError, match="PReLU"):
        products(layer, torch.zeros(1, 1), torch.zeros(1, 1), {})
