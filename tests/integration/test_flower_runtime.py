"""An experiment on Flower's own runtimes: the same bytes as on the local engine, and an audit.

Real processes: a SuperLink with TLS, SuperNodes that it knows by their keys, one of them dishonest.
"""

import inspect
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import toys
import yaml
from flower_processes import new_key, superlink
from toys import arrays_equal, content_of

from fedsim import api
from fedsim.config.loading import read_experiment
from fedsim.federation.checkpoint import Checkpoint
from fedsim.rundir import RunDirectory
from fedsim.scaffold import write_flower_app

ASCENDING = "gradient-ascent-participant"
SETTINGS: Mapping[str, Any] = {
    "partition": {"participants": 2, "records": 60},
    "federation": {
        "rounds": 2,
        "local": {"optimizer": {"name": "sgd", "momentum": 0.9}},
        "evaluation": {"every": 2},
    },
    "snapshots": {"rounds": [1, 2]},
    "adversaries": [
        "curious-server",
        {"name": ASCENDING, "participant": 1, "first": 2, "targets": 20},
    ],
    "attacks": ["loss", "random"],
}


DATA = f"""import numpy as np

from fedsim.data import Arrays

FEATURES, CLASSES = {toys.FEATURES}, {toys.CLASSES}


"""


def write_app(folder: Path, out: Path) -> Path:
    """Write the app of the toy experiment, with the toy's data beside it, and return its folder."""
    config = folder.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(toys.tree(**SETTINGS), sort_keys=False))
    write_flower_app(folder, config, out, None)
    (folder / "toys.py").write_text(DATA + inspect.getsource(toys.blobs))
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Return a whole run of the experiment on the local engine."""
    folder = tmp_path_factory.mktemp("local")
    app = write_app(folder / "app", folder / "elsewhere")
    api.run(read_experiment(app / "experiment.yaml"), folder / "run")
    return RunDirectory(folder / "run")


def require_the_same(run: RunDirectory, local: RunDirectory) -> None:
    """Attack what was kept on Flower's runtime, and compare everything with the local engine's."""
    results = api.attack(run.path).results
    ours, theirs = content_of(run), content_of(local)
    for kind, files in (("snapshots", 2 * 2 + 3), ("scores", 4), ("ledger", 1)):
        kept = {name for name in theirs if name.startswith(kind)}
        assert len(kept) == files
        assert {name: ours[name] for name in kept} == {name: theirs[name] for name in kept}
    for name in ("honest", ASCENDING):
        ends = [Checkpoint.load(one.checkpoint(name)).progress for one in (run, local)]
        assert arrays_equal(ends[0].arrays, ends[1].arrays)
        assert ends[0].history == ends[1].history
        histories = [json.loads(one.history(name).read_text()) for one in (run, local)]
        assert histories[0]["rounds"] == histories[1]["rounds"]
        assert (
            run.malicious_updates(name).read_bytes() == local.malicious_updates(name).read_bytes()
        )
    assert {row.adversary for row in results.results} == {"curious-server", ASCENDING}
    assert run.report.is_file()


@pytest.mark.deployed
@pytest.mark.timeout(600)
def test_deployed_with_tls_and_node_authentication(tmp_path: Path, local: RunDirectory) -> None:
    run, mallory = RunDirectory(tmp_path / "server"), RunDirectory(tmp_path / "mallory")
    app = write_app(tmp_path / "app", run.path)
    with superlink(tmp_path / "flower", "--enable-supernode-auth", tls=True) as runtime:
        honest, dishonest, third_party = (new_key(runtime.home, f"node-{n}") for n in range(3))
        runtime.start_node(runtime.register(honest), partition_id=0)
        runtime.start_node(runtime.register(dishonest), partition_id=1, out=str(mallory.path))
        refused = runtime.start_node(third_party, partition_id=1)
        log = runtime.run(app)
        assert runtime.statuses() == ["finished:completed"], log
        assert refused.poll() is not None
    assert "federation honest: 2 of 2" in log

    # A participant keeps what it saw on its own machine; who audits brings the two together.
    assert not run.snapshots(ASCENDING).exists()
    assert {path.name for path in mallory.path.iterdir()} == {"federations", "snapshots"}
    shutil.copytree(mallory.path, run.path, dirs_exist_ok=True)
    require_the_same(run, local)


@pytest.mark.deployed
@pytest.mark.timeout(600)
def test_flwr_run_on_the_simulation_runtime(tmp_path: Path, local: RunDirectory) -> None:
    run = RunDirectory(tmp_path / "run")
    app = write_app(tmp_path / "app", run.path)
    with superlink(tmp_path / "flower", "--simulation", tls=False) as runtime:
        size = "num-supernodes=2 client-resources-num-cpus=1 init-args-num-cpus=2"
        log = runtime.run(app, "--federation-config", size)
        assert runtime.statuses() == ["finished:completed"], log
    require_the_same(run, local)
