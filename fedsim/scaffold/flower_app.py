"""Writing an experiment's Flower app: a folder for `flwr run`.

The folder contains the experiment, and Flower distributes it to the server and to every node, so
all run the same experiment. Paths are absolute, because Flower starts processes in any folder.
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
        The target: a folder that does not exist yet, or is empty.
    config
        The experiment (YAML), which is copied.
    out
        The run directory of the app's run.
    data_dir
        Where the data set's files are; None downloads them.

    Raises
    ------
    FedsimError
        If the experiment is not valid, or the folder is not empty or cannot be written.
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
