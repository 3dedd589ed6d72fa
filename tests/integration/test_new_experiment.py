"""`fedsim new experiment`: what it writes is run as it is, beside data as its comments say."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Fedsim
from PIL import Image

from fedsim.scaffold import EXPERIMENTS, write_experiment

MODULE = """
import numpy as np
import torch
from torch import nn


def all_records():
    random = np.random.default_rng(0)
    labels = random.integers(3, size=600)
    points = random.normal(size=(3, 10))[labels] + random.normal(size=(600, 10))
    return points.astype(np.float32), labels


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 3))
"""


def csv(folder: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(2, size=600)
    rows = ["age,income,town,label"]
    for label in labels:
        age, income = random.normal(40 + 5 * label, 10), random.normal(label)
        rows.append(f"{age:.1f},{income:.2f},{random.choice(['Bern', 'Genf'])},{label}")
    (folder / "records.csv").write_text("\n".join(rows) + "\n")


def text(folder: Path) -> None:
    random = np.random.default_rng(0)
    words = {0: ["poor", "dull", "film"], 1: ["fine", "warm", "film"]}
    labels = random.integers(2, size=600)
    rows = [f"{' '.join(random.choice(words[label], 8))},{label}" for label in labels]
    (folder / "texts.csv").write_text("\n".join(["text,label", *rows]) + "\n")


def images(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name, tint in (("cats", 60), ("dogs", 120)):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(200):
            pixels = random.integers(tint, tint + 100, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{number}.png")


def flower_app(folder: Path) -> None:
    (folder / "my_app").mkdir()
    (folder / "my_app/__init__.py").write_text("")
    (folder / "my_app/task.py").write_text(MODULE)


BESIDE = {"csv": csv, "images": images, "text": text, "flower-app": flower_app}
SMALLER = {"images": ("federation.rounds=2", "snapshots.rounds=[2]", "model.depth=8")}


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_it_runs_as_it_is(
    kind: str, fedsim: Fedsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fedsim("new", "experiment", kind).code == 0
    BESIDE.get(kind, lambda folder: None)(tmp_path)
    smaller = [word for change in SMALLER.get(kind, ()) for word in ("--set", change)]
    said = fedsim("run", f"{kind}.yaml", "--quiet", *smaller)
    assert said.code == 0, said.err
    results = json.loads((tmp_path / "runs" / kind / "results.json").read_text())
    assert {row["attack"] for row in results["results"]} >= {"loss", "random"}
    assert (tmp_path / "runs" / kind / "report.html").is_file()


def test_nothing_is_overwritten_and_other_kinds_are_refused(fedsim: Fedsim, tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    assert write_experiment("csv", target).read_text().startswith("# An audit of a table.")
    again = fedsim("new", "experiment", "csv", "--out", target)
    assert (again.code, "nothing is overwritten; choose --out" in again.err) == (2, True)
    other = fedsim("new", "experiment", "video")
    assert "there is no experiment 'video' to write; valid: csv, flower-app, images" in other.err
