"""The connection to a Ray cluster.

Ray always gets an explicit address: otherwise it joins any cluster that it finds, even one that is
shutting down, and waits for it.

"""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import floor, inf
from pathlib import Path
from typing import Any

import grpc
import ray
from ray.exceptions import RayError

from fedsim.errors import FedsimError
from fedsim.federation.log_filters import quiet_ray

SECONDS_TO_CONNECT = 3.0


STORE_BYTES = 4 * 2**30


@contextmanager
def ray_connection(address: str | None) -> Iterator[None]:
    """Connect to a cluster within the context.

    A program that is already connected stays connected.

    Parameters
    ----------
    address
        HOST:PORT of the cluster's head; None starts a cluster on this machine within the context.

    Raises
    ------
    FedsimError
        If there is no cluster at that address, or the program is connected to another cluster.
    """
    if ray.is_initialized():
        theirs = ray.get_runtime_context().gcs_address
        if address not in (None, theirs):
            raise FedsimError(
                f"this program is connected to the Ray cluster at {theirs} already; end that with "
                f"ray.shutdown() before engine.address is {address}"
            )
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        with quiet_ray():
            _connect(address)
        yield
    finally:
        with quiet_ray():
            ray.shutdown()
        # None means that the handler is not Python's and cannot be restored.
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)  # Ray has replaced it with its own


def free_actor_slots(cpus: float, gpus: float) -> int:
    """Return how many processes with these resources fit on the cluster."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if not cpus and not gpus:
        return int(sum(node.get("CPU", 0) for node in nodes))
    return sum(
        floor(min(_times(node.get("CPU", 0), cpus), _times(node.get("GPU", 0), gpus)))
        for node in nodes
    )


def _connect(address: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        ray.init("local", include_dashboard=False, object_store_memory=_store_bytes(), **quiet)
        return
    try:
        _require_answer(address)
        ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        reason = " ".join(str(error).split())
        raise FedsimError(
            f"there is no Ray cluster to join at engine.address {address} ({reason}); this machine "
            "must be one of its nodes: `ray start --address=HOST:PORT`"
        ) from error


def _require_answer(address: str) -> None:
    """Raise an `OSError` unless a cluster's head answers; Ray itself would wait for minutes.

    The head is asked through gRPC's health service, by a client without TLS.
    """
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=SECONDS_TO_CONNECT)
        except grpc.RpcError as error:
            raise OSError(error.details()) from error


def _store_bytes() -> int:
    """Return the object store's size on this machine, in bytes; unused space takes no memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shared = Path("/dev/shm")  # noqa: S108 - where Ray has its object store
    free = shutil.disk_usage(shared).free if shared.is_dir() else memory
    return int(min(STORE_BYTES, memory / 4, free * 0.9))


def _times(there_is: float, taken: float) -> float:
    return there_is / taken if taken else inf
