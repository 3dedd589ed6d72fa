"""Defences on the ray engine: the local engine's numbers, the accountant's among them."""

from pathlib import Path
from typing import Any

import pytest
import toys
from registered_defences import SETTINGS, TRAINERS, sections_with

pytestmark = [
    pytest.mark.usefixtures("cluster", "flower", "_same_processes"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning"),
]
RAY = {"name": "ray", "actors": 2, "cpus": 0.1}


@pytest.mark.parametrize("name", [*SETTINGS, *TRAINERS])
def test_the_files_are_those_of_the_local_engine(name: str, tmp_path: Path) -> None:
    sections: dict[str, Any] = {"snapshots": {"rounds": [1, 2, 3, 4]}}
    sections |= sections_with(name, batch_size=10)

    def files(name: str, **engine: Any) -> dict[str, str]:
        run = toys.simulated(tmp_path / name, **sections, **engine)
        return {k: v for k, v in toys.content_of(run).items() if k != "experiment.yaml"}

    local = files("local")
    assert files("ray", engine=RAY) == local
    assert len([name for name in local if name.startswith("snapshots/")]) >= 4
