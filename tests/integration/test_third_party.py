"""The tutorial of the plugin contract: a third party's package adds an adversary and an attack.

The package below is installed by pip into a folder of its own and found through its entry points;
nothing in fedsim names it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import toys
import yaml
from forked import finished

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "nosy"
version = "1.0"

[project.entry-points."fedsim.adversaries"]
forgetful-server = "nosy:ForgetfulServer"

[project.entry-points."fedsim.attacks"]
confidence = "nosy:Confidence"

[tool.setuptools]
py-modules = ["nosy"]
"""

MODULE = '''
"""A server that leaves one participant out of the mean, and an attack by confidence."""

import numpy as np
import torch

from fedsim import Attack, ServerAdversary, SnapshotKind, Threat


class ForgetfulServer(ServerAdversary):
    """Keep every upload, and leave one participant's out of the mean."""

    def __init__(self, left_out: int) -> None:
        self.left_out = left_out

    def threat(self):
        does = f"leaves participant {self.left_out} out of the mean"
        return Threat("the server", "every upload", does)

    def receive(self, round_number, participant, arrays):
        self.record(round_number, SnapshotKind.UPLOAD.of(participant), arrays)
        return None if participant == self.left_out else arrays


class Confidence(Attack):
    """Score a record by the probability of its label on the last snapshot."""

    def score(self, view, known, candidates, seed, watcher):
        model = view.new_model().eval()
        model.load_state_dict(view.closest[-1].load())
        inputs, labels = view.dataset.batch(candidates)
        with torch.no_grad():
            p = model(inputs).softmax(1)[torch.arange(len(labels)), labels]
        return p.numpy().astype(np.float64)
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the third party's package is installed."""
    source, target = tmp_path_factory.mktemp("nosy"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "nosy.py").write_text(MODULE)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", target, source],
        check=True,
        capture_output=True,
    )
    path = os.pathsep.join([str(target), str(Path(toys.__file__).parent)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}


def fedsim(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return finished("fedsim", arguments, Path.cwd(), environment)


def test_a_third_parties_plugins_are_listed(installed: dict[str, str]) -> None:
    said = fedsim(installed, "list", "adversaries")
    assert said.returncode == 0, said.stderr
    [line] = [line for line in said.stdout.splitlines() if "forgetful-server" in line]
    assert "Keep every upload, and leave one participant's out of the mean." in line
    assert "nosy" in line.split("mean.")[1]


def test_a_third_parties_plugins_run(installed: dict[str, str], tmp_path: Path) -> None:
    toy = toys.tree(
        adversaries=["curious-server", {"name": "forgetful-server", "left_out": 0}],
        attacks=["confidence", "label"],
        federation={"rounds": 15},
        snapshots={"rounds": [15]},
    )
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(toy))
    said = fedsim(installed, "run", tmp_path / "toy.yaml", "--out", tmp_path / "out")
    assert said.returncode == 0, said.stderr
    assert "threat model: forgetful-server" in said.stdout
    assert "leaves participant 0 out of the mean" in said.stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert {(r["adversary"], r["attack"]) for r in results} == {
        (adversary, attack)
        for adversary in ("forgetful-server", "curious-server")
        for attack in ("confidence", "label")
    }
    stored = sorted(p.name for p in (tmp_path / "out/snapshots/forgetful-server").iterdir())
    assert stored == ["round-00015.participant-0.safetensors"]
    assert len([line for line in MODULE.splitlines() if line.strip()]) < 40


def test_a_third_parties_wrong_setting_is_one_sentence(
    installed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(toys.tree(adversaries=["forgetful-server"])))
    said = fedsim(installed, "run", tmp_path / "toy.yaml", "--out", tmp_path / "out")
    assert said.returncode == 2
    where = tmp_path / "toy.yaml"
    told = f"fedsim: {where}: forgetful-server: setting 'left_out' is missing\n"
    assert said.stderr == told
