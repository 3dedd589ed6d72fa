"""Flower's SecAgg+ on Flower's deployed runtime: real processes, and sums as the stand-in's."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
import yaml
from flower_processes import new_key, superlink

from fedsim import api
from fedsim.observation.snapshots import SnapshotStore
from fedsim.rundir import RunDirectory
from fedsim.scaffold import write_flower_app

SECTIONS: dict[str, Any] = {
    "partition": {"participants": 2, "records": 60},
    "federation": {"rounds": 1, "evaluation": {"every": 1}},
    "snapshots": {"rounds": [1]},
    "adversaries": ["curious-server"],
    "attacks": ["loss", "random"],
}
DATA = f"""import numpy as np

from fedsim.data import Arrays

FEATURES, CLASSES = {toys.FEATURES}, {toys.CLASSES}


"""
BOUND = 2 * 8.0 / 2**22


def sums(run: RunDirectory) -> dict[tuple[int, str], np.ndarray]:
    return {
        (s.round, s.key.name): np.concatenate([v.numpy().ravel() for v in s.load().values()])
        for s in SnapshotStore(run.snapshots("curious-server")).index()
    }


@pytest.mark.deployed
@pytest.mark.timeout(900)
def test_the_deployed_sum_is_the_stand_ins(tmp_path: Path) -> None:
    masked = [{"name": "secure-aggregation", "protocol": "secagg+"}]
    config, run = tmp_path / "masked.yaml", RunDirectory(tmp_path / "server")
    config.write_text(yaml.safe_dump(toys.tree(**SECTIONS, defences=masked), sort_keys=False))
    app = tmp_path / "app"
    write_flower_app(app, config, run.path, None)
    (app / "toys.py").write_text(DATA + inspect.getsource(toys.blobs))
    with superlink(tmp_path / "flower", "--enable-supernode-auth", tls=True) as runtime:
        for participant in range(2):
            key = runtime.register(new_key(runtime.home, f"node-{participant}"))
            runtime.start_node(key, partition_id=participant)
        log = runtime.run(app)
        assert runtime.statuses() == ["finished:completed"], log
    exact = toys.simulated(
        tmp_path / "exact", **SECTIONS, defences=[{"name": "secure-aggregation"}]
    )
    ours, theirs = sums(run), sums(exact)
    assert set(ours) == set(theirs) == {(1, "aggregate")}
    difference = np.abs(ours[1, "aggregate"] - theirs[1, "aggregate"]).max()
    assert 0 < difference <= BOUND
    results = api.attack(run.path).results
    assert {row.attack for row in results.results} == {"loss", "random"}
