"""The commands that reproduce a run, as its page shows them."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from fedsim.config.experiment import Experiment


def rerun_commands(
    path: Path, experiment: Experiment, provenance: Mapping[str, object]
) -> list[str]:
    """Return the commands that reproduce a run, without the folders of the original machine.

    Parameters
    ----------
    path
        The run directory as given. A relative path reveals no folder of the machine; of an absolute
        path only the last part is shown.
    experiment, provenance
        The experiment and its provenance.
    """
    inside = not path.is_absolute() and ".." not in path.parts and path.name != ""
    name = str(path) if inside else path.resolve().name
    where = "# in the folder where it was run" if inside else "# in the folder that holds the run"
    run, own, again = map(shlex.quote, (name, f"{name}/experiment.yaml", f"{name}-again"))
    data = " --data-dir DIR" if provenance.get("data_dir") else ""
    if experiment.given is None:
        first = f"fedsim run {own} --out {again}{data}"
    else:
        first = _without_folders(provenance.get("command"))
    return [where, first, f"fedsim attack {run}{data}", f"fedsim report {run}"]


def _without_folders(command: object) -> str:
    """Return a command, its absolute paths cut to their last part."""
    if not isinstance(command, list):
        return "fedsim attack --model ..."
    return shlex.join(_without_folder(str(word)) for word in command)


def _without_folder(word: str) -> str:
    """Return a word of a command, an absolute path in it (`--out=/...`) cut to its last part."""
    option, equals, value = word.rpartition("=")
    return option + equals + (Path(value).name if Path(value).is_absolute() else value)
