"""The tutorial, executed from top to bottom in an empty folder: every file and every command."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from forked import finished
from reader import require_no_warning
from snippets import snippets

PAGE = "docs/tutorial.md"


class Done(NamedTuple):
    """Where the tutorial was executed, and what each command printed."""

    folder: Path
    said: dict[str, str]


def executed(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Give a command of the page: a program of ours, a script, or Python with a module."""
    program, *arguments = shlex.split(command)
    if program == "python" and arguments[0] == "-m":
        program, *arguments = arguments[1:]
    elif program == "python":
        program, *arguments = (arguments[0].removesuffix(".py"), *arguments[1:])
    return finished(program, arguments, folder, COLUMNS="160", PYTHONPATH=str(folder))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Execute the page."""
    folder = tmp_path_factory.mktemp("tutorial")
    said: dict[str, str] = {}
    for snippet in snippets(PAGE):
        if snippet.title:
            (folder / snippet.title).write_text(snippet.text, encoding="utf-8")
            continue
        for command in snippet.commands:
            if command.startswith("cd "):
                folder = folder / command.removeprefix("cd ")
                continue
            ran = executed(command, folder)
            assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
            require_no_warning(command, ran.stdout + ran.stderr)
            said[command] = ran.stdout
    return Done(folder, said)


def test_every_block_is_executed() -> None:
    found = list(snippets(PAGE))
    assert {snippet.language for snippet in found} == {"bash", "python", "yaml"}
    assert all(snippet.title for snippet in found if snippet.language != "bash")


@pytest.mark.slow
def test_it_ends_with_reports(done: Done) -> None:
    assert (done.folder / "runs/first/report.html").is_file()
    assert "every participant other noise" in (done.folder / "runs/noise/report.html").read_text()
    results = json.loads((done.folder / "runs/noise/results.json").read_text())
    assert {r["adversary"] for r in results["results"]} == {"noise-probe", "curious-server"}
    assert {r["attack"] for r in results["results"]} == {"scalar-logistic", "loss", "random"}
    (cost,) = results["costs"]
    assert cost["adversary"] == "noise-probe"
    lost = cost["honest_utility"] - cost["utility"]
    assert lost == pytest.approx(0.22, abs=0.04)
    [noisy, watching] = [
        r["figures"]["auc"]["value"]
        for r in results["results"]
        if r["attack"] == "scalar-logistic" and r["victim"] == "mean"
    ]
    assert (noisy, watching) == (pytest.approx(0.967, abs=0.01), pytest.approx(0.990, abs=0.01))
    assert noisy < watching


@pytest.mark.slow
def test_the_contract_is_kept(done: Done) -> None:
    said = done.said["fedsim check noise_probe:NoiseProbe --set first=3"]
    assert "as one of the adversaries" in said
    assert said.splitlines()[-1] == "12 passed"
    assert "1 passed" in done.said["python -m pytest -q"]


@pytest.mark.slow
def test_who_recovers_is_told(done: Done) -> None:
    said = done.said["python who_recovers.py runs/noise"]
    found = re.findall(r"round +(\d+)  participant (\d)  recovered (-?[\d.]+)", said)
    assert [(int(r), int(p)) for r, p, _ in found] == [
        (r, p) for r in (6, 8, 10, 12) for p in (0, 1, 2)
    ]
    assert all(0.5 < float(share) < 1.2 for _, _, share in found)
