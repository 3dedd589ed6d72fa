"""Whether two written experiments are one run: what decides a simulation, and what is made anew."""

from pathlib import Path

from fedsim.config.engine import DECIDING
from fedsim.config.yaml_files import parse_yaml
from fedsim.errors import ConfigError
from fedsim.files import read_text

_MEASURED_AGAIN = ("metrics", "attacks")
"""What a finished run is attacked and measured by anew, without being simulated again."""
_SEEDS = ("attack_seeds", "federation_seeds")


def written_experiment(path: Path) -> str:
    """Return the text in a file, and of one that holds none what is no experiment."""
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError):
        return ""


def measured(resolved: str) -> object:
    """Return what a finished run is attacked and measured by."""
    tree = parse_yaml(resolved, "an experiment")
    if not isinstance(tree, dict):
        return None
    audit = tree.get("audit")
    seeds = [audit.get(key) for key in _SEEDS] if isinstance(audit, dict) else None
    return [seeds, *(tree.get(key) for key in _MEASURED_AGAIN)]


def deciding(resolved: str) -> object:
    """Return what decides a simulation: all but what it is run on, attacked and measured by.

    What is no mapping is returned as it is, and so equals no experiment.
    """
    try:
        tree = parse_yaml(resolved, "an experiment")
    except ConfigError:
        return resolved
    if not isinstance(tree, dict):
        return tree
    tree = {key: value for key, value in tree.items() if key not in _MEASURED_AGAIN}
    if isinstance(tree.get("audit"), dict):
        tree["audit"] = {k: v for k, v in tree["audit"].items() if k not in _SEEDS}
    if isinstance(tree.get("engine"), dict):
        return {**tree, "engine": {k: v for k, v in tree["engine"].items() if k in DECIDING and v}}
    return tree
