"""Results are read where none of the plugins that made them can be imported."""

import importlib
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import toys
from command_line import Fedsim

import fedsim as package
from fedsim.api import report
from fedsim.errors import FedsimError

SOURCE = '''
import numpy as np
import torch
from flwr.serverapp.strategy import FedAvg
from torch import nn

import fedsim
from fedsim import SnapshotKind, Threat


def records():
    random = np.random.default_rng(0)
    labels = random.integers(3, size=200)
    return (labels[:, None] + random.normal(size=(200, 6))).astype(np.float32), labels


def halves(labels, participants, records, generator):
    return np.array_split(generator.permutation(len(labels)), participants)


def net(input_shape, num_classes):
    return nn.Linear(*input_shape, num_classes)


class Strategy(FedAvg):
    pass


class Server(fedsim.ServerAdversary):
    """Scales what it sends from round 3 on, and keeps what it sent then."""

    def threat(self):
        return Threat("an odd server", "every upload", "scales", active=True)

    def acts_from(self):
        return 3

    def answering_while_acting(self, query):
        return (SnapshotKind.SENT.of(query.victims[0]),)

    def send(self, round_number, participant, arrays):
        if round_number >= 3:
            self.record(round_number, SnapshotKind.SENT.of(participant), arrays)
        return arrays

    def receive(self, round_number, participant, arrays):
        self.record(round_number, SnapshotKind.UPLOAD.of(participant), arrays)
        return arrays

    def findings(self):
        return [fedsim.Finding(title="scaled", figures={"by": 1.5})]


class Fellow(fedsim.ParticipantAdversary):
    def __init__(self):
        super().__init__(2)

    def threat(self):
        return Threat("a fellow with a plugin", "the aggregates")

    def arrived(self, round_number, arrays):
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)
        return arrays


class Labels(fedsim.Attack):
    def score(self, view, known, candidates, seed, watcher):
        return view.dataset.labels[candidates].astype(float)


class Gap(fedsim.Metric):
    name, heading, guessing = "mean-gap", "mean gap", 0.0

    def point(self, scored):
        return float(scored.members.mean() - scored.nonmembers.mean())
'''
MODULE = "plugins_that_go_away"
VERBS = ("report", "compare")


def experiment() -> dict[str, object]:
    return toys.tree(
        data={"name": f"{MODULE}:records", "test_records": 60},
        partition={"name": "disjoint", "participants": 3, "records": 40},
        federation={"strategy": f"{MODULE}:Strategy"},
        adversaries=[{"name": f"{MODULE}:Server", "label": "odd"}, f"{MODULE}:Fellow"],
        attacks=["loss", f"{MODULE}:Labels"],
        metrics=["auc", f"{MODULE}:Gap"],
    ) | {"model": f"{MODULE}:net"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a run whose plugins were there when it was made, and are gone now."""
    home, out = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("out") / "run"
    (home / f"{MODULE}.py").write_text(SOURCE)
    sys.path.insert(0, str(home))
    importlib.invalidate_caches()
    package.run(experiment(), out)
    sys.path.remove(str(home))
    del sys.modules[MODULE]
    shutil.rmtree(home)
    importlib.invalidate_caches()
    yield out
    assert MODULE not in sys.modules


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_a_report_is_the_same_as_with_them(run: Path) -> None:
    before, page = (run / "results.json").read_bytes(), (run / "report.html").read_text()
    results = report(run).results
    assert (run / "results.json").read_bytes() == before
    again = (run / "report.html").read_text()
    # All that is missing are differences of the metric, which need it on resamples.
    changed = [(a, b) for a, b in zip(page.split("<td"), again.split("<td"), strict=True) if a != b]
    assert 0 < len(changed) <= 4
    assert all(b.strip() == 'class="number refused">–</td>' for _, b in changed)  # noqa: RUF001
    assert list(results.metrics) == ["accuracy", "auc", "mean-gap"]
    assert all("mean-gap" in row.figures for row in results.results)
    assert {one.who for one in results.threat_models} == {
        "an odd server",
        "a fellow with a plugin",
    }
    assert [one.title for one in results.findings] == ["scaled"]
    assert package.open_run(run).results == results


def test_two_runs_are_compared_as_with_them(run: Path, made: Path, tmp_path: Path) -> None:
    rows = package.compare(run, made, page=tmp_path / "page.html").rows
    assert len(rows) == 8
    paired = [row.difference for row in rows if row.difference is not None]
    assert {one.pairing for one in paired} == {"paired", "partly paired", "unpaired"} & {
        one.pairing for one in paired
    }
    assert any(one.auc.value == 0 for one in paired)
    assert "odd" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_the_command_line_needs_none_either(verb: str, run: Path, fedsim: Fedsim) -> None:
    said = fedsim(verb, run)
    assert (said.code, said.err) == (0, "")
    assert "mean gap" in said.out


def test_an_attack_still_needs_the_data(run: Path) -> None:
    with pytest.raises(FedsimError, match=f"cannot import plugin '{MODULE}:"):
        package.attack(run)


def test_figures_of_scores_that_changed_are_not_taken_over(run: Path) -> None:
    told = json.loads((run / "results.json").read_text())
    told["results"][0]["figures"]["auc"]["value"] -= 0.01
    told["results"][0]["figures"]["auc"]["low"] -= 0.02
    (run / "results.json").write_text(json.dumps(told))
    with pytest.raises(FedsimError, match=f"cannot import plugin '{MODULE}:Gap'"):
        report(run)


def test_a_run_of_before_is_read_with_its_plugins(tmp_path: Path) -> None:
    run = tmp_path / "run"
    package.run(toys.tree(), run)
    page, results = (run / "report.html").read_text(), (run / "results.json").read_bytes()
    (run / "attackers.json").unlink()
    report(run)
    assert (run / "results.json").read_bytes() == results
    assert (run / "report.html").read_text() == page


@pytest.mark.parametrize(
    ("pattern", "instead", "sentence"),
    [
        ('"schema": 1', '"schema": 2', "is damaged: schema"),
        ('"participant-0"', '"participants-0"', "is not the name of a snapshot"),
        ('"label": "odd"', '"label": "even"', "which is no adversary of"),
        (r'"answering": \[[^]]*\]', '"answering": []', "is damaged"),
        (r"\{", "", "is damaged"),
    ],
)
def test_a_damaged_file_is_told(pattern: str, instead: str, sentence: str, run: Path) -> None:
    path = run / "attackers.json"
    text, changed = re.subn(pattern, instead, path.read_text())
    assert changed
    path.write_text(text)
    with pytest.raises(FedsimError, match=r"attackers\.json.*" + sentence):
        report(run)
