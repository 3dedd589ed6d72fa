"""Any layer's gradients in their compact form are those of one backward pass a record."""

import pytest
import torch
from flat_layer import Flat
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from adversaries.inference.backward import backpropagate
from adversaries.inference.components import GradientConvolution
from adversaries.inference.factored_gradients import DELTAS, INPUTS, MATRIX, compact, joined
from adversaries.inference.gradient_inputs import Matrices, RankOne, SummedOverPositions, stacked
from adversaries.inference.network_layers import UnitDropout
from fedsim import seeds
from fedsim.errors import FedsimError

RECORDS, KERNELS = 3, 4


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def slow_matrices(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return each record's weight gradient of the sum of sines of what the layer returns."""
    found = []
    for record in range(len(inputs)):
        loss = layer(inputs[record : record + 1]).sin().sum()
        (gradient,) = torch.autograd.grad(loss, [layer.weight])
        found.append(gradient.flatten(1))
    return torch.stack(found)


def assert_exact(layer: nn.Module, inputs: Tensor) -> None:
    """Compare the form that is kept, and the convolution over it, with the matrices."""
    layer, model = layer.double(), Flat(layer.double())
    _, traces = backpropagate(model, inputs, {"layer": layer}, torch.cos)
    found = compact(layer, *traces["layer"][0])
    truth = slow_matrices(layer, inputs)
    torch.testing.assert_close(found.matrices, truth, rtol=1e-9, atol=1e-11)
    snapshots = stacked([found, found])
    assert snapshots.size == (2, *truth.shape[1:])
    weight = random(2, truth.shape[1], KERNELS)
    projected = snapshots.projected(weight)
    for snapshot in range(2):
        expected = weight[snapshot].mT @ truth
        torch.testing.assert_close(projected[snapshot], expected, rtol=1e-9, atol=1e-10)
    shared = snapshots.projected(weight[:1])
    torch.testing.assert_close(shared[1], projected[0], rtol=1e-9, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    width_in=st.integers(1, 7),
    width_out=st.integers(1, 7),
    positions=st.lists(st.integers(1, 3), max_size=2),
)
def test_linear_layers(width_in: int, width_out: int, positions: list[int]) -> None:
    assert_exact(nn.Linear(width_in, width_out), random(RECORDS, *positions, width_in))


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.integers(1, 2),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    size=st.tuples(st.integers(5, 7), st.integers(5, 7)),
)
def test_convolutions(
    channels: tuple[int, int],
    groups: int,
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    size: tuple[int, int],
) -> None:
    channels_in, channels_out = (count * groups for count in channels)
    layer = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, dilation, groups)
    assert_exact(layer, random(RECORDS, channels_in, *size))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
def test_convolutions_whose_factors_are_smaller(mode: str) -> None:
    layer = nn.Conv2d(6, 8, 3, padding="same", padding_mode=mode)
    assert_exact(layer, random(RECORDS, 6, 3, 3))


def test_the_smaller_form_is_kept() -> None:
    def kept(layer: nn.Module, inputs: Tensor) -> set[str]:
        returned = layer(inputs)
        return set(compact(layer, inputs, torch.ones_like(returned)).parts)

    assert kept(nn.Conv2d(64, 64, 3, padding=1), torch.ones(1, 64, 4, 4)) == {INPUTS, DELTAS}
    assert kept(nn.Conv2d(3, 4, 3, padding=1), torch.ones(1, 3, 16, 16)) == {MATRIX}
    assert kept(nn.Linear(4, 4), torch.ones(1, 20, 4)) == {MATRIX}
    assert kept(nn.Linear(2, 2), torch.ones(1, 2)) == {INPUTS, DELTAS}


def test_batches_are_joined_in_their_order() -> None:
    layer, inputs = nn.Linear(3, 2), torch.arange(12.0).reshape(4, 3)
    halves = [compact(layer, part, torch.ones(2, 2)) for part in inputs.split(2)]
    assert torch.equal(joined(halves).parts[INPUTS], inputs)


def test_layers_without_a_matrix_are_refused() -> None:
    with pytest.raises(FedsimError, match=r"BatchNorm2d cannot be attacked .* Linear or Conv2d"):
        compact(nn.BatchNorm2d(2), torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3))


@pytest.mark.parametrize(
    "gradients",
    [
        RankOne(torch.ones(2, 50, 6), torch.ones(2, 50, 5)),
        SummedOverPositions(torch.ones(2, 50, 6, 4), torch.ones(2, 50, 5, 4), None),
        Matrices(torch.ones(2, 50, 6, 5)),
    ],
)
def test_dropout_takes_whole_rows_and_columns_from_every_form(
    gradients: RankOne | SummedOverPositions | Matrices,
) -> None:
    with seeds.global_draws(0, "dropout"):
        dropped = gradients.dropped(UnitDropout(0.5))
    # A kernel for every row gives the matrices themselves.
    matrices = dropped.projected(torch.eye(6)[None])
    assert torch.equal(matrices[0], matrices[1])
    there = matrices[0] != 0
    rows, columns = there.any(2, keepdim=True), there.any(1, keepdim=True)
    assert torch.equal(there, rows & columns)
    assert 0.4 < rows.float().mean() < 0.6
    assert 0.4 < columns.float().mean() < 0.6


def test_the_convolution_has_one_bias_a_kernel() -> None:
    with seeds.global_draws(0, "convolution"):
        convolution = GradientConvolution(1, 6, KERNELS)
    nn.init.constant_(convolution.bias, 2.5)
    nothing = SummedOverPositions(torch.zeros(1, 2, 6, 4), torch.zeros(1, 2, 5, 4), None)
    assert torch.equal(convolution(nothing), torch.full((1, 2, KERNELS, 5), 2.5))
