"""The attack network is what its description says, component by component."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from adversaries.inference.components import GradientConvolution
from adversaries.inference.gradient_inputs import RankOne
from adversaries.inference.inputs import LAST_LAYER, Inputs
from adversaries.inference.network import AttackNetwork, NetworkSettings
from adversaries.inference.network_layers import SnapshotLinear, UnitDropout
from adversaries.inference.standardiser import Standardiser
from fedsim import seeds
from fedsim.errors import ConfigError

SNAPSHOTS, RECORDS, CLASSES, HIDDEN = 3, 11, 5, 7


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def inputs() -> Inputs:
    return Inputs(
        scalars=normal(SNAPSHOTS, RECORDS, 8) * 3 + 1,
        losses=normal(SNAPSHOTS, RECORDS, 1).exp(),
        outputs={
            "logits": normal(SNAPSHOTS, RECORDS, CLASSES),
            "block.relu": normal(SNAPSHOTS, RECORDS, 4),
        },
        labels=nn.functional.one_hot(torch.arange(RECORDS) % CLASSES).float()[None],
        gradients={
            LAST_LAYER: RankOne(
                deltas=normal(SNAPSHOTS, RECORDS, CLASSES),
                inputs=normal(SNAPSHOTS, RECORDS, HIDDEN).abs(),
            )
        },
        reactions=normal(SNAPSHOTS - 1, RECORDS, 8),
    )


def network(settings: NetworkSettings) -> AttackNetwork:
    with seeds.global_draws(0, "network"):
        return AttackNetwork(inputs(), settings)


def test_the_factored_convolution_is_the_convolution_over_the_gradient_matrix() -> None:
    with seeds.global_draws(0, "convolution"):
        factored = GradientConvolution(SNAPSHOTS, 100, kernels=16)
        nn.init.normal_(factored.bias)
    deltas, hidden = normal(SNAPSHOTS, 20, 100), normal(SNAPSHOTS, 20, 256)
    found = factored(RankOne(deltas, hidden))
    for snapshot in range(SNAPSHOTS):
        convolution = nn.Conv2d(1, 16, kernel_size=(100, 1))
        convolution.weight.data = factored.weight[snapshot].mT[:, None, :, None]
        convolution.bias.data = factored.bias[snapshot].flatten()
        matrix = deltas[snapshot, :, :, None] * hidden[snapshot, :, None, :]
        truth = convolution(matrix[:, None])[:, :, 0]
        difference = (found[snapshot] - truth).norm() / truth.norm()
        assert difference < 1e-6


def test_every_snapshot_has_its_own_weights_or_shares_them() -> None:
    values = normal(SNAPSHOTS, RECORDS, 4)
    own, shared = SnapshotLinear(SNAPSHOTS, 4, 2), SnapshotLinear(1, 4, 2)
    for snapshot in range(SNAPSHOTS):
        assert torch.allclose(own(values)[snapshot], values[snapshot] @ own.weight[snapshot])
        assert torch.allclose(shared(values)[snapshot], values[snapshot] @ shared.weight[0])

    def weights(settings: NetworkSettings) -> int:
        return sum(p.numel() for p in network(settings).component_parameters())

    separate = weights(NetworkSettings(label_widths=(), shared=False))
    assert separate == SNAPSHOTS * weights(NetworkSettings(label_widths=(), shared=True))


@pytest.mark.parametrize("shared", [True, False])
def test_the_papers_plan_fits(shared: bool) -> None:
    paper = NetworkSettings(50, (64, 16), (32, 16), (32, 16), (16, 8), (32, 8), shared=shared)
    attack = network(paper).eval()
    logits = attack(inputs())
    assert logits.shape == (RECORDS,)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in attack.parameters())
    everything = {id(p) for p in attack.parameters()}
    grouped = [*attack.component_parameters(), *attack.encoder_parameters()]
    assert sorted(map(id, grouped)) == sorted(everything)


@pytest.mark.parametrize(
    ("left_out", "deaf_to"),
    [
        ({"gradient_widths": ()}, ["gradients"]),
        ({"output_widths": ()}, ["outputs"]),
        ({"loss_widths": ()}, ["losses"]),
        ({"label_widths": ()}, ["labels"]),
        ({}, []),
    ],
)
def test_a_component_reads_its_feature_and_nothing_else_does(
    left_out: dict[str, tuple[int, ...]], deaf_to: list[str]
) -> None:
    attack = network(NetworkSettings(**left_out)).eval()
    given = inputs()
    before = attack(given)
    for field in fields(Inputs):
        same = torch.equal(attack(raised(given, field.name)), before)
        assert same == (field.name in deaf_to), field.name


def raised(given: Inputs, name: str) -> Inputs:
    """Return inputs with 1 added to one field."""
    value = getattr(given, name)
    if name == "outputs":
        return replace(given, outputs={layer: values + 1 for layer, values in value.items()})
    if name == "gradients":
        (of,) = value.values()
        return replace(given, gradients={LAST_LAYER: of.replaced(*(p + 1 for p in of.parts))})
    return replace(given, **{name: value + 1})


def test_dropout_takes_the_same_units_from_all_snapshots() -> None:
    dropout = UnitDropout(0.5)
    with seeds.global_draws(0, "dropout"):
        dropped = dropout(torch.ones(SNAPSHOTS, 400, 10))
    assert torch.equal(dropped[0], dropped[1])
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(dropout.eval()(torch.ones(2, 3, 4)), torch.ones(2, 3, 4))


def test_standardised_records_have_mean_0_and_deviation_1() -> None:
    given = inputs()
    standard = Standardiser.fit(given).apply(given)
    columns = (standard.scalars, standard.losses, standard.reactions, *standard.outputs.values())
    for values in columns:
        torch.testing.assert_close(
            values.mean(1), torch.zeros_like(values[:, 0]), atol=1e-5, rtol=0
        )
        torch.testing.assert_close(values.std(1, correction=0), torch.ones_like(values[:, 0]))
    sides = (of.gradients[LAST_LAYER].parts for of in (standard, given))
    for values, raw in zip(*sides, strict=True):
        scale = raw[0, 0, 0] / values[0, 0, 0]
        torch.testing.assert_close(values[0] * scale, raw[0])  # scaled, not centred
        torch.testing.assert_close(values.square().mean((1, 2)), torch.ones(SNAPSHOTS))


def test_standardising_looks_at_the_fitted_records_only() -> None:
    given = inputs()
    some = given.take(torch.arange(5))
    standardiser = Standardiser.fit(some)
    far = replace(given, scalars=given.scalars.index_fill(1, torch.tensor([10]), 1e6))
    assert standardiser.apply(far).scalars[:, 10].max() == 5
    near = standardiser.apply(given).scalars[:, :5]
    torch.testing.assert_close(near.mean(1), torch.zeros_like(near[:, 0]), atol=1e-5, rtol=0)


def test_a_column_that_does_not_vary_stays_finite() -> None:
    given = replace(inputs(), scalars=torch.full((SNAPSHOTS, RECORDS, 8), 4.0))
    assert Standardiser.fit(given).apply(given).scalars.abs().max() == 0


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"kernels": 0}, "kernels of the attack network must be from 1"),
        ({"encoder_widths": (64, 0)}, "encoder_widths of .* from 1 to 1,000,000"),
        ({"encoder_dropout": 1.0}, "from 0 to below 1, not 1.0"),
        ({"vector_snapshots": 0}, "vector_snapshots is at least 1, not 0"),
    ],
)
def test_impossible_sizes_are_refused(setting: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        NetworkSettings(**setting)
