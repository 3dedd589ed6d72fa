"""`fedsim.attack`, `fedsim.attack_given`: attack a finished run or an external model."""

from collections.abc import Sequence

from fedsim.api.arguments import (
    AttackLike,
    PathLike,
    RunLike,
    as_attacks,
    as_external_model,
    as_path,
    data_folder_of,
    experiment_of,
    new_run_folder,
    run_folder,
)
from fedsim.api.result_objects import FinishedRun
from fedsim.data import read_ledger
from fedsim.federation.log_filters import only_warnings_of_flower
from fedsim.files import write_json
from fedsim.progress import SILENCE, Watcher
from fedsim.rundir import RunDirectory
from fedsim.rundir.provenance import provenance
from fedsim.stages.attack import attack as attack_stage
from fedsim.stages.external_model import ExternalModel, keep_given, set_given_setup
from fedsim.stages.figures.attackers_file import keep_attackers
from fedsim.stages.figures.federation_seeds import repeats_of
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.report import report as report_stage
from fedsim.stages.simulation.run_content import keep_content, require_content


@only_warnings_of_flower()
def attack(
    run: RunLike,
    attacks: AttackLike | Sequence[AttackLike] = (),
    *,
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
) -> FinishedRun:
    """Attack a finished run again, by its own attacks or by others, without simulating again.

    Parameters
    ----------
    run
        A run directory, or what `run` returned.
    attacks
        The attacks to run, one or several: by label, by plugin name, as a class of your own, or as
        a mapping with a name, settings and an optional label. By default all attacks of the run.
        The results keep earlier attacks.
    data_dir
        The folder of the data set's files; by default that of the run.
    watcher
        Receives the progress.

    Raises
    ------
    FedsimError
        If there is no such run or attack, or a file of the run is damaged.
    """
    directory = RunDirectory.existing(run_folder(run))
    experiment = experiment_of(directory)
    names = as_attacks(attacks)
    chosen = experiment.with_attacks(names) if names else experiment
    where = data_folder_of(directory, data_dir)
    setup = build_setup(chosen, where, watcher, ledger=read_ledger(directory.ledger))
    require_content(setup, directory)
    with directory.locked():
        attack_stage(setup, directory, watcher, fresh=True)
        for place in repeats_of(experiment, directory.path):
            if RunDirectory(place).results.is_file():
                attack(place, names, data_dir=data_dir, watcher=watcher)
        return FinishedRun(directory.path, report_stage(directory))


@only_warnings_of_flower()
def attack_given(
    given: ExternalModel,
    out: PathLike,
    *,
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
) -> FinishedRun:
    """Attack a model that was trained elsewhere, and report like for a run.

    Parameters
    ----------
    given
        The model, its weights, its data and its membership file; see `fedsim.ExternalModel`.
    out
        The run directory; made if it is not there.
    data_dir
        Where the data set's files are; None downloads them.
    watcher
        Receives the progress.

    Raises
    ------
    FedsimError
        If any input is missing, damaged, or does not fit the others.
    """
    given = as_external_model(given)
    setup, snapshots = set_given_setup(given, as_path(data_dir), watcher)
    directory = RunDirectory.create(new_run_folder(given, out), setup.experiment.resolved())
    with directory.locked():
        keep_content(setup, directory)
        keep_attackers(setup.attackers, directory)
        write_json(
            directory.provenance,
            provenance(as_path(data_dir), setup.experiment.folder),
        )
        keep_given(setup, snapshots, directory)
        attack_stage(setup, directory, watcher, fresh=False)
        return FinishedRun(directory.path, report_stage(directory))
