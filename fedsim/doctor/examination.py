"""What is looked at: versions, cores, GPUs, Ray, disks, plugins, data sets; then the self-test."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

from fedsim import plugins
from fedsim.data import default_cache_dir
from fedsim.doctor.known_audit import self_test
from fedsim.doctor.machine_check import MachineCheck, MachineStatus
from fedsim.errors import FedsimError

PACKAGES = ("fedsim", "flwr", "torch", "numpy", "scikit-learn", "datasets")
LEAST_FREE_BYTES = 1_000_000_000


def examine(data_dir: Path | None) -> Iterator[MachineCheck]:
    """Yield what is found, one thing after the other; the self-test last.

    `data_dir` is where data sets' files may be, beside the cache.
    """
    yield _versions()
    yield _cores()
    yield _gpu()
    yield _ray()
    yield from _disks()
    yield from _plugins()
    yield from _datasets(data_dir)
    yield self_test()


def _versions() -> MachineCheck:
    found = [f"python {platform.python_version()}"]
    missing = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        return MachineCheck(
            "versions", MachineStatus.PROBLEM, f"not installed: {', '.join(missing)}"
        )
    return MachineCheck("versions", MachineStatus.GOOD, ", ".join(found))


def _cores() -> MachineCheck:
    cores = os.cpu_count() or 1
    message = f"{cores} cores; torch would compute with {torch.get_num_threads()} threads, "
    return MachineCheck(
        "cores", MachineStatus.GOOD, message + "fedsim with `engine.threads` (1) in each worker"
    )


def _gpu() -> MachineCheck:
    names = [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
    message = f"{', '.join(names) or 'none that torch can use'}; fedsim computes on the CPU"
    return MachineCheck("GPU", MachineStatus.NOTE, message)


def _ray() -> MachineCheck:
    try:
        version = metadata.version("ray")
    except metadata.PackageNotFoundError:
        return MachineCheck("Ray", MachineStatus.NOTE, "not installed; only a Ray cluster needs it")
    address = os.environ.get("RAY_ADDRESS")
    return MachineCheck(
        "Ray", MachineStatus.GOOD, f"{version}; " + (address or "$RAY_ADDRESS is not set")
    )


def _disks() -> Iterator[MachineCheck]:
    for name, folder in (("disk, here", Path.cwd()), ("disk, cache", default_cache_dir())):
        there = next(one for one in (folder, *folder.parents) if one.exists())
        free = shutil.disk_usage(there).free
        status = MachineStatus.GOOD if free >= LEAST_FREE_BYTES else MachineStatus.PROBLEM
        yield MachineCheck(name, status, f"{free / 1e9:,.1f} GB free in {folder}")


def _plugins() -> Iterator[MachineCheck]:
    """Yield one finding for each kind of plugin: all can be imported, or the first that cannot."""
    for group in plugins.GROUPS:
        try:
            found = plugins.available(group)
            for name in found:
                plugins.resolve(group, name)
        except FedsimError as error:
            yield MachineCheck(group, MachineStatus.PROBLEM, str(error))
        else:
            yield MachineCheck(group, MachineStatus.GOOD, ", ".join(found) or "none installed")


def _datasets(data_dir: Path | None) -> Iterator[MachineCheck]:
    """Yield for each installed data set whether it is there; nothing is read or downloaded."""
    if data_dir and not data_dir.is_dir():
        message = "is not a folder" if data_dir.exists() else "there is no such folder"
        yield MachineCheck("data folder", MachineStatus.PROBLEM, f"{data_dir}: {message}")
    cache = default_cache_dir()
    for name in plugins.available("datasets"):
        files = data_dir / name if data_dir else None
        if any(cache.glob(f"{name}-*/meta.json")):
            yield MachineCheck(f"data {name}", MachineStatus.GOOD, "decoded in the cache")
        elif files is not None and files.is_dir() and any(files.iterdir()):
            yield MachineCheck(
                f"data {name}", MachineStatus.GOOD, f"files in {files}, not decoded yet"
            )
        else:
            yield MachineCheck(
                f"data {name}", MachineStatus.NOTE, f"not here; `fedsim data fetch {name}`"
            )
