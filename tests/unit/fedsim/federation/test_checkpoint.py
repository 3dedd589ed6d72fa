"""A federation between two rounds is one file; going on from it changes no bit."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg
from toys import Federation, arrays_equal

from fedsim.config.choice import Choice
from fedsim.config.federation import LocalTraining
from fedsim.errors import RunDirectoryError
from fedsim.federation import checkpoint
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.round_figures import RoundFigures
from fedsim.federation.rounds import Progress

PROGRESS = Progress(
    7,
    ArrayRecord(
        {
            "z.weight": Array(np.arange(6, dtype=np.float32).reshape(2, 3)),
            "a.batches": Array(np.asarray(5)),
            "b.mask": Array(np.asarray([True, False])),
        }
    ),
    (
        RoundFigures(6, {"local_loss": 0.1 + 0.2, "local_accuracy": 1 / 3}),
        RoundFigures(7, {"test_loss": 1e-300, "test_accuracy": None}),
    ),
)
STATES = {
    2: RecordDict(
        {
            "z": ArrayRecord({"w": Array(np.float32([[1, 2]])), "a": Array(np.asarray(3.5))}),
            "config": ConfigRecord(
                {"b": b"\x00\xff", "s": "ü", "i": 2**60, "f": [0.1, 2.0], "bb": [b"a", b""]}
            ),
            "metric": MetricRecord({"i": [1, 2], "f": 0.1}),
        }
    ),
    3: RecordDict({"empty": ArrayRecord({})}),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    Checkpoint.of(PROGRESS, STATES, FedAvg()).save(path)
    return path


def test_everything_comes_back(path: Path) -> None:
    found = Checkpoint.load(path)
    assert found.progress.round == 7
    assert found.progress.history == PROGRESS.history
    assert arrays_equal(found.progress.arrays, PROGRESS.arrays)
    assert list(found.states) == [2, 3]
    assert list(found.states[2]) == ["z", "config", "metric"]
    assert arrays_equal(found.states[2].array_records["z"], STATES[2].array_records["z"])
    assert found.states[2].config_records["config"] == STATES[2].config_records["config"]
    assert found.states[2].metric_records["metric"] == STATES[2].metric_records["metric"]
    assert found.states[3].array_records["empty"] == ArrayRecord({})


def test_the_same_state_is_the_same_file(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    Checkpoint.load(path).save(other)
    assert other.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("size", [0, 7, 500, -1])
def test_a_truncated_file_is_one_sentence(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(RunDirectoryError) as error:
        Checkpoint.load(path)
    assert f"the checkpoint {path} cannot be read" in str(error.value)
    assert str(error.value).endswith("delete it to start from round 1")
    assert "\n" not in str(error.value)


def test_a_foreign_file_is_one_sentence(path: Path) -> None:
    checkpoint.save_file({"w": np.ones(3)}, path)
    with pytest.raises(RunDirectoryError, match="it is not a fedsim-checkpoint-2 file"):
        Checkpoint.load(path)


def test_a_full_disk_keeps_the_checkpoint_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def fills_up(arrays: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fills_up)
    with pytest.raises(RunDirectoryError, match=r"cannot write the checkpoint .*No space left"):
        Checkpoint.of(PROGRESS, STATES, FedAvg()).save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


RESUMED = {
    "FedAvg": {},
    "FedAvgM": {"server_learning_rate": 0.7, "server_momentum": 0.9},
    "FedAdam": {"eta": 0.01},
    "FedAdagrad": {"eta": 0.01},
    "FedYogi": {"eta": 0.01},
    "DifferentialPrivacyServerSideAdaptiveClipping": {
        "strategy": {"name": "FedAvgM", "server_momentum": 0.9},
        "noise_multiplier": 0.1,
        "num_sampled_clients": 3,
        "clipped_count_stddev": 0.2,
    },
}


@pytest.mark.usefixtures("flower")
@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_resumed_federation_equals_an_uninterrupted_one(
    name: str, optimizer: str, tmp_path: Path
) -> None:
    def federation() -> Federation:
        local = LocalTraining(batch_size=10, learning_rate=0.05, optimizer=Choice(name=optimizer))
        return Federation(strategy=name, settings=RESUMED[name], rounds=4, local=local)

    whole = federation().run()
    stopped, resumed = federation(), federation()
    half_way = stopped.run(until=2)
    Checkpoint.of(half_way, stopped.grid.states(), stopped.server.honest).save(tmp_path / "c")
    kept = Checkpoint.load(tmp_path / "c")
    resumed.grid.restore(kept.states)
    kept.restore(resumed.server.honest)
    end = resumed.run(kept.progress)
    assert arrays_equal(end.arrays, whole.arrays)
    assert end.history == whole.history


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), True, "1"])
def test_a_figure_that_is_no_number_is_refused(value: object) -> None:
    figures = RoundFigures(7, {"test_loss": 0.5}).plain()
    key = next(name for name, held in figures.items() if held == 0.5)
    with pytest.raises(ValueError, match="round"):
        RoundFigures.from_plain({**figures, key: value})
