"""Traces are right where backward hooks would be wrong, and leave no trace in the model."""

import pytest
import torch
from torch import Tensor, nn

from adversaries.inference.backward import LayerWatch, backpropagate


def network(inplace: bool = False) -> nn.Sequential:
    """Return a small network with everything that must be off, or must not be in the way."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Linear(4, 6),
            nn.ReLU(inplace=inplace),
            nn.BatchNorm1d(6),
            nn.Dropout(0.5),
            nn.Linear(6, 3),
        )


INPUTS = torch.linspace(-2, 2, 20).reshape(5, 4)


def slope(output: Tensor) -> Tensor:
    return output.cos()


def test_an_activation_in_place_changes_nothing() -> None:
    traces = []
    for inplace in (False, True):
        model = network(inplace)
        traces.append(backpropagate(model, INPUTS, dict(model.named_children()), slope)[1])
    for name in ("0", "2", "4"):
        for plain, in_place in zip(traces[0][name][0], traces[1][name][0], strict=True):
            torch.testing.assert_close(in_place, plain, rtol=0, atol=0)


def test_the_mode_and_the_gradients_of_the_model_stay() -> None:
    model = network()
    model.train()
    model[2].eval()
    model[0].weight.grad = torch.ones(6, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    backpropagate(model, INPUTS, {"0": model[0]}, slope)
    assert [module.training for module in model] == [True, True, False, True, True]
    assert torch.equal(model[0].weight.grad, torch.ones(6, 4))
    assert model[4].weight.grad is None
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_record_does_not_depend_on_its_batch() -> None:
    model = network().train()
    _, together = backpropagate(model, INPUTS, {"0": model[0]}, slope)
    _, alone = backpropagate(model, INPUTS[2:3], {"0": model[0]}, slope)
    torch.testing.assert_close(together["0"][0].deltas[2:3], alone["0"][0].deltas)


def test_a_frozen_model_has_the_same_traces() -> None:
    free, frozen = network(inplace=True), network(inplace=True).requires_grad_(False)
    layers = [dict(model.named_children()) for model in (free, frozen)]
    _, expected = backpropagate(free, INPUTS, layers[0], slope)
    _, found = backpropagate(frozen, INPUTS, layers[1], slope)
    for name in expected:
        torch.testing.assert_close(found[name][0].deltas, expected[name][0].deltas)


class Odd(nn.Module):
    """A model that uses its first layer so many times, and its second for nothing."""

    def __init__(self, uses: int = 1, aside: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.uses, self.aside = uses, aside

    def forward(self, inputs: Tensor) -> Tensor:
        values = inputs.clone()
        for _ in range(self.uses):
            values = self.first(values)
        if self.aside:
            self.second(values)
        return values


@pytest.mark.parametrize(
    ("model", "layer", "calls"),
    [
        (Odd(uses=2), "first", 2),
        (Odd(), "second", 0),
        (Odd(aside=True), "second", 0),  # called, but the output does not depend on it
    ],
)
def test_a_layer_has_a_trace_for_every_call_that_counts(
    model: nn.Module, layer: str, calls: int
) -> None:
    _, traces = backpropagate(model, INPUTS, {layer: model.get_submodule(layer)}, slope)
    assert len(traces[layer]) == calls


def test_a_layer_whose_input_is_overwritten_is_lost() -> None:
    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, inputs: Tensor) -> Tensor:
            values = inputs * 1
            output = self.layer(values)
            with torch.no_grad():
                values.zero_()
            return output

    model = Overwriting()
    watch = LayerWatch({"layer": model.layer})
    with watch.watching():
        model(INPUTS)
    assert watch.lost == {"layer"}
