"""Options that several commands have, and the exit codes."""

import json
from pathlib import Path
from typing import Annotated

import typer

EXIT_PROBLEM = 1
EXIT_INVALID = 2
EXIT_STOPPED = 130

EXIT_CODES = (
    "Exit codes: 0 done; 1 fedsim doctor or fedsim check found a problem, fedsim gate a figure "
    "beyond its limit, or an attack refutes the guarantee of a defence; 2 something that you "
    "gave is not valid, or a plugin failed (one sentence on stderr says what); 130 stopped by "
    "Ctrl-C (the same command resumes)."
)

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the data set's files are; without it, download."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="Print errors and where the figures are, nothing else.")
]
AsJsonOption = Annotated[
    bool, typer.Option("--json", help="Print a JSON object a line, for programs.")
]
EngineName = Annotated[
    str | None,
    typer.Option("--engine", metavar="NAME", help="What to run on; see `fedsim list engines`."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="Of a running Ray cluster, for it."),
]
TensorBoard = Annotated[
    Path | None,
    typer.Option("--tensorboard", metavar="DIR", help="Write scalars for TensorBoard there."),
]


def on_engine(name: str | None, address: str | None) -> list[str]:
    """Return the changes of settings that choose an engine."""
    chosen = {"engine.name": name, "engine.address": address}
    return [f"{key}={json.dumps(value)}" for key, value in chosen.items() if value is not None]
