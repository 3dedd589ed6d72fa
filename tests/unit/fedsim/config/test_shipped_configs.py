"""Every experiment that we ship is valid, and large enough for the figures that it asks for."""

import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.config.experiment import Experiment
from fedsim.config.loading import experiment_of_tree, read_experiment
from fedsim.config.shipped import description, shipped
from fedsim.errors import ConfigError

ROOT = Path(__file__).parents[4]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_is_valid_and_resolves_to_itself(path: Path) -> None:
    experiment = read_experiment(path)
    again = experiment_of_tree(experiment.model_dump(mode="json"), str(path))
    assert isinstance(experiment, Experiment)
    assert again.resolved() == experiment.resolved()
    assert experiment.observed_rounds[-1] == experiment.federation.rounds


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_its_audit_supports_the_low_fprs_or_is_small_on_purpose(path: Path) -> None:
    experiment = read_experiment(path)
    small = "location30"  # it has 5,010 records
    assert experiment.audit.tested_nonmembers >= 1000 or experiment.data.name == small


def test_the_quickstart_needs_no_network_and_shows_all_six() -> None:
    path = next(path for path in CONFIGS if path.stem == "quickstart")
    assert read_experiment(path).data.name.startswith("synthetic-")
    assert [attacker.label for attacker in read_experiment(path, ["seed=1"]).adversaries] == [
        "curious-server",
        "isolating-server",
        "gradient-ascent-server",
        "isolating-ascent-server",
        "curious-participant",
        "gradient-ascent-participant",
    ]


def test_each_goes_by_its_name_and_says_what_it_is() -> None:
    assert {path.stem for path in CONFIGS} == {n for n in shipped() if "/" not in n}
    assert "studies/table-10-six-attackers" in shipped()
    assert not any("targets" in name for name in shipped())
    for path in shipped().values():
        assert 20 < len(description(path)) < 300
        assert description(path).endswith(".")


def test_a_name_is_read_as_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_experiment(Path("location30")) == read_experiment(ROOT / "configs/location30.yaml")
    for missing in ("location30.yaml", "configs/location30.yaml"):
        with pytest.raises(ConfigError, match=r"ships with fedsim goes by its name, location30$"):
            read_experiment(Path(missing))
    with pytest.raises(ConfigError, match=r"No such file or directory: 'other.yaml'$"):
        read_experiment(Path("other.yaml"))


@pytest.mark.slow
def test_a_wheel_has_all_of_them(tmp_path: Path) -> None:
    source = (
        tmp_path / "source"
    )  # what setuptools leaves beside its sources hides what is installed
    source.mkdir()
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    for name in ("fedsim", "adversaries", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = ["build", "--build-base", tmp_path / "base", "--build-lib", tmp_path / "lib"]
    subprocess.run([sys.executable, "setup.py", "-q", *build], cwd=source, check=True)
    compared = filecmp.dircmp(ROOT / "configs", tmp_path / "lib/fedsim/configs")
    assert [*compared.left_only, *compared.right_only, *compared.diff_files] == []
    assert (tmp_path / "lib/fedsim/scaffold/templates/experiments/quickstart.yaml").is_file()
    assert (tmp_path / "lib/fedsim/scaffold/templates/metric/MODULE.py.jinja").is_file()
