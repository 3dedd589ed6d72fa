"""The first stage: run the federation and keep what its dishonest parties see.

Reads nothing but the experiment; writes the ledger, the snapshots, the history of utility, and a
checkpoint from which it goes on when it was stopped.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from flwr.serverapp.strategy import Strategy
from torch import nn

from fedsim import seeds
from fedsim.data import write_ledger
from fedsim.engines.local import LocalGrid
from fedsim.engines.threads import limited_threads
from fedsim.federation.adversary import Briefing
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.client import Participants, make_client_app, sampled
from fedsim.federation.messages import shapes_of
from fedsim.federation.participant_position import ParticipantAdversary
from fedsim.federation.rounds import Progress, Schedule
from fedsim.federation.server import Server, make_server_app
from fedsim.federation.server_position import ServerAdversary
from fedsim.federation.strategies import build_strategy
from fedsim.federation.training import RecordIds, Utility, evaluate
from fedsim.files import write_json
from fedsim.progress import Watcher
from fedsim.rundir import RunDirectory
from fedsim.snapshots import require_space
from fedsim.stages.plan import plan
from fedsim.stages.scene import Party, Scene

CHECKPOINT_SECONDS = 30.0


def simulate(scene: Scene, run: RunDirectory, watcher: Watcher) -> Progress:
    """Run the federation to its end, from its checkpoint if there is one.

    Raises
    ------
    FedsimError
        If a participant fails, anybody sends what cannot be used, or the disk is too small.
    KeyboardInterrupt
        After a checkpoint of the last finished round was written.
    """
    experiment = scene.experiment
    if not run.ledger.is_file():
        write_ledger(scene.ledger, run.ledger)
    for party in scene.parties:
        party.adversary.keep_in(party.store(experiment, run)).brief(_briefing(scene, party))
    kept = Checkpoint.load(run.checkpoint) if run.checkpoint.is_file() else None
    if kept is None:
        require_space(run.path, plan(scene).snapshot_bytes)
    with limited_threads(experiment.engine.threads):
        return _run(scene, kept, run, watcher)


def _run(scene: Scene, kept: Checkpoint | None, run: RunDirectory, watcher: Watcher) -> Progress:
    training_sets = scene.ledger.training_sets
    federation = scene.experiment.federation
    model = scene.new_model()
    grid = LocalGrid(_client_app(scene, training_sets), len(training_sets))
    strategy = build_strategy(
        federation.strategy.name,
        federation.strategy.settings,
        federation.fewest_present(len(training_sets)),
    )
    seated = {
        party.label: party.adversary
        for party in scene.parties
        if isinstance(party.adversary, ServerAdversary)
    }
    start = kept.progress if kept else Progress(0, ArrayRecord(model.state_dict()))
    if kept:
        grid.restore(kept.states)
        kept.restore(strategy, seated)
    keeper = _Keeper(run, grid, strategy, seated, federation.rounds, start)
    with watcher.task("federation", federation.rounds, start.round) as advance:

        def after_round(progress: Progress) -> None:
            keeper.finished(progress)
            advance(_standing(progress))

        schedule = Schedule(
            federation.rounds,
            federation.evaluation.every,
            scene.experiment.seed,
            shapes_of(model),
            _tester(scene, model),
            present=partial(federation.present, participants=len(training_sets)),
        )
        server = Server(
            strategy, tuple(seated.values()), len(training_sets), schedule, start, after_round
        )
        try:
            grid.serve(make_server_app(server))
        except KeyboardInterrupt:
            keeper.keep()
            raise
    return keeper.progress


def _briefing(scene: Scene, party: Party) -> Briefing:
    """Return what an active party may compute with: the audited records of its questions."""
    audited = [scene.ledger.audit(question).records for question in party.questions]
    targets = np.unique(np.concatenate(audited))
    seed = seeds.derive(scene.experiment.seed, "adversary", party.label)
    return Briefing(scene.new_model, scene.dataset, targets, seed)


def _client_app(scene: Scene, training_sets: Sequence[RecordIds]) -> ClientApp:
    federation = scene.experiment.federation
    adversaries = [party.adversary for party in scene.parties]
    mods: list[Mod] = [a for a in adversaries if isinstance(a, ParticipantAdversary)]
    participants = Participants(
        scene.dataset,
        training_sets,
        scene.new_model,
        federation.local,
        federation.evaluation.records,
        scene.experiment.seed,
    )
    return make_client_app(participants, mods)


def _tester(scene: Scene, model: nn.Module) -> Callable[[ArrayRecord], Utility]:
    """Return what measures an aggregate on held-out records, always the same ones."""
    at_most, seed = scene.experiment.federation.evaluation.records, scene.experiment.seed
    records = sampled(scene.dataset.test_records, at_most, seed, "server")

    def test(arrays: ArrayRecord) -> Utility:
        model.load_state_dict(arrays.to_torch_state_dict())
        return evaluate(model, scene.dataset, records)

    return test


@dataclass
class _Keeper:
    """Writes a checkpoint now and then, at the end, and when the run is stopped.

    When it is written changes nothing in the numbers, so it goes by the clock: small rounds would
    otherwise spend their time on the disk.
    """

    run: RunDirectory
    grid: LocalGrid
    strategy: Strategy
    adversaries: Mapping[str, ServerAdversary]
    last: int
    progress: Progress
    latest: Checkpoint | None = None
    written: float = field(default_factory=time.monotonic)

    def finished(self, progress: Progress) -> None:
        self.progress = progress
        self.latest = Checkpoint.of(progress, self.grid.states(), self.strategy, self.adversaries)
        if progress.round == self.last or time.monotonic() - self.written > CHECKPOINT_SECONDS:
            self.keep()

    def keep(self) -> None:
        if self.latest is None:
            return
        # The history first: after a crash between the two it is ahead, and written again.
        history = [asdict(figures) for figures in self.latest.progress.history]
        write_json(self.run.history, {"schema": 1, "rounds": history})
        self.latest.save(self.run.checkpoint)
        self.written = time.monotonic()


def _standing(progress: Progress) -> str:
    figures = progress.history[-1]
    tested = [f.test_accuracy for f in progress.history if f.test_accuracy is not None]
    parts = []
    if figures.local_loss is not None:
        parts.append(f"loss {figures.local_loss:.3f}")
    if tested:
        parts.append(f"test {tested[-1]:.1%}")
    return ", ".join(parts)
