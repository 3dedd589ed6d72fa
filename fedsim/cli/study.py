"""`fedsim study`: the cells of a study, its table and its figures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedsim.cli.options import AsJsonOption, DataDir, Quiet, TensorBoard

if TYPE_CHECKING:
    from fedsim.cli.output import OutputMode
    from fedsim.studies.cells import Cell
    from fedsim.studies.running import Audience


class ScaleOption(StrEnum):
    """The sizes of a study: for two cores, or the paper's."""

    CPU = "cpu"
    PAPER = "paper"


def study(
    path: Annotated[Path, typer.Argument(metavar="STUDY", help="The study (YAML).")],
    scale: Annotated[
        ScaleOption, typer.Option("--scale", help="Which of its sizes.")
    ] = ScaleOption.CPU,
    out: Annotated[
        Path, typer.Option("--out", help="Where studies are run; they share federations there.")
    ] = Path("runs/studies"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change every cell.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="End every federation after this many.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="AXIS=VALUE", help="Run these cells only; no table yet."),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Show what would be run and shared, and run nothing.")
    ] = False,
    publish: Annotated[
        Path | None, typer.Option("--publish", metavar="DIR", help="Copy page and figures there.")
    ] = None,
    data_dir: DataDir = None,
    tensorboard: TensorBoard = None,
    quiet: Quiet = False,
    as_json: AsJsonOption = False,
) -> None:
    """Run the cells of a study, and write its table and figures; run it again to resume."""
    from fedsim import api
    from fedsim.cli.output import narrator
    from fedsim.studies.writing import publish as publish_page

    teller = narrator(quiet=quiet, as_json=as_json)
    size: Literal["cpu", "paper"] = "paper" if scale is ScaleOption.PAPER else "cpu"
    changes = settings or ()
    if plan_only:
        teller.planned_cells(
            api.plan_study(path, scale=size, out=out, settings=changes, rounds=rounds)
        )
        return
    audience = partial(_audience, teller, out, tensorboard)
    if only:
        api.run_study_cells(
            path,
            only,
            scale=size,
            out=out,
            settings=changes,
            rounds=rounds,
            data_dir=data_dir,
            open_audience=audience,
        )
        return
    finished = api.study(
        path,
        scale=size,
        out=out,
        settings=changes,
        rounds=rounds,
        data_dir=data_dir,
        open_audience=audience,
    )
    output, findings = finished.path, finished.findings
    page = publish_page(findings, output, publish) if publish else output / "table.md"
    teller.finished_study(findings, output, page)


@contextmanager
def _audience(
    teller: "OutputMode", out: Path, tensorboard: Path | None, cells: Sequence["Cell"]
) -> Iterator["Audience"]:
    """Give what hears of the cells of a study while they run: the terminal, and TensorBoard."""
    from fedsim.progress_sinks import CellScalars
    from fedsim.studies.layout import StudyPaths

    with teller.studying(cells) as live:
        yield CellScalars(live, StudyPaths(out), tensorboard) if tensorboard else live
