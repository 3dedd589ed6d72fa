"""What is written beside every result so that it can be made again."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

from fedsim.files import read_json

PACKAGES = ("fedsim", "flwr", "torch", "torchvision", "numpy", "ray", "scikit-learn", "datasets")


def provenance(data_dir: Path | None, folder: Path | None = None) -> dict[str, object]:
    """Return versions, the commit of this checkout (if it is one), the machine and the command.

    `data_dir` and `folder` are where data and the experiment's file are.
    """
    return {
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in PACKAGES},
        "commit": _commit(Path(__file__).parent),
        "machine": {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "data_dir": None if data_dir is None else str(data_dir.resolve()),
        "experiment_dir": None if folder is None else str(folder.resolve()),
    }


def recorded_data_dir(path: Path) -> Path | None:
    """Return where the data of a run were, from what `provenance` wrote; None if unknown."""
    return _recorded(path, "data_dir")


def recorded_folder(path: Path) -> Path | None:
    """Return where a run's experiment was read from, as `recorded_data_dir`."""
    return _recorded(path, "experiment_dir")


def _recorded(path: Path, key: str) -> Path | None:
    try:
        found = read_json(path)[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Path(found) if isinstance(found, str) else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit(folder: Path) -> str | None:
    """Return the commit, marked when files differ from it; None outside a git checkout."""
    try:
        said = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None
