"""Several federations that go on in step, so that their participants train in one stack.

Shadow federations differ in their seeds and in who holds which record, and in nothing else. Where
the training can be stacked (see `fedsim.training.vectorized`), the participants of all of them go
together. Each federation has its own server, strategy, checkpoint and snapshots, and what comes out
is, bit for bit, what each gives alone with stacked training. With ``engine.workers`` each process
runs its share of the federations.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from flwr.app import Message

from fedsim.adversary.adversarial_strategy import AdversarialStrategy
from fedsim.config.engine import LocalEngine
from fedsim.data import write_ledger
from fedsim.engines.flower_identity import local_identity
from fedsim.engines.in_process import LocalGrid
from fedsim.engines.parallel_jobs import Job, run_jobs
from fedsim.engines.threads import limited_threads
from fedsim.errors import FedsimError
from fedsim.federation.client_app import PrefetchingApp
from fedsim.federation.rounds import Exchange, Progress, exchange_rounds
from fedsim.observation.snapshots import require_space
from fedsim.progress import Watcher
from fedsim.rundir import RunDirectory
from fedsim.seeds import OwnDraws
from fedsim.stages.preparation.plan import plan
from fedsim.stages.preparation.setup import Setup, strategy_of
from fedsim.stages.simulate import placed_federations
from fedsim.stages.simulation.checkpointing import Checkpointer
from fedsim.stages.simulation.federation_parts import beginning_of, client_app_of, schedule_of
from fedsim.stages.simulation.state_cache import StateCache
from fedsim.training.vectorized.trainer import required_stack_training, stack_training

Place = tuple[Setup, RunDirectory]


def go_in_step(setup: Setup) -> bool:
    """Return whether an experiment's shadow federations are to go on in step.

    Raises
    ------
    ConfigError
        If they are to, and cannot be stacked; the sentence says why.
    """
    engine = setup.experiment.engine
    if engine.stacked_shadows is True:
        required_stack_training(setup.participants)
        return True
    possible = (
        engine.stacked_shadows == "auto"
        and type(engine) is LocalEngine
        and engine.timeout is None
        and not setup.experiment.audit.canary_participants
    )
    if not possible or isinstance(training := stack_training(setup.participants), str):
        return False
    largest = max(map(len, setup.training_sets))
    return training.fitting(largest, setup.experiment.federation.local.batch_size, True) > 1


def stacked_setup(setup: Setup) -> Setup:
    """Return a setup whose participants train stacked."""
    engine = setup.experiment.engine.model_copy(update={"stacked": True})
    return replace(setup, experiment=setup.experiment.model_copy(update={"engine": engine}))


def simulate_in_step(places: Sequence[Place], watcher: Watcher) -> None:
    """Run the honest federation of each setup to its end, each from where it was last kept.

    Parameters
    ----------
    places
        Setups that agree in all but their seeds and ledgers, and where each run lives.
    watcher
        Receives the progress.

    Raises
    ------
    FedsimError
        As `fedsim.stages.simulate.simulate` does.
    """
    if not places:
        return
    engine, rounds = places[0][0].experiment.engine, places[0][0].experiment.federation.rounds
    shares = [places[first :: engine.workers] for first in range(min(engine.workers, len(places)))]
    jobs: dict[str, Job] = {
        f"shadow federations, share {n}": partial(_run, share) for n, share in enumerate(shares)
    }
    space = sum(plan(s).snapshot_bytes for s, run in places if not run.ledger.is_file())
    require_space(places[0][1].path.parent, space)
    title = f"{len(places)} shadow federations"
    with (
        limited_threads(engine.threads),
        watcher.task(title, rounds * len(shares)) as advance,
        closing(run_jobs(jobs, engine.workers, engine.threads, watcher)) as steps,
    ):
        for standing in steps:
            advance(standing)


@dataclass
class InStep:
    """A federation between two exchanges.

    Attributes
    ----------
    app, grid, keeper
        Its participants, what reaches them, and what keeps where it stands.
    rounds
        Its exchanges that are left.
    draws
        The global generators as it sees them.
    messages
        What it is about to send; None at its end.
    """

    app: PrefetchingApp
    grid: LocalGrid
    keeper: Checkpointer
    rounds: Exchange[Progress]
    draws: OwnDraws
    messages: list[Message] | None = None

    @classmethod
    def of(cls, setup: Setup, run: RunDirectory) -> "InStep":
        """Return the federation of a setup where its checkpoint has it, about to go on."""
        if not run.ledger.is_file():
            write_ledger(setup.ledger, run.ledger)
        [federation] = placed_federations(setup, run)
        app, participants = client_app_of(setup, federation), setup.ledger.participants
        grid = LocalGrid(app, participants)
        states, schedule = StateCache(run.states, setup), schedule_of(setup)
        strategy = strategy_of(setup)
        keeper = Checkpointer(run, federation, grid, strategy, schedule, states, frozenset())
        keeper.start(beginning_of(setup))
        participant_of = {node: number for number, node in enumerate(sorted(grid.get_node_ids()))}
        watched = AdversarialStrategy(strategy, tuple(federation.servers.values()), participant_of)
        rounds = exchange_rounds(
            grid, watched, keeper.progress, schedule, participant_of, keeper.finished
        )
        found = cls(app, grid, keeper, rounds, OwnDraws())
        found.proceed(None)
        return found

    def proceed(self, replies: Iterable[Message] | None) -> None:
        """Take the replies, and go on to the next messages."""
        with self.draws.resumed():
            try:
                self.messages = next(self.rounds) if replies is None else self.rounds.send(replies)
            except StopIteration:
                self.messages = None

    @property
    def round(self) -> int:
        """How many rounds are done."""
        return self.keeper.progress.round


def _run(places: Sequence[Place], watcher: Watcher) -> Iterator[str]:
    """Run federations in this process, and yield a line for each round that all have done."""
    with local_identity():
        federations = [InStep.of(setup, run) for setup, run in places]
        done = 0
        try:
            while True:
                slowest = min(one.round for one in federations)
                yield from (f"round {number}" for number in range(done + 1, slowest + 1))
                done = slowest
                if not _exchange(federations):
                    break
        except (KeyboardInterrupt, FedsimError, GeneratorExit):
            for one in federations:
                one.keeper.keep()
            raise
        for one in federations:
            one.keeper.ended()
            shutil.rmtree(one.keeper.run.states, ignore_errors=True)


def _exchange(federations: Sequence[InStep]) -> bool:
    """Let each federation send its messages and get the replies; return whether any did."""
    waiting = [(one, one.messages) for one in federations if one.messages is not None]
    PrefetchingApp.foresee_together(
        [(one.app, one.grid.addressed(messages)) for one, messages in waiting]
    )
    for one, messages in waiting:
        one.proceed(one.grid.answer(messages))
    return bool(waiting)
