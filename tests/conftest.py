"""What every test starts from: one torch thread, no cache of the user's, a Flower identity."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_line import Fedsim, Said
from hypothesis import HealthCheck, settings

from fedsim.engines.in_process import local_identity

# No test asserts seconds: an example may take as long as a busy machine takes for it.
settings.register_profile("fedsim", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fedsim")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _few_collections() -> None:
    """Let garbage be looked for seldom, and not among half a million objects of libraries."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Let no file of this process wait for the disk; where that is tested, processes are killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def flower() -> Iterator[None]:
    """Let this process make Flower messages."""
    with local_identity():
        yield


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the toy experiment after its first stage; not to be changed."""
    import toys

    return toys.simulated(tmp_path_factory.mktemp("toy") / "run").path


@pytest.fixture
def fedsim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Fedsim:
    """Return the command line, called in this process in an empty folder."""
    from fedsim.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["fedsim", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Said(int(end.value.code or 0), *capsys.readouterr())

    return call
