"""`fedsim compare`: several runs side by side."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedsim.cli.options import AsJsonOption, Quiet
from fedsim.errors import FedsimError


class Format(StrEnum):
    """How `fedsim compare` prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"


def compare(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.")],
    form: Annotated[
        Format | None, typer.Option("--format", help="How to print; default a table.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="Write the comparison as one HTML page, too."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJsonOption = False,
) -> None:
    """Compare runs: their figures, and the differences with intervals."""
    from fedsim import api
    from fedsim.cli.output import choose_output
    from fedsim.report.formats import FORMATS

    output = choose_output(quiet=quiet, as_json=as_json)
    if form is not None and (quiet or as_json):
        raise FedsimError("--format, --quiet and --json are ways to print; give one of them")
    rows = api.compare(*paths, page=page).rows
    if form is None or form is Format.TABLE:
        output.show_comparison(rows, page)
    else:
        typer.echo(FORMATS[form.value](rows))
