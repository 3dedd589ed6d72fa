"""Several processes: the numbers of one process, and every way in which a process can end."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from adversaries import CuriousParticipant, GradientAscentParticipant
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.resources import AttackerResources
from fedsim.engines import multiprocess
from fedsim.engines.in_process import LocalGrid, local_identity
from fedsim.engines.multiprocess import WorkersGrid, local_grid
from fedsim.engines.processes import Worker, WorkerEnded, wait_for_senders
from fedsim.engines.threads import limited_threads
from fedsim.errors import FedsimError, MessageError, SnapshotError
from fedsim.federation.client_app import PrefetchingApp
from fedsim.federation.rounds import Progress
from fedsim.transport.buffer_pool import Uploads

pytestmark = pytest.mark.usefixtures("flower")
NEVER = 3600  # seconds; if anything waits for it, the test times out


def children() -> set[int]:
    task = Path(f"/proc/{os.getpid()}/task")
    return {int(pid) for t in task.iterdir() for pid in (t / "children").read_text().split()}


def federation(
    adversaries: Sequence[ParticipantAdversary] = (), **settings: Any
) -> toys.Federation:
    settings = {"strategy": "FedAvgM", "settings": {"server_momentum": 0.9}} | settings
    return toys.Federation(adversaries, participants=5, **settings)


Kept = dict[int, dict[str, bytes]]


def ran(fed: toys.Federation, workers: int, threads: int = 1) -> tuple[Progress, Kept]:
    """Run a toy federation on so many processes, broken off and resumed after a round."""
    app = fed.grid._client_app
    with local_grid(app, 5, workers, threads) as fed.grid:  # type: ignore[assignment]
        half = fed.run(until=1)
        states = dict(fed.grid.states())
    with local_grid(app, 5, workers, threads) as fed.grid:  # type: ignore[assignment]
        fed.grid.restore(states)
        end = fed.run(half)
        return end, {node: toys.content_bytes(state) for node, state in fed.grid.states().items()}


@pytest.fixture(scope="module")
def alone() -> tuple[Progress, Kept]:
    with local_identity():
        return ran(federation(), 1)


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_the_numbers_are_those_of_one_process(workers: int, alone: tuple[Progress, Kept]) -> None:
    before = children()
    end, states = ran(federation(), workers)
    assert toys.arrays_equal(end.arrays, alone[0].arrays)
    assert end.history == alone[0].history
    assert list(states) == list(alone[1])
    assert states == alone[1]
    assert all(states.values())
    assert children() == before


def test_one_worker_is_this_process() -> None:
    with local_grid(ClientApp(), 3, 1, 1) as grid:
        assert isinstance(grid, LocalGrid)
    with local_grid(ClientApp(), 1, 4, 1) as grid:
        assert isinstance(grid, LocalGrid)


def test_forks_compute_after_the_parent_has_with_several_threads(
    alone: tuple[Progress, Kept],
) -> None:
    with limited_threads(2):
        torch.nn.Conv2d(8, 8, 3)(torch.randn(32, 8, 32, 32)).sum().backward()
        one = ran(federation(rounds=2), 1, threads=2)
        two = ran(federation(rounds=2), 2, threads=2)
    assert toys.arrays_equal(one[0].arrays, two[0].arrays)


def test_dishonest_participants_remember_and_keep_snapshots(tmp_path: Path) -> None:
    def seen(workers: int) -> tuple[Progress, Kept, dict[str, bytes]]:
        folder = tmp_path / str(workers)
        curious = CuriousParticipant(participant=3).keep_in(folder / "curious")
        active = GradientAscentParticipant(participant=1).keep_in(folder / "active")
        data = toys.dataset()
        active.give_resources(
            AttackerResources(toys.new_model, data, data.test_records[:20], seed=1)
        )
        end, states = ran(federation([curious, active]), workers)
        files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("round-*")}
        return end, states, files

    one, two = seen(1), seen(2)
    assert toys.arrays_equal(one[0].arrays, two[0].arrays)
    assert one[1] == two[1]
    assert any(key.startswith("fedsim-adversary-") for state in one[1].values() for key in state)
    assert one[2] == two[2]
    kept = [name.split(".")[-2] for name in one[2]]
    assert (kept.count("aggregate"), kept.count("clean")) == (2 * 4, 2)


def answering(
    in_round: Any = lambda participant: None, query: Any = lambda participant: None
) -> ClientApp:
    """Return an app whose participants do something before they answer with their number."""
    app = ClientApp()

    def answer(message: Message, context: Context, do: Any) -> Message:
        participant = int(context.node_config["partition-id"])
        do(participant)
        context.state["seen"] = MetricRecord({"participant": participant})
        numbers = MetricRecord({"participant": participant, "process": os.getpid()})
        return Message(RecordDict({"m": numbers}), reply_to=message)

    app.train()(lambda message, context: answer(message, context, in_round))
    app.query()(lambda message, context: answer(message, context, query))
    return app


def asked(nodes: Sequence[int], kind: str = MessageType.TRAIN) -> list[Message]:
    content = RecordDict({"config": ConfigRecord({"server-round": 6})})
    return [Message(content, node, kind) for node in nodes]


def told(replies: Sequence[Message], key: str) -> list[Any]:
    return [reply.content["m"][key] for reply in replies]


def test_participants_stay_in_their_process_and_replies_in_order() -> None:
    slow_first = answering(lambda participant: time.sleep(0.1 * (participant == 0)))
    with local_grid(slow_first, 5, 2, 1) as grid:
        nodes = grid.get_node_ids()
        first, second = (grid.send_and_receive(asked(nodes[::-1])) for _ in range(2))
        pulled = grid.pull_messages(grid.push_messages(asked(nodes[:1])))
        [third_party] = grid.send_and_receive(asked([99]))
    assert told(first, "participant") == [4, 3, 2, 1, 0]
    assert told(first, "process") == told(second, "process")
    a, b, *_ = told(first, "process")
    assert told(first, "process") == [a, b, a, b, a]
    assert len({a, b, os.getpid()}) == 3
    assert told(pulled, "participant") == [0]
    assert third_party.error.reason == "there is no node 99"


class Idle:
    """A trainer that trains nobody."""

    uploads = Uploads()

    def foresee(self, asked: object) -> None:
        """Do nothing."""


def test_participants_that_keep_nothing_are_shared_out_evenly_in_each_round() -> None:
    app = PrefetchingApp(Idle(), [], keep_state=False)  # type: ignore[arg-type]
    app.train()(
        lambda message, context: Message(
            RecordDict({"m": MetricRecord({"process": os.getpid()})}), reply_to=message
        )
    )
    with local_grid(app, 12, 3, 1) as grid:
        every_third = grid.get_node_ids()[::3]  # each of which would stay in the first process
        assert len(set(told(grid.send_and_receive(asked(every_third)), "process"))) == 3
        one = told(grid.send_and_receive(asked(every_third[:1])), "process")
        assert len(one) == 1
        assert all(not state for state in grid.states().values())


def test_a_killed_process_is_one_sentence_with_participant_and_round() -> None:
    def dies(participant: int) -> None:
        if participant == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    with local_grid(answering(dies), 4, 2, 1) as grid:
        with pytest.raises(FedsimError) as error:
            grid.send_and_receive(asked(grid.get_node_ids()))
        assert str(error.value) == (
            "the process that ran participant 2 in round 6 was killed by SIGKILL (out of memory?); "
            "run the same command again, it goes on where it was"
        )
        with pytest.raises(FedsimError, match="was to run participant 2 was killed by SIGKILL"):
            grid.send_and_receive(
                [Message(RecordDict(), grid.get_node_ids()[2], MessageType.QUERY)]
            )


def test_a_participant_that_ends_its_process_is_one_sentence() -> None:
    def ends(participant: int) -> None:
        os._exit(3)

    with (
        pytest.raises(WorkerEnded, match="participant 0 in round 6 ended with exit code 3; run"),
        local_grid(answering(ends), 2, 2, 1) as grid,
    ):
        grid.send_and_receive(asked(grid.get_node_ids()[:1]))


def test_a_process_ends_on_a_defect_of_ours(capfd: pytest.CaptureFixture[str]) -> None:
    def fails(participant: int) -> None:
        raise GeneratorExit  # not even SystemExit, which is a participant's own affair

    with (
        pytest.raises(WorkerEnded, match="participant 0 in round 6 ended with exit code 1; run"),
        local_grid(answering(fails), 2, 2, 1) as grid,
    ):
        grid.send_and_receive(asked(grid.get_node_ids()[:1]))
    assert "GeneratorExit" in capfd.readouterr().err


class OddError(FedsimError):
    """An error that cannot be pickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(SnapshotError("one and two"), SnapshotError), (OddError("one", "two"), FedsimError)],
)
def test_our_own_errors_reach_the_parent(raised: FedsimError, kind: type[FedsimError]) -> None:
    def fails(participant: int) -> None:
        raise raised

    with (
        pytest.raises(kind, match=r"^one and two$") as error,
        local_grid(answering(fails), 2, 2, 1) as grid,
    ):
        grid.send_and_receive(asked(grid.get_node_ids()))
    assert type(error.value) is kind


def test_a_failing_participant_is_named_with_its_round() -> None:
    def mod(message: Message, context: Context, call_next: Any) -> Message:
        if message.metadata.message_type == "train" and context.node_config["partition-id"] == 1:
            raise ValueError("one\n two")
        return call_next(message, context)

    with pytest.raises(MessageError) as error:
        ran(federation(mods=[mod]), 2)
    assert str(error.value) == "participant 1 in round 1 failed: ValueError: one two"


class SetClock:
    """A clock of which each participant takes one second, however fast the machine is.

    The n-th participant of each process answers when the clock shows n; participant 3 never does.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder, self.workers, self.now, self._missing = folder, workers, 0.0, 0

    def monotonic(self) -> float:
        """Return what the clock shows."""
        return self.now

    def answer(self, participant: int) -> None:
        """Wait, in a participant, until it has taken its second."""
        turn = participant // self.workers + 1
        while participant == 3 or not (self.folder / str(turn)).exists():
            time.sleep(0.002)

    def wait_for_senders(self, workers: Sequence[Worker], seconds: float) -> list[Worker]:
        """Wait for who answers at this second, else set the clock to the next one or the end."""
        turn = int(self.now) + 1
        if not self._missing and self.now + seconds >= turn and self._due(turn):
            self.now, self._missing = float(turn), self._due(turn)
            (self.folder / str(turn)).touch()
        if not self._missing:
            self.now += seconds
            return []
        ready = wait_for_senders(workers)
        self._missing -= len(ready)
        return ready

    def _due(self, turn: int) -> int:
        """Return how many answer at a second: those in their turn that do not come after 3."""
        return sum(
            one // self.workers + 1 == turn and (one < 3 or (self.workers > 1 and one != 3))
            for one in range(5)
        )


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_who_hangs_is_left_out_after_the_timeout(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Participants 0 and 2 take longer than the timeout together, but neither does alone.
    clock = SetClock(tmp_path, workers)
    app = answering(clock.answer)
    before = children()
    with local_grid(app, 5, workers, 1, apart=True) as grid:
        with monkeypatch.context() as patched:
            patched.setattr(multiprocess, "time", clock)
            patched.setattr(multiprocess, "wait_for_senders", clock.wait_for_senders)
            replies = grid.send_and_receive(asked(grid.get_node_ids()), timeout=1.8)
        assert clock.now == pytest.approx({1: 4.8, 2: 3.0, 3: 2.8}[workers])
        # 4 comes after 3 in the only process; with two, 1 and 3 are in one and 0, 2 and 4 in one.
        assert told(replies, "participant") == ([0, 1, 2] if workers == 1 else [0, 1, 2, 4])
        assert [list(state) for state in grid.states().values()][:3] == [["seen"]] * 3
    assert children() == before


@pytest.fixture
def heard() -> Iterator[None]:
    """Let Ctrl-C reach this process, which ignores it where nohup runs the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_in_mid_round_and_the_states_are_those_before_it(tmp_path: Path) -> None:
    def works(participant: int) -> None:
        if participant == 0 and (tmp_path / "second").exists():
            time.sleep(NEVER)

    with local_grid(answering(works), 2, 2, 1) as grid:
        nodes = grid.get_node_ids()
        grid.send_and_receive(asked(nodes[:1]))
        states = grid.states()
        (tmp_path / "second").touch()
        processes = [os.getpid(), *children()]
        threading.Timer(0.3, lambda: [os.kill(pid, signal.SIGINT) for pid in processes]).start()
        with pytest.raises(KeyboardInterrupt):  # participant 1 has answered, 0 never will
            grid.send_and_receive(asked(nodes))
        assert {node: list(state) for node, state in states.items()} == {
            nodes[0]: ["seen"],
            nodes[1]: [],
        }


def test_states_of_an_earlier_call_are_gone() -> None:
    with local_grid(answering(), 2, 2, 1) as grid:
        assert isinstance(grid, WorkersGrid)
        earlier = grid.states()
        grid.send_and_receive(asked(grid.get_node_ids()))
        later = grid.states()
        assert [list(state) for state in later.values()] == [["seen"], ["seen"]]
        with pytest.raises(FedsimError, match="called again"):
            len(earlier)


def lives(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processes_end_when_their_parent_is_killed() -> None:
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        sleeping = answering(lambda participant: time.sleep(NEVER * (participant > 1)))
        with local_grid(sleeping, 4, 2, 1) as grid:
            replies = grid.send_and_receive(asked(grid.get_node_ids()[:2]))
            os.write(writing, " ".join(map(str, told(replies, "process"))).encode())
            threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
            grid.send_and_receive(asked(grid.get_node_ids()[2:]))
    workers = [int(pid) for pid in os.read(reading, 100).split()]
    assert len({pid for pid in workers if lives(pid)}) == 2
    os.waitpid(parent, 0)
    while any(lives(pid) for pid in workers):
        time.sleep(0.01)
    os.close(reading)
    os.close(writing)
