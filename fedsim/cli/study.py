"""`fedsim study`: the cells of a study, its tables and figures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedsim.cli.options import AsJsonOption, DataDir, Quiet, TensorBoard
from fedsim.cli.runs import end_by_self_check

if TYPE_CHECKING:
    from fedsim.cli.output import OutputMode
    from fedsim.studies.cells import Cell
    from fedsim.studies.running import Audience


class ScaleOption(StrEnum):
    """The scale of a study: for two cores, or as in the paper."""

    CPU = "cpu"
    PAPER = "paper"


def study(
    path: Annotated[Path, typer.Argument(metavar="STUDY", help="The study (YAML).")],
    scale: Annotated[ScaleOption, typer.Option("--scale", help="Its scale.")] = ScaleOption.CPU,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the runs; studies share federations in it.")
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
        bool,
        typer.Option(
            "--plan", help="Show which cells would run and which share a run; run nothing."
        ),
    ] = False,
    publish: Annotated[
        Path | None, typer.Option("--publish", metavar="DIR", help="Copy page and figures there.")
    ] = None,
    data_dir: DataDir = None,
    tensorboard: TensorBoard = None,
    quiet: Quiet = False,
    as_json: AsJsonOption = False,
) -> None:
    """Run the cells of a study, and write its tables and figures. The same command resumes."""
    from fedsim import api
    from fedsim.cli.output import choose_output
    from fedsim.studies.writing import publish as publish_page

    output = choose_output(quiet=quiet, as_json=as_json)
    size: Literal["cpu", "paper"] = "paper" if scale is ScaleOption.PAPER else "cpu"
    changes = settings or ()
    if plan_only:
        output.show_cells(
            api.plan_study(path, scale=size, out=out, settings=changes, rounds=rounds)
        )
        return
    audience = partial(_audience, output, out, tensorboard)
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
    folder, findings = finished.path, finished.findings
    page = publish_page(findings, folder, publish) if publish else folder / "table.md"
    output.show_study(findings, folder, page)
    end_by_self_check(findings.self_check)


@contextmanager
def _audience(
    output: "OutputMode", out: Path, tensorboard: Path | None, cells: Sequence["Cell"]
) -> Iterator["Audience"]:
    """Yield what receives the progress of the cells: the output and, if asked, TensorBoard."""
    from fedsim.progress_sinks import CellScalars
    from fedsim.studies.layout import StudyPaths

    with output.follow_cells(cells) as live:
        yield CellScalars(live, StudyPaths(out), tensorboard) if tensorboard else live
