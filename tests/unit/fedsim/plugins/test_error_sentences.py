"""Plugins that fail: each a sentence that names it, while a defect of ours stays a traceback."""

import re
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import toys
import yaml
from command_line import Fedsim, Said
from flwr.app import ArrayRecord
from rich.console import Console

from adversaries.positions.curious_server import CuriousServer
from adversaries.signals.chance import Chance
from fedsim.adversary.base import Threat
from fedsim.api import runs
from fedsim.cli import console, listing
from fedsim.plugins.error_sentences import plugin_error_sentence
from fedsim.studies.live import LiveStudy

HERE = __name__
FILE = Path(__file__)
MARKUP = "[/x] [red]y :smile:"


def write(folder: Path, **sections: Any) -> Path:
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(toys.tree(**sections)))
    return path


class Raising(CuriousServer):
    """Fails when a participant uploads."""

    def receive(self, round_number: int, participant: int, arrays: ArrayRecord) -> ArrayRecord:
        return deep_inside(participant)


def deep_inside(participant: int) -> NoReturn:
    raise ValueError(f"boom\nat {participant}")  # the line that is named


class Speechless(CuriousServer):
    """States its threat model in a word."""

    def threat(self) -> Any:
        return "evil"


class Failing(Chance):
    """[/x] [red]y :smile: is an attack that fails in a library."""

    def score(self, *arguments: Any) -> Any:
        return sys.modules["numpy"].reshape([1, 2, 3], (2, 2))  # also this line

    def dry_run(self, *arguments: Any) -> None:
        """Try nothing, so that the attack itself fails."""


class FailingAtOnce(Chance):
    """An attack that fails when it is tried."""

    def score(self, *arguments: Any) -> Any:
        raise ValueError("no")  # the line that is tried


class Marked(CuriousServer):
    """Speaks in markup."""

    def threat(self) -> Threat:
        return Threat(who=MARKUP, sees=f"[/server] {MARKUP}")


def line_of(text: str) -> int:
    lines = FILE.read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# {text}"))


def test_an_adversary_that_raises_is_named_with_its_line(fedsim: Fedsim, tmp_path: Path) -> None:
    path = write(tmp_path, adversaries=[{"name": f"{HERE}:Raising", "label": "raising"}])
    line = line_of("the line that is named")
    assert fedsim("run", path, "--out", "out", "--quiet") == Said(
        2,
        "",
        f"fedsim: adversary {HERE}:Raising failed in receive: ValueError: boom at 0 "
        f"({FILE}, line {line})\n",
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_an_attack_that_raises_is_told_also_from_another_process(
    fedsim: Fedsim, tmp_path: Path, workers: int
) -> None:
    attacks, engine = [{"name": f"{HERE}:Failing", "label": "failing"}], {"workers": workers}
    path = write(tmp_path, attacks=attacks, engine=engine)
    said = fedsim("run", path, "--out", "out", "--quiet")
    who = f"attack {HERE}:Failing" if workers == 1 else "a plugin"
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"fedsim: {who} failed in score: ValueError: cannot reshape")
    assert said.err.endswith(f"({FILE}, line {line_of('also this line')})\n")
    assert said.err.count("\n") == 1


def test_an_attack_that_fails_when_it_is_tried_is_told_with_its_line(
    fedsim: Fedsim, tmp_path: Path
) -> None:
    path = write(tmp_path, attacks=[{"name": f"{HERE}:FailingAtOnce", "label": "failing"}])
    assert fedsim("run", path, "--out", "out", "--quiet") == Said(
        2,
        "",
        "fedsim: attack failing, tried before round 1: ValueError: no "
        f"({FILE}, line {line_of('the line that is tried')})\n",
    )


def test_a_threat_that_is_no_threat_is_told(fedsim: Fedsim, tmp_path: Path) -> None:
    path = write(tmp_path, adversaries=[f"{HERE}:Speechless"])
    assert fedsim("run", path, "--out", "out") == Said(
        2,
        "",
        f"fedsim: {path}: adversary {HERE}:Speechless returned a str from threat(); a "
        "fedsim.Threat is needed\n",
    )


def test_a_defect_of_ours_stays_a_traceback(
    fedsim: Fedsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "write_json", None)
    with pytest.raises(TypeError, match="not callable"):
        fedsim("run", write(tmp_path), "--out", "out")


def test_a_library_and_python_are_no_plugins() -> None:
    for source in ("import json; json.loads('{')", "import numpy; numpy.zeros(2).reshape(3)"):
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - whatever it says
            exec(source)  # noqa: S102 - a frame without a file
        assert plugin_error_sentence(raised.value) is not None  # this test is nobody's library
        assert plugin_error_sentence(raised.value.with_traceback(raised.tb.tb_next)) is None


def test_markup_in_names_and_sentences_is_shown_as_it_is(
    fedsim: Fedsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, adversaries=[{"name": f"{HERE}:Marked", "label": "marked"}])
    said = fedsim("run", path, "--out", f"m/{MARKUP}")
    assert (said.code, said.err) == (0, "")
    assert re.search(rf"who +{re.escape(MARKUP)} ", said.out)
    assert re.search(rf"sees +\[/server\] {re.escape(MARKUP)} ", said.out)
    assert f"figures: m/{MARKUP}/results.json   page: m/{MARKUP}/report.html" in said.out
    assert f"page: {MARKUP}" in fedsim("compare", f"m/{MARKUP}", "--page", MARKUP).out
    refused = fedsim("report", MARKUP + "z\\")
    assert refused.err.startswith(f"fedsim: {MARKUP}z\\")

    monkeypatch.setattr(listing, "available", lambda group: {f"[/x]{group}": _point()})
    listed = fedsim("list", "attacks")
    assert (listed.code, listed.err) == (0, "")
    assert "[/x]attacks  [/x] [red]y :smile: is an attack" in listed.out


def _point() -> Any:
    from importlib.metadata import EntryPoint

    return EntryPoint("failing", f"{HERE}:Failing", "fedsim.attacks")


def test_whatever_console_is_given_news_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = Console(width=200)
    console.ConsoleWatcher(shown).say(MARKUP)
    LiveStudy(shown, ()).say(MARKUP)
    watcher = console.ConsoleWatcher(shown)
    with watcher.task(f"task {MARKUP}", 1) as advance:
        advance(f"stands {MARKUP}")
    said = capsys.readouterr().out
    assert said.startswith(f"{MARKUP}\n{MARKUP}\n")
    assert f"task {MARKUP}" in said
    assert f"stands {MARKUP}" in said
