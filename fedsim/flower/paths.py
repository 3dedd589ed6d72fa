"""Where a run on Flower's runtime works: what its config says, and what a node's own says instead.

Flower starts the processes of an app somewhere, so a path must not depend on where. In a deployed
federation each SuperNode is another machine: its node config may name another folder for its data
or for what its dishonest participant keeps.
"""

from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context

from fedsim.errors import ConfigError

OUT = "out"
DATA_DIR = "data-dir"
PATIENCE = "patience"
_PATIENCE = 60.0


@dataclass(frozen=True)
class RunPaths:
    """Where a run works.

    Attributes
    ----------
    out
        The run directory; on a participant's machine, the part of it that this participant keeps.
    data_dir
        Where the data set's files are; None downloads them.
    patience
        How many seconds the server waits for all nodes to be there.
    """

    out: Path
    data_dir: Path | None
    patience: float


def place_of(context: Context) -> RunPaths:
    """Return where to work: by the node's config, and else by the run's.

    Raises
    ------
    ConfigError
        If the run directory is missing, a path is not absolute, or a value is of another type.
    """
    given = {**context.run_config, **context.node_config}
    out = _path(given, OUT)
    if out is None:
        raise ConfigError(
            f"the run's config names no run directory; flwr run --run-config '{OUT}=\"/a/folder\"'"
        )
    patience = given.get(PATIENCE, _PATIENCE)
    if not isinstance(patience, int | float) or patience < 0:
        raise ConfigError(f"{PATIENCE} in the run's config is {patience!r}, not seconds")
    return RunPaths(out, _path(given, DATA_DIR), float(patience))


def _path(given: dict[str, bool | float | int | str], key: str) -> Path | None:
    """Return an absolute path; None if there is no such key, or nothing in it."""
    value = given.get(key, "")
    if not isinstance(value, str) or not (value == "" or Path(value).expanduser().is_absolute()):
        raise ConfigError(
            f"{key} in the run's config is {value!r}; it must be an absolute path, as Flower's "
            "processes may start anywhere"
        )
    return Path(value).expanduser() if value else None
