"""A federation of so many participants on one engine, and what each of its rounds takes.

Everything that `fedsim run` does in a round is done here, too: attendance, messages, checks, a
last-round recorder, states for a checkpoint. Nothing is evaluated.
"""

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from federations import LOCAL, SEED, Workload
from flwr.app import ArrayRecord, Message
from pace import NoMoreRounds, Pace, family

from fedsim.adversary.adversarial_strategy import AdversarialStrategy
from fedsim.config.choice import Choice
from fedsim.config.engine import Engine, LocalEngine, RayEngine
from fedsim.engines.base import NodesGrid
from fedsim.engines.factory import open_engine
from fedsim.engines.flower_identity import local_identity
from fedsim.engines.threads import limited_threads
from fedsim.federation.checkpoint import Checkpoint
from fedsim.federation.client_app import Participants, make_client_app
from fedsim.federation.log_filters import only_warnings_of_flower
from fedsim.federation.node_identification import identify_nodes
from fedsim.federation.replay import LastRoundRecorder
from fedsim.federation.rounds import Progress, Schedule, run_rounds
from fedsim.federation.strategies import build_strategy
from fedsim.models.exchange import exchanged_shapes
from fedsim.training.sgd_loop import Utility

RECORDS = 20
ENGINES: dict[str, tuple[Engine, bool]] = {
    "one at a time": (LocalEngine(), False),
    "stacked": (LocalEngine(), True),
    "2 workers": (LocalEngine(workers=2), True),
    "ray": (RayEngine(actors=2), True),
}
"""The engines, and whether participants are stacked; where they can be, `auto` does it."""


@dataclass
class GrowthRound:
    """What a round took, in seconds.

    Attributes
    ----------
    wall, driver, processors
        By the clock, of the driver's processor time, and of that of all processes.
    asking_wall, asking_driver
        The part of it in which the participants were asked; the rest is checking and averaging.
    """

    wall: float = 0.0
    driver: float = 0.0
    processors: float = 0.0
    asking_wall: float = 0.0
    asking_driver: float = 0.0


@dataclass
class Meter:
    """Measures rounds, and the part of them that is the engine's."""

    grid: NodesGrid
    rounds: list[GrowthRound] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ask = self.grid.send_and_receive
        self.grid.send_and_receive = self._asked  # type: ignore[method-assign]

    def begin(self) -> None:
        """Begin a round."""
        processors = processor_seconds()
        self.rounds.append(GrowthRound(-time.perf_counter(), -time.process_time(), -processors))

    def end(self) -> None:
        """End it."""
        ended = self.rounds[-1]
        ended.wall += time.perf_counter()
        ended.driver += time.process_time()
        ended.processors += processor_seconds()

    def _asked(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        wall, driver = time.perf_counter(), time.process_time()
        replies = self._ask(messages, timeout=timeout)
        self.rounds[-1].asking_wall += time.perf_counter() - wall
        self.rounds[-1].asking_driver += time.process_time() - driver
        return replies


def main() -> None:
    """Run rounds as they are wanted."""
    pace, name, participants, cohort = Pace(), sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    engine, stacked = ENGINES[name]
    small = Choice(name="fully-connected", widths=[128])
    work = Workload(participants, RECORDS, cohort, small, (600,), 1)
    local = LOCAL.model_copy(update={"keep_optimizer_state": False})
    members = Participants(work.dataset, work.training_sets, work.new_model, local, None, SEED)
    app = make_client_app(members, stacked=stacked)
    with open_engine(engine) as new_grid, new_grid(app, participants) as grid:
        meter = Meter(grid)
        meter.begin()
        participant_of = identify_nodes(grid, participants)
        meter.end()
        sampled = {"fraction_train": cohort / participants}
        honest = build_strategy("FedAvg", sampled, participants)
        strategy = AdversarialStrategy(honest, [LastRoundRecorder()], participant_of)
        model = work.new_model()
        latest = Progress(0, ArrayRecord(model.state_dict()))
        everybody = frozenset(range(participants))
        schedule = Schedule(
            2**60, 2**60, SEED, exchanged_shapes(model), _never, present=lambda number: everybody
        )

        def after_round(progress: Progress) -> None:
            nonlocal latest
            latest = progress
            Checkpoint.of(progress, grid.states(), honest)
            meter.end()
            if not pace.may_start():
                raise NoMoreRounds
            meter.begin()

        try:
            if pace.may_start():
                meter.begin()
                run_rounds(grid, strategy, latest, schedule, participant_of, after_round)
        except NoMoreRounds:
            parameters = {name: array.numpy() for name, array in latest.arrays.items()}
            rounds = {
                f"{ROUNDS}{what}": np.array([getattr(one, what) for one in meter.rounds])
                for what in vars(meter.rounds[0])
            }
            pace.end(parameters | rounds)


ROUNDS = "rounds/"
"""Before the names of a `GrowthRound`'s figures, beside the final parameters; the first is the
introduction of the nodes."""


def processor_seconds() -> float:
    """Return the processor time of this process and of all that descend from it."""
    ticks = 0
    for process in family(os.getpid()):
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:  # it has ended
            continue
        user, system = stat.rpartition(")")[2].split()[11:13]
        ticks += int(user) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK")


def _never(arrays: ArrayRecord) -> Utility:
    raise AssertionError("no round is evaluated here")


if __name__ == "__main__":
    with limited_threads(1), local_identity(), only_warnings_of_flower():
        main()
