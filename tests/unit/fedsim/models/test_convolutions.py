"""Convolutions by rows are torch's, forward and backward, and are chosen by shapes."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional

from fedsim import seeds
from fedsim.errors import ConfigError
from fedsim.models import alexnet, resnet
from fedsim.models.convolutions import (
    channels_last_pays,
    prepare_model,
    record_convolution_calls,
    small_convolutions,
    supports_row_convolution,
)
from fedsim.models.row_convolution import RowConv2d


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeds.torch_generator(0, "images"))


def layer(channels: int, out: int, kernel: int | tuple[int, int], bias: bool = True) -> RowConv2d:
    with seeds.global_draws(0, "layer"):
        return RowConv2d(channels, out, kernel, padding="same", bias=bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "size"),
    [(3, (2, 2)), (5, (4, 4)), (3, (3, 5)), (5, (2, 1)), ((1, 3), (4, 4)), ((3, 5), (1, 1))],
)
def test_it_is_the_convolution_forward_and_backward(
    kernel: int | tuple[int, int], size: tuple[int, int], bias: bool
) -> None:
    conv = layer(5, 7, kernel, bias)
    given = images(6, 5, *size).requires_grad_()
    plain = functional.conv2d(given, conv.weight, conv.bias, padding="same")
    delta = images(*plain.shape)
    wanted = (given, *conv.parameters())
    truth = torch.autograd.grad(plain, wanted, delta)
    found = conv(given)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
    gradients = torch.autograd.grad(found, wanted, delta)
    for one, right in zip(gradients, truth, strict=True):
        torch.testing.assert_close(one, right, rtol=1e-4, atol=1e-5)


def test_gradients_of_gradients_and_of_single_records_are_right_too() -> None:
    conv, given = layer(3, 4, 3), images(5, 3, 2, 2)
    parameters = dict(conv.named_parameters())
    by_rows = partial(functional_call, conv)

    def plain(weights: dict[str, Tensor], record: Tensor) -> Tensor:
        return functional.conv2d(record, weights["weight"], weights["bias"], padding="same")

    def loss(way: object, weights: dict[str, Tensor], record: Tensor) -> Tensor:
        return way(weights, record[None]).square().sum()  # type: ignore[operator]

    found, truth = (
        vmap(grad(partial(loss, way)), (None, 0))(parameters, given) for way in (by_rows, plain)
    )
    for name, right in truth.items():
        torch.testing.assert_close(found[name], right, rtol=1e-4, atol=1e-5)
    twice = []
    for way in (by_rows, plain):
        start = given.clone().requires_grad_()
        first = torch.autograd.grad(loss(way, parameters, start[0]), start, create_graph=True)[0]
        twice.append(torch.autograd.grad(first.square().sum(), start)[0])
    torch.testing.assert_close(*twice, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
def test_forward_mode_is_right_in_every_direction() -> None:
    conv, given = layer(3, 4, 3), images(5, 3, 2, 2)
    point = (given, conv.weight.detach(), conv.bias.detach())
    ways = (
        lambda x, w, b: functional_call(conv, {"weight": w, "bias": b}, (x,)),
        lambda x, w, b: functional.conv2d(x, w, b, padding="same"),
    )
    along = tuple(torch.randn(one.shape, generator=seeds.torch_generator(0, "t")) for one in point)
    nothing = tuple(torch.zeros_like(one) for one in point)
    for direction in (along, (along[0], *nothing[1:]), (nothing[0], *along[1:])):
        found, truth = (jvp(way, point, direction) for way in ways)
        torch.testing.assert_close(found, truth, rtol=1e-4, atol=1e-5)
    one_by_one = vmap(
        lambda x: jvp(lambda w: ways[0](x[None], w, point[2]), point[1:2], along[1:2])
    )
    torch.testing.assert_close(
        one_by_one(given)[1][:, 0],
        functional.conv2d(given, along[1], padding="same"),
        rtol=1e-4,
        atol=1e-5,
    )


def test_an_activation_behind_it_may_overwrite_what_it_returns() -> None:
    conv = layer(3, 4, 3)
    given = images(5, 3, 2, 2)
    activated = nn.ReLU(inplace=True)(conv(given))
    activated.sum().backward()
    plain = functional.conv2d(given, conv.weight, conv.bias, padding="same").relu()
    (truth,) = torch.autograd.grad(plain.sum(), conv.weight)
    torch.testing.assert_close(conv.weight.grad, truth, rtol=1e-4, atol=1e-5)


def test_other_precisions_are_torchs() -> None:
    conv, given = layer(3, 4, 3), images(5, 3, 2, 2)
    plain = copy.deepcopy(conv)
    plain.__class__ = nn.Conv2d
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conv(given), plain(given))
    assert torch.equal(conv.double()(given.double()), plain.double()(given.double()))


def test_the_rule_takes_small_maps_of_wide_layers() -> None:
    calls = record_convolution_calls(alexnet(10), images(2, 3, 32, 32))
    assert [call.height for call in calls] == [32, 4, 2, 2, 2]
    assert small_convolutions(calls) == ("conv2", "conv3", "conv4", "conv5")
    assert not channels_last_pays(calls)


def test_a_residual_network_has_its_channels_last() -> None:
    model = resnet(10, depth=8)
    assert model.training
    calls = record_convolution_calls(model, images(2, 3, 32, 32))
    assert model.training
    assert small_convolutions(calls) == ()
    assert channels_last_pays(calls)
    prepared = prepare_model(lambda: model, (), channels_last=True)
    output = prepared[:4](images(2, 3, 32, 32))
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert not output.is_contiguous()


def test_a_prepared_model_has_the_same_parameters_and_outputs() -> None:
    def new() -> nn.Module:
        with seeds.global_draws(0, "model"):
            return alexnet(10)

    plain, prepared = new(), prepare_model(new, ("conv3", "conv5"), channels_last=False)
    assert [type(prepared.get_submodule(f"conv{n}")) for n in (3, 4, 5)] == [
        RowConv2d,
        nn.Conv2d,
        RowConv2d,
    ]
    for (name, value), (same, other) in zip(
        plain.state_dict().items(), prepared.state_dict().items(), strict=True
    ):
        assert name == same
        assert torch.equal(value, other)
    given = images(4, 3, 32, 32)
    torch.testing.assert_close(prepared(given), plain(given), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "can"),
    [
        ({"padding": 1}, True),
        ({"padding": "same"}, True),
        ({"padding": 1, "bias": False}, True),
        ({}, False),
        ({"padding": 1, "stride": 2}, False),
        ({"padding": 2, "dilation": 2}, False),
        ({"padding": 1, "groups": 2}, False),
        ({"padding": 1, "padding_mode": "circular"}, False),
    ],
)
def test_what_can_go_by_rows(settings: dict[str, object], can: bool) -> None:
    assert supports_row_convolution(nn.Conv2d(4, 4, 3, **settings)) == can  # type: ignore[arg-type]


def test_a_name_that_is_no_such_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"small_convolutions names 'conv1', which is no Conv2d"):
        prepare_model(partial(alexnet, 10), ("conv1",), channels_last=False)
    with pytest.raises(ConfigError, match=r"names 'conv9'.* are conv1, conv2"):
        prepare_model(partial(alexnet, 10), ("conv9",), channels_last=False)
