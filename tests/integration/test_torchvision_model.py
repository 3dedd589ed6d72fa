"""A torchvision model that was trained elsewhere is audited; what cannot be is one sentence."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fedsim.cli.main import main
from fedsim.data import load_dataset

RECORDS, MEMBERS, CLASSES = 80, 40, 4
HERE = "test_torchvision_model"
FINDS = ("supervised", "scalar-logistic", "gradient-norm", "loss")


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return noise, and labels that say nothing of it: they can only be learned by heart."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, size=(RECORDS, 3, 32, 32), dtype=np.uint8)
    return pixels, random.integers(CLASSES, size=RECORDS)


def net() -> nn.Module:
    """Return a ResNet-18: the one line that a user writes."""
    return torchvision.models.resnet18(num_classes=CLASSES)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the weights of a ResNet that knows its members, and who they are."""
    torch.manual_seed(0)
    data = load_dataset(f"{HERE}:images", {}, data_dir=None, seed=0, test_records=None)
    inputs, labels = data.batch(np.arange(MEMBERS))
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(6):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for layer in model.modules():  # six steps are too few for running means
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None
    with torch.no_grad():
        model(inputs)
    folder = tmp_path_factory.mktemp("resnet18")
    save_file(model.state_dict(), folder / "model.safetensors")
    rows = [f"{record},{record < MEMBERS}".lower() for record in range(RECORDS)]
    (folder / "who.csv").write_text("\n".join(["record,member", *rows]))
    return folder


def attacked(given: Path, out: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run `fedsim attack` on the weights with some factory, and return its exit code."""
    words = ["fedsim", "attack", "--model", model, "--data", f"{HERE}:images", "--quiet"]
    words += ["--weights", str(given / "model.safetensors"), "--ledger", str(given / "who.csv")]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(out)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_wrapped_in_one_line_every_attack_works(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert attacked(given, tmp_path / "out", f"{HERE}:net", monkeypatch) == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    aucs = {row["attack"]: row["figures"]["auc"]["value"] for row in rows}
    assert set(aucs) == {
        "ensemble",
        "supervised",
        "scalar-logistic",
        "gradient-norm",
        "loss",
        "label",
        "random",
    }
    for attack in ("ensemble", "supervised", "scalar-logistic", "gradient-norm", "loss"):
        assert aucs[attack] > 0.9, attack


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            "torchvision.models:resnet18",
            f"of shape ({CLASSES},) where the model ResNet has (1000,); a factory of your own",
        ),
        (
            '{name: "torchvision.models:resnet18", num_classes: 4}',
            "unknown setting 'num_classes'; valid: progress, weights",
        ),
    ],
)
def test_named_itself_it_is_one_sentence(
    given: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    told: str,
) -> None:
    """Its settings are behind ``**kwargs``, where nothing says which there are."""
    monkeypatch.setenv("COLUMNS", "400")
    assert attacked(given, tmp_path / "out", model, monkeypatch) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
