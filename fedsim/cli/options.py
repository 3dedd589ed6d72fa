"""Options that several commands have."""

import json
from pathlib import Path
from typing import Annotated

import typer

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="The folder of the data set's files; default: download them."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="Print errors and the path of the figures, nothing else.")
]
AsJsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line, for programs.")
]
EngineName = Annotated[
    str | None,
    typer.Option("--engine", metavar="NAME", help="The engine; see `fedsim list engines`."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", help="Address of a running Ray cluster."),
]
TensorBoard = Annotated[
    Path | None,
    typer.Option("--tensorboard", metavar="DIR", help="Write scalars for TensorBoard here."),
]


def on_engine(name: str | None, address: str | None) -> list[str]:
    """Return the settings that choose an engine."""
    chosen = {"engine.name": name, "engine.address": address}
    return [f"{key}={json.dumps(value)}" for key, value in chosen.items() if value is not None]
