"""What stands behind the names of data and model decides a run: no edit is overlooked."""

from pathlib import Path

import numpy as np
import pytest
import toys
from safetensors.torch import save_file
from torch import Tensor, nn

import fedsim
from fedsim.data import Arrays
from fedsim.data.splitting import from_arrays
from fedsim.errors import RunDirectoryError
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulation.run_content import content_of, model_digest

EXPERIMENT = toys.tree(attacks=["label"], snapshots={"rounds": [4]}, adversaries=["curious-server"])


class Net(nn.Sequential):
    """A network of the user's own."""

    def __init__(self, width: int = 8) -> None:
        super().__init__(nn.Linear(toys.FEATURES, width), nn.ReLU(), nn.Linear(width, 4))


class Leaky(nn.Sequential):
    """The same parameters, with another way through them."""

    def __init__(self, width: int = 8) -> None:
        super().__init__(nn.Linear(toys.FEATURES, width), nn.ReLU(), nn.Linear(width, 4))

    def forward(self, x: Tensor) -> Tensor:
        """Go through the layers twice as loudly."""
        return super().forward(2 * x)


def edited(change: str) -> Arrays:
    """Return the toy's data after an edit of its loader."""
    arrays = toys.__dict__["unedited"](240)
    features, labels = arrays.features.copy(), arrays.labels.copy()
    if change == "features":
        features *= np.float32(0.01)
    elif change == "one value":
        features[17, 3] += 1
    else:
        labels[:2] = labels[1::-1] if labels[0] != labels[1] else (labels[:2] + 1) % 4
    return Arrays(features, labels, num_classes=4)


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch):
    """Return what edits the loader of the toy's data."""
    monkeypatch.setitem(toys.__dict__, "unedited", toys.blobs)

    def edit_loader(change: str) -> None:
        def blobs(records: int = 240, noise: float = 1.0) -> Arrays:
            return edited(change)

        monkeypatch.setattr(toys, "blobs", blobs)

    return edit_loader


@pytest.mark.parametrize("change", ["features", "one value", "labels"])
def test_a_run_of_edited_data_is_refused_by_every_verb(tmp_path: Path, edit, change: str) -> None:
    fedsim.run(EXPERIMENT, tmp_path / "run")
    assert fedsim.run(EXPERIMENT, tmp_path / "run").results  # the same again is taken up
    edit(change)
    for again in (
        lambda: fedsim.run(EXPERIMENT, tmp_path / "run"),
        lambda: fedsim.attack(tmp_path / "run", "loss"),
    ):
        with pytest.raises(RunDirectoryError, match=r"another experiment: data set toys:blobs"):
            again()


@pytest.mark.parametrize(
    "other",
    [Leaky, lambda width=8: Net(width + 1), lambda width=8: Net(width).append(nn.Identity())],
)
def test_a_run_of_another_model_is_refused(tmp_path, monkeypatch, other) -> None:
    monkeypatch.setattr(toys, "net", Net, raising=False)
    experiment = {**EXPERIMENT, "model": "toys:net"}
    fedsim.run(experiment, tmp_path / "run")
    monkeypatch.setattr(toys, "net", other)
    with pytest.raises(RunDirectoryError, match=r"model toys:net is another than"):
        fedsim.run(experiment, tmp_path / "run")


def test_a_given_model_attacked_again_on_edited_data_is_refused(tmp_path: Path, edit) -> None:
    save_file(toys.new_model().state_dict(), tmp_path / "model.safetensors")
    rows = [f"{record},{str(record < 60).lower()}" for record in range(120)]
    (tmp_path / "who.csv").write_text("record,member\n" + "\n".join(rows) + "\n")
    given = fedsim.ExternalModel(
        model={"name": "fully-connected", "widths": [16]},
        data="toys:blobs",
        membership=tmp_path / "who.csv",
        adversary="released-model",
        attacks=("label",),
        weights=(tmp_path / "model.safetensors",),
    )
    fedsim.attack_given(given, tmp_path / "run")
    edit("features")
    with pytest.raises(RunDirectoryError, match="another experiment"):
        fedsim.attack_given(given, tmp_path / "run")


def test_a_run_of_a_version_without_digests_is_taken_up_if_its_labels_fit(tmp_path, edit) -> None:
    fedsim.run(EXPERIMENT, tmp_path / "run")
    content = RunDirectory(tmp_path / "run").content
    content.unlink()
    fedsim.run(EXPERIMENT, tmp_path / "run")
    assert content.is_file()
    content.write_text("{}")
    with pytest.raises(RunDirectoryError, match="is damaged"):
        fedsim.run(EXPERIMENT, tmp_path / "run")


def test_scores_and_features_of_other_data_are_never_taken_for_these(tmp_path, edit) -> None:
    run = fedsim.run({**EXPERIMENT, "attacks": ["loss"]}, tmp_path / "run")
    before = {path.name for path in (run.path / "features").rglob("*.safetensors")}
    edit("features")
    RunDirectory(run.path).content.unlink()
    fedsim.run({**EXPERIMENT, "attacks": ["loss"]}, run.path)
    after = {path.name for path in (run.path / "features").rglob("*.safetensors")}
    assert len(after) == 2 * len(before)


def test_the_digest_of_data_tells_split_users_and_normalisation_apart() -> None:
    features, labels = np.eye(6, dtype=np.float32), np.arange(6) % 2
    test = np.arange(6) < 2
    variants = [
        {},
        {"test": test},
        {"test": ~test},
        {"groups": np.arange(6) % 3},
        {"groups": np.arange(6) // 2},
        {"mean": (0.0,) * 6, "std": (1.0,) * 6},
        {"num_classes": 3},
    ]
    made = [
        from_arrays("x", Arrays(features, labels, **more), test_records=None, seed=0).digest
        for more in variants
    ]
    assert len(set(made)) == len(made)


def test_a_models_digest_does_not_depend_on_comments_or_on_being_made_twice() -> None:
    setup = build_setup(toys.experiment(), None, SILENCE)
    assert content_of(setup) == content_of(setup)
    assert model_digest(nn.LazyLinear(3)) == model_digest(nn.LazyLinear(3))
    assert model_digest(nn.LazyLinear(3)) != model_digest(nn.LazyLinear(4))
