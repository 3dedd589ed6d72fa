"""The last layer's gradient keeps its digits where softmax minus one-hot has none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from adversaries.inference.features import SCALARS
from adversaries.inference.last_layer import with_last_layer
from fedsim.errors import FedsimError
from fedsim.objectives import Classification
from fedsim.objectives.log_odds import LogOdds


def exact(logits: list[float], label: int) -> tuple[float, float, list[float]]:
    """Return 1 - p_y, the loss and the gradient in double precision."""
    odds = [math.exp(z - logits[label]) for z in logits]
    others = math.fsum(o for j, o in enumerate(odds) if j != label)
    total = 1 + others
    gradient = [o / total for o in odds]
    gradient[label] = -others / total
    return others / total, math.log1p(others), gradient


@pytest.mark.parametrize("lead", [0.0, 5.0, 20.0, 60.0])
def test_confident_members_keep_full_relative_precision(lead: float) -> None:
    logits = [[0.25, 1.5, -0.75 + lead, 0.5]]
    last = LogOdds.of(torch.tensor(logits), torch.tensor([2]))
    doubt, loss, gradient = exact(logits[0], 2)
    found = last.direction[0] * last.log_scale.exp()
    assert found.tolist() == pytest.approx(gradient, rel=2e-5, abs=0)
    assert last.log_scale.exp().item() == pytest.approx(doubt, rel=2e-5)
    assert functional.softplus(-last.log_odds).item() == pytest.approx(loss, rel=2e-5)
    if lead >= 20:  # what the usual formula makes of it
        naive = torch.tensor(logits).softmax(1)[0, 2] - 1
        assert abs(naive.item() - gradient[2]) > 0.5 * abs(gradient[2])


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.floats(-30, 30, width=32), min_size=4, max_size=4), min_size=1, max_size=5
    ),
    label=st.integers(0, 3),
)
def test_gradient_and_loss_agree_with_autograd(rows: list[list[float]], label: int) -> None:
    logits = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    labels = torch.full((len(rows),), label)
    losses = functional.cross_entropy(logits, labels, reduction="none")
    (truth,) = torch.autograd.grad(losses.sum(), logits)
    last = LogOdds.of(logits.detach(), labels)
    scaled = last.direction * last.log_scale.exp()[:, None]
    torch.testing.assert_close(scaled, truth, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(functional.softplus(-last.log_odds), losses.detach())
    torch.testing.assert_close(scaled.sum(1), torch.zeros_like(scaled[:, 0]))


def test_scalars_are_what_they_are_called() -> None:
    logits, hidden = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[3.0, 4.0]])
    last = LogOdds.of(logits, torch.tensor([1]))
    rest = math.log(math.e + math.e**2)
    delta = last.direction * last.log_scale.exp()
    for biased in (False, True):
        norm = float(delta.norm()) * math.sqrt(25 + biased)
        expected = [3 - rest, 1.0, 5.0, math.log(norm), 3.0, rest]
        found = with_last_layer(
            Classification().record_fit(logits, torch.tensor([1])), hidden, biased
        )
        assert found.shape == (1, len(SCALARS))
        assert found[0].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("logits", "label", "sentence"),
    [
        ([[1.0]], 0, "at least 2 outputs, this model has 1"),
        ([[1.0, 2.0]], 2, "labels run from 2 to 2; valid for a model of 2 outputs: 0..1"),
        ([[1.0, 2.0]], -1, "labels run from -1"),
        ([[1.0, math.nan]], 0, "not finite"),
        ([[1.0, -math.inf]], 0, "not finite"),
    ],
)
def test_what_is_no_classifier_is_refused(
    logits: list[list[float]], label: int, sentence: str
) -> None:
    with pytest.raises(FedsimError, match=sentence):
        LogOdds.of(torch.tensor(logits), torch.tensor([label]))
