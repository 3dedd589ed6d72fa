"""Reading an experiment: all that is wrong with it is said at once, before anything runs."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedsim.config.experiment import Experiment
from fedsim.config.faults import faults_in
from fedsim.config.overrides import apply_override
from fedsim.config.plugin_faults import JUDGED, plugin_faults
from fedsim.config.shipped import config_path
from fedsim.config.yaml_files import read_yaml_mapping
from fedsim.errors import ConfigError, PluginError, joined_faults
from fedsim.plugins.plain_data import as_json


def load_experiment(
    path: Path | str, overrides: Iterable[str] = (), *, plugins_needed: bool = True
) -> Experiment:
    """Read an experiment from a YAML file.

    Parameters
    ----------
    path
        The file, or the name of an experiment that ships with fedsim.
    overrides
        ``a.b=c`` each: sets key ``b`` in section ``a`` to the YAML value ``c``; a number in the
        path is a position in a list.
    plugins_needed
        False for who reads what a run has made, and builds nothing: the plugins that the
        experiment names need not be there.

    Raises
    ------
    ConfigError
        If the file cannot be read or any part of it is not valid.
    PluginError
        If a plugin it names does not exist or does not accept its settings.
    """
    path = config_path(Path(path))
    tree = read_yaml_mapping(path, "an experiment", Experiment.model_fields)
    for override in overrides:
        apply_override(tree, override)
    experiment = parse_experiment(tree, str(path), plugins_needed=plugins_needed)
    return experiment.beside(path.parent.absolute())


def parse_experiment(
    tree: Mapping[str, object], source: str, *, plugins_needed: bool = True
) -> Experiment:
    """Return the experiment that plain data describes.

    Everything that is wrong with it is reported in one error, so that it is mended in one go.

    Parameters
    ----------
    tree
        The data, as YAML or JSON has it.
    source
        Where it comes from, for error sentences.
    plugins_needed
        See `load_experiment`.

    Raises
    ------
    ConfigError
        If it is not plain finite data, or any part of it is not valid.
    PluginError
        If a plugin it names does not exist or does not accept its settings, and nothing else is
        wrong.
    """
    try:
        experiment = Experiment.model_validate_json(as_json(tree))
    except ValidationError as error:
        faults = list(faults_in(error, Experiment))
        if plugins_needed:
            simulated = tree.get("given") is None
            faults += plugin_faults(_valid_sections(tree), simulated=simulated)
        raise ConfigError(f"{source}: {joined_faults(faults)}") from error
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error
    if not plugins_needed:
        return experiment
    sections = {name: getattr(experiment, name) for name in JUDGED}
    faults = list(plugin_faults(sections, simulated=experiment.given is None))
    if faults:
        raise PluginError(f"{source}: {joined_faults(faults)}")
    return experiment


def _valid_sections(tree: Mapping[str, object]) -> dict[str, Any]:
    """Return those sections that plugins are judged by and that are valid in themselves."""
    found = {}
    for name in JUDGED:
        if name in tree:
            kind: TypeAdapter[Any] = TypeAdapter(Experiment.__annotations__[name])
            with suppress(ValidationError):
                found[name] = kind.validate_json(json.dumps(tree[name]))
    return found
