"""A Flower app that knows nothing of fedsim gets an attacker with two lines.

The app, `tests/third_party_app`, is written as Flower's own PyTorch quickstart is: a ClientApp with
its training loop, plain FedAvg, and ``strategy.start``.
"""

import difflib
import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from flower_processes import superlink
from flwr.app import Context, RecordDict

from fedsim.cli.main import main
from fedsim.engines.in_process import LocalGrid, local_identity
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.report.results import Results

APP = Path(__file__).parents[1] / "third_party_app"
RUN_CONFIG = {
    "num-server-rounds": 3,
    "fraction-evaluate": 1.0,
    "learning-rate": 0.1,
    "local-epochs": 20,
    "final-model": "final_model.pt",
}
# In each, the first line is new; the second is new or takes the place of `app = ClientApp()`.
SERVER_LINES = (
    "from adversaries import CuriousServer",
    '    strategy = CuriousServer().keep_in("{audit}/server").around(strategy)',
)
CURIOUS_LINES = (
    "from adversaries import CuriousParticipant",
    'app = ClientApp(mods=[CuriousParticipant(participant=1).keep_in("{audit}/participant")])',
)
ASCENDING_LINES = (
    "from adversaries import GradientAscentParticipant",
    "app = ClientApp(mods=[GradientAscentParticipant(participant=1, participants=2)"
    '.keep_in("{audit}/participant")'
    '.aim_at("clouds.task:Net", "clouds.task:all_records", "{audit}/who.csv")])',
)
FLOWER = "from flwr.app import "
START, PLAIN = "    result = strategy.start(", "app = ClientApp()"
RECORDS = np.arange(1200)
UNSEEN = RECORDS[RECORDS % 3 == 2]
HELD = (RECORDS[RECORDS % 3 != 2][0::2], RECORDS[RECORDS % 3 != 2][1::2])
"""By participant, the records that it holds."""


@dataclass(frozen=True)
class Stranger:
    """A copy of the app, and the folder in which its attackers keep what they see."""

    folder: Path
    audit: Path

    def add(self, file: str, lines: tuple[str, str]) -> None:
        """Add two lines to one of the app's files, and see that nothing else has changed."""
        path = self.folder / "clouds" / file
        old = path.read_text().splitlines()
        imported, used = (line.replace("{audit}", str(self.audit)) for line in lines)
        new = list(old)
        place = new.index(PLAIN) if PLAIN in new else new.index(START)
        new[place : place + (PLAIN in new)] = [used]
        new.insert(next(n for n, line in enumerate(new) if line.startswith(FLOWER)), imported)
        changed = [line for line in difflib.ndiff(old, new) if line[0] in "+-"]
        assert sorted(line[2:] for line in changed if line[0] == "+") == sorted((imported, used))
        assert [line[2:] for line in changed if line[0] == "-"] == [PLAIN] * (PLAIN in old)
        path.write_text("\n".join(new) + "\n")

    def list_records_of(self, participant: int) -> Path:
        """Write who is a member, as the auditor knows it, and return the file."""
        path = self.audit / "who.csv"
        self.audit.mkdir(exist_ok=True)
        rows = [f"{record},true" for record in HELD[participant]]
        rows += [f"{record},false" for record in UNSEEN]
        path.write_text("\n".join(["record,member", *rows]) + "\n")
        return path

    def attacked(self, position: str, owner: str, ledger: Path) -> float:
        """Run `fedsim attack` on what an attacker kept, and return the AUC of the loss."""
        out = self.audit / f"attack-on-{owner}"
        options = {
            "--snapshots": self.audit / position,
            "--owner": owner,
            "--model": "clouds.task:Net",
            "--data": "clouds.task:all_records",
            "--ledger": ledger,
            "--out": out,
            "--attack": "loss",
        }
        words = [str(word) for option in options.items() for word in option]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys, "argv", ["fedsim", "attack", *words, "--quiet"])
            with pytest.raises(SystemExit) as end:
                main()
        assert not end.value.code
        assert (out / "report.html").is_file()
        results = Results.model_validate_json((out / "results.json").read_text())
        name = {"server": "curious-server", "participant": "participant"}[position]
        assert name in results.threat_models[0].adversary  # as the snapshots state it
        return next(row.auc.value for row in results.results if row.attack == "loss")


Copying = Callable[[str], Stranger]


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Copying]:
    """Return what copies the app; the copy made last is the one that is imported."""
    path = [*sys.path]

    def copied(name: str) -> Stranger:
        folder = tmp_path / name / "app"
        shutil.copytree(APP, folder)
        monkeypatch.setattr(sys, "path", [str(folder), *path])
        forget()
        return Stranger(folder, tmp_path / name / "audit")

    yield copied
    forget()


def forget() -> None:
    """Let the app's modules be imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "clouds"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def start(app: Stranger, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Run the app that was copied last on our own grid, and return its final model."""
    monkeypatch.chdir(app.folder)
    client, server = (
        importlib.import_module(f"clouds.{side}_app") for side in ("client", "server")
    )
    with local_identity():
        server.app(LocalGrid(client.app, 2), Context(1, 1, {}, RecordDict(), dict(RUN_CONFIG)))
    return torch.load("final_model.pt", weights_only=True)


def test_a_third_party_app_is_watched_and_not_changed(
    third_party: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = start(third_party("honest"), monkeypatch)
    app = third_party("watched")
    app.add("server_app.py", SERVER_LINES)
    app.add("client_app.py", CURIOUS_LINES)
    watched = start(app, monkeypatch)
    assert all(torch.equal(honest[name], watched[name]) for name in honest)

    kept = SnapshotStore(app.audit / "server")
    uploads = sorted({s.key for s in kept.index() if s.kind is SnapshotKind.UPLOAD})
    assert [[s.round for s in kept.series(owner)] for owner in uploads] == [[1, 2, 3]] * 2
    last = [kept.series(owner)[-1].load() for owner in uploads]
    mean = (last[0]["hidden.weight"] + last[1]["hidden.weight"]) / 2
    assert torch.allclose(mean, honest["hidden.weight"], atol=1e-6)
    assert last[0]["norm.num_batches_tracked"].shape == ()

    aggregates = SnapshotStore(app.audit / "participant").series(SnapshotKind.AGGREGATE.of())
    assert [s.round for s in aggregates] == [0, 1, 2, 3]
    assert all(torch.equal(honest[k], v) for k, v in aggregates[-1].load().items())

    first = app.list_records_of(0)
    assert app.attacked("server", uploads[0].name, first) > 0.7
    assert 0.4 < app.attacked("server", uploads[1].name, first) < 0.6


def test_an_active_participant_acts_in_a_third_party_app(
    third_party: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = start(third_party("honest"), monkeypatch)
    app = third_party("attacked")
    app.add("client_app.py", ASCENDING_LINES)
    first = app.list_records_of(0)
    attacked = start(app, monkeypatch)
    assert not torch.allclose(honest["hidden.weight"], attacked["hidden.weight"], atol=1e-3)
    assert app.attacked("participant", "aggregate", first) > 0.55


@pytest.mark.deployed
@pytest.mark.timeout(600)
def test_two_lines_on_flowers_own_runtime(third_party: Copying, tmp_path: Path) -> None:
    app = third_party("simulated")
    app.add("server_app.py", SERVER_LINES)
    app.add("client_app.py", ASCENDING_LINES)
    first = app.list_records_of(0)
    with superlink(tmp_path / "flower", "--simulation", tls=False) as runtime:
        size = "num-supernodes=2 client-resources-num-cpus=1 init-args-num-cpus=2"
        log = runtime.run(app.folder, "--federation-config", size)
        assert runtime.statuses() == ["finished:completed"], log
    kept = SnapshotStore(app.audit / "server").index()
    uploads = sorted({s.key.name for s in kept if s.key.name.startswith("participant-")})
    # Flower gives simulated nodes numbers at random; whose upload it is shows in the attack.
    theirs, its_own = sorted(app.attacked("server", owner, first) for owner in uploads)
    assert 0.4 < theirs < 0.6
    assert its_own > 0.7
    assert app.attacked("participant", "aggregate", first) > 0.55
