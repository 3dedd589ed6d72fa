"""Reading an experiment: all that is wrong with it is said at once, before anything runs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from fedsim.config.experiment import Experiment
from fedsim.config.fault_collector import FaultCollector
from fedsim.config.overrides import apply_override
from fedsim.config.partial_reading import PartsOfSchema, read_partly
from fedsim.config.plugin_faults import plugin_faults
from fedsim.config.shipped import config_path
from fedsim.config.yaml_files import read_yaml_mapping
from fedsim.errors import ConfigError

CheckPlugins = Callable[[Experiment, FaultCollector], None]
"""Checks the plugins of an experiment as far as its parts are valid; collects their faults."""


def read_experiment(
    path: Path | str,
    overrides: Iterable[str] = (),
    *,
    plugins_needed: bool = True,
    check_plugins: CheckPlugins = plugin_faults,
) -> Experiment:
    """Read an experiment from a YAML file.

    Parameters
    ----------
    path, overrides
        As in `fedsim.load_experiment`.
    plugins_needed
        False for a caller that reads a finished run and builds nothing: plugins of the experiment
        may then be missing.
    check_plugins
        The check of plugins: that they exist and accept their settings, or (see
        `fedsim.stages.preparation.experiment_faults`) all that can be checked without data.

    Raises
    ------
    ConfigError
        If the file cannot be read or any part of it is not valid.
    PluginError
        If a plugin it names does not exist or does not accept its settings.
    """
    path = config_path(Path(path))
    tree = read_yaml_mapping(path, "an experiment", Experiment.model_fields)
    earlier = []
    for override in overrides:
        try:
            apply_override(tree, override)
        except ConfigError as error:
            earlier.append(str(error))
    return experiment_of_tree(
        tree,
        str(path),
        plugins_needed=plugins_needed,
        check_plugins=check_plugins,
        earlier=earlier,
        folder=path.parent.absolute(),
    )


def experiment_of_tree(
    tree: Mapping[str, object],
    source: str,
    *,
    plugins_needed: bool = True,
    check_plugins: CheckPlugins = plugin_faults,
    earlier: Sequence[str] = (),
    folder: Path | None = None,
) -> Experiment:
    """Return the experiment that plain data describes.

    All faults are reported in one error, so that they can be corrected together.

    Parameters
    ----------
    tree
        The data, as YAML or JSON has it.
    source
        Where it comes from, for error messages.
    plugins_needed
        See `read_experiment`.
    check_plugins
        The check of plugins; see `read_experiment`.
    earlier
        What was wrong before there was plain data.
    folder
        Where it is from, if it is a file: relative paths of data are looked for there.

    Raises
    ------
    ConfigError
        If it is not plain finite data, or any part of it is not valid.
    PluginError
        If a plugin it names does not exist or does not accept its settings, and nothing else is
        wrong.
    """
    read = read_partly(tree, Experiment, _PARTS)
    faults = FaultCollector([*earlier, *read.faults], read.broken)
    if read.valid is not None:
        for rule in read.valid.rules():
            for fault in rule.breaches() if faults.is_sound(*rule.reads) else ():
                faults.add(ConfigError(fault), *rule.breaks)
        if plugins_needed:
            check_plugins(_with_usable_victims(read.valid).beside(folder), faults)
    faults.require_none(source)
    if read.valid is None:
        raise ConfigError(f"{source}: no part of it could be read")
    return read.valid.beside(folder)


def _with_usable_victims(found: Experiment) -> Experiment:
    """Return the experiment with victims that there are, for adversaries to be checked with."""
    there = (v for v in found.audit.victims if v < found.partition.participants)
    victims = tuple(dict.fromkeys(there)) or (0,)
    return found.model_copy(update={"audit": found.audit.model_copy(update={"victims": victims})})


_PARTS = PartsOfSchema(
    depths={
        "federation.local": 3,
        "federation.evaluation": 3,
        **dict.fromkeys(("data", "partition", "federation", "snapshots", "audit"), 2),
        **dict.fromkeys(("defences", "adversaries", "attacks", "metrics"), 2),
        "audit.canaries": 3,
    },
    stand_ins={
        # Many, so that nothing is refused for having too few of them.
        "partition": {"participants": 1000},
        "partition.participants": 1000,
        "data": {"name": "none"},
        "model": {"name": "none"},
        "federation": {"rounds": 1},
        "federation.rounds": 1,
        "adversaries": [],
        "attacks": [],
    },
)
"""What of an experiment can be at fault without the rest."""
