"""`fedsim compare`: runs side by side."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


class Format(StrEnum):
    """How `fedsim compare` prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"


def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.")],
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Put runs side by side: local against global, with differences and their intervals."""
    from fedsim.report.compared import compared_table
    from fedsim.report.formats import FORMATS
    from fedsim.stages.compare import compare_runs

    rows = compare_runs(paths)
    if form is Format.TABLE:
        Console().print(compared_table(rows))
        return
    typer.echo(FORMATS[form.value](rows))
