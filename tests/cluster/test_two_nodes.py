"""An existing cluster of two nodes: joined by its address, and one of them removed in mid-round."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import toys
from ray.cluster_utils import Cluster

from fedsim.federation.log_filters import quiet_ray
from fedsim.rundir import RunDirectory

# Ray's own cluster of processes leaves their files and handles to be collected.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

# The head notices within a second that a node is gone; by default it takes its time.
WATCHFUL = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 300,
    "health_check_failure_threshold": 2,
}
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


@pytest.fixture
def two_nodes() -> Iterator[Cluster]:
    with quiet_ray():
        head = {**NODE, "include_dashboard": False, "_system_config": WATCHFUL}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


def files(run: RunDirectory) -> dict[str, str]:
    """Return a digest of each file but the experiment, which tells the engine."""
    return {k: v for k, v in toys.content_of(run).items() if k != "experiment.yaml"}


@pytest.mark.slow
def test_a_node_removed_in_mid_round_costs_nothing_but_time(
    two_nodes: Cluster, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    first, second = two_nodes.list_all_nodes()
    head = first.node_id

    def sections(**engine: Any) -> dict[str, Any]:
        stalling = {"name": "stalling:Stalling", "head": head, "marker": str(marker)}
        adversaries = [
            "curious-server",
            {**stalling, "participant": 0, "label": "even"},
            {**stalling, "participant": 1, "label": "odd"},
            {"name": "gradient-ascent-participant", "participant": 2, "first": 2},
        ]
        return {"adversaries": adversaries, "engine": engine}

    def remove_when_it_stalls() -> None:
        while not marker.exists():
            time.sleep(0.05)
        two_nodes.remove_node(second, allow_graceful=False)

    remover = threading.Thread(target=remove_when_it_stalls)
    remover.start()
    ray_run = toys.simulated(tmp_path / "ray", **sections(name="ray", address=two_nodes.address))
    remover.join()
    assert marker.read_text() == second.node_id != head
    assert not ray.is_initialized()
    assert files(ray_run) == files(toys.simulated(tmp_path / "local", **sections(name="local")))
