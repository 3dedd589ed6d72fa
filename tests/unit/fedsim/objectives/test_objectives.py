"""Each objective against the slow truth: losses, closed gradients, scalars that stay finite."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fedsim import plugins
from fedsim.errors import ConfigError
from fedsim.objectives import Classification, MultiLabel, NextToken, Objective, Regression

Made = tuple[Objective, Tensor, Tensor]


def logits(*shape: int, factor: float = 1.0) -> Tensor:
    random = torch.Generator().manual_seed(7)
    return factor * torch.randn(shape, generator=random, dtype=torch.float64)


def classes(*shape: int, below: int) -> Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(8))


def padded(tokens: Tensor) -> Tensor:
    tokens[0, 3:] = -100
    tokens[1, :2] = -100
    return tokens


MADE: dict[str, Callable[[], Made]] = {
    "classification": lambda: (Classification(), logits(6, 5), classes(6, below=5)),
    "multilabel": lambda: (MultiLabel(), logits(6, 5), classes(6, 5, below=2)),
    "next-token": lambda: (NextToken(), logits(6, 4, 5), padded(classes(6, 4, below=5))),
    "squared": lambda: (Regression(), logits(6, 3), logits(6, 3).flip(0)),
    "absolute": lambda: (Regression("absolute"), logits(6, 1), logits(6).flip(0)),
}


@pytest.fixture(params=MADE)
def made(request: pytest.FixtureRequest) -> Made:
    return MADE[request.param]()


def test_the_closed_gradient_is_that_of_autograd(made: Made) -> None:
    objective, outputs, targets = made
    slow = Objective.output_gradients(objective, outputs, targets)
    torch.testing.assert_close(objective.output_gradients(outputs, targets), slow)


def test_mean_and_sum_are_those_of_the_records(made: Made) -> None:
    objective, outputs, targets = made
    losses = objective.per_record_loss(outputs, targets)
    assert losses.shape == (6,)
    torch.testing.assert_close(objective.mean_loss(outputs, targets), losses.mean())
    torch.testing.assert_close(objective.sum_loss(outputs, targets), losses.sum())


def test_the_first_scalar_orders_records_as_their_loss_does(made: Made) -> None:
    objective, outputs, targets = made
    scalars = objective.record_scalars(outputs, targets)
    assert scalars.shape == (6, len(objective.scalars))
    losses = objective.per_record_loss(outputs, targets)
    assert scalars[:, 0].argsort().tolist() == losses.argsort(descending=True).tolist()


def test_the_logarithm_of_the_loss_is_exact_and_does_not_underflow() -> None:
    truth = torch.tensor([[1, 0, 1]])
    sure = (truth * 2.0 - 1) * torch.tensor([[200.0, 210.0, 220.0]])
    assert MultiLabel().per_record_loss(sure, truth).item() < 1e-40
    assert MultiLabel().record_scalars(sure, truth)[0, 0] == pytest.approx(
        200 + torch.log(torch.tensor(3.0))
    )
    sequence = torch.tensor([[1, 2, -100]])
    outputs = 300.0 * functional.one_hot(sequence.clamp_min(0), 4).float()
    assert NextToken().per_record_loss(outputs, sequence).item() == 0
    expected = 300 - torch.log(torch.tensor(3.0))  # three other tokens each
    assert NextToken().record_scalars(outputs, sequence)[0, 0] == pytest.approx(
        float(expected), rel=1e-6
    )
    near = Regression().record_scalars(torch.tensor([[1e-25]]), torch.tensor([0.0]))
    assert near[0, 0] == pytest.approx(50 * torch.log(torch.tensor(10.0)).item(), rel=1e-5)


@pytest.mark.parametrize("name", ["multilabel", "next-token", "squared", "absolute"])
def test_minus_log_loss_is_what_it_says(name: str) -> None:
    objective, outputs, targets = MADE[name]()
    scalars = objective.record_scalars(outputs, targets)
    torch.testing.assert_close(-scalars[:, 0], objective.per_record_loss(outputs, targets).log())


def test_next_token_is_the_mean_over_the_tokens_that_count() -> None:
    objective, outputs, targets = MADE["next-token"]()
    slow = [
        functional.cross_entropy(one[own != -100], own[own != -100])
        for one, own in zip(outputs, targets, strict=True)
    ]
    torch.testing.assert_close(objective.per_record_loss(outputs, targets), torch.stack(slow))


def test_the_figures_of_utility() -> None:
    objective, outputs, targets = MADE["squared"]()
    mean = float(objective.utility_terms(outputs, targets).mean())
    rmse = float((outputs - targets).square().mean().sqrt())
    assert objective.utility_of(mean) == pytest.approx(rmse)
    assert NextToken().utility_of(2.0) == pytest.approx(7.389056)
    labels = torch.tensor([[1, 0], [1, 1]])
    given = torch.tensor([[3.0, 1.0], [2.0, 0.5]])
    assert MultiLabel().utility_terms(given, labels).tolist() == [0.5, 1.0]
    assert MultiLabel().correct(given, labels).tolist() == [False, True]


@pytest.mark.parametrize(
    ("objective", "outputs", "targets", "said"),
    [
        (Classification(), logits(3, 2, 2), classes(3, below=2), "outputs of shape"),
        (Classification(), logits(3, 2), torch.tensor([0, 1, 2]), "class numbers below 2"),
        (MultiLabel(), logits(3, 2), classes(3, below=2), "of one shape"),
        (MultiLabel(), logits(3, 2), torch.full((3, 2), 2), "zeros and ones"),
        (Regression(), logits(3, 2), logits(3), "one output a target"),
        (NextToken(), logits(3, 2), classes(3, 2, below=2), "vocabulary"),
        (NextToken(), logits(3, 2, 4), torch.full((3, 2), -100), "no token that counts"),
        (NextToken(), logits(3, 2, 4), torch.full((3, 2), 4), "valid: 0 to 3"),
    ],
)
def test_outputs_that_do_not_fit_are_told(
    objective: Objective, outputs: Tensor, targets: Tensor, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        objective.require_fit(outputs, targets)


def test_what_fits_is_taken(made: Made) -> None:
    objective, outputs, targets = made
    objective.require_fit(outputs, targets)


def test_all_are_plugins() -> None:
    assert list(plugins.available("objectives")) == [
        "classification",
        "multilabel",
        "next-token",
        "regression",
    ]
    found = plugins.build("objectives", "regression", {"error": "absolute"})
    assert isinstance(found, Regression)
    assert found.error == "absolute"
