"""The first stage: run the federations and keep what their attackers see.

Reads only the experiment; writes the ledger, the snapshots, and for each federation its history and
a checkpoint from which a stopped federation resumes.
"""

import shutil
from collections.abc import Sequence, Set
from pathlib import Path

from fedsim.data import write_ledger
from fedsim.engines.base import NewGrid
from fedsim.engines.factory import open_engine
from fedsim.engines.processes import WorkerEnded
from fedsim.engines.threads import limited_threads
from fedsim.errors import FedsimError, MessageError
from fedsim.federation.rounds import Progress
from fedsim.federation.server_app import Server, make_server_app
from fedsim.observation.snapshots import require_space
from fedsim.progress import Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attacker_resources import give_resources
from fedsim.stages.preparation.federations import PlannedFederation, federations_of
from fedsim.stages.preparation.plan import plan
from fedsim.stages.preparation.refusals import require_simulated
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup import strategy_of as strategy_of
from fedsim.stages.simulation.canary_cosines import CosineRecorder
from fedsim.stages.simulation.checkpointing import Checkpointer, read_taken_over
from fedsim.stages.simulation.common_rounds import CommonRounds
from fedsim.stages.simulation.federation_parts import (
    beginning_of,
    client_app_of,
    progress_summary,
    schedule_of,
)
from fedsim.stages.simulation.parameter_release import release_parameters
from fedsim.stages.simulation.round_timing import timed_rounds
from fedsim.stages.simulation.state_cache import StateCache
from fedsim.training.training_memory import TrainingMemory


def simulate(
    setup: Setup, run: RunDirectory, watcher: Watcher, states: Path | None = None
) -> dict[str, Progress]:
    """Run every federation of an experiment to its end, from its checkpoint if there is one.

    Parameters
    ----------
    setup, run, watcher
        The experiment, where it lives, and the watcher.
    states
        A folder of states that runs share (see `fedsim.stages.simulation.state_cache`): rounds that
        another run has simulated are not simulated again. By default only the federations of this
        run share states.

    Returns
    -------
    The final state of each federation, by name.

    Raises
    ------
    FedsimError
        If a participant fails or a message cannot be used; a checkpoint of the last
        finished round was written then. If the disk is too small, or processes are lost more often
        than `engine.restarts`.
    KeyboardInterrupt
        After a checkpoint of the last finished round was written.
    """
    require_simulated(setup.experiment)
    if not run.ledger.is_file():
        write_ledger(setup.ledger, run.ledger)
    federations = placed_federations(setup, run)
    if not any(run.checkpoint(federation.name).is_file() for federation in federations):
        require_space(run.path, plan(setup).snapshot_bytes)
    shared = StateCache(states or run.states, setup)
    branches = {start - 1 for f in federations if (start := f.acts_from()) is not None}
    last = setup.experiment.federation.rounds
    kept_rounds = branches | {last} if states else branches
    ends: dict[str, Progress] = {}
    engine, common = setup.experiment.engine, CommonRounds(setup, run, federations)
    common.forget()  # an earlier attempt may have left some
    with limited_threads(engine.threads), open_engine(engine) as new_grid:
        for federation in federations:
            memory = common.memory(federation)
            ends[federation.name] = _run(
                setup, federation, run, watcher, shared, kept_rounds, new_grid, memory
            )
    common.forget()
    if states is None:
        shutil.rmtree(run.states, ignore_errors=True)
    _tell_reuse(run, federations, last, watcher)
    return ends


def placed_federations(setup: Setup, run: RunDirectory) -> tuple[PlannedFederation, ...]:
    """Return the federations of an experiment, their attackers with resources and a store."""
    for attacker in setup.attackers:
        give_resources(setup, attacker)
        for adversary in attacker.adversaries:
            adversary.keep_in(attacker.store(setup.experiment, run))
    return federations_of(setup.attackers)


def _run(
    setup: Setup,
    federation: PlannedFederation,
    run: RunDirectory,
    watcher: Watcher,
    states: StateCache,
    kept_rounds: Set[int],
    new_grid: NewGrid,
    memory: TrainingMemory | None,
) -> Progress:
    """Run a federation to its end; after the loss of a process, resume from the last checkpoint."""
    participants, losses = setup.ledger.participants, 0
    while True:
        with new_grid(client_app_of(setup, federation, memory), participants) as grid:
            strategy, schedule = strategy_of(setup), schedule_of(setup)
            keeper = Checkpointer(run, federation, grid, strategy, schedule, states, kept_rounds)
            try:
                keeper.start(beginning_of(setup))
                _serve(setup, federation, keeper, participants, watcher)
                keeper.ended()
                release_parameters(setup, federation, run, frozenset(), keeper.progress.round)
            except WorkerEnded as ended:
                losses += 1
                if losses > setup.experiment.engine.restarts:
                    raise
                watcher.say(f"{ended.happened}; {keeper.cost_of_going_on()}")
            else:
                return keeper.progress


def _serve(
    setup: Setup,
    federation: PlannedFederation,
    keeper: Checkpointer,
    participants: int,
    watcher: Watcher,
) -> None:
    """Run the remaining rounds."""
    start, schedule = keeper.progress, keeper.schedule
    utility, recorder = schedule.objective.utility, keeper.last_round_recorder
    cosines = _cosine_recorder(setup, federation, keeper)
    task = watcher.task(f"federation {federation.name}", schedule.rounds, start.round)
    with task as advance, timed_rounds(keeper.run, federation.name) as counter:

        def after_round(progress: Progress) -> None:
            counter.count()
            if cosines is not None:
                cosines.after(progress)
            keeper.finished(progress)
            release_parameters(setup, federation, keeper.run, keeper.kept_rounds, progress.round)
            advance(progress_summary(progress, utility, recorder.took_part))

        adversaries = (recorder, *federation.servers.values())
        server = Server(keeper.strategy, adversaries, participants, schedule, start, after_round)
        try:
            keeper.grid.serve(make_server_app(server))
        except (KeyboardInterrupt, MessageError):
            _keep_what_is_there(keeper, watcher)
            raise
        if cosines is not None:
            cosines.ended(keeper.progress)


def _cosine_recorder(
    setup: Setup, federation: PlannedFederation, keeper: Checkpointer
) -> CosineRecorder | None:
    """Return the recorder of canary participants' cosines; None without canary participants."""
    if not setup.experiment.audit.canary_participants:
        return None
    path, beginning = keeper.run.canary_cosines(federation.name), beginning_of(setup).arrays
    return CosineRecorder(setup, path, beginning, keeper.progress)


def _keep_what_is_there(keeper: Checkpointer, watcher: Watcher) -> None:
    """Write a checkpoint of a federation that is about to stop."""
    try:
        keeper.keep()
    except (FedsimError, OSError) as error:
        watcher.say(f"where it stands could not be kept ({error}); {keeper.cost_of_going_on()}")


def _tell_reuse(
    run: RunDirectory, federations: Sequence[PlannedFederation], rounds: int, watcher: Watcher
) -> None:
    """Report how many rounds were simulated, and how many were reused."""
    reused = {f.name: read_taken_over(run.history(f.name)) for f in federations}
    for name, count in reused.items():
        if count:
            watcher.say(f"federation {name}: rounds 1 to {count} were simulated before, not again")
    asked, spared = len(federations) * rounds, sum(reused.values())
    if spared:
        watcher.say(
            f"{asked} rounds in {len(federations)} federations; {asked - spared} simulated, "
            f"{(asked - spared) / rounds:.2f} times one federation"
        )
