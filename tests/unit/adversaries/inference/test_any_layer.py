"""Gradient norms of whatever layers against the slow truth: one record at a time, by autograd.

Models whose layers have rules, have none, or have one that does not hold where they are used.
"""

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

from adversaries.inference.extraction import extract
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.general_gradients import GeneralGradients
from adversaries.inference.gradient_rules import recurrent
from adversaries.inference.needed_features import needed_features
from fedsim import seeds
from fedsim.errors import FedsimError
from fedsim.objectives import NextToken, Objective, Regression
from fedsim.observation.needs import Needs

RECORDS, WIDTH, TOKENS, LENGTH = 5, 6, 9, 4


class Wrapped(nn.Module):
    """A layer with a body before it and a head behind it, and its own way of calling it."""

    def __init__(self, layer: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.layer = nn.Linear(WIDTH, WIDTH), layer
        self.head = nn.LazyLinear(3, dtype=torch.float64)
        self.call = call

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.call(self.layer, self.body(inputs).tanh()).flatten(1))


class OwnParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(WIDTH)), nn.Parameter(torch.rand(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs * self.scale).sin() + self.shift


class Doubling(nn.Linear):
    """A subclass of Linear to which the rule of Linear does not apply."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, 2 * self.weight.tanh(), self.bias)


class Routed(nn.Module):
    """Records take one of two layers, as their numbers decide."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = torch.zeros_like(inputs)
        first = inputs.sum(1) > 0
        for layer, chosen in ((self.one, first), (self.two, ~first)):
            if chosen.any():
                outputs[chosen] = layer(inputs[chosen])
        return outputs


def plainly(layer: nn.Module, values: Tensor) -> Tensor:
    return layer(values)


def as_sequence(layer: nn.Module, values: Tensor) -> Tensor:
    """Call a recurrent layer on (N, 3, 2)."""
    return layer(values.reshape(len(values), 3, 2))[0]


def both_of(returned: tuple[Tensor, tuple[Tensor, Tensor]]) -> Tensor:
    """Return the last output and the cell of a recurrent layer whose steps come first."""
    outputs, (_, cell) = returned
    return torch.cat([outputs[-1], cell[0]], 1)


def attending(layer: nn.Module, values: Tensor) -> Tensor:
    sequence = values.reshape(len(values), 3, 2)
    return layer(sequence, sequence, sequence, need_weights=False)[0]


def positions_first(layer: nn.Module, values: Tensor) -> Tensor:
    """Call a layer with the records on the second axis."""
    return layer(values.reshape(len(values), 2, 3).transpose(0, 1)).transpose(0, 1)


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensor], Tensor]]] = {
    "PReLU": (lambda: nn.PReLU(WIDTH), plainly),
    "own parameters": (OwnParameter, plainly),
    "Bilinear": (lambda: nn.Bilinear(WIDTH, WIDTH, 2), lambda m, v: m(v, v)),
    "LSTM": (lambda: nn.LSTM(2, 3, batch_first=True), as_sequence),
    "LSTM, bidirectional and deep": (
        lambda: nn.LSTM(2, 3, 2, batch_first=True, bidirectional=True),
        as_sequence,
    ),
    "LSTM, steps first": (
        lambda: nn.LSTM(2, 3, 2),
        lambda m, v: m(v.reshape(-1, 3, 2).transpose(0, 1))[0].transpose(0, 1),
    ),
    "LSTM, read from its states": (
        lambda: nn.LSTM(2, 3, 2, batch_first=True, bidirectional=True),
        lambda m, v: torch.cat([*m(v.reshape(-1, 3, 2))[1][0], *m(v.reshape(-1, 3, 2))[1][1]], 1),
    ),
    "LSTM, read from outputs and cell": (
        lambda: nn.LSTM(2, 3, bias=False),
        lambda m, v: both_of(m(v.reshape(-1, 3, 2).transpose(0, 1))),
    ),
    "LSTM with a projection": (lambda: nn.LSTM(2, 3, proj_size=2, batch_first=True), as_sequence),
    "LSTM from a state": (
        lambda: nn.LSTM(2, 6, batch_first=True),
        lambda m, v: m(v.reshape(-1, 3, 2), (v[None].cos(), v[None].sin()))[0],
    ),
    "LSTM of packed sequences": (
        lambda: nn.LSTM(2, 3, batch_first=True),
        lambda m, v: m(
            pack_padded_sequence(v.reshape(-1, 3, 2), torch.full((len(v),), 2), batch_first=True)
        )[1][0][0],
    ),
    "GRU": (lambda: nn.GRU(2, 3, batch_first=True), as_sequence),
    "GRU, bidirectional and deep": (
        lambda: nn.GRU(2, 3, 2, batch_first=True, bidirectional=True, bias=False),
        as_sequence,
    ),
    "RNN": (lambda: nn.RNN(2, 3, batch_first=True), as_sequence),
    "RNN with ReLU": (lambda: nn.RNN(2, 3, 2, nonlinearity="relu", batch_first=True), as_sequence),
    "attention": (lambda: nn.MultiheadAttention(2, 1, batch_first=True), attending),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(2, 1, 8, batch_first=True),
        lambda m, v: m(v.reshape(-1, 3, 2)),
    ),
    "convolution over three axes": (
        lambda: nn.Conv3d(1, 2, 2),
        lambda m, v: m(v.reshape(-1, 1, 2, 3, 1).repeat(1, 1, 1, 1, 2)),
    ),
    "transposed convolution": (lambda: nn.ConvTranspose1d(1, 2, 2), lambda m, v: m(v[:, None])),
    "instance norm": (
        lambda: nn.InstanceNorm1d(2, affine=True),
        lambda m, v: m(v.reshape(-1, 2, 3)),
    ),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(WIDTH, 4)), plainly),
    "a subclass of Linear": (lambda: Doubling(WIDTH, 4), plainly),
    "called twice": (lambda: nn.Linear(WIDTH, WIDTH), lambda m, v: m(m(v).tanh())),
    "called twice, convolution": (
        lambda: nn.Conv1d(2, 2, 3, padding=1),
        lambda m, v: m(m(v.reshape(-1, 2, 3)).tanh()),
    ),
    "called by keyword": (lambda: nn.Linear(WIDTH, 4), lambda m, v: m(input=v)),
    "used without being called": (
        lambda: nn.Linear(WIDTH, 4),
        lambda m, v: functional.linear(v, m.weight, m.bias),
    ),
    "called and used": (
        lambda: nn.Linear(WIDTH, WIDTH),
        lambda m, v: m(v) + functional.linear(v.sin(), m.weight),
    ),
    "not used": (lambda: nn.Linear(WIDTH, 4), lambda m, v: v),
    "called for nothing": (
        lambda: nn.Linear(WIDTH, 4),
        lambda m, v: v + 0 * m(v.detach()).detach().sum(),
    ),
    "positions before records": (lambda: nn.Linear(3, 4), positions_first),
    "chosen by the record": (Routed, plainly),
    "an in-place activation behind": (
        lambda: nn.Linear(WIDTH, WIDTH),
        lambda m, v: m(v).relu_(),
    ),
}


def data(inputs: Tensor, targets: Tensor) -> Callable[[np.ndarray], tuple[Tensor, Tensor]]:
    def batch(records: np.ndarray) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(records)
        return inputs[chosen], targets[chosen]

    return batch


def slow(model: nn.Module, batch: Any, loss: Callable[[Tensor, Tensor], Tensor]) -> np.ndarray:
    """Return the norm of each record's gradient over all trainable parameters."""
    model.eval()
    parameters = [p for p in model.parameters() if p.requires_grad]
    norms = []
    for record in range(RECORDS):
        inputs, targets = batch(np.array([record]))
        found = torch.autograd.grad(
            loss(model(inputs), targets).sum(), parameters, allow_unused=True
        )
        norms.append(sum(float(g.square().sum()) for g in found if g is not None) ** 0.5)
    return np.array(norms)


def assert_norms_are_exact(
    model: nn.Module,
    batch: Any,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    objective: Objective | None = None,
    batch_size: int = 3,
) -> Any:
    spec = FeatureSpec(batch_size=batch_size)
    found = extract(model, batch, np.arange(RECORDS), spec, objective=objective)
    norms = np.linalg.norm(found.gradient_norms.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, slow(model, batch, loss), rtol=1e-5)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(
            found.log_gradient_norms, np.log(found.gradient_norms), rtol=1e-4, atol=1e-4
        )
    return found


def points() -> Any:
    inputs = torch.randn(RECORDS, WIDTH, generator=seeds.torch_generator(2, "any layer"))
    return data(inputs.double(), torch.arange(RECORDS) % 3)


@pytest.mark.parametrize("name", LAYERS)
def test_norms_of_any_layer_are_exact(name: str) -> None:
    make, call = LAYERS[name]
    with seeds.global_draws(4, "any layer"):
        model = Wrapped(make().double(), call).double()
        model(points()(np.arange(RECORDS))[0])  # makes the head
    found = assert_norms_are_exact(model, points())
    assert found.hidden.shape[1] > 0  # the head is linear, whatever is before it
    if name in ("not used", "called for nothing"):
        assert not found.gradient_norms[:, found.layers.index("layer")].any()


RECURRENT = [name for name in LAYERS if name.startswith(("LSTM", "GRU", "RNN"))]
WITHOUT_RULE = {"LSTM with a projection", "LSTM from a state", "LSTM of packed sequences"}


@pytest.mark.parametrize("name", sorted({*RECURRENT} - WITHOUT_RULE))
def test_recurrent_layers_go_by_their_rule(name: str) -> None:
    make, call = LAYERS[name]
    with seeds.global_draws(4, "any layer"):
        model = Wrapped(make().double(), call).double()
        model(points()(np.arange(RECORDS))[0])
    with mock.patch.object(GeneralGradients, "of", side_effect=AssertionError("the general way")):
        assert_norms_are_exact(model, points())


class AtTheKink(nn.Module):
    """A ReLU that is at its kink, where rounding decides: alone and in a batch it goes two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(WIDTH, 4), nn.Linear(4, 3)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        rounding = 1e-9 if len(inputs) == 1 else -1e-9
        return self.head((self.layer(inputs) + rounding).relu())


def test_a_right_rule_is_kept_where_rounding_decides_a_relu() -> None:
    with seeds.global_draws(4, "kink"):
        model = AtTheKink().double()
    with mock.patch.object(GeneralGradients, "of", side_effect=AssertionError("the general way")):
        found = extract(model, points(), np.arange(RECORDS), FeatureSpec(batch_size=RECORDS))
    assert not found.gradient_norms[:, found.layers.index("layer")].any()


def test_a_long_sequence_is_cut_into_passes() -> None:
    with seeds.global_draws(4, "any layer"):
        model = Wrapped(nn.LSTM(2, 3, batch_first=True).double(), as_sequence).double()
        model(points()(np.arange(RECORDS))[0])
    with mock.patch.object(recurrent, "_FLOATS_A_PASS", 80):  # two records, of 3 steps of 12 gates
        assert_norms_are_exact(model, points(), batch_size=5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
def test_positions_as_many_as_records_do_not_confuse(batch_size: int) -> None:
    """With two or three records a batch looks alike on both axes."""
    for width in (2, 3):
        with seeds.global_draws(4, "positions"):
            model = Wrapped(
                nn.Linear(WIDTH // width, 4).double(),
                lambda m, v, w=width: m(v.reshape(len(v), w, -1).transpose(0, 1)).transpose(0, 1),
            ).double()
            model(points()(np.arange(RECORDS))[0])
        assert_norms_are_exact(model, points(), batch_size=batch_size)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.hidden = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.hidden(self.embedding(tokens)).tanh())


def tokens() -> Tensor:
    return torch.randint(TOKENS, (RECORDS, LENGTH), generator=seeds.torch_generator(2, "tokens"))


def test_a_language_model_with_tied_weights_is_exact() -> None:
    with seeds.global_draws(4, "tied"):
        model = Tied().double()
    objective = NextToken()
    found = assert_norms_are_exact(
        model, data(tokens(), tokens().roll(-1, 1)), objective.per_record_loss, objective
    )
    assert found.layers == ("embedding", "hidden")  # the shared weight counts once
    assert found.scalar_names == NextToken.scalars
    assert found.classes == 0


class HalfTied(nn.Module):
    """Two layers that share their weight and have biases of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = nn.Linear(WIDTH, 6), nn.Linear(6, 6)
        self.again, self.last = nn.Linear(6, 6), nn.Linear(6, 3)
        self.again.weight = self.inner.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Go through the shared weight twice."""
        hidden = torch.relu(self.inner(torch.relu(self.first(inputs))))
        return self.last(torch.relu(self.again(hidden)))


def test_layers_that_share_a_weight_and_no_bias_are_exact() -> None:
    with seeds.global_draws(4, "half tied"):
        model = HalfTied().double()
    found = assert_norms_are_exact(model, points())
    assert found.layers == ("first", "inner", "again", "last")


def test_regression_is_exact() -> None:
    with seeds.global_draws(4, "regression"):
        model = nn.Sequential(nn.Linear(WIDTH, 4), nn.PReLU(), nn.Linear(4, 1)).double()
    inputs, _ = points()(np.arange(RECORDS))
    objective = Regression()
    targets = inputs.sum(1)
    found = assert_norms_are_exact(
        model, data(inputs, targets), objective.per_record_loss, objective
    )
    np.testing.assert_allclose(
        found.losses, (model(inputs)[:, 0] - targets).detach().square(), rtol=1e-5
    )


HEADLESS: dict[str, Callable[[], nn.Module]] = {
    "pooled convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, WIDTH)), nn.Conv1d(1, 3, 2), nn.AdaptiveAvgPool1d(1), nn.Flatten()
    ),
    "in-place activation behind the last layer": lambda: nn.Sequential(
        nn.Linear(WIDTH, 5), nn.Tanh(), nn.Linear(5, 3), nn.ReLU(inplace=True)
    ),
    "activation behind the last layer": lambda: nn.Sequential(
        nn.Linear(WIDTH, 5), nn.Tanh(), nn.Linear(5, 3), nn.Softplus()
    ),
    "log-softmax": lambda: nn.Sequential(nn.Linear(WIDTH, 3), nn.LogSoftmax(1)),
    "last layer called twice": lambda: _Twice(),
}


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(3, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.only(self.only(inputs[:, :3]).tanh())


@pytest.mark.parametrize("name", HEADLESS)
def test_models_whose_output_no_linear_layer_gives_are_exact(name: str) -> None:
    with seeds.global_draws(4, name):
        model = HEADLESS[name]().double()
    found = assert_norms_are_exact(model, points())
    assert found.hidden.shape == (RECORDS, 0)
    assert found.scalar_names == (
        "log-odds of the label",
        "margin",
        "true logit",
        "others' log-sum-exp",
    )
    plain = extract(model, points(), np.arange(RECORDS), needed_features(Needs(scalars=True)))
    np.testing.assert_array_equal(plain.losses, found.losses)


def test_the_head_is_found_by_execution() -> None:
    class HeadFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.body = nn.Linear(4, 3), nn.Linear(WIDTH, 4)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.head(input=self.body(inputs).relu())

    with seeds.global_draws(4, "head first"):
        model = HeadFirst().double()
    found = assert_norms_are_exact(model, points())
    inputs, targets = points()(np.arange(RECORDS))
    for record in range(RECORDS):
        loss = functional.cross_entropy(model(inputs)[record], targets[record])
        (truth,) = torch.autograd.grad(loss, model.head.weight)
        pair = np.outer(found.deltas[record], found.hidden[record])
        np.testing.assert_allclose(pair, truth, rtol=1e-5, atol=1e-7)


def test_the_gradients_of_any_weight_can_be_read() -> None:
    with seeds.global_draws(4, "weights"):
        model = nn.Sequential(
            nn.Embedding(TOKENS, 4), nn.Flatten(), Doubling(16, 4), nn.Linear(4, 3)
        ).double()
    batch = data(tokens(), torch.arange(RECORDS) % 3)
    spec = FeatureSpec(gradients=("0", "2"), gradient_norms=(), batch_size=2)
    found = extract(model, batch, np.arange(RECORDS), spec)
    for record in range(RECORDS):
        inputs, targets = batch(np.array([record]))
        loss = functional.cross_entropy(model(inputs), targets)
        for name in ("0", "2"):
            (truth,) = torch.autograd.grad(
                loss, model.get_submodule(name).weight, retain_graph=True
            )
            slow_one = found.gradients[name].matrices[record].double()
            torch.testing.assert_close(slow_one, truth, rtol=1e-5, atol=1e-7)


def test_a_model_that_mixes_records_is_refused() -> None:
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layer(inputs - inputs.mean(0))

    with pytest.raises(FedsimError, match="mixes the records of a batch"):
        extract(Mixing().double(), points(), np.arange(RECORDS), FeatureSpec())
    batch_norm = nn.Sequential(
        nn.BatchNorm1d(WIDTH, affine=False, track_running_stats=False), nn.Linear(WIDTH, 3)
    )
    with pytest.raises(FedsimError, match="does not take one record alone"):
        extract(batch_norm.double(), points(), np.arange(RECORDS), FeatureSpec())


def test_frozen_parameters_do_not_count() -> None:
    with seeds.global_draws(4, "frozen"):
        model = nn.Sequential(nn.Linear(WIDTH, 4), nn.PReLU(4), nn.Linear(4, 3)).double()
    model[0].weight.requires_grad_(False)
    model[1].requires_grad_(False)
    found = assert_norms_are_exact(model, points())
    assert found.layers == ("0", "2")
