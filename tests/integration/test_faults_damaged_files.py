"""A damaged or foreign file in a run is named before it is used; what it held is made again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import toys
from faults import files

from fedsim import api
from fedsim.errors import FedsimError, RunDirectoryError, SnapshotError
from fedsim.observation.snapshots import SnapshotStore
from fedsim.rundir import RunDirectory

EXPERIMENT = toys.experiment(attacks=["loss", "label"])  # one reads what snapshots hold
Damage = Callable[[Path, RunDirectory], None]


def truncated(path: Path, run: RunDirectory) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def emptied(path: Path, run: RunDirectory) -> None:
    path.write_bytes(b"")


def with_a_flipped_bit(path: Path, run: RunDirectory) -> None:
    content = bytearray(path.read_bytes())
    content[-6] ^= 4
    path.write_bytes(content)


def with_a_flipped_bit_in_its_header(path: Path, run: RunDirectory) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 4
    path.write_bytes(content)


def replaced_by_text(path: Path, run: RunDirectory) -> None:
    path.write_text("To whom it may concern")


def replaced_by_another(path: Path, run: RunDirectory) -> None:
    shutil.copyfile(
        run.snapshots("curious-participant") / "round-00002.aggregate.safetensors", path
    )


DAMAGES: list[Damage] = [
    truncated,
    emptied,
    with_a_flipped_bit,
    with_a_flipped_bit_in_its_header,
    replaced_by_text,
    replaced_by_another,
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run; not to be changed."""
    path = tmp_path_factory.mktemp("finished") / "r"
    api.run(EXPERIMENT, path)
    return path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what a run of a study leaves for the others; not to be changed."""
    folder = tmp_path_factory.mktemp("shared")
    api.run(EXPERIMENT, folder / "first", states=folder / "states")
    return folder / "states"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDirectory:
    """Return a copy of it."""
    return RunDirectory(Path(shutil.copytree(finished, tmp_path / "r")))


def forget_the_attacks(run: RunDirectory) -> None:
    """Remove what attacks have made, so that they read the snapshots again."""
    for folder in ("features", "scores"):
        shutil.rmtree(run.path / folder, ignore_errors=True)


def refused(run: RunDirectory, kind: type[FedsimError], path: Path) -> str:
    """Run again, and return the sentence that names a file."""
    with pytest.raises(kind) as error:
        api.run(EXPERIMENT, run.path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot(run: RunDirectory, finished: Path, damage: Damage) -> None:
    path = run.snapshots("curious-server") / "round-00004.participant-0.safetensors"
    forget_the_attacks(run)
    damage(path, run)
    told = refused(run, SnapshotError, path)
    assert told.endswith("delete it and the run's checkpoint, and the same command simulates again")
    path.unlink()
    run.checkpoint("honest").unlink()
    api.run(EXPERIMENT, run.path)
    assert files(run) == files(RunDirectory(finished))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint(run: RunDirectory, finished: Path, damage: Damage) -> None:
    path = run.checkpoint("honest")
    damage(path, run)
    assert refused(run, RunDirectoryError, path).endswith("delete it to start from round 1")
    path.unlink()
    api.run(EXPERIMENT, run.path)
    assert files(run) == files(RunDirectory(finished))


@pytest.mark.parametrize("damage", [truncated, emptied, replaced_by_text])
def test_a_damaged_file_of_scores_is_made_again(
    run: RunDirectory, finished: Path, damage: Damage
) -> None:
    damage(run.scores("curious-server", "participant-0", "label"), run)
    api.run(EXPERIMENT, run.path)
    assert files(run) == files(RunDirectory(finished))


@pytest.mark.parametrize("damage", [truncated, emptied, replaced_by_text])
def test_a_damaged_history_is_made_again(run: RunDirectory, finished: Path, damage: Damage) -> None:
    damage(run.history("honest"), run)
    api.run(EXPERIMENT, run.path)
    assert files(run) == files(RunDirectory(finished))


def test_files_of_third_parties_in_the_store_are_left_alone(
    run: RunDirectory, finished: Path
) -> None:
    folder = run.snapshots("curious-server")
    third_parties = ["notes.txt", "round-4.participant-0.safetensors", "round-00004.safetensors"]
    for name in third_parties:
        (folder / name).write_text("mine")
    before = [snapshot.path.name for snapshot in SnapshotStore(folder).index()]
    assert not set(before) & set(third_parties)
    forget_the_attacks(run)
    api.run(EXPERIMENT, run.path)
    assert [(folder / name).read_text() for name in third_parties] == ["mine"] * 3
    ours = {k: v for k, v in files(run).items() if Path(k).name not in third_parties}
    assert ours == files(RunDirectory(finished))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["snapshot", "checkpoint"])
def test_damage_in_what_studies_share_costs_simulating_again(
    tmp_path: Path, finished: Path, shared: Path, damage: Damage, what: str
) -> None:
    states = Path(shutil.copytree(shared, tmp_path / "states"))
    [snapshot] = states.glob("*/snapshots/server/round-00004.participant-0.safetensors")
    [checkpoint] = states.glob("*/checkpoint.safetensors")
    damage(snapshot if what == "snapshot" else checkpoint, RunDirectory(finished))
    second = RunDirectory(tmp_path / "second")
    api.run(EXPERIMENT, second.path, states=states)
    ours = {k: v for k, v in files(second).items() if not k.endswith("history.json")}
    assert ours.items() <= files(RunDirectory(finished)).items()
