"""`fedsim doctor`: whether this machine is ready for an audit.

A problem is what keeps fedsim from working; what merely could be better, or is only there on some
machines, is a note. The self-test runs a whole audit whose figures are known: participants learn
random labels by heart, so an attack on the loss finds nearly all members, and one that guesses
finds none.
"""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from rich.text import Text

from fedsim import plugins, seeds
from fedsim.api import run
from fedsim.config.experiment import parse_experiment
from fedsim.data import Arrays, default_cache_dir
from fedsim.errors import FedsimError
from fedsim.report.formatting import area
from fedsim.report.results import Results

PACKAGES = ("fedsim", "flwr", "torch", "numpy", "scikit-learn", "datasets")
LEAST_FREE_BYTES = 1_000_000_000
_GUESSING, _LOSS = "random", "loss"


class MachineStatus(StrEnum):
    """How a finding is to be taken."""

    GOOD = "good"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class MachineCheck:
    """One thing that was looked at: what it is, how it is, and what was found."""

    name: str
    status: MachineStatus
    found: str


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


def healthy(findings: Sequence[MachineCheck]) -> bool:
    """Return whether nothing that was found is a problem."""
    return all(finding.status is not MachineStatus.PROBLEM for finding in findings)


def findings_table(findings: Sequence[MachineCheck]) -> Table:
    """Return the findings for a terminal."""
    colours = {
        MachineStatus.GOOD: "green",
        MachineStatus.NOTE: "yellow",
        MachineStatus.PROBLEM: "bold red",
    }
    table = Table(box=None, pad_edge=False)
    for _ in ("name", "status"):
        table.add_column("", no_wrap=True)
    table.add_column("found", overflow="fold")
    for one in findings:
        table.add_row(Text(one.name), Text(one.status, colours[one.status]), Text(one.found))
    return table


def as_json(findings: Sequence[MachineCheck]) -> dict[str, Any]:
    """Return the findings for a program: schema 1."""
    return {
        "schema": 1,
        "healthy": healthy(findings),
        "findings": [
            {"name": one.name, "status": one.status.value, "found": one.found} for one in findings
        ],
    }


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
    told = f"{cores} cores; torch would compute with {torch.get_num_threads()} threads, "
    return MachineCheck(
        "cores", MachineStatus.GOOD, told + "fedsim with `engine.threads` (1) in each worker"
    )


def _gpu() -> MachineCheck:
    names = [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
    told = f"{', '.join(names) or 'none that torch can use'}; fedsim computes on the CPU"
    return MachineCheck("GPU", MachineStatus.NOTE, told)


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
        told = "is not a folder" if data_dir.exists() else "there is no such folder"
        yield MachineCheck("data folder", MachineStatus.PROBLEM, f"{data_dir}: {told}")
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


def self_test() -> MachineCheck:
    """Run a small audit whose figures are known, and compare."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fedsim-doctor-") as folder:
        try:
            results = run(parse_experiment(_AUDIT, "the self-test"), Path(folder) / "run").results
        except FedsimError as error:
            return MachineCheck("self-test", MachineStatus.PROBLEM, str(error))
    wrong = not_as_known(results)
    if wrong:
        return MachineCheck("self-test", MachineStatus.PROBLEM, "; ".join(wrong))
    auc = {row.attack: area(row.auc.value) for row in results.summary()}
    told = f"an audit with AUC {auc[_LOSS]} by the loss and {auc[_GUESSING]} by guessing"
    return MachineCheck(
        "self-test", MachineStatus.GOOD, f"{told}, in {time.monotonic() - started:.1f} s"
    )


def not_as_known(results: Results) -> list[str]:
    """Return in words which figures of the self-test are not what they must be.

    Random labels: all training records are learned, no other record is predicted better than a
    class in four. The bounds leave room for another machine's rounding, and for guessing with 80
    records (a standard deviation of .065 in AUC).
    """
    auc = {row.attack: row.auc.value for row in results.summary()}
    known = (
        ("the train accuracy", results.utility["train_accuracy"] or 0.0, 0.95, 1.0),
        ("the test accuracy", results.utility["test_accuracy"] or 0.0, 0.05, 0.45),
        ("the AUC by the loss", auc[_LOSS], 0.85, 1.0),
        ("the AUC by guessing", auc[_GUESSING], 0.25, 0.75),
    )
    return [
        f"{what} is {value:.3f}, which must be {low} to {high}"
        for what, value, low, high in known
        if not low <= value <= high
    ]


def random_labels() -> Arrays:
    """Points of the self-test with random labels, which can only be learned by heart."""
    random = seeds.generator(0, "doctor")
    features = random.normal(size=(400, 40)).astype(np.float32)
    return Arrays(features, random.integers(4, size=400), num_classes=4)


_AUDIT = {
    "data": {"name": f"{__name__}:{random_labels.__name__}", "test_records": 100},
    "partition": {"participants": 2, "records": 100},
    "model": {"name": "fully-connected", "widths": [64]},
    "federation": {
        "rounds": 15,
        "local": {"epochs": 3, "batch_size": 20, "optimizer": "adam", "learning_rate": 0.01},
    },
    "snapshots": {"rounds": [15]},
    "audit": {
        "known_members": 40,
        "known_nonmembers": 40,
        "tested_members": 40,
        "tested_nonmembers": 40,
    },
    "adversaries": ["curious-server"],
    "attacks": [_LOSS, _GUESSING],
}
