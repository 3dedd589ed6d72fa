"""Defences on the ray engine: the local engine's numbers, the accountant's among them."""

from pathlib import Path
from typing import Any

import pytest
import toys

pytestmark = [
    pytest.mark.usefixtures("cluster", "flower", "_same_processes"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:FutureWarning"),
]
RAY = {"name": "ray", "actors": 2, "cpus": 0.1}
NOISE = {"clipping_norm": 0.3, "noise_multiplier": 1.0}
CENTRAL = (
    "fixed-clipping",
    "server-fixed-clipping",
    "adaptive-clipping",
    "server-adaptive-clipping",
)


@pytest.mark.parametrize(
    "defences",
    [
        *([{"name": name, **NOISE}] for name in (*CENTRAL, "local-dp", "distributed-dp")),
        [{"name": "secure-aggregation"}],
        [],
    ],
    ids=lambda found: found[0]["name"] if found else "dp-sgd",
)
def test_the_files_are_those_of_the_local_engine(
    defences: list[dict[str, Any]], tmp_path: Path
) -> None:
    sections: dict[str, Any] = {"defences": defences, "snapshots": {"rounds": [1, 2, 3, 4]}}
    if not defences:
        sections["federation"] = {"local": {"trainer": "dp-sgd", "batch_size": 10}}

    def files(name: str, **engine: Any) -> dict[str, str]:
        run = toys.simulated(tmp_path / name, **sections, **engine)
        return {k: v for k, v in toys.content_of(run).items() if k != "experiment.yaml"}

    local = files("local")
    assert files("ray", engine=RAY) == local
    assert len([name for name in local if name.startswith("snapshots/")]) >= 4
