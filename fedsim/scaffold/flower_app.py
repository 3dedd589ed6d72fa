"""Writing an experiment's Flower app: a folder that `flwr run` takes as it is.

The experiment goes along in the folder, which Flower hands to the server and to every node, so all
of them run the same one. Paths are written out in full, because Flower starts processes anywhere.
"""

import json
import re
from pathlib import Path

from fedsim.errors import ConfigError
from fedsim.scaffold.writing import rendered, require_empty, write_files
from fedsim.stages.preparation.experiment_faults import load_experiment

TEMPLATES = "flower-app"
EXPERIMENT = Path("experiment.yaml")


def write_flower_app(
    folder: Path, config: Path, out: Path, data_dir: Path | None
) -> tuple[Path, ...]:
    """Write the Flower app of an experiment, all of it or nothing, and return its files.

    Parameters
    ----------
    folder
        Where the app goes: a folder that is not there yet, or empty.
    config
        The experiment (YAML); it is copied as it is.
    out
        The run directory that a run is to make.
    data_dir
        Where the data set's files are; None downloads them.

    Raises
    ------
    FedsimError
        If the experiment is not valid, the folder holds anything, or cannot be written.
    """
    experiment = load_experiment(config)
    if experiment.given is not None:
        raise ConfigError(
            f"{config} is about a model that was trained elsewhere; nothing is to run"
        )
    require_empty(folder)
    values = {
        "name": re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "audit",
        "participants": experiment.partition.participants,
        "out": _quoted(out.absolute()),
        "out_path": out.absolute(),
        "data_dir": _quoted(data_dir.absolute() if data_dir else ""),
    }
    texts = dict(rendered((TEMPLATES,), values))
    return write_files(folder, texts | {EXPERIMENT: config.read_text(encoding="utf-8")})


def _quoted(path: Path | str) -> str:
    """Return a path as a string of TOML, whose escapes are those of JSON."""
    return json.dumps(str(path), ensure_ascii=False)
