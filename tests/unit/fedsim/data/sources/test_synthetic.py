"""The stand-ins' calibration, at a size that a unit test can afford.

The figures for the full size are in the module's docstring: what `accuracies` gives with 20,000 or
10,000 training records, 100 epochs and its defaults.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from fedsim import seeds
from fedsim.data import Arrays, load_dataset
from fedsim.data.sources.synthetic import PURCHASE, TEXAS, BitModel, draw_records
from fedsim.errors import PluginError

HIDDEN = (1024, 512, 256, 128)


def accuracies(
    model: BitModel, *, train: int, test: int, epochs: int, hidden=HIDDEN, rate=1e-4
) -> tuple[float, float]:
    """Return train and test accuracy of the published network: tanh, Adam, batches of 100."""
    data = draw_records(model, train + test, seed=2019)
    inputs, labels = torch.from_numpy(data.features), torch.from_numpy(data.labels)
    widths = (model.bits, *hidden)
    with seeds.global_draws(0, "calibration"):
        layers = [part for i, o in pairwise(widths) for part in (nn.Linear(i, o), nn.Tanh())]
        network = nn.Sequential(*layers, nn.Linear(widths[-1], 100))
    optimizer = torch.optim.Adam(network.parameters(), rate)
    for epoch in range(epochs):
        order = torch.randperm(train, generator=seeds.torch_generator(0, "calibration", epoch))
        for batch in order.split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch].float()), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        right = torch.cat([network(rows.float()).argmax(1) for rows in inputs.split(1000)])
    hits = (right == labels).float()
    return float(hits[:train].mean()), float(hits[train:].mean())


@pytest.mark.parametrize(("model", "test_accuracy"), [(PURCHASE, 0.47), (TEXAS, 0.53)])
def test_a_network_learns_training_records_whole_and_new_ones_in_part(model, test_accuracy):
    """Fewer records, one narrow layer, a greater rate: not the docstring's figures, but steady."""
    on_train, on_test = accuracies(model, train=1500, test=1000, epochs=6, hidden=(64,), rate=3e-3)
    assert on_train > 0.95
    assert on_test == pytest.approx(test_accuracy, abs=0.05)


@pytest.mark.parametrize("model", [PURCHASE, TEXAS])
def test_bits_are_sparse_and_classes_unequal(model):
    data = draw_records(model, 5000, seed=2019)
    assert data.features.mean() == pytest.approx(model.mean, rel=0.1)
    assert data.num_classes == 100
    counts = np.sort(np.bincount(data.labels, minlength=100))
    assert counts[-1] / counts[:10].mean() == pytest.approx(100**model.size_skew, rel=0.5)


def test_more_records_change_none_and_another_seed_changes_all():
    model = replace(PURCHASE, bits=50)
    few, many, other = (
        draw_records(model, count, seed) for count, seed in ((1500, 1), (3000, 1), (1500, 2))
    )
    assert np.array_equal(few.features, many.features[:1500])
    assert np.array_equal(few.labels, many.labels[:1500])
    assert not np.array_equal(few.labels, other.labels)


def test_marginals_do_not_depend_on_the_noise():
    quiet, noisy = (
        draw_records(replace(PURCHASE, noise=noise), 4000, seed=1).features.mean()
        for noise in (0.1, 0.9)
    )
    assert quiet == pytest.approx(noisy, rel=0.05)


@pytest.mark.parametrize(
    ("name", "bits"), [("SyntheticPurchase100", 600), ("SyntheticTexas100", 6169)]
)
def test_stand_ins_load_through_the_cache_without_a_data_directory(tmp_path, name, bits):
    said: list[str] = []
    for _ in range(2):
        dataset = load_dataset(
            f"fedsim.data.sources.synthetic:{name}",
            {"records": 300},
            data_dir=None,
            cache_dir=tmp_path,
            seed=0,
            say=said.append,
        )
        assert (len(dataset), dataset.input_shape, dataset.num_classes) == (300, (bits,), 100)
        assert isinstance(dataset.features, np.memmap)
    assert len(list(tmp_path.iterdir())) == 1
    assert isinstance(Arrays(dataset.features, dataset.labels), Arrays)


def test_no_records_get_a_sentence():
    with pytest.raises(PluginError, match="records is 0; valid: 1 to "):
        load_dataset(
            "fedsim.data.sources.synthetic:SyntheticTexas100", {"records": 0}, data_dir=None, seed=0
        )
