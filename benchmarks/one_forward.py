"""What `loss` costs on a finished run of 30 snapshots, and gradients of layers without a rule.

`loss` needs one forward pass of the last snapshot. Version 1 extracted every layer's gradient norms
of all snapshots for it, which is what `gradient norms of all` does here. The second table is about
one batch: rules against the general way (`torch.func`, or one record at a time) on the same model.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
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
from fedsim.data.dataset import from_arrays
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


def seconds(view: View, folder: Path, what: Callable[[View], object]) -> float:
    """Return the time that something takes on a view nothing was extracted of yet."""
    began = time.perf_counter()
    what(replace(view, features=folder))
    return time.perf_counter() - began


def loss_figures(folder: Path, records: int, snapshots: int) -> dict[str, object]:
    """Return the times of `loss` and of what version 1 did for it."""
    view = finished_run(folder, records, snapshots)
    known = AuxiliaryRecords(view.records[:2], np.array([True, False]))

    def loss(view: View) -> object:
        return Loss().score(view, known, view.records, 0, SILENCE)

    def all_norms(view: View) -> object:
        return observed_features(view, SILENCE, FeatureSpec())

    seconds(view, folder / "warm", loss)
    quick = min(seconds(view, folder / f"loss-{n}", loss) for n in range(3))
    whole = seconds(view, folder / "all", all_norms)
    return {
        "records": records,
        "snapshots": snapshots,
        "loss, seconds": round(quick, 3),
        "gradient norms of all, seconds": round(whole, 3),
        "ratio": round(whole / quick, 1),
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
        2 if quick else 5,
    )
    return {name: ratios(taken, name, "forward") for name in ("rules", "general")}


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__ or "")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = loss_figures(Path(folder), 60 if options.quick else 400, SNAPSHOTS)
    count = 50 if options.quick else 250
    images = torch.randn(count, 3, 32, 32, generator=seeds.torch_generator(0, "images"))
    tokens = torch.randint(257, (count, 24), generator=seeds.torch_generator(0, "tokens"))
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
