"""Whatever a user gives as the name of a file is used, or refused in one sentence."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import toys

import fedsim
from fedsim import api
from fedsim.config.yaml_files import format_yaml
from fedsim.data import MembershipQuery
from fedsim.errors import FedsimError
from fedsim.files import LONGEST_NAME, usable_path, write_text

IMPOSSIBLE = {
    "a long name": "x" * 300,
    "a long name in bytes": "é" * 130,
    "in a folder of a long name": "x" * 300 + "/exp.yaml",
    "a long path": "/".join(["d" * 200] * 30),
    "a null character": "a\0b",
    "half a surrogate pair": "a\ud800",
}
Call = Callable[[str], object]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    (folder / "exp.yaml").write_text(format_yaml(toys.tree()))
    fedsim.run(folder / "exp.yaml", folder / "run")
    return folder


def study_of(folder: Path, base: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(
        format_yaml({"title": "t", "base": base, "axes": {"a": {"x": {}}}}), errors="replace"
    )
    return path


def outer(**given: Any) -> fedsim.ExternalModel:
    usual: dict[str, Any] = {
        "model": {"name": "fully-connected", "widths": [16]},
        "data": "toys:blobs",
        "membership": "members.csv",
        "adversary": "released-model",
        "attacks": "loss",
    }
    return fedsim.ExternalModel(**{**usual, **given})


def calls(folder: Path) -> Mapping[str, Call]:
    """Return what takes a file's name, each with a bad one in its place."""
    exp, run, new = folder / "exp.yaml", folder / "run", folder / "new"
    return {
        "run": lambda bad: fedsim.run(bad),
        "run's folder": lambda bad: fedsim.run(exp, bad),
        "run's data": lambda bad: fedsim.run(exp, new, data_dir=bad),
        "run's states": lambda bad: fedsim.run(exp, new, states=bad),
        "prepare": lambda bad: fedsim.prepare(bad),
        "load_experiment": lambda bad: fedsim.load_experiment(bad),
        "attack": lambda bad: fedsim.attack(bad),
        "an attack": lambda bad: fedsim.attack(run, bad),
        "an attack's label": lambda bad: fedsim.attack(run, {"name": "loss", "label": bad}),
        "report": lambda bad: api.report(bad),
        "open_run": lambda bad: fedsim.open_run(bad),
        "compare": lambda bad: fedsim.compare(bad, run),
        "compare's page": lambda bad: fedsim.compare(run, run, page=bad),
        "gate": lambda bad: fedsim.gate(bad),
        "gate's report": lambda bad: fedsim.gate(run, maximum={"auc": 1.0}, junit=bad),
        "study": lambda bad: fedsim.study(bad),
        "study's folder": lambda bad: fedsim.study(study_of(folder, "exp.yaml"), out=bad),
        "study's base": lambda bad: fedsim.study(study_of(folder, bad), out=new),
        "weights": lambda bad: fedsim.attack_given(outer(weights=[bad]), new),
        "membership": lambda bad: fedsim.attack_given(outer(membership=bad, weights=["w"]), new),
        "snapshots": lambda bad: fedsim.attack_given(outer(snapshots=bad), new),
        "a table": lambda bad: fedsim.run(
            toys.tree(data={"name": "csv", "path": bad, "label": "y"}), new
        ),
        "images": lambda bad: fedsim.run(
            toys.tree(data={"name": "image-folder", "path": bad}), new
        ),
        "a saved folder": lambda bad: fedsim.run(
            toys.tree(data={"name": "huggingface", "path": bad, "label": "y"}), new
        ),
        "an adversary's label": lambda bad: fedsim.run(
            toys.tree(adversaries=[{"name": "curious-server", "label": bad}]), new
        ),
        "a plugin": lambda bad: fedsim.run(toys.tree(attacks=[f"toys:{bad}"]), new),
    }


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_no_name_of_a_file_ends_in_another_error(
    what: str, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    for name, call in calls(finished).items():
        with pytest.raises(FedsimError) as error:
            call(IMPOSSIBLE[what])
        assert str(error.value).isprintable(), name
        assert len(str(error.value)) < 1_000, name
    assert not (finished / "new").exists()


def test_a_file_may_have_the_longest_name_there_is(tmp_path: Path) -> None:
    path = usable_path(tmp_path / ("n" * LONGEST_NAME))
    write_text(path, "whole")
    assert path.read_text() == "whole"
    assert [*tmp_path.iterdir()] == [path]


def test_a_label_is_as_long_as_a_name_can_be_with_what_is_added() -> None:
    attacks = [{"name": "random", "label": "x" * 101}]
    with pytest.raises(FedsimError, match="longer than 100 bytes"):
        fedsim.run(toys.tree(attacks=attacks), "never")
    with pytest.raises(FedsimError, match="at most 100 bytes"):
        MembershipQuery(key="x" * 101, victims=(0,))
