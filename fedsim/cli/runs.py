"""The commands about one run: `run`, `attack` and `report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from fedsim.cli.exit_codes import EXIT_PROBLEM
from fedsim.cli.options import (
    Address,
    AsJsonOption,
    DataDir,
    EngineName,
    Quiet,
    RunPath,
    TensorBoard,
    on_engine,
)
from fedsim.errors import FedsimError, listed

DEFAULT_ATTACKS = (
    "ensemble",
    "supervised",
    "scalar-logistic",
    "gradient-norm",
    "loss",
    "label",
    "random",
)


def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The experiment (YAML).")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory; default runs/CONFIG-NAME.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help="Change one setting.")
    ] = None,
    null: Annotated[
        bool,
        typer.Option(
            "--null",
            help="Nobody trains on an audited record (audit.null): exit code 1 if a figure differs "
            "from guessing. The run directory is NAME-null by default.",
        ),
    ] = False,
    engine: EngineName = None,
    address: Address = None,
    data_dir: DataDir = None,
    tensorboard: TensorBoard = None,
    quiet: Quiet = False,
    as_json: AsJsonOption = False,
) -> None:
    """Simulate, attack and report. The same command resumes what was stopped."""
    from fedsim import api
    from fedsim.cli.output import choose_output
    from fedsim.progress_sinks import FanOut, open_scalars
    from fedsim.rundir import RunDirectory
    from fedsim.stages.figures.null_check import null_failures

    output = choose_output(quiet=quiet, as_json=as_json)
    out = out or api.RUNS / (f"{config.stem}-null" if null else config.stem)
    scalars = open_scalars(tensorboard, RunDirectory(out)) if tensorboard else None
    finished = api.run(
        config,
        out,
        settings=[*(settings or ()), *on_engine(engine, address), *(["audit.null=true"] * null)],
        data_dir=data_dir,
        watcher=FanOut(output.watcher, scalars) if scalars else output.watcher,
        on_plan=output.show_plan,
    )
    if scalars:
        scalars.end(finished.results)
    output.show_results(finished.results, out)
    end_by_self_check(finished.self_check)
    federations = (finished.results, *finished.repeats.values())
    if any(null_failures(one.findings) for one in federations):
        raise typer.Exit(EXIT_PROBLEM)


def attack(
    path: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run directory, or --model ...")
    ] = None,
    attacks: Annotated[
        list[str] | None,
        typer.Option(
            "--attack",
            metavar="NAME",
            help="An attack, or '{name: NAME, SETTING: VALUE}'; default: the run's.",
        ),
    ] = None,
    data_dir: DataDir = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of a run, a model trained elsewhere: its factory.")
    ] = None,
    weights: Annotated[
        list[Path] | None, typer.Option(help="Its safetensors; several: versions, earliest first.")
    ] = None,
    snapshots: Annotated[
        list[Path] | None,
        typer.Option(help="Instead of weights: folders of snapshots kept in a Flower app."),
    ] = None,
    owner: Annotated[
        list[str] | None,
        typer.Option(help="Which snapshots: participant-N, sent-N, aggregate, ...; default: all."),
    ] = None,
    victim: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="The participant in question, where there are uploads of several.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option(help="A data set, or module:function.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="CSV or parquet: record, member and perhaps known.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory to create.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the attacks on a given model.")] = 0,
    quiet: Quiet = False,
    as_json: AsJsonOption = False,
) -> None:
    """Attack a finished run again, or a model that was trained elsewhere."""
    from fedsim import api
    from fedsim.cli.output import choose_output
    from fedsim.config.yaml_files import parse_yaml
    from fedsim.stages.external_model import ExternalModel

    output = choose_output(quiet=quiet, as_json=as_json)
    watcher = output.watcher
    needed = {"--model": model, "--data": data, "--ledger": ledger, "--out": out}
    given = [name for name, value in needed.items() if value is not None]
    named = [parse_yaml(one, "--attack") if one[:1] == "{" else one for one in attacks or ()]
    if path is not None and not given and not (weights or snapshots or owner or victim is not None):
        finished = api.attack(path, named, data_dir=data_dir, watcher=watcher)
        output.show_results(finished.results, path)
        end_by_self_check(finished.self_check)
        return
    if path is not None or model is None or data is None or ledger is None or out is None:
        raise FedsimError(
            "give either a run directory alone, or a model with --model, --weights (or "
            f"--snapshots), --data, --ledger and --out; given: {listed(given)}"
        )
    if bool(weights) == bool(snapshots):
        raise FedsimError("give the model's parameters as --weights or as --snapshots, one of both")
    asked = ExternalModel(
        model=parse_yaml(model, "--model"),
        data=parse_yaml(data, "--data"),
        membership=ledger,
        adversary="released-model",
        attacks=tuple(named or DEFAULT_ATTACKS),
        weights=tuple(weights or ()),
        snapshots=tuple(snapshots) if snapshots else None,
        owner=tuple(owner or ()),
        victim=victim,
        seed=seed,
    )
    finished = api.attack_given(asked, out, data_dir=data_dir, watcher=watcher)
    output.show_results(finished.results, out)


def report(
    path: RunPath,
    exposed: Annotated[
        int,
        typer.Option(
            "--exposed",
            metavar="N",
            min=0,
            max=100,
            help="Show the N most exposed training records of each adversary on the page: images, "
            "or ids for other data. Such a page is as private as the data.",
        ),
    ] = 0,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: AsJsonOption = False,
) -> None:
    """Evaluate the scores of a run again, and write its results and its page."""
    from fedsim import api
    from fedsim.cli.output import choose_output

    output = choose_output(quiet=quiet, as_json=as_json)
    finished = api.report(path, exposed=exposed, data_dir=data_dir)
    output.show_results(finished.results, path)
    end_by_self_check(finished.self_check)


def end_by_self_check(sentences: Sequence[str]) -> None:
    """End with exit code 1 if an attack refutes the guarantee of a defence, and name it."""
    for sentence in sentences:
        message = Text.assemble(("fedsim: self-check failed:", "bold red"), f" {sentence}")
        Console(stderr=True).print(message, highlight=False, soft_wrap=True)
    if sentences:
        raise typer.Exit(EXIT_PROBLEM)
