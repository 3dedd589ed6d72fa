"""The whole programme on one screen: simulate, attack, report, with files between them."""

from collections.abc import Iterable
from pathlib import Path

from fedsim.config.experiment import Experiment, load_experiment
from fedsim.data import read_ledger
from fedsim.files import write_json
from fedsim.progress import SILENCE, Watcher
from fedsim.provenance import provenance, recorded_data_dir, recorded_folder
from fedsim.report.results import Results
from fedsim.rundir import RunDirectory
from fedsim.stages.attack import attack as attack_stage
from fedsim.stages.dry_run import try_attacks
from fedsim.stages.exposed_records import ExposedRequest
from fedsim.stages.external_model import ExternalModel, keep_given, set_given_setup
from fedsim.stages.report import report as report_stage
from fedsim.stages.run_content import keep_content, require_content, require_data
from fedsim.stages.setup import Setup, load_data, require_labels, set_setup
from fedsim.stages.simulate import simulate as simulate_stage


def run(
    experiment: Experiment,
    out: Path,
    *,
    data_dir: Path | None = None,
    watcher: Watcher = SILENCE,
    setup: Setup | None = None,
    states: Path | None = None,
) -> Results:
    """Run an experiment into a run directory, or go on with one that was stopped.

    Parameters
    ----------
    experiment
        What to run; see `fedsim.load_experiment`.
    out
        The run directory; made if it is not there.
    data_dir
        Where the data set's files are; None downloads them.
    watcher
        Is told how far it is.
    setup
        The experiment's data and plugins, where the caller has loaded them already.
    states
        A folder of federations' states that runs share: what another run with it has simulated is
        not simulated again. By default only the federations of this run share.

    Raises
    ------
    FedsimError
        If anything that the experiment needs is missing or not valid.
    """
    setup = setup or set_setup(experiment, data_dir, watcher)
    if not RunDirectory(out).results.is_file():
        try_attacks(setup, watcher)
    directory = RunDirectory.create(out, setup.experiment.resolved())
    with directory.locked():
        keep_content(setup, directory)
        write_json(directory.provenance, provenance(data_dir, setup.experiment.folder))
        simulate_stage(setup, directory, watcher, states)
        attack_stage(setup, directory, watcher, fresh=False)
        return report_stage(directory)


def attack(
    path: Path,
    *,
    data_dir: Path | None = None,
    attacks: Iterable[str] = (),
    watcher: Watcher = SILENCE,
) -> Results:
    """Attack a finished run again, by its own attacks or by others, without simulating again.

    Parameters
    ----------
    path
        The run directory.
    data_dir
        Where the data set's files are; by default where they were.
    attacks
        The attacks to make anew, by label or plugin name; none named means all of the run's. The
        results keep those made before.
    watcher
        Is told how far it is.

    Raises
    ------
    FedsimError
        If there is no such run, or its files are damaged.
    """
    directory = RunDirectory.existing(path)
    experiment = _experiment_of(directory)
    names = tuple(attacks)
    chosen = experiment.with_attacks(names) if names else experiment
    where = data_dir or recorded_data_dir(directory.provenance)
    setup = set_setup(chosen, where, watcher, ledger=read_ledger(directory.ledger))
    require_content(setup, directory)
    with directory.locked():
        attack_stage(setup, directory, watcher, fresh=True)
        return report_stage(directory)


def attack_given(
    given: ExternalModel, out: Path, *, data_dir: Path | None = None, watcher: Watcher = SILENCE
) -> Results:
    """Attack a model that was trained elsewhere, and report as of a run.

    Parameters
    ----------
    given
        Its factory, its weights, its data, and who was in them.
    out
        The run directory; made if it is not there.
    data_dir
        Where the data set's files are; None downloads them.
    watcher
        Is told how far it is.

    Raises
    ------
    FedsimError
        If anything given is missing, damaged, or does not fit the rest.
    """
    setup, snapshots = set_given_setup(given, data_dir, watcher)
    directory = RunDirectory.create(out, setup.experiment.resolved())
    with directory.locked():
        keep_content(setup, directory)
        write_json(directory.provenance, provenance(data_dir, setup.experiment.folder))
        keep_given(setup, snapshots, directory)
        attack_stage(setup, directory, watcher, fresh=False)
        return report_stage(directory)


def report(path: Path, *, exposed: int = 0, data_dir: Path | None = None) -> Results:
    """Judge the scores of a run again, and write its results and its page.

    Parameters
    ----------
    path
        The run directory.
    exposed
        How many of the most exposed training records of each adversary the page shows: images where
        the data are images, else record ids. Whoever sees that page sees training data. No data
        are needed where it is 0.
    data_dir
        Where the data set's files are; by default where they were.

    Raises
    ------
    FedsimError
        If there is no such run, or it was not attacked yet, or its data are not there.
    """
    directory = RunDirectory.existing(path)
    with directory.locked():
        return report_stage(directory, _asked(directory, exposed, data_dir) if exposed else None)


def _experiment_of(directory: RunDirectory) -> Experiment:
    """Return a run's experiment, as if it were still read from where it was."""
    return load_experiment(directory.experiment).beside(recorded_folder(directory.provenance))


def _asked(directory: RunDirectory, exposed: int, data_dir: Path | None) -> ExposedRequest:
    where = data_dir or recorded_data_dir(directory.provenance)
    dataset = load_data(_experiment_of(directory), where, SILENCE)
    require_labels(read_ledger(directory.ledger), dataset, directory.ledger)
    require_data(dataset, directory)
    return ExposedRequest(exposed, dataset)
