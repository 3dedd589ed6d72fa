"""Whether two written experiments are one run: what decides a simulation, and what is made anew."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fedsim.config.engine import DECIDING
from fedsim.config.experiment import Experiment
from fedsim.config.yaml_files import parse_yaml
from fedsim.errors import ConfigError, shown
from fedsim.files import read_text

_MEASURED_AGAIN = ("metrics", "attacks")
"""What a finished run is attacked and measured by anew, without being simulated again."""
_SEEDS = ("attack_seeds", "federation_seeds")
_BEFORE: Mapping[str, Mapping[str, object]] = {
    "engine": {"small_convolutions": [], "channels_last": False},
    "model": {"dropout": 0.0},
}
"""Settings that earlier versions did not have, by section, with the values that they acted by."""
_MOST_NAMED = 5


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
        tree["engine"] = {k: v for k, v in tree["engine"].items() if k in DECIDING and v}
    for section, before in _BEFORE.items():
        if isinstance(tree.get(section), dict):
            settings = tree[section].items()
            tree[section] = {k: v for k, v in settings if (k, v) not in before.items()}
    return tree


def with_engine_of_run(experiment: Experiment, written: Path) -> Experiment:
    """Return an experiment whose engine settings that are `auto` are those of a run that is there.

    A run of a version that did not have a setting was computed as that version did.

    Parameters
    ----------
    experiment
        The experiment.
    written
        The file of the run's resolved experiment, which need not be there.
    """
    try:
        tree = parse_yaml(written_experiment(written), "an experiment")
    except ConfigError:
        return experiment
    if not isinstance(tree, dict) or not isinstance(tree.get("engine"), dict):
        return experiment
    engine, found = experiment.engine, {}
    for key in DECIDING:
        value = tree["engine"].get(key, _BEFORE["engine"].get(key, "auto"))
        if getattr(engine, key) == "auto" and value != "auto":
            found[key] = tuple(value) if isinstance(value, list) else value
    if not found:
        return experiment
    return experiment.model_copy(update={"engine": engine.model_copy(update=found)})


def differing_settings(there: str, here: str) -> str:
    """Return in which settings two written experiments differ, the first few, for a sentence.

    >>> differing_settings("{seed: 1, data: {a: 2, b: 3}}", "{seed: 1, data: {a: 2, b: 4}}")
    'data.b is 3 there and 4 here'
    >>> differing_settings("{seed: 1}", "{seed: 1, model: {}}")
    'model is not set there and {} here'
    """
    one, other = (dict(_leaves(deciding(text))) for text in (there, here))
    names = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    said = [
        f"{key} is {shown(one[key]) if key in one else 'not set'} there and "
        f"{shown(other[key]) if key in other else 'not set'} here"
        for key in names[:_MOST_NAMED]
    ]
    return "; ".join([*said, *(["..."] if len(names) > _MOST_NAMED else [])])


def _leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield every setting that is no mapping, by its path."""
    if not isinstance(tree, dict) or (path and not tree):
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
