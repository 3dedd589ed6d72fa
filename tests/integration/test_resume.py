"""A run killed with kill -9, again and again, ends with the bytes of one that was left alone."""

import os
import signal
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from forked import fork_server

from fedsim.federation import checkpoint
from fedsim.files import UNFINISHED
from fedsim.observation import snapshots
from fedsim.rundir import RunDirectory
from fedsim.stages.simulation import checkpointing

ROUNDS = 40
LONG: dict[str, Any] = {
    "federation": {
        "rounds": ROUNDS,
        "strategy": {"name": "FedAdam", "eta": 0.02},
        "local": {"batch_size": 10, "optimizer": "adam", "learning_rate": 0.002},
        "evaluation": {"every": 3},
    },
    "snapshots": {"rounds": {"every": 1}},
}


def work(path: Path, module: str | None = None, deadly: int = 0) -> None:
    """Run the experiment; die by SIGKILL half way through the file number `deadly` of `module`."""
    torch.set_num_threads(1)
    checkpointing.CHECKPOINT_SECONDS = 0.0
    if module is not None:
        home = {"snapshots": snapshots, "checkpoint": checkpoint}[module]
        save, written = home.save_file, []

        def dies(tensors: Any, place: Path, metadata: Any) -> None:
            save(tensors, place, metadata)
            written.append(place)
            if len(written) == deadly:
                place.with_name(".tmpHaLf").write_bytes(b"half")  # as safetensors begins a file
                place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
                os.kill(os.getpid(), signal.SIGKILL)

        home.save_file = dies
    toys.simulated(path, **LONG)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Any:
    # Children of a server that has imported everything start at once.
    monkeypatch.setenv("PYTHONPATH", str(Path(toys.__file__).parent))
    context = fork_server()

    def start(*arguments: Any) -> BaseProcess:
        process = context.Process(target=work, args=arguments)
        process.start()
        return process

    return start


def reached(run: RunDirectory) -> int:
    if not run.checkpoint("honest").is_file():
        return 0
    return checkpoint.Checkpoint.load(run.checkpoint("honest")).progress.round


def test_kill_9_at_any_moment_changes_nothing(tmp_path: Path, started: Any) -> None:
    whole = toys.simulated(tmp_path / "whole", **LONG)
    run = RunDirectory(tmp_path / "killed")
    rounds = [0]

    for module, deadly in (("snapshots", 5), ("checkpoint", 2), ("snapshots", 7)):
        process = started(run.path, module, deadly)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert list(run.path.rglob(f"*{UNFINISHED}")), "it died while it was writing"
        rounds.append(reached(run))
    assert 0 < rounds[1] < rounds[2] < rounds[3] < ROUNDS // 2

    delays = np.random.default_rng(0).uniform(0.1, 0.8, size=4)
    for delay in delays:
        process = started(run.path)
        process.join(delay)
        process.kill()
        process.join()
        rounds.append(reached(run))
    assert rounds == sorted(rounds)

    process = started(run.path)
    process.join()
    assert process.exitcode == 0
    assert reached(run) == ROUNDS
    assert toys.content_of(run) == toys.content_of(whole)
    assert len(toys.content_of(run)) == 9 + 3 * ROUNDS


FRESH = """
import sys
from pathlib import Path
import toys
run = toys.simulated(Path(sys.argv[1]))
print(sorted(toys.content_of(run).items()))
"""


def test_two_fresh_processes_write_the_same_bytes(toy_run: Path, tmp_path: Path) -> None:
    def fresh(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", FRESH, tmp_path / hash_seed],
            capture_output=True,
            text=True,
            check=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(toys.__file__).parent),
                "PYTHONHASHSEED": hash_seed,
                "OMP_NUM_THREADS": "1",
            },
        ).stdout.strip()

    ours = str(sorted(toys.content_of(RunDirectory(toy_run)).items()))
    assert fresh("1").splitlines()[-1] == fresh("2").splitlines()[-1] == ours
