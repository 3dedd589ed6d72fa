"""`fedsim study`: the cells of a study, its table and its figures."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedsim.cli.options import AsJson, DataDir, Quiet, TensorBoard


class Scale(StrEnum):
    """The sizes of a study: for two cores, or the paper's."""

    CPU = "cpu"
    PAPER = "paper"


def study(
    path: Annotated[Path, typer.Argument(metavar="STUDY", help="The study (YAML).")],
    scale: Annotated[Scale, typer.Option("--scale", help="Which of its sizes.")] = Scale.CPU,
    out: Annotated[
        Path, typer.Option("--out", help="Where studies are run; they share federations there.")
    ] = Path("runs/studies"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change every cell.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="End every federation after so many.")
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
    as_json: AsJson = False,
) -> None:
    """Run the cells of a study, and write its table and figures; run it again to resume."""
    from fedsim.cli.output import narrator
    from fedsim.progress_sinks import CellScalars
    from fedsim.studies.cells import chosen, expand
    from fedsim.studies.definition import load_study
    from fedsim.studies.layout import StudyPaths
    from fedsim.studies.running import plan, run_cells, run_study
    from fedsim.studies.tables import check_coordinates
    from fedsim.studies.writing import publish as publish_page
    from fedsim.studies.writing import write_outputs

    teller, layout = narrator(quiet=quiet, as_json=as_json), StudyPaths(out)
    options = [part for change in settings or () for part in ("--set", change)]
    options += ["--rounds", str(rounds)] if rounds else []
    definition = load_study(path)
    cells = expand(definition, path, scale.value, settings or (), rounds)
    if plan_only:
        teller.planned_cells(plan(definition, cells, layout))
        return
    if only:
        check_coordinates(definition, cells)
        cells = chosen(cells, only)
    with teller.studying(cells) as live:
        told = CellScalars(live, layout, tensorboard) if tensorboard else live
        if only:
            run_cells(cells, layout, told, data_dir)
            return
        findings = run_study(definition, path, scale.value, cells, layout, told, data_dir=data_dir)
    output = write_outputs(findings, layout, options)
    page = publish_page(findings, output, publish) if publish else output / "table.md"
    teller.finished_study(findings, output, page)
