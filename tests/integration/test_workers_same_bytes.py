"""A run on several processes ends with the bytes of one process, stopped in between or not."""

from pathlib import Path
from typing import Any

import pytest
import toys
from faults import files, reached

from fedsim.rundir import RunDirectory

DISHONEST: dict[str, Any] = {
    "adversaries": [
        *toys.tree()["adversaries"],
        "isolating-server",
        {"name": "gradient-ascent-participant", "participant": 1, "first": 3},
    ]
}


@pytest.mark.parametrize("workers", [2, 3])
def test_the_files_do_not_depend_on_the_number_of_processes(tmp_path: Path, workers: int) -> None:
    one = toys.simulated(tmp_path / "one", **DISHONEST)
    several = toys.simulated(tmp_path / "several", engine={"workers": workers}, **DISHONEST)
    assert files(several) == files(one)
    assert len([name for name in files(one) if name.startswith("snapshots/")]) >= 8


@pytest.mark.parametrize("after", [1, 3])
def test_stopped_between_rounds_it_goes_on(toy_run: Path, tmp_path: Path, after: int) -> None:
    several = {"engine": {"workers": 2}}
    with pytest.raises(KeyboardInterrupt):
        toys.simulated(tmp_path / "r", watcher=toys.Stopping(after), **several)
    assert reached(RunDirectory(tmp_path / "r")) == after
    assert files(toys.simulated(tmp_path / "r", **several)) == files(RunDirectory(toy_run))
