"""What `loss` costs on a finished run of 30 snapshots, and gradients of layers without a rule.

`loss` needs one forward pass of the last snapshot. Version 1 extracted every layer's gradient norms
of all snapshots for it, which is what `gradient norms of all` does here. The other tables are about
one batch: rules against the general way (`torch.func`, or one record at a time) on the same model.

All by one protocol: one thread, processor time, everything in turn, medians of paired ratios.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import torch
from flwr.app import ArrayRecord
from paired import arguments, interleaved, publish, ratios
from torch import Tensor, nn

from adversaries.inference.extraction import extract
from adversaries.inference.feature_cache import observed_features
from adversaries.inference.feature_spec import FeatureSpec
from adversaries.inference.gradient_rules import has_rule
from adversaries.signals.loss import Loss
from fedsim import seeds
from fedsim.attacks import AuxiliaryRecords, View
from fedsim.data import Arrays, about_participant
from fedsim.data.splitting import from_arrays
from fedsim.models import alexnet
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE

SNAPSHOTS, CLASSES = 30, 100


def new_model() -> nn.Module:
    """Return the AlexNet of CIFAR-100."""
    return alexnet(CLASSES)


def finished_run(folder: Path, records: int, snapshots: int) -> View:
    """Return what a server saw of one participant in so many rounds."""
    random = np.random.default_rng(0)
    images = random.integers(256, size=(2 * records, 3, 32, 32), dtype=np.uint8)
    arrays = Arrays(images, random.integers(CLASSES, size=2 * records), num_classes=CLASSES)
    store = SnapshotStore(folder / "seen")
    key = SnapshotKind.UPLOAD.of(0)
    for round_number in range(1, snapshots + 1):
        with seeds.global_draws(round_number, "benchmark"):
            store.keep(round_number, key, ArrayRecord(new_model().state_dict()))
    return View(
        adversary="curious-server",
        query=about_participant(0),
        seen=store.series(key),
        new_model=new_model,
        dataset=from_arrays("images", arrays, test_records=records, seed=0),
        records=np.arange(records),
        features=folder / "features",
    )


def loss_figures(folder: Path, records: int, snapshots: int, repetitions: int) -> dict[str, object]:
    """Return the times of `loss` and of what version 1 did for it, nothing being extracted yet."""
    view = finished_run(folder, records, snapshots)
    known = AuxiliaryRecords(view.records[:2], np.array([True, False]))
    places = (folder / f"features-{number}" for number in count())

    def loss() -> object:
        new = replace(view, features=next(places))
        return Loss().score(new, known, view.records, 0, SILENCE)

    def all_norms() -> object:
        return observed_features(replace(view, features=next(places)), SILENCE, FeatureSpec())

    names = {"loss": loss, "gradient norms of all": all_norms}
    taken = interleaved(names, repetitions, clock=time.process_time)
    return {
        "records": records,
        "snapshots": snapshots,
        "seconds (median)": {name: round(median(found), 3) for name, found in taken.items()},
        "gradient norms of all / loss": ratios(taken, "gradient norms of all", "loss"),
    }


class Recurrent(nn.Module):
    """A small LSTM over token ids."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(257, 32)
        self.lstm, self.head = nn.LSTM(32, 64, batch_first=True), nn.Linear(64, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (n, classes)."""
        hidden: Tensor = self.head(self.lstm(self.embedding(tokens))[0][:, -1])
        return hidden


def way_figures(make: Callable[[], nn.Module], inputs: Tensor, quick: bool) -> dict[str, object]:
    """Return the time of norms by rules and by the general way, in those of a forward pass."""
    with seeds.global_draws(0, "benchmark"):
        model = make().eval()
    labels = torch.arange(len(inputs)) % CLASSES

    def batch(records: np.ndarray) -> tuple[Tensor, Tensor]:
        chosen = torch.from_numpy(records)
        return inputs[chosen], labels[chosen]

    def norms(ruled: bool) -> None:
        rule = has_rule if ruled else (lambda _: False)
        with mock.patch("adversaries.inference.layer_gradients.has_rule", rule):
            extract(model, batch, np.arange(len(inputs)), FeatureSpec())

    def forward() -> None:
        with torch.no_grad():
            model(inputs)

    taken = interleaved(
        {"forward": forward, "rules": lambda: norms(True), "general": lambda: norms(False)},
        2 if quick else 7,
        clock=time.process_time,
    )
    return {name: ratios(taken, name, "forward") for name in ("rules", "general")}


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        sizes = (60, SNAPSHOTS, 1) if options.quick else (400, SNAPSHOTS, 5)
        figures = loss_figures(Path(folder), *sizes)
    batch = 50 if options.quick else 250
    images = torch.randn(batch, 3, 32, 32, generator=seeds.torch_generator(0, "images"))
    tokens = torch.randint(257, (batch, 24), generator=seeds.torch_generator(0, "tokens"))
    publish(
        {
            "loss on a finished run": figures,
            "AlexNet": way_figures(new_model, images, options.quick),
            "LSTM": way_figures(Recurrent, tokens, options.quick),
        },
        options.json,
    )


if __name__ == "__main__":
    main()
