"""`fedsim.run` and `fedsim.report`: simulate, attack and report.

Every function that works in a run directory holds its lock.
"""

from collections.abc import Callable, Iterable, Sequence

from fedsim.api.arguments import (
    ExperimentLike,
    PathLike,
    RunLike,
    as_experiment,
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
from fedsim.rundir.same_experiment import with_engine_of_run
from fedsim.stages.attack import attack as attack_stage
from fedsim.stages.figures.attackers_file import keep_attackers
from fedsim.stages.figures.ceilings import keep_guarantees
from fedsim.stages.figures.federation_seeds import repeats_of
from fedsim.stages.page.exposed_records import ExposedRequest
from fedsim.stages.preparation.dry_run import try_attacks
from fedsim.stages.preparation.experiment_data import load_data, require_labels
from fedsim.stages.preparation.plan import Plan, StatedThreat, plan, stated_threats
from fedsim.stages.preparation.refusals import require_simulated
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.report import report as report_stage
from fedsim.stages.simulate import simulate as simulate_stage
from fedsim.stages.simulation.run_content import keep_content, require_data

OnPlan = Callable[[Sequence[StatedThreat], Plan], None]
"""Called before the first round with the threat models and the sizes of a run."""


@only_warnings_of_flower()
def run(
    experiment: ExperimentLike,
    out: PathLike | None = None,
    *,
    settings: Iterable[str] = (),
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
    states: PathLike | None = None,
    on_plan: OnPlan | None = None,
) -> FinishedRun:
    """Simulate, attack and report; a second call resumes what was stopped.

    Parameters
    ----------
    experiment
        A YAML file, a mapping with the same content, or an experiment that was read before. In a
        mapping, functions and classes of a module may be given in the place of ``module:name``.
    out
        The run directory, created if needed; by default ``runs/NAME`` for an experiment file.
    settings
        ``a.b=c`` each: changes one setting of an experiment file.
    data_dir
        Where the data set's files are; None downloads them.
    watcher
        Receives the progress; ``fedsim.cli.console.ConsoleWatcher(rich.console.Console())`` draws
        bars.
    states
        A folder of federations' states that runs share: rounds that another run has simulated are
        not simulated again. By default only the federations of this run share states.
    on_plan
        Called before the first round with the threat models and the sizes of the run.

    Raises
    ------
    FedsimError
        If any argument is missing or not valid.
    """
    where = as_path(data_dir)
    resolved = as_experiment(experiment, tuple(settings), where)
    folder = new_run_folder(experiment, out)
    resolved = with_engine_of_run(resolved, RunDirectory(folder).experiment)
    shared = as_path(states, "the folder of states")
    require_simulated(resolved)
    setup = build_setup(resolved, where, watcher)
    if on_plan is not None:
        learns_from = {k: attack.needs.knowledge_in_words for k, attack in setup.attacks.items()}
        threats = stated_threats(setup.attackers, setup.experiment, learns_from)
        on_plan(threats, plan(setup))
    if not RunDirectory(folder).results.is_file():
        try_attacks(setup, watcher)
    directory = RunDirectory.create(folder, setup.experiment.resolved())
    with directory.locked():
        keep_content(setup, directory)
        keep_attackers((*setup.attackers, *setup.unseeing), directory)
        keep_guarantees(setup.guarantees, directory)
        write_json(
            directory.provenance,
            provenance(where, setup.experiment.folder),
        )
        simulate_stage(setup, directory, watcher, shared)
        attack_stage(setup, directory, watcher, fresh=False)
        for place, repeat in repeats_of(resolved, folder).items():
            watcher.say(f"federation seed {place.name} of {resolved.audit.federation_seeds}")
            run(repeat, place, data_dir=data_dir, watcher=watcher, states=states)
        return FinishedRun(folder, report_stage(directory))


def report(run: RunLike, *, exposed: int = 0, data_dir: PathLike | None = None) -> FinishedRun:
    """Evaluate the scores of a run again, and write its results and its page.

    Parameters
    ----------
    run
        A run directory, or what `run` returned.
    exposed
        How many of the most exposed training records of each adversary the page shows: as images if
        the data are images, else as record ids. Such a page reveals training data. The data are not
        needed for 0.
    data_dir
        The folder of the data set's files; by default that of the run.

    Raises
    ------
    FedsimError
        If there is no such run, or it was not attacked yet, or its data are not there.
    """
    directory = RunDirectory.existing(run_folder(run))
    with directory.locked():
        request = _exposed_request(directory, exposed, data_dir) if exposed else None
        return FinishedRun(directory.path, report_stage(directory, request))


def open_run(path: PathLike) -> FinishedRun:
    """Return a finished run; only its results are read.

    Raises
    ------
    FedsimError
        If there is no such run, or it is unfinished.
    """
    return FinishedRun.read(run_folder(path))


def prepare(
    experiment: ExperimentLike,
    *,
    settings: Iterable[str] = (),
    data_dir: PathLike | None = None,
    watcher: Watcher = SILENCE,
) -> Setup:
    """Load, draw and build what an experiment names, and simulate nothing.

    For scripts that inspect a run directory: its ``experiment.yaml`` gives the data set, the
    ledger, and the model for the parameters of a snapshot.

    Parameters
    ----------
    experiment, settings, data_dir, watcher
        As in `run`.

    Raises
    ------
    FedsimError
        If anything that it names is not valid, or missing.
    """
    where = as_path(data_dir)
    return build_setup(as_experiment(experiment, tuple(settings), where), where, watcher)


def _exposed_request(
    directory: RunDirectory, records: int, data_dir: PathLike | None
) -> ExposedRequest:
    experiment = experiment_of(directory)
    dataset = load_data(experiment, data_folder_of(directory, data_dir), SILENCE)
    require_labels(read_ledger(directory.ledger), dataset, directory.ledger)
    require_data(dataset, directory)
    return ExposedRequest(records, dataset)
