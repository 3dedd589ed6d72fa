"""Extracted features are what one record at a time gives, whatever the model and the batches."""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from adversaries.inference.extraction import extract
from adversaries.inference.feature_file import load_features, save_features
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.features import SCALARS
from adversaries.inference.needed_features import shared_features
from fedsim import seeds
from fedsim.errors import FedsimError, SnapshotError
from fedsim.observation.needs import Needs

RECORDS = np.array([7, 2, 9, 4, 0])


def model() -> nn.Sequential:
    with seeds.global_draws(5, "model"):
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(2, 4, 3, stride=2),
                relu=nn.ReLU(inplace=True),
                norm=nn.BatchNorm2d(4),
                flatten=nn.Flatten(),
                dropout=nn.Dropout(0.5),
                middle=nn.Linear(16, 8),
                tanh=nn.Tanh(),
                classifier=nn.Linear(8, 3),
            )
        )


def batch(records: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return records 0 to 9 of a made-up data set."""
    inputs = torch.randn(10, 2, 6, 6, generator=seeds.torch_generator(1, "inputs"))
    labels = torch.arange(10) % 3
    return inputs[torch.from_numpy(records)], labels[torch.from_numpy(records)]


def test_features_are_those_of_one_record_at_a_time() -> None:
    net = model().train()
    found = extract(net, batch, RECORDS, FeatureSpec(outputs=("conv", "tanh"), batch_size=2))
    assert net.training
    assert net.dropout.training
    assert found.records.tolist() == RECORDS.tolist()
    assert found.layers == ("conv", "norm", "middle", "classifier")
    net.eval()
    for place, record in enumerate(RECORDS):
        inputs, labels = batch(np.array([record]))
        net.zero_grad()
        logits = net(inputs)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()
        norms = [
            sum(float(p.grad.square().sum()) for p in net.get_submodule(name).parameters()) ** 0.5
            for name in found.layers
        ]
        gradient = np.outer(found.deltas[place], found.hidden[place])
        np.testing.assert_allclose(gradient, net.classifier.weight.grad, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found.gradient_norms[place], norms, rtol=1e-5)
        np.testing.assert_allclose(found.logits[place], logits[0].detach(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.losses[place], loss.item(), rtol=1e-5)
        np.testing.assert_allclose(np.exp(found.scalars[place, 3]), norms[-1], rtol=1e-5)
        conv = net.conv(inputs).flatten().detach()  # before the activation in place
        np.testing.assert_allclose(found.outputs["conv"][place], conv, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.outputs["tanh"][place], found.hidden[place])
        assert found.labels[place] == labels.item()


def test_without_norms_nothing_else_changes() -> None:
    net = model()
    full = extract(net, batch, RECORDS, FeatureSpec())
    plain = extract(net, batch, RECORDS, FeatureSpec(gradient_norms=()))
    assert plain.gradient_norms.shape == (5, 0)
    assert full.scalars.shape == (5, len(SCALARS))
    np.testing.assert_allclose(plain.scalars, full.scalars, rtol=1e-5)
    np.testing.assert_allclose(plain.deltas, full.deltas, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norms", ["all", ()])
def test_scalars_of_the_last_layer_without_its_vectors_are_the_same_bits(norms: Any) -> None:
    net = model()
    full = extract(net, batch, RECORDS, FeatureSpec())
    spec = FeatureSpec(
        output=False, last_layer_gradient=False, last_layer_scalars=True, gradient_norms=norms
    )
    found = extract(net, batch, RECORDS, spec)
    assert found.scalar_names == SCALARS
    np.testing.assert_array_equal(found.scalars, full.scalars)
    np.testing.assert_array_equal(found.losses, full.losses)
    assert [a.shape[1] for a in (found.hidden, found.deltas, found.logits)] == [0, 0, 0]


def test_a_kind_covers_what_it_was_widened_by() -> None:
    asked = FeatureSpec(output=False, last_layer_gradient=False, gradient_norms=())
    needs = Needs(last_layer_norms=True, outputs=True, gradient_norms="all")
    trained, sent = shared_features(asked, needs, True), shared_features(asked, needs, False)
    assert trained == replace(sent, gradient_norms="all")
    assert sent == replace(asked, output=True, last_layer_scalars=True)
    assert trained.covers(sent)
    assert sent.covers(asked)
    assert not asked.covers(sent)
    assert FeatureSpec().covers(trained)
    assert not trained.covers(FeatureSpec())
    half = replace(asked, precision="bf16")
    assert shared_features(half, needs, True) == half


def test_norms_of_named_layers_only() -> None:
    net = model()
    full = extract(net, batch, RECORDS, FeatureSpec())
    some = extract(net, batch, RECORDS, FeatureSpec(gradient_norms=("middle",)))
    assert some.layers == ("middle",)
    np.testing.assert_allclose(some.gradient_norms[:, 0], full.gradient_norms[:, 2], rtol=1e-6)


def test_half_precision_is_close_and_keeps_the_last_layer_in_full() -> None:
    net = model()
    full = extract(net, batch, RECORDS, FeatureSpec())
    half = extract(net, batch, RECORDS, FeatureSpec(precision="bf16"))
    np.testing.assert_allclose(half.gradient_norms, full.gradient_norms, rtol=0.05)
    logits = net.classifier(torch.from_numpy(half.hidden)).detach()
    np.testing.assert_allclose(half.logits, logits, rtol=1e-5, atol=1e-6)


def test_underflowing_gradients_keep_their_norm() -> None:
    """A member with log-odds of 60 has a squared norm of 1e-52, below single precision."""
    net = model().eval()
    with torch.no_grad():
        net.classifier.bias.copy_(torch.tensor([60.0, 0.0, 0.0]))
    found = extract(net, batch, np.array([0]), FeatureSpec())
    double = model().double()
    double.load_state_dict(net.state_dict())

    def wide(records: np.ndarray) -> tuple[Tensor, Tensor]:
        inputs, labels = batch(records)
        return inputs.double(), labels

    truth = extract(double, wide, np.array([0]), FeatureSpec())
    assert 0 < truth.gradient_norms.max() < 1e-24
    np.testing.assert_allclose(found.gradient_norms, truth.gradient_norms, rtol=1e-3)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (FeatureSpec(outputs=("conv9",)), "no layer named conv9; it has classifier, conv"),
        (FeatureSpec(gradient_norms=("head",)), "no layer named head"),
        (FeatureSpec(last_layer="conv"), "must be Linear, but 'conv' is a Conv2d"),
        (FeatureSpec(last_layer="middle"), "'middle' does not give the model's output"),
    ],
)
def test_layers_that_cannot_be_are_named(spec: FeatureSpec, sentence: str) -> None:
    with pytest.raises(FedsimError, match=sentence):
        extract(model(), batch, RECORDS, spec)


def test_a_softmax_behind_the_logits_is_refused() -> None:
    net = nn.Sequential(model(), nn.Softmax(1))
    with pytest.raises(FedsimError, match="outputs are probabilities: every row sums to 1"):
        extract(net, batch, RECORDS, FeatureSpec())


def test_no_records_and_no_batch_are_refused() -> None:
    with pytest.raises(FedsimError, match="at least one record, and there is none"):
        extract(model(), batch, RECORDS[:0], FeatureSpec())
    with pytest.raises(FedsimError, match="at least 1, not 0"):
        FeatureSpec(batch_size=0)


def test_features_come_back_from_their_file(tmp_path: Path) -> None:
    found = extract(model(), batch, RECORDS, FeatureSpec(outputs=("tanh",)))
    save_features(found, tmp_path / "features.safetensors")
    again = load_features(tmp_path / "features.safetensors")
    assert again.layers == found.layers
    for name in ("records", "labels", "losses", "hidden", "deltas", "scalars", "gradient_norms"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    np.testing.assert_array_equal(again.outputs["tanh"], found.outputs["tanh"])
    np.testing.assert_array_equal(again.take(np.array([3, 1])).records, RECORDS[[3, 1]])


def test_gradients_come_back_from_their_file_and_the_file_has_the_same_bytes(
    tmp_path: Path,
) -> None:
    spec = FeatureSpec(outputs=("tanh", "middle"), gradients=("conv", "middle", "classifier"))
    found = extract(model(), batch, RECORDS, replace(spec, batch_size=2))
    for number in range(4):
        save_features(found, tmp_path / str(number))
    assert len({(tmp_path / str(number)).read_bytes() for number in range(4)}) == 1
    again = load_features(tmp_path / "0")
    assert again.nbytes == found.nbytes
    assert list(again.gradients) == ["classifier", "conv", "middle"]
    for name, of in found.gradients.items():
        assert again.gradients[name].unfolding == of.unfolding
        assert torch.equal(again.gradients[name].matrices, of.matrices)
    some = again.take(np.array([3, 1])).gradients["conv"].matrices
    assert torch.equal(some, found.gradients["conv"].matrices[[3, 1]])
    pair = np.einsum("nc,nh->nch", found.deltas, found.hidden)
    np.testing.assert_allclose(found.gradients["classifier"].matrices, pair, rtol=1e-5, atol=1e-7)


def test_gradients_of_any_layer_are_those_of_one_backward_pass_a_record() -> None:
    net = model()
    found = extract(net, batch, RECORDS, FeatureSpec(gradients=("conv", "middle"), batch_size=2))
    net.eval()
    for place, record in enumerate(RECORDS):
        inputs, labels = batch(np.array([record]))
        net.zero_grad()
        functional.cross_entropy(net(inputs), labels).backward()
        for name in ("conv", "middle"):
            truth = net.get_submodule(name).weight.grad.flatten(1)
            slow = found.gradients[name].matrices[place]
            torch.testing.assert_close(slow, truth, rtol=1e-4, atol=1e-6)


def test_files_that_are_no_features_are_refused(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"\x80\x04noise")
    for name in ("noise", "missing"):
        with pytest.raises(SnapshotError, match="features cannot be read"):
            load_features(tmp_path / name)
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(3)}, tmp_path / "weights")
    with pytest.raises(SnapshotError, match="does not hold fedsim-features-3"):
        load_features(tmp_path / "weights")
