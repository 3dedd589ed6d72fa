"""The command line on the toy: what it prints and writes, and every bad input one sentence."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import toys
import yaml
from command_line import Fedsim, Said
from safetensors.torch import save_file
from toys import content_of

from fedsim.rundir import RunDirectory


def write(folder: Path, **sections: Any) -> Path:
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(toys.tree(**sections), sort_keys=False))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of the toy; not to be changed."""
    from fedsim.api import run

    path = tmp_path_factory.mktemp("finished") / "run"
    run(toys.experiment(), path)
    return path


def made(path: Path) -> dict[str, str]:
    """Return digests of what the stages made, without the pages that state the command too."""
    content = content_of(RunDirectory(path))
    return {k: v for k, v in content.items() if k not in {"results.json", "report.html"}}


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def test_run_says_the_threats_the_plan_and_the_figures(fedsim: Fedsim, tmp_path: Path) -> None:
    said = fedsim("run", write(tmp_path), "--out", "out", "--set", "federation.rounds=5")
    assert said.code == 0, said.err
    for part in (
        "threat model: curious-server",
        "nothing: it follows the protocol",
        "10 members and 10 non-members",
        "known members and non-members (label)",
        "nothing (random)",
        "3 participants, 5 rounds",
        "80 audited records",
        "random",
        "label",
        "out/results.json",
    ):
        assert part in said.out, part
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["schema"] == 2
    assert 0.5 < results["utility"]["test_accuracy"] <= 1
    found = {(r["adversary"], r["attack"]) for r in results["results"]}
    assert found == {
        (adversary, attack)
        for adversary in ("curious-server", "curious-participant")
        for attack in ("random", "label")
    }
    for model in results["threat_models"]:
        assert model["learns_from"] == {
            "random": "nothing",
            "label": "known members and non-members",
        }
    for result in results["results"]:
        assert 0 <= result["figures"]["accuracy"]["value"] <= 1
        assert (result["members"], result["nonmembers"]) == (10, 10)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<html" in page
    resolved = yaml.safe_load((tmp_path / "out" / "experiment.yaml").read_text())
    assert resolved["federation"]["rounds"] == 5


def test_run_again_changes_nothing(fedsim: Fedsim, copied: Path, tmp_path: Path) -> None:
    before = made(copied)
    assert fedsim("run", write(tmp_path), "--out", copied).code == 0
    assert made(copied) == before


def test_the_same_experiment_gives_the_same_bytes(
    fedsim: Fedsim, finished: Path, tmp_path: Path
) -> None:
    assert fedsim("run", write(tmp_path), "--out", "again").code == 0
    assert made(tmp_path / "again") == made(finished)
    figures = [
        json.loads((path / "results.json").read_text()) for path in (finished, Path("again"))
    ]
    assert figures[0]["results"] == figures[1]["results"]


def test_attack_again_with_another_attack(fedsim: Fedsim, copied: Path) -> None:
    before = made(copied)
    said = fedsim("attack", copied, "--attack", "loss")
    assert said.code == 0, said.err
    results = json.loads((copied / "results.json").read_text())["results"]
    assert {r["attack"] for r in results} == {"random", "label", "loss"}
    after = made(copied)
    assert {name: after[name] for name in before} == before
    added = {name.partition("/")[0] for name in after.keys() - before.keys()}
    assert added == {"features", "scores"}


def test_compare_and_report_read_what_is_there(fedsim: Fedsim, copied: Path) -> None:
    assert fedsim("report", copied).code == 0
    said = fedsim("compare", copied, "--format", "json")
    assert said.code == 0, said.err
    assert json.loads(said.out)


@pytest.fixture
def stopped(fedsim: Fedsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Return what is said when Ctrl-C is pressed after the second round."""
    from fedsim.cli import console

    with monkeypatch.context() as patched:
        patched.setattr(console, "ConsoleWatcher", lambda shown: toys.Stopping(after=2))
        return fedsim("run", write(tmp_path), "--out", "out")


def test_a_stopped_run_goes_on(
    fedsim: Fedsim, finished: Path, tmp_path: Path, stopped: Said
) -> None:
    assert stopped.code == 130
    assert not (tmp_path / "out" / "results.json").exists()
    assert fedsim("run", write(tmp_path), "--out", "out").code == 0
    assert made(tmp_path / "out") == made(finished)


def test_a_stopped_run_says_how_it_goes_on(stopped: Said) -> None:
    assert stopped.err.strip() == "stopped; the same command resumes where it was"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("adversaries", "curious-server"),
        ("attacks", "scalar-logistic"),
        ("datasets", "cifar100"),
        ("models", "alexnet"),
        ("strategies", "FedAvgM"),
        ("partitioners", "disjoint"),
        ("optimizers", "adamw"),
        ("engines", "local"),
    ],
)
def test_list(fedsim: Fedsim, kind: str, name: str) -> None:
    said = fedsim("list", kind)
    assert said.code == 0, said.err
    assert name in said.out


def nan_features() -> Any:
    arrays = toys.blobs()
    arrays.features[3, 2] = float("nan")
    return arrays.features, arrays.labels


def no_file() -> Any:
    return Path("absent.npy").read_bytes()


HERE = __name__
TOY = toys.tree()
FEDERATION, LOCAL = TOY["federation"], TOY["federation"]["local"]
BAD_EXPERIMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"round": 3}, "unknown key 'round'; valid keys there: adversaries"),
    "wrong type": ({"seed": "zero"}, "seed is 'zero'"),
    "unknown model": ({"model": "vgg"}, "there is no 'vgg' among the models; valid: alexnet"),
    "unknown setting": (
        {"attacks": [{"name": "label", "fold": 3}]},
        "setting 'fold'; valid: folds",
    ),
    "unfit model": ({"model": "alexnet"}, "alexnet takes images"),
    "no module": ({"data": {"name": "nowhere:data"}}, "cannot import plugin 'nowhere:data'"),
    "no data file": ({"data": {"name": f"{HERE}:no_file"}}, "No such file"),
    "NaN in data": ({"data": {"name": f"{HERE}:nan_features"}}, "NaN"),
    "victim": ({"audit": {"victims": [3]}}, "participants are numbered 0 to 2"),
    "attacker": (
        {"adversaries": [{"name": "curious-participant", "participant": 9}]},
        "participants are numbered 0 to 2",
    ),
    "late snapshot": ({"snapshots": {"rounds": [5]}}, "snapshots.rounds has 5"),
    "unknown strategy": (
        {"federation": {**FEDERATION, "strategy": "FedSGD"}},
        "there is no 'FedSGD' among the strategies; valid: Bulyan",
    ),
    "strategy setting": (
        {"federation": {**FEDERATION, "strategy": {"name": "FedAvg", "mu": 1}}},
        "'mu'; valid: ",
    ),
    "unknown optimiser": (
        {"federation": {**FEDERATION, "local": {**LOCAL, "optimizer": "lion"}}},
        "there is no 'lion' among the optimizers; valid: adam, adamw, sgd",
    ),
    "unknown partition": ({"partition": {"name": "halves"}}, "'halves'"),
    "few records": ({"partition": {"records": 90}}, "90"),
    "few audited": ({"audit": {"known_members": 60}}, "audit.known_members is 60"),
    "few folds": ({"attacks": [{"name": "label", "folds": 1}]}, "folds is 1"),
    "no cifar": ({"data": "cifar100", "model": "alexnet"}, "cifar100"),
}


def is_one_sentence(said: Said, told: str) -> None:
    assert said.code == 2, said
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("fedsim: ")
    assert told in said.err
    assert "Traceback" not in said.err + said.out


@pytest.mark.parametrize("case", BAD_EXPERIMENTS)
def test_a_bad_experiment_is_one_sentence_and_leaves_nothing(
    fedsim: Fedsim, tmp_path: Path, case: str
) -> None:
    sections, told = BAD_EXPERIMENTS[case]
    path = write(tmp_path, **sections)
    (tmp_path / "empty").mkdir()
    said = fedsim("run", path, "--out", "out", "--data-dir", "empty")
    is_one_sentence(said, told)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "toy.yaml"]


@pytest.mark.parametrize(
    ("content", "extra", "told"),
    [
        (None, [], "cannot read the experiment"),
        ("seed: [", [], "is not valid YAML"),
        ("seed: 1\nseed: 2\n", [], 'found duplicate key "seed"'),
        ("just text", [], "an experiment is a mapping with keys"),
        (yaml.safe_dump(TOY), ["--set", "seed"], "is not of the form section.key=value"),
        (yaml.safe_dump(TOY), ["--set", "federation.round=3"], "unknown key 'federation.round'"),
    ],
)
def test_a_bad_file_or_set_is_one_sentence(
    fedsim: Fedsim, tmp_path: Path, content: str | None, extra: list[str], told: str
) -> None:
    path = tmp_path / "toy.yaml"
    if content is not None:
        path.write_text(content)
    is_one_sentence(fedsim("run", path, "--out", "out", *extra), told)
    assert not (tmp_path / "out").exists()


def test_a_foreign_folder_is_left_alone(fedsim: Fedsim, tmp_path: Path, copied: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "main.tex").write_text("x")
    is_one_sentence(fedsim("run", path, "--out", "thesis"), "is not a run directory and not empty")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["main.tex"]
    is_one_sentence(fedsim("run", path, "--out", path / "below"), "cannot make the run directory")
    before = content_of(RunDirectory(copied))
    said = fedsim("run", path, "--out", copied, "--set", "seed=9")
    is_one_sentence(said, "holds a run of another experiment")
    assert content_of(RunDirectory(copied)) == before


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)


SNAPSHOT = "snapshots/curious-server/round-00004.participant-0.safetensors"


@pytest.mark.parametrize(
    ("name", "damage", "arguments", "told"),
    [
        ("experiment.yaml", Path.unlink, [], "is not a run directory"),
        ("ledger.parquet", Path.unlink, [], "there is no ledger"),
        ("ledger.parquet", truncate, [], "is not a sound parquet file"),
        (SNAPSHOT, truncate, ["--attack", "loss"], "cannot read snapshot"),
        (SNAPSHOT, flip, ["--attack", "loss"], "is damaged"),
        ("snapshots/curious-server", shutil.rmtree, [], "no snapshot of sent-0"),
        (
            "results.json",
            Path.unlink,
            ["--attack", "nothing"],
            "there is no 'nothing' among the att",
        ),
        ("results.json", Path.unlink, ["--attack", "a b"], "label 'a b' must be"),
    ],
)
def test_a_damaged_run_is_one_sentence(
    fedsim: Fedsim,
    copied: Path,
    name: str,
    damage: Callable[[Path], None],
    arguments: list[str],
    told: str,
) -> None:
    damage(copied / name)
    before = content_of(RunDirectory(copied))
    is_one_sentence(fedsim("attack", copied, *arguments), told)
    after = content_of(RunDirectory(copied))
    assert {k: v for k, v in after.items() if not k.startswith("features/")} == before


def test_a_damaged_checkpoint_is_one_sentence(fedsim: Fedsim, copied: Path, tmp_path: Path) -> None:
    truncate(copied / "federations" / "honest" / "checkpoint.safetensors")
    said = fedsim("run", write(tmp_path), "--out", copied)
    is_one_sentence(said, "delete it to start from round 1")


def test_a_real_process_ends_with_2_and_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, seed=-1)
    program = Path(sys.executable).parent / "fedsim"
    said = subprocess.run(
        [program, "run", path, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(toys.__file__).parent)},
    )
    assert said.returncode == 2
    assert said.stderr == (
        f"fedsim: {path}: seed is -1: input should be greater than or equal to 0\n"
    )
    assert said.stdout == ""
    assert not (tmp_path / "out").exists()


def test_the_version_also_of_the_module() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "fedsim", "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout == f"fedsim {metadata.version('fedsim')}\n"


def test_a_page_that_is_a_folder_is_named_as_it_was_given(
    fedsim: Fedsim, copied: Path, tmp_path: Path
) -> None:
    (tmp_path / "pages").mkdir()
    is_one_sentence(fedsim("compare", copied, "--page", "pages"), "fedsim: pages: Is a directory")


def elsewhere(folder: Path, **changed: object) -> list[object]:
    """Return the arguments that say what was trained elsewhere; None leaves one out."""
    save_file(toys.new_model().state_dict(), folder / "w.safetensors")
    rows = (f"{record},{record % 2}" for record in range(240))
    (folder / "who.csv").write_text("\n".join(["record,member", *rows]))
    given: dict[str, object] = {
        "model": "{name: fully-connected, widths: [16]}",
        "weights": "w.safetensors",
        "data": "toys:blobs",
        "ledger": "who.csv",
        "out": "out",
        **changed,
    }
    return [part for k, v in given.items() if v is not None for part in (f"--{k}", v)]


def test_a_model_that_was_trained_elsewhere(fedsim: Fedsim, tmp_path: Path) -> None:
    said = fedsim("attack", *elsewhere(tmp_path), "--attack", "loss", "--attack", "random")
    assert said.code == 0, said.err
    assert "released-model against participant-0  60 members, 60 non-members" in said.out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "fedsim attack --model" in page
    assert "fedsim run out/experiment.yaml" not in page
    assert "trained elsewhere" in page
    assert "this federation" not in page
    assert fedsim("attack", "out", "--attack", "gradient-norm").code == 0
    again = fedsim("run", tmp_path / "out" / "experiment.yaml", "--out", "again")
    is_one_sentence(again, "trained elsewhere, so there is nothing to run")


@pytest.mark.parametrize(
    ("changed", "more", "told"),
    [
        ({"data": None}, [], "given: --ledger, --model, --out"),
        ({}, ["run"], "give either a run directory alone, or a model"),
        ({"weights": None}, [], "give the model's parameters as --weights or as --snapshots"),
        ({"snapshots": "x"}, [], "give the model's parameters as --weights or as --snapshots"),
        ({"ledger": "no.csv"}, [], "cannot read the membership file no.csv"),
        ({"model": "toys:nothing"}, [], "cannot import plugin 'toys:nothing'"),
    ],
)
def test_a_model_that_is_not_well_given(
    fedsim: Fedsim, tmp_path: Path, changed: dict[str, object], more: list[str], told: str
) -> None:
    is_one_sentence(fedsim("attack", *elsewhere(tmp_path, **changed), *more), told)
    assert not (tmp_path / "out").exists()
