"""The server's side on Flower's runtime: it runs an experiment's federations, one after the other.

What it leaves in the run directory is what the first stage of `fedsim run` leaves there, so
``fedsim attack RUN`` goes on from it. Two things are different. Every federation starts at round 1,
where `fedsim run` lets one branch from another. And a federation that was stopped starts again from
round 1, because what the nodes remember stays with them; one that has ended is not run again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedsim.data import write_ledger
from fedsim.defences.secure_aggregation import with_protocol
from fedsim.engines.threads import limited_threads
from fedsim.errors import ConfigError, FedsimError
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.rounds import Progress
from fedsim.federation.server_app import Server, serve
from fedsim.files import write_json
from fedsim.flower.client import FEDERATION
from fedsim.flower.log import LogWatcher
from fedsim.flower.paths import place_of
from fedsim.flower.secagg_plus import MaskedGrid, require_maskable
from fedsim.models import exchanged_state
from fedsim.observation.snapshots import require_space
from fedsim.progress import Watcher
from fedsim.rundir import RunDirectory
from fedsim.rundir.provenance import provenance
from fedsim.stages.figures.attackers_file import keep_attackers
from fedsim.stages.figures.ceilings import keep_guarantees
from fedsim.stages.preparation.experiment_faults import load_experiment
from fedsim.stages.preparation.federations import PlannedFederation
from fedsim.stages.preparation.plan import plan
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulate import placed_federations, strategy_of
from fedsim.stages.simulation.checkpointing import (
    write_history,
    write_malicious_updates,
    write_server_findings,
)
from fedsim.stages.simulation.federation_parts import beginning_of, progress_summary, schedule_of
from fedsim.stages.simulation.run_content import keep_content

_LOOK_AGAIN = 1.0


def new_server_app(experiment: Path) -> ServerApp:
    """Return the app of an experiment's server.

    Parameters
    ----------
    experiment
        The experiment (YAML), in the app's folder.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        place, watcher = place_of(context), LogWatcher()
        read = load_experiment(experiment, with_files=True, data_dir=place.data_dir)
        setup = build_setup(read, place.data_dir, watcher)
        if with_protocol(setup.defences.values()):
            state = exchanged_state(setup.new_model())
            require_maskable({name: str(v.dtype) for name, v in state.items()}, ConfigError)
        run = RunDirectory.create(place.out, setup.experiment.resolved())
        with run.locked(), limited_threads(setup.experiment.engine.threads):
            keep_content(setup, run)
            keep_attackers((*setup.attackers, *setup.unseeing), run)
            keep_guarantees(setup.guarantees, run)
            write_json(run.provenance, provenance(place.data_dir))
            write_ledger(setup.ledger, run.ledger)
            require_space(run.path, plan(setup).snapshot_bytes)
            participants, timeout = setup.ledger.participants, setup.experiment.engine.timeout
            participant_of = meet(grid, participants, place.patience, timeout)
            hosted = _Hosted(setup, run, grid, participant_of, watcher)
            for federation in placed_federations(setup, run):
                hosted.run_to_its_end(federation)
        watcher.say(f"done; `fedsim attack {run.path}` attacks what was kept, and reports")

    return app


def meet(
    grid: Grid, participants: int, patience: float, timeout: float | None = None
) -> dict[int, int]:
    """Wait until all nodes are there, and return the participant that each is.

    Parameters
    ----------
    grid
        What reaches them.
    participants
        How many there must be.
    patience
        How many seconds to wait for them.
    timeout
        How many seconds they have to answer; None for as long as it takes.

    Raises
    ------
    FedsimError
        If they do not come, or are not the participants 0 to n - 1.
    """
    until = time.monotonic() + patience
    while (count := len(list(grid.get_node_ids()))) < participants:
        if time.monotonic() > until:
            raise FedsimError(
                f"{count} of {participants} nodes are connected after {patience:g} s; start the "
                "other SuperNodes, or, on the simulation runtime, flwr run --federation-config "
                f"'num-supernodes={participants}'"
            )
        time.sleep(_LOOK_AGAIN)
    return identify_nodes(grid, participants, timeout)


@dataclass(frozen=True)
class _Hosted:
    """An experiment on a grid of Flower's."""

    setup: Setup
    run: RunDirectory
    grid: Grid
    participant_of: Mapping[int, int]
    watcher: Watcher

    def run_to_its_end(self, federation: PlannedFederation) -> None:
        """Run a federation from round 1, unless it has ended before."""
        name, strategy = federation.name, strategy_of(self.setup)
        schedule = replace(schedule_of(self.setup), extra_config={FEDERATION: name})
        utility = schedule.objective.utility
        if self._round_reached(name) == schedule.rounds:
            self.watcher.say(f"federation {name} has ended before and is not run again")
            return
        with self.watcher.task(f"federation {name}", schedule.rounds) as advance:

            def after_round(progress: Progress) -> None:
                write_history(self.run.history(name), progress.history, utility)
                advance(progress_summary(progress, utility))

            adversaries = tuple(federation.servers.values())
            server = Server(
                strategy,
                adversaries,
                len(self.participant_of),
                schedule,
                beginning_of(self.setup),
                after_round,
            )
            end = serve(server, self._masking_grid, self.participant_of)
        if federation.servers or federation.acts_from() is None:  # else the participant writes it
            write_malicious_updates(self.run.malicious_updates(name), adversaries)
        write_server_findings(self.run, federation)
        Checkpoint.of(end, {}, strategy, federation.servers).save(self.run.checkpoint(name))

    @property
    def _masking_grid(self) -> Grid:
        """The grid, with SecAgg+ on it where the experiment asks for it."""
        secure = with_protocol(self.setup.defences.values())
        if secure is None:
            return self.grid
        largest = max(map(len, self.setup.training_sets))
        return MaskedGrid(
            self.grid,
            self.participant_of,
            max_weight=float(largest),
            clipping_range=secure.clipping_range,
        )

    def _round_reached(self, name: str) -> int:
        path = self.run.checkpoint(name)
        return Checkpoint.load(path).progress.round if path.is_file() else 0
