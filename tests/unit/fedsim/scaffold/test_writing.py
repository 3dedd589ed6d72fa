"""What `fedsim new` writes: names that work, nothing overwritten, code that passes our linters."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import toys
import yaml
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from fedsim.config.loading import read_experiment
from fedsim.conformance import check_plugin, identified
from fedsim.errors import FedsimError
from fedsim.plugins.groups import GROUPS
from fedsim.scaffold import TEMPLATES, write_flower_app, write_package

ROOT = Path(__file__).parents[4]
SETTINGS = ROOT / "pyproject.toml"
DEEPLY_TESTED = ("server", "participant", "attack")  # in tests/integration/test_new_plugin.py


def test_every_group_of_plugins_has_a_template() -> None:
    assert {*TEMPLATES.values()} == {*GROUPS}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_files_of_a_package(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"my-{template}-1"
    module = name.replace("-", "_")
    written = write_package(template, name, tmp_path / "p")
    assert {str(path.relative_to(tmp_path / "p")) for path in written} == {
        "README.md",
        "experiment.yaml",
        "pyproject.toml",
        f"{module}.py",
        f"tests/test_{module}.py",
    }
    project = tomllib.loads((tmp_path / "p/pyproject.toml").read_text())
    plugin = f"{module}:My{template.capitalize()}1"
    group = f"fedsim.{TEMPLATES[template]}"
    assert project["project"]["entry-points"] == {group: {name: plugin}}
    monkeypatch.syspath_prepend(tmp_path / "p")
    assert identified(plugin) == TEMPLATES[template]
    experiment = read_experiment(tmp_path / "p/experiment.yaml")
    assert f'"{plugin}"' in (tmp_path / "p/experiment.yaml").read_text()
    assert experiment.seed == 0
    assert yaml.safe_load((tmp_path / "p/experiment.yaml").read_text())["seed"] == 0
    assert "{" not in (tmp_path / "p/README.md").read_text()


def lint(folder: Path, *command: object, **more: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **more},
        cwd=folder,
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.slow
def test_every_package_passes_our_linters(tmp_path: Path) -> None:
    names = ["my-" + "very-" * 5 + template for template in TEMPLATES]
    for template, name in zip(TEMPLATES, names, strict=True):
        write_package(template, name, tmp_path / name)
        ours = ("--no-cache", "--config", SETTINGS)
        lint(tmp_path / name, "ruff", "check", *ours, ".")
        lint(tmp_path / name, "ruff", "format", "--check", *ours, ".")
        lint(tmp_path / name, "ruff", "check", "--no-cache", ".")
    # All at once and from our own folder: mypy takes a minute for what they import, and keeps it.
    sources = sorted(tmp_path.rglob("*.py"))
    assert len(sources) == 2 * len(TEMPLATES)
    places = os.pathsep.join(str(tmp_path / name) for name in names)
    lint(ROOT, "mypy", *sources, MYPYPATH=places)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Noisy", "^'Noisy' cannot be a plugin's name; valid: small letters and digits"),
        ("noisy_server", "cannot be a plugin's name"),
        ("-noisy", "cannot be a plugin's name"),
        ("noisy-", "cannot be a plugin's name"),
        ("2-noisy", "cannot be a plugin's name"),
        ("../noisy", "cannot be a plugin's name"),
        ("noisy\n", "cannot be a plugin's name"),
        ("", "cannot be a plugin's name"),
        ("n" * 41, "at most 40 characters"),
        ("class", "would hide something of that name"),
        ("none", "would hide something of that name"),
        ("json", "would hide something of that name"),
        ("threat", "would hide something of that name"),
        ("test-noisy", "would hide something of that name"),
        ("curious-server", "^one of the adversaries is called 'curious-server' already"),
        ("numpy", "^there is a Python module numpy already"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(FedsimError, match=told) as found:
        write_package("server", name, tmp_path / "p")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "p").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(FedsimError, match="is not empty, and nothing is overwritten"):
        write_package("attack", "my-attack", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_file_or_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(FedsimError, match="is no folder; choose another --out"):
            write_package("attack", "my-attack", tmp_path / name)
    with pytest.raises(FedsimError, match="cannot write into"):
        write_package("attack", "my-attack", tmp_path / "file" / "below")


def test_the_files_of_a_flower_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump(toys.tree()))
    folder, monday = tmp_path / "My audit", tmp_path / "runs" / 'of "Monday"'
    written = write_flower_app(folder, config, monday, None)
    names = {"README.md", "audit.py", "experiment.yaml", "pyproject.toml"}
    assert {path.name for path in written} == names == {path.name for path in folder.iterdir()}
    assert (folder / "experiment.yaml").read_bytes() == config.read_bytes()
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["name"] == "my-audit"
    app = project["tool"]["flwr"]["app"]
    assert app["config"] == {"out": str(monday), "data-dir": "", "patience": 60}
    assert "num-supernodes=3 " in (folder / "README.md").read_text()
    monkeypatch.syspath_prepend(folder)
    for side, kind in (("serverapp", ServerApp), ("clientapp", ClientApp)):
        module, _, attribute = app["components"][side].partition(":")
        assert isinstance(getattr(importlib.import_module(module), attribute), kind)
    with pytest.raises(FedsimError, match="not empty, and nothing is overwritten"):
        write_flower_app(folder, config, monday, None)


def test_an_app_of_an_experiment_that_is_not_valid_is_not_written(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(yaml.safe_dump({**toys.tree(), "sede": 1}))
    with pytest.raises(FedsimError, match="unknown key 'sede'"):
        write_flower_app(tmp_path / "app", config, tmp_path / "run", None)
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("template", [t for t in TEMPLATES if t not in DEEPLY_TESTED])
def test_a_package_keeps_the_contract_of_its_group(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"tried_{template}_2"
    write_package(template, module.replace("_", "-"), tmp_path / "p")
    monkeypatch.syspath_prepend(tmp_path / "p")
    plugin = f"{module}:Tried{template.capitalize()}2"
    check_plugin(TEMPLATES[template], plugin).require()
