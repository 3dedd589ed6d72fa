"""The command line: run, attack, compare, report, study, doctor, list, data, new, check.

Exit codes are in `EXIT_CODES`, which ``fedsim --help`` ends with.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedsim.authoring import check, new_app
from fedsim.chatter import only_warnings_of_flower
from fedsim.errors import FedsimError, listed

KINDS = "adversaries, attacks, datasets, models, strategies, partitions, optimizers, engines"
DEFAULT_ATTACKS = ("supervised", "scalar-logistic", "gradient-norm", "loss", "label", "random")
EXIT_PROBLEM = 1
EXIT_INVALID = 2
EXIT_STOPPED = 130

EXIT_CODES = (
    "Exit codes: 0 done; 1 fedsim doctor or fedsim check found a problem; 2 something that you "
    "gave is not valid (one sentence on stderr says what); 130 stopped by Ctrl-C (the same "
    "command resumes)."
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES,
    help="What does your federation leak about who was in its training data?",
)
data_app = typer.Typer(no_args_is_help=True, help="Data sets: fetch and verify them beforehand.")
app.add_typer(data_app, name="data")
app.add_typer(new_app, name="new")
app.command()(check)

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the data set's files are; without it, download."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", help="Print errors and where the figures are, nothing else.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON object a line, for programs.")]


class Format(StrEnum):
    """How `fedsim compare` prints."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    LATEX = "latex"


@app.command()
def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The experiment (YAML).")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory; default runs/CONFIG-NAME.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one setting.")
    ] = None,
    data_dir: DataDir = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write scalars for TensorBoard there.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Simulate, attack and report; run it again to resume what was stopped."""
    from fedsim import experiment as programme
    from fedsim.config import load_experiment
    from fedsim.narrators import narrator
    from fedsim.rundir import RunDirectory
    from fedsim.stages.plan import plan, stated_threats
    from fedsim.stages.scene import set_scene
    from fedsim.watchers import Several, open_scalars

    teller = narrator(quiet=quiet, as_json=as_json)
    experiment = load_experiment(config, settings or ())
    out = out or Path("runs") / config.stem
    scalars = open_scalars(tensorboard, RunDirectory(out)) if tensorboard else None
    watcher = Several(teller.watcher, scalars) if scalars else teller.watcher
    scene = set_scene(experiment, data_dir, watcher)
    teller.planned(stated_threats(scene.parties, experiment), plan(scene))
    results = programme.run(experiment, out, data_dir=data_dir, watcher=watcher, scene=scene)
    if scalars:
        scalars.end(results)
    teller.finished(results, out)


@app.command()
def attack(
    path: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run directory, or --model ...")
    ] = None,
    attacks: Annotated[
        list[str] | None,
        typer.Option("--attack", metavar="NAME", help="An attack; default: all of the run's."),
    ] = None,
    data_dir: DataDir = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of a run, a model trained elsewhere: its factory.")
    ] = None,
    weights: Annotated[
        list[Path] | None, typer.Option(help="Its safetensors; several: versions, earliest first.")
    ] = None,
    snapshots: Annotated[
        Path | None, typer.Option(help="Instead of weights: snapshots kept in a Flower app.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Whose snapshots.")] = None,
    data: Annotated[str | None, typer.Option(help="A data set, or module:function.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="CSV or parquet: record, member and perhaps known.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory to make.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the attacks on a given model.")] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Attack a finished run again, or a model that was trained elsewhere."""
    from fedsim import experiment as programme
    from fedsim.config import parsed_yaml
    from fedsim.narrators import narrator
    from fedsim.stages.given import GivenModel

    teller = narrator(quiet=quiet, as_json=as_json)
    watcher = teller.watcher
    needed = {"--model": model, "--data": data, "--ledger": ledger, "--out": out}
    given = [name for name, value in needed.items() if value is not None]
    if path is not None and not given and not weights and snapshots is None and owner is None:
        results = programme.attack(path, data_dir=data_dir, attacks=attacks or (), watcher=watcher)
        teller.finished(results, path)
        return
    if path is not None or model is None or data is None or ledger is None or out is None:
        raise FedsimError(
            "give either a run directory alone, or a model with --model, --weights (or "
            f"--snapshots), --data, --ledger and --out; given: {listed(given)}"
        )
    if bool(weights) == (snapshots is not None):
        raise FedsimError("give the model's parameters as --weights or as --snapshots, one of both")
    asked = GivenModel(
        model=parsed_yaml(model, "--model"),
        data=parsed_yaml(data, "--data"),
        membership=ledger,
        adversary="released-model",
        attacks=tuple(attacks or DEFAULT_ATTACKS),
        weights=tuple(weights or ()),
        snapshots=snapshots,
        owner=owner,
        seed=seed,
    )
    results = programme.attack_given(asked, out, data_dir=data_dir, watcher=watcher)
    teller.finished(results, out)


@app.command()
def report(path: RunPath, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Judge a run's scores again, and write its results and its page."""
    from fedsim import experiment as programme
    from fedsim.narrators import narrator

    narrator(quiet=quiet, as_json=as_json).finished(programme.report(path), path)


@app.command()
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


class Scale(StrEnum):
    """The sizes of a study: for two cores, or the paper's."""

    CPU = "cpu"
    PAPER = "paper"


@app.command()
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
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run the cells of a study, and write its table and figures; run it again to resume."""
    from fedsim.narrators import narrator
    from fedsim.studies.cells import chosen, expand
    from fedsim.studies.definition import load_study
    from fedsim.studies.layout import Layout
    from fedsim.studies.running import plan, run_cells, run_study
    from fedsim.studies.tables import check_coordinates
    from fedsim.studies.writing import publish as publish_page
    from fedsim.studies.writing import write_outputs

    teller, layout = narrator(quiet=quiet, as_json=as_json), Layout(out)
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
            run_cells(cells, layout, live, data_dir)
        return
    with teller.studying(cells) as live:
        findings = run_study(definition, path, scale.value, cells, layout, live, data_dir=data_dir)
    output = write_outputs(findings, layout, options)
    page = publish_page(findings, output, publish) if publish else output / "table.md"
    teller.finished_study(findings, output, page)


@app.command()
def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Look at this machine: versions, cores, disks, data sets, and a self-test of seconds."""
    from fedsim import doctor as office

    if as_json:
        findings = list(office.examine(data_dir))
        typer.echo(json.dumps(office.as_json(findings)))
    else:
        console = Console()
        with console.status("a look at this machine, and a self-test"):
            findings = list(office.examine(data_dir))
        console.print(office.findings_table(findings))
    if not office.healthy(findings):
        raise typer.Exit(EXIT_PROBLEM)


@app.command(name="list")
def list_(what: Annotated[str, typer.Argument(metavar="KIND", help=f"One of: {KINDS}.")]) -> None:
    """Show what is installed, other packages' plugins included."""
    from fedsim.catalogue import catalogue

    kinds = catalogue()
    if what not in kinds:
        raise FedsimError(f"there is nothing called {what!r} to list; valid: {listed(kinds)}")
    entries = kinds[what]()
    table = Table(box=None, pad_edge=False)
    table.add_column("name", overflow="fold", min_width=min(40, max(len(e.name) for e in entries)))
    table.add_column("what it is")
    table.add_column("from", no_wrap=True)
    for entry in entries:
        table.add_row(*entry)
    Console().print(table)


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data set; see `fedsim list datasets`.")],
    data_dir: DataDir = None,
) -> None:
    """Get and verify a data set beforehand."""
    from fedsim.data import fetch as fetch_data

    console = Console()
    stored = fetch_data(name, {}, data_dir=data_dir, say=console.print)
    console.print(
        f"{stored.name}: {stored.records:,} records of shape {stored.input_shape}, "
        f"{stored.num_classes} classes, {stored.size_in_bytes / 1e6:,.1f} MB in {stored.folder}",
        highlight=False,
    )


def _fail(sentence: str) -> NoReturn:
    told = f"[bold red]fedsim:[/] {escape(sentence)}"
    Console(stderr=True).print(told, highlight=False, soft_wrap=True)
    sys.exit(EXIT_INVALID)


def main() -> None:
    """Run the command line; a `FedsimError` becomes its one sentence and exit code 2."""
    sys.path.append(str(Path.cwd()))  # so that module:attribute finds a user's own files
    try:
        with only_warnings_of_flower():
            app(prog_name="fedsim")  # however it was started: completion goes by the name
    except FedsimError as error:
        _fail(str(error))
    except OSError as error:  # a full disk, a file that may not be read: not a defect of ours
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")
    except SystemExit as end:  # typer has turned Ctrl-C into this
        if end.code == EXIT_STOPPED:
            Console(stderr=True).print("stopped; the same command resumes where it was")
        raise


if __name__ == "__main__":
    main()
