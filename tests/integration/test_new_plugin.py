"""A plugin's author at the command line: a package is written, checked, tested, run, installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from forked import finished

LIAR = '''
"""A liar."""

from fedsim import ServerAdversary, Threat


class Liar(ServerAdversary):
    """Say that it is passive, and leave uploads out."""

    def threat(self):
        return Threat("the server", "nothing at all")

    def receive(self, round_number, participant, arrays):
        return None if participant == 1 else arrays
'''


def run(
    folder: Path, module: str, *arguments: object, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module as a program in a folder, with nothing installed besides but in `path`."""
    return finished(module, arguments, folder, COLUMNS="160", PYTHONPATH=str(path or ""))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an attack's package, freshly written."""
    folder = tmp_path_factory.mktemp("new")
    said = run(folder, "fedsim", "new", "attack", "my-certainty")
    assert said.returncode == 0, said.stderr
    written = [line.strip() for line in said.stdout.splitlines()[:-1]]
    assert all((folder / path).is_file() for path in written)
    assert len(written) == 5
    return folder / "my-certainty"


@pytest.mark.slow
def test_a_new_attack_is_checked_tested_and_run_as_it_is(package: Path) -> None:
    checked = run(package, "fedsim", "check", "my_certainty:MyCertainty")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "better than chance" in checked.stdout
    assert checked.stdout.splitlines()[-1] == "9 passed, 1 not asked, 1 figure"
    tested = run(package, "pytest", "-q", "-p", "no:cacheprovider")
    assert tested.returncode == 0, tested.stdout
    ran = run(package, "fedsim", "run", "experiment.yaml", "--out", "first", "--quiet")
    assert ran.returncode == 0, ran.stderr
    results = json.loads((package / "first" / "results.json").read_text())["results"]
    assert {r["attack"] for r in results} == {"MyCertainty", "loss", "random"}
    areas = [r["figures"]["auc"]["value"] for r in results if r["attack"] == "MyCertainty"]
    assert all(0.85 < area < 0.95 for area in areas)


@pytest.mark.slow
def test_a_new_adversary_in_a_participants_position(tmp_path: Path) -> None:
    arguments = ("new", "adversary", "nosy-peer", "--position", "participant", "--out", "p")
    assert run(tmp_path, "fedsim", *arguments).returncode == 0
    checked = run(tmp_path / "p", "fedsim", "check", "nosy_peer:NosyPeer")
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.splitlines()[-1] == "10 passed, 2 not asked"
    again = run(tmp_path, "fedsim", *arguments)
    assert again.returncode == 2
    assert (
        again.stderr == "fedsim: p is not empty, and nothing is overwritten; choose another --out\n"
    )


@pytest.mark.slow
def test_an_installed_one_goes_by_its_name(package: Path, tmp_path: Path) -> None:
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", tmp_path, package],
        check=True,
        capture_output=True,
    )
    listed = run(tmp_path, "fedsim", "list", "attacks", path=tmp_path)
    assert "my-certainty" in listed.stdout
    checked = run(tmp_path, "fedsim", "check", "my-certainty", path=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    taken = run(tmp_path, "fedsim", "new", "attack", "my-certainty", path=tmp_path)
    assert taken.returncode == 2
    assert "one of the attacks is called 'my-certainty' already" in taken.stderr


@pytest.mark.slow
def test_what_fails_is_told_and_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "liar.py").write_text(LIAR)
    said = run(tmp_path, "fedsim", "check", "liar:Liar")
    assert said.returncode == 1
    lines = [line.strip() for line in said.stdout.splitlines()]
    place = lines.index("✗ changes no bit of any message before it acts")
    assert lines[place + 1] == (
        "in round 1 the aggregate is not the honest one, but acts_from() is None: it says that it "
        "never does"
    )
    assert "✗ keeps what its queries are answered from" in lines
    assert "2 failed" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("new", "adversary", "Bad"), "'Bad' cannot be a plugin's name; valid: small letters"),
        (
            ("check", "nothing"),
            "there is no plugin 'nothing'",
        ),
        (("check", "loss", "--set", "x=1"), "loss: unknown setting 'x'; valid: none"),
        (("check", "loss", "--set", "x"), "--set 'x' is not of the form name=value"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    said = run(tmp_path, "fedsim", *arguments)
    assert said.returncode == 2
    assert said.stderr.startswith(f"fedsim: {told}")
    assert len(said.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
