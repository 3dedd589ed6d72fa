"""A third party's package of seven plugins: each is one file and one entry point, all in one run.

It is installed by pip into a folder of its own; nothing in fedsim names it.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from forked import finished

from fedsim.data import read_ledger

SOURCE = Path(__file__).parents[1] / "third_party_plugins"
MEMBERS = {
    "datasets": "clinics",
    "partitioners": "whole-users",
    "objectives": "soft-margin",
    "trainers": "averaged-iterates",
    "defences": "noisy-aggregate",
    "attacks": "against-others",
    "metrics": "median-gap",
}
MOST_LINES = 60
EXPERIMENT = {
    "seed": 0,
    "data": {"name": "clinics", "test_records": 200},
    "partition": {"name": "whole-users", "participants": 3, "records": 150},
    "model": {"name": "fully-connected", "widths": [64]},
    "objective": "soft-margin",
    "federation": {
        "rounds": 12,
        "local": {
            "epochs": 4,
            "batch_size": 20,
            "trainer": "averaged-iterates",
            "learning_rate": 0.05,
        },
        "evaluation": {"every": 12},
    },
    "defences": [{"name": "noisy-aggregate", "deviation": 0.02}],
    "snapshots": {"rounds": [4, 8, 12], "participants": "all"},
    "audit": {
        "victims": [0],
        "known_members": 30,
        "known_nonmembers": 30,
        "tested_members": 100,
        "tested_nonmembers": 100,
    },
    "adversaries": ["curious-server"],
    "attacks": ["against-others", "loss", "random"],
    "metrics": ["accuracy", "auc", "median-gap"],
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the package is installed."""
    source, target = tmp_path_factory.mktemp("source") / "p", tmp_path_factory.mktemp("site")
    shutil.copytree(SOURCE, source)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", target, source],
        check=True,
        capture_output=True,
    )
    more = {"PYTHONPATH": str(target), "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return {**os.environ, **more}


def fedsim(environment: dict[str, str], *arguments: object) -> str:
    said = finished("fedsim", arguments, Path.cwd(), environment)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def test_each_is_one_short_file_and_one_entry_point() -> None:
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    offered = project["entry-points"]
    assert {group: [*points] for group, points in offered.items()} == {
        f"fedsim.{group}": [name] for group, name in MEMBERS.items()
    }
    for group, name in MEMBERS.items():
        module = offered[f"fedsim.{group}"][name].partition(":")[0]
        file = SOURCE / f"{module.replace('.', '/')}.py"
        assert len(file.read_text().splitlines()) <= MOST_LINES, file
    files = {path.stem for path in (SOURCE / "seven_plugins").glob("*.py")} - {"__init__"}
    assert len(files) == len(MEMBERS)


@pytest.mark.parametrize("group", MEMBERS)
def test_each_is_listed_with_what_it_is(environment: dict[str, str], group: str) -> None:
    [line] = [
        line
        for line in fedsim(environment, "list", group).splitlines()
        if line.startswith(MEMBERS[group])
    ]
    assert line.split()[-1] == "seven-plugins"


@pytest.mark.slow
@pytest.mark.parametrize("group", MEMBERS)
def test_each_keeps_its_contract(environment: dict[str, str], group: str) -> None:
    assert " passed" in fedsim(environment, "check", MEMBERS[group]).splitlines()[-1]


@pytest.fixture(scope="module")
def ran(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a run with all of them, and what it said."""
    folder = tmp_path_factory.mktemp("all")
    (folder / "all.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    said = fedsim(environment, "run", folder / "all.yaml", "--out", folder / "out")
    return folder, said


ENGINES = {
    "processes": ["engine.workers=2"],
    "ray": ["engine.name=ray", "engine.actors=2", "engine.cpus=0.1"],
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_they_work_alike_on_every_engine(
    environment: dict[str, str], ran: tuple[Path, str], tmp_path: Path, engine: str
) -> None:
    """Flower's own runtimes are given an app with the package among its requirements."""
    folder, _ = ran
    settings = [part for setting in ENGINES[engine] for part in ("--set", setting)]
    fedsim(environment, "run", folder / "all.yaml", "--out", tmp_path / "out", *settings)
    for path in [*folder.glob("out/scores/**/*.parquet"), folder / "out/ledger.parquet"]:
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes(), path
    results = [json.loads((one / "out/results.json").read_text()) for one in (folder, tmp_path)]
    assert results[0]["results"] == results[1]["results"]
    assert results[0]["utility"] == results[1]["utility"]


def test_all_of_them_in_one_run(ran: tuple[Path, str]) -> None:
    tmp_path, said = ran
    assert "the server adds noise of standard deviation 0.02 to the aggregate" in said
    assert "median gap" in said
    results = json.loads((tmp_path / "out/results.json").read_text())
    auc = {row["attack"]: row["figures"]["auc"]["value"] for row in results["results"]}
    gap = {row["attack"]: row["figures"]["median-gap"]["value"] for row in results["results"]}
    assert auc["against-others"] > 0.7  # labels are at random: who fits them has learned them
    assert auc["loss"] > 0.8
    assert 0.4 < auc["random"] < 0.6
    assert gap["against-others"] > 0.7 > abs(gap["random"])
    assert results["utility"]["train_accuracy"] > 0.6

    ledger = read_ledger(tmp_path / "out/ledger.parquet")
    users = np.random.default_rng(0).integers(40, size=800)  # as Clinics draws them
    owners = [set(users[part]) for part in ledger.training_sets]
    assert [len(part) for part in ledger.training_sets] == [150] * 3
    assert len(set.union(*owners)) == sum(map(len, owners))
