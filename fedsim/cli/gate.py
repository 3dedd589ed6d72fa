"""`fedsim gate`: check the figures of a run against limits, for a release pipeline."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedsim.cli.exit_codes import EXIT_PROBLEM
from fedsim.cli.options import AsJsonOption, Quiet, RunPath


class JudgedByName(StrEnum):
    """Which number of a figure is compared with a limit."""

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
            help="The largest value allowed: auc=.60, tpr@0.01=.03, ...",
        ),
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="FIGURE=NUMBER",
            help="The smallest value allowed: test_accuracy=.5, ...",
        ),
    ] = None,
    judged_by: Annotated[
        JudgedByName,
        typer.Option(
            "--judged-by",
            help="What is compared with a limit: the figure's one-sided 95 % limit on the side of "
            "a breach (cautious), the figure itself (value), or the limit on the other side "
            "(lenient).",
        ),
    ] = JudgedByName.CAUTIOUS,
    each_victim: Annotated[
        bool,
        typer.Option("--each-victim", help="Check the figures of each victim, too."),
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the checks as a JUnit report, too.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJsonOption = False,
) -> None:
    """Fail, with exit code 1, if a figure of a run is beyond a limit."""
    from fedsim import api
    from fedsim.cli.output import choose_output
    from fedsim.report.limits import parse_limits

    output = choose_output(quiet=quiet, as_json=as_json)
    gated = api.gate(
        path,
        maximum=parse_limits(maximum or (), "max"),
        minimum=parse_limits(minimum or (), "min"),
        judged_by=judged_by.value,
        each_victim=each_victim,
        junit=junit,
    )
    output.show_gate(gated)
    if not gated.passed:
        raise typer.Exit(EXIT_PROBLEM)
