"""Every gradient rule against the slow truth: one backward pass a record."""

import pytest
import torch
from flat_layer import Flat
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from adversaries.inference.backward import backpropagate
from adversaries.inference.gradient_rules import RuleDoesNotApplyError, gradients, squared_norms
from adversaries.inference.layer_parameters import trainable_layers
from fedsim.errors import FedsimError

WEIGHTING = torch.linspace(-1, 2, 5000, dtype=torch.float64)


def assert_rule_is_exact(layer: nn.Module, inputs: Tensor, model: nn.Module | None = None) -> None:
    """Compare gradients and norms with one backward pass a record."""
    model = (model or Flat(layer)).double().eval()
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    _, traces = backpropagate(model, inputs, {"layer": layer}, _slope)
    (trace,) = traces["layer"]
    found = gradients(layer, *trace)
    norms = squared_norms(layer, *trace)
    names = [name for name, _ in layer.named_parameters()]
    assert sorted(found) == sorted(names)
    for record in range(len(inputs)):
        output = model(inputs[record : record + 1])
        loss = (WEIGHTING[: output.shape[1]] * output.sin()).sum()
        slow = dict(zip(names, torch.autograd.grad(loss, list(layer.parameters())), strict=True))
        for name, truth in slow.items():
            torch.testing.assert_close(found[name][record], truth, rtol=1e-9, atol=1e-11)
        truth = sum(value.square().sum() for value in slow.values())
        torch.testing.assert_close(norms[record], truth, rtol=1e-9, atol=1e-11)


def _slope(output: Tensor) -> Tensor:
    return WEIGHTING[: output.shape[1]] * output.cos()


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@settings(max_examples=25, deadline=None)
@given(
    width_in=st.integers(1, 6),
    width_out=st.integers(1, 6),
    positions=st.lists(st.integers(1, 3), max_size=2),
    bias=st.booleans(),
)
def test_linear(width_in: int, width_out: int, positions: list[int], bias: bool) -> None:
    layer = nn.Linear(width_in, width_out, bias=bias)
    assert_rule_is_exact(layer, random(3, *positions, width_in))


class Everything(nn.Module):
    """A recurrent layer with all that it returns side by side, records first."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        given = inputs if self.layer.batch_first else inputs.transpose(0, 1)
        outputs, states = self.layer(given)
        states = states if isinstance(states, tuple) else (states,)
        outputs = outputs if self.layer.batch_first else outputs.transpose(0, 1)
        return torch.cat([outputs.flatten(1), *(s.transpose(0, 1).flatten(1) for s in states)], 1)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from([nn.LSTM, nn.GRU, nn.RNN]),
    width=st.integers(1, 4),
    hidden=st.integers(1, 4),
    levels=st.integers(1, 3),
    steps=st.integers(1, 6),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    batch_first=st.booleans(),
)
def test_recurrent(
    kind: type[nn.LSTM] | type[nn.GRU] | type[nn.RNN],
    width: int,
    hidden: int,
    levels: int,
    steps: int,
    bidirectional: bool,
    bias: bool,
    batch_first: bool,
) -> None:
    layer = kind(
        width, hidden, levels, bias=bias, batch_first=batch_first, bidirectional=bidirectional
    )
    assert_rule_is_exact(layer, random(3, steps, width), Everything(layer))


@settings(max_examples=60, deadline=None)
@given(
    groups=st.integers(1, 3),
    fan_in=st.integers(1, 3),
    fan_out=st.integers(1, 8),
    size=st.tuples(st.integers(5, 7), st.integers(5, 7)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.sampled_from([0, 1, (2, 1), "valid"]),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
)
def test_convolution(
    groups: int,
    fan_in: int,
    fan_out: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    padding: int | tuple[int, int] | str,
    dilation: int,
    bias: bool,
) -> None:
    layer = nn.Conv2d(
        groups * fan_in, groups * fan_out, kernel, stride, padding, dilation, groups, bias
    )
    assert_rule_is_exact(layer, random(3, groups * fan_in, *size))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_convolution_pads_as_the_layer_does(mode: str) -> None:
    layer = nn.Conv2d(2, 3, (3, 5), padding="same", padding_mode=mode)
    assert_rule_is_exact(layer, random(3, 2, 5, 5))


@pytest.mark.parametrize(("channels", "size"), [(8, 1), (1, 6)])
def test_both_ways_to_a_convolution_norm_agree(channels: int, size: int) -> None:
    """One position makes the ghost norm the cheaper way, many positions the sum."""
    assert_rule_is_exact(nn.Conv2d(channels, channels, 1), random(4, channels, size, size))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 5, 2)])
def test_batch_normalisation_in_eval_mode(shape: tuple[int, ...]) -> None:
    layer = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](3)
    layer.running_mean.copy_(torch.tensor([0.3, -1.0, 2.0]))
    layer.running_var.copy_(torch.tensor([0.5, 2.0, 1.0]))
    assert_rule_is_exact(layer, random(*shape))


@settings(max_examples=40, deadline=None)
@given(
    groups=st.integers(1, 3),
    fan_in=st.integers(1, 3),
    fan_out=st.integers(1, 6),
    size=st.integers(5, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.sampled_from([0, 2, "same"]),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    mode=st.sampled_from(["zeros", "reflect", "circular"]),
)
def test_convolution_over_one_axis(
    groups: int,
    fan_in: int,
    fan_out: int,
    size: int,
    kernel: int,
    stride: int,
    padding: int | str,
    dilation: int,
    bias: bool,
    mode: str,
) -> None:
    if padding == "same":
        stride, kernel = 1, kernel | 1  # torch warns of even kernels
    reach = dilation * (kernel - 1)
    if size + 2 * (padding if isinstance(padding, int) else 0) <= reach or reach >= size:
        return
    layer = nn.Conv1d(
        groups * fan_in,
        groups * fan_out,
        kernel,
        stride,
        padding,
        dilation,
        groups,
        bias,
        padding_mode=mode,
    )
    assert_rule_is_exact(layer, random(3, groups * fan_in, size))


def scaled(layer: nn.Module) -> nn.Module:
    """Return a layer whose scale and shift are not what they start as."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(random(*parameter.shape))
    return layer


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.LayerNorm(5), (3, 5)),
        (nn.LayerNorm(5, bias=False), (3, 2, 4, 5)),
        (nn.LayerNorm((2, 3), eps=0.1), (4, 7, 2, 3)),
        (nn.LayerNorm(1), (3, 2, 1)),
        (nn.RMSNorm(6), (3, 2, 6)),
        (nn.RMSNorm((2, 3), eps=0.3), (4, 2, 3)),
        (nn.GroupNorm(2, 6), (3, 6)),
        (nn.GroupNorm(1, 4, eps=0.1), (3, 4, 5)),
        (nn.GroupNorm(4, 4), (3, 4, 3, 2)),
        (nn.GroupNorm(3, 6), (1, 6, 2, 1, 2)),
    ],
)
def test_normalisation_of_each_record(layer: nn.Module, shape: tuple[int, ...]) -> None:
    assert_rule_is_exact(scaled(layer), random(*shape))


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm(3, elementwise_affine=False), nn.GroupNorm(1, 3, affine=False)]
)
def test_normalisation_without_parameters_has_no_gradient(layer: nn.Module) -> None:
    assert gradients(layer, random(2, 3), random(2, 3)) == {}


@settings(max_examples=25, deadline=None)
@given(
    positions=st.lists(st.integers(1, 4), max_size=2),
    width=st.integers(1, 4),
    padding=st.sampled_from([None, 0, 3]),
)
def test_embedding_of_tokens_that_repeat(
    positions: list[int], width: int, padding: int | None
) -> None:
    tokens = torch.randint(4, (3, *positions), generator=torch.Generator().manual_seed(width))
    assert_rule_is_exact(nn.Embedding(4, width, padding_idx=padding), tokens)


def test_an_embedding_that_counts_or_rescales_tokens_has_no_rule() -> None:
    for layer in (nn.Embedding(4, 2, max_norm=1.0), nn.Embedding(4, 2, scale_grad_by_freq=True)):
        with pytest.raises(RuleDoesNotApplyError):
            squared_norms(layer, torch.zeros(2, 3, dtype=torch.int64), random(2, 3, 2))


def test_batch_normalisation_without_statistics_is_refused() -> None:
    layer = nn.BatchNorm1d(3, track_running_stats=False)
    with pytest.raises(FedsimError, match="mixes the records of a batch"):
        squared_norms(layer, random(4, 3), random(4, 3))


def test_a_layer_without_a_rule_has_none() -> None:
    with pytest.raises(RuleDoesNotApplyError, match="layers of type PReLU"):
        squared_norms(nn.PReLU(), random(4, 3), random(4, 3))


def test_frozen_layers_are_not_among_the_trainable() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    assert list(trainable_layers(model)) == ["2"]
