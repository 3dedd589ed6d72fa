"""`fedsim gate`: hold a run's figures against limits, for a release pipeline."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedsim.cli.options import EXIT_PROBLEM, AsJsonOption, Quiet, RunPath


class JudgedByName(StrEnum):
    """Which number of a figure is held against a limit."""

    CAUTIOUS = "cautious"
    VALUE = "value"
    LENIENT = "lenient"


def gate(
    path: RunPath,
    maximum: Annotated[
        list[str] | None,
        typer.Option(
            "--max",
            metavar="FIGURE=NUMBER",
            help="The most that a figure may be: auc=.60, tpr@0.01=.03, ...",
        ),
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="FIGURE=NUMBER",
            help="The least that a figure may be: test_accuracy=.5, ...",
        ),
    ] = None,
    judged_by: Annotated[
        JudgedByName,
        typer.Option(
            "--judged-by",
            help="What must keep a limit: the end of the interval nearer to a breach (cautious), "
            "the figure itself, or only the other end (lenient).",
        ),
    ] = JudgedByName.CAUTIOUS,
    each_victim: Annotated[
        bool,
        typer.Option("--each-victim", help="Judge each victim's figures, not their mean alone."),
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the checks as a JUnit report, too.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJsonOption = False,
) -> None:
    """Fail, with exit code 1, if a figure of a run is beyond a limit."""
    from fedsim import api
    from fedsim.cli.output import narrator
    from fedsim.report.gate import parse_limits

    teller = narrator(quiet=quiet, as_json=as_json)
    gated = api.gate(
        path,
        maximum=parse_limits(maximum or (), "max"),
        minimum=parse_limits(minimum or (), "min"),
        judged_by=judged_by.value,
        each_victim=each_victim,
        junit=junit,
    )
    teller.gated(gated)
    if not gated.passed:
        raise typer.Exit(EXIT_PROBLEM)
