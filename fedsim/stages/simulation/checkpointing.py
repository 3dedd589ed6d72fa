"""Checkpoints of a federation: its starting point, and what is written while it runs."""

import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from flwr.app import RecordDict
from flwr.serverapp.strategy import Strategy

from fedsim.adversary.base import Adversary
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.update_distance import noted
from fedsim.engines.base import NodesGrid
from fedsim.errors import RunDirectoryError, plural
from fedsim.federation.checkpoint import Checkpoint, copy_memory
from fedsim.federation.replay import LastRoundRecorder, catch_up
from fedsim.federation.round_figures import RoundFigures
from fedsim.federation.rounds import Progress, Schedule
from fedsim.files import write_json
from fedsim.finding import OwnedFinding, owned_findings, write_findings
from fedsim.objectives import UtilityFigure
from fedsim.report.utility_info import UtilityInfo
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.federations import PlannedFederation
from fedsim.stages.simulation.history import read_history_file, read_malicious_updates
from fedsim.stages.simulation.state_cache import WITNESS, Kept, StateCache, take_over

CHECKPOINT_SECONDS = 30.0


@dataclass
class Checkpointer:
    """Finds the starting point of a federation, and writes checkpoints while it runs.

    The times of checkpoints change no results, so they go by the clock: with short rounds, most of
    the time would otherwise be spent on the disk.
    """

    run: RunDirectory
    federation: PlannedFederation
    grid: NodesGrid
    strategy: Strategy
    schedule: Schedule
    states: StateCache
    kept_rounds: Set[int]
    last_round_recorder: LastRoundRecorder = field(default_factory=LastRoundRecorder)
    progress: Progress = field(init=False)
    latest: Checkpoint | None = None
    taken_over: int = 0
    went_on: bool = False
    kept_round: int = 0
    written: float = field(default_factory=time.monotonic)

    def start(self, beginning: Progress) -> None:
        """Start from the federation's own checkpoint, a cached state, or the beginning."""
        name = self.federation.name
        path, history = self.run.checkpoint(name), self.run.history(name)
        begun = path.is_file() or history.is_file()
        if path.is_file():
            self.latest = Checkpoint.load(path)
        elif found := self.states.longest(self.federation):
            self.latest = self._branched(*found)
        if self.latest is not None:
            self.grid.restore(self.latest.states)
            self.latest.restore(self.strategy, self.federation.servers)
        else:  # an earlier attempt may have come some way
            for adversary in self.federation.servers.values():
                adversary.memory.clear()
        self.progress = self.latest.progress if self.latest is not None else beginning
        # Of one that has begun, a state that is found may be its own.
        self.taken_over = read_taken_over(history) if begun else self.progress.round
        if not begun:
            self._write_history(self.progress)
        self.kept_round = self.progress.round

    def _branched(self, state: Checkpoint, kept: Kept) -> Checkpoint:
        """Return a state as if this federation's attackers had seen its rounds."""
        take_over(self.federation, kept, self.states.setup, self.run)
        if state.progress.round == self.schedule.rounds:
            memories = {k: memory for k, memory in state.memories.items() if k != WITNESS}
            return replace(state, memories=memories)
        nodes = {node: state.states.get(node, RecordDict()) for node in self._nodes}
        servers = self.federation.servers
        catch_up(
            state.memories[WITNESS],
            tuple(servers.values()),
            self.federation.participants,
            dict(enumerate(nodes.values())),
        )
        remembered = {label: copy_memory(adversary.memory) for label, adversary in servers.items()}
        return replace(state, states=nodes, memories=remembered)

    def finished(self, progress: Progress) -> None:
        """Take note of a round that has ended."""
        self.progress, self.went_on = progress, True
        self.latest = Checkpoint.of(
            progress, self.grid.states(), self.strategy, self.federation.servers
        )
        if progress.round in self.kept_rounds and self._worth_keeping(progress.round):
            witnessed = {**self.latest.memories, WITNESS: self.last_round_recorder.memory}
            state = replace(self.latest, memories=witnessed)
            self.states.keep(self.federation, state, self.run)
            self.keep()
        elif (
            progress.round == self.schedule.rounds
            or time.monotonic() - self.written > CHECKPOINT_SECONDS
        ):
            self.keep()

    def _worth_keeping(self, round_number: int) -> bool:
        """Return whether another federation might start from a state: an honest or a final one."""
        acts_from = self.federation.acts_from()
        return round_number == self.schedule.rounds or acts_from is None or round_number < acts_from

    def keep(self) -> None:
        """Write a checkpoint."""
        if self.latest is None:
            return
        # The history first: after a crash between the two it is ahead, and written again.
        self._write_history(self.latest.progress)
        self.latest.save(self.run.checkpoint(self.federation.name))
        self.kept_round, self.written = self.latest.progress.round, time.monotonic()

    def cost_of_going_on(self) -> str:
        """Return in words what resuming from the last checkpoint repeats."""
        finished, seconds = self.progress.round - self.kept_round, time.monotonic() - self.written
        again = f"{plural(finished, 'finished round')} again ({seconds:.1f} s)"
        return f"it goes on after round {self.kept_round}, and does {again}"

    def ended(self) -> None:
        """Write the files of a federation that has ended."""
        name = self.federation.name
        history, updates = self.run.history(name), self.run.malicious_updates(name)
        if not (self.run.checkpoint(name).is_file() and _reads(read_history_file, history)):
            self.keep()
        if not self.went_on and _reads(read_malicious_updates, updates):
            return
        if self.latest is not None:
            for adversary in self.federation.participants:
                node = self._nodes[adversary.participant]
                adversary.recall(self.latest.states.get(node, RecordDict()))
        write_server_findings(self.run, self.federation)
        write_participant_findings(self.run, self.federation, self.federation.participants)
        # Last: where it is there, so is everything else.
        write_malicious_updates(updates, self.federation.adversaries.values())

    def _write_history(self, progress: Progress) -> None:
        path = self.run.history(self.federation.name)
        write_history(path, progress.history, self.schedule.objective.utility, self.taken_over)

    @property
    def _nodes(self) -> list[int]:
        """The node of each participant, in the order of the participants."""
        return sorted(self.grid.get_node_ids())


def write_history(
    path: Path, rounds: Sequence[RoundFigures], utility: UtilityFigure, taken_over: int = 0
) -> None:
    """Write a federation's figures by round, the first of them taken over from another."""
    write_json(
        path,
        {
            "schema": 1,
            "taken_over": taken_over,
            "utility": UtilityInfo.of_objective(utility).model_dump(),
            "rounds": [figures.plain() for figures in rounds],
        },
    )


def write_server_findings(run: RunDirectory, federation: PlannedFederation) -> None:
    """Write the findings of a federation's adversaries in the server's position."""
    found = _findings_of(federation, federation.servers.values())
    write_findings(run.adversary_findings(federation.name), found)


def write_participant_findings(
    run: RunDirectory, federation: PlannedFederation, adversaries: Iterable[ParticipantAdversary]
) -> None:
    """Write the findings of adversaries in participants' positions, a file per participant.

    On a runtime of Flower's each dishonest participant writes its own.
    """
    together = tuple(adversaries)
    for number in sorted({one.participant for one in together}):
        own = [one for one in together if one.participant == number]
        path = run.participant_findings(federation.name, number)
        write_findings(path, _findings_of(federation, own))


def _findings_of(
    federation: PlannedFederation, adversaries: Iterable[Adversary]
) -> list[OwnedFinding]:
    asked = set(map(id, adversaries))
    return [
        finding
        for attacker in federation.attackers
        for adversary in attacker.adversaries
        if id(adversary) in asked
        for finding in owned_findings(adversary.findings, attacker.label)
    ]


def write_malicious_updates(path: Path, adversaries: Iterable[Adversary]) -> None:
    """Write the distances of malicious messages from honest ones, and remarks."""
    together = tuple(adversaries)
    entries = [asdict(entry) for one in together for entry in noted(one.memory)]
    remarks = list(dict.fromkeys(remark for one in together for remark in one.remarks()))
    write_json(path, {"schema": 1, "messages": entries, "remarks": remarks})


def _reads(read: Callable[[Path], object], path: Path) -> bool:
    """Return whether a file is there and whole."""
    try:
        read(path)
    except RunDirectoryError:
        return False
    return True


def read_taken_over(history: Path) -> int:
    """Return how many rounds of a federation were taken over from another."""
    try:
        return read_history_file(history).taken_over
    except RunDirectoryError:
        return 0
