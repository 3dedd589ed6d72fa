"""Faults to be injected, and ways to watch a run go through them.

A module of its own beside the tests, because experiments name it: ``faults:Misbehaving`` is a
participant that goes wrong in one round, as an adversary plugin does, so nothing in the product
knows of it. Commands run in real processes, forked from a server that has imported everything.
"""

import itertools
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import toys
import yaml
from flwr.app import Array, ArrayRecord, Context, Message, MessageType, MetricRecord, RecordDict
from forked import fork_server

from adversaries import CuriousParticipant
from adversaries.signals.chance import Chance
from fedsim.cli.main import main
from fedsim.federation.checkpoint import Checkpoint
from fedsim.files import UNFINISHED
from fedsim.progress import Advance
from fedsim.rundir import RunDirectory
from fedsim.stages.simulation import checkpointing
from fedsim.transport.messages import METRICS, round_of, with_arrays


class Misbehaving(CuriousParticipant):
    """Keep every aggregate as a curious participant does, and go wrong in one round.

    Parameters
    ----------
    how
        One of `WRONG`.
    wrong_in
        The round.
    once
        A file that is made when it goes wrong; once it is there, all goes well. Without it, it
        goes wrong whenever it comes to that round.
    """

    def __init__(
        self, participant: int, how: str, wrong_in: int = 3, once: str | None = None
    ) -> None:
        super().__init__(participant)
        self.how, self.wrong_in, self.once = how, wrong_in, once
        self.earlier: Message | None = None

    def __call__(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Stand between the server and the ClientApp, and put something else into the reply."""
        reply = super().__call__(message, context, call_next)
        if (
            message.metadata.message_type != MessageType.TRAIN
            or context.node_config["partition-id"] != self.participant
        ):
            return reply
        if round_of(message) == self.wrong_in and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            return WRONG[self.how](self, reply)
        self.earlier = reply
        return reply


def _raises(one: Misbehaving, reply: Message) -> Message:
    raise ValueError("the disk with my\nrecords is gone")


def _hangs(one: Misbehaving, reply: Message) -> Message:
    time.sleep(600)
    return reply


def _is_killed(one: Misbehaving, reply: Message) -> Message:
    os.kill(os.getpid(), signal.SIGKILL)
    return reply


def _leaves(one: Misbehaving, reply: Message) -> Message:
    sys.exit(0)


def _forgets(one: Misbehaving, reply: Message) -> Message:
    return None  # type: ignore[return-value] - as third parties do


def _is_late(one: Misbehaving, reply: Message) -> Message:
    assert one.earlier is not None
    return one.earlier


def _with(change: Callable[[dict[str, Array]], dict[str, Array]]) -> Any:
    def changed(one: Misbehaving, reply: Message) -> Message:
        [arrays] = reply.content.array_records.values()
        reply.content = with_arrays(reply.content, ArrayRecord(change(dict(arrays))))
        return reply

    return changed


def _with_metric(name: str, value: float) -> Any:
    def changed(one: Misbehaving, reply: Message) -> Message:
        metrics = reply.content.metric_records[METRICS]
        arrays = reply.content.array_records
        reply.content = RecordDict({**arrays, METRICS: MetricRecord({**metrics, name: value})})
        return reply

    return changed


def _first(arrays: dict[str, Array], value: Array) -> dict[str, Array]:
    return {**arrays, next(iter(arrays)): value}


def _nan(arrays: dict[str, Array]) -> dict[str, Array]:
    values = next(iter(arrays.values())).numpy().copy()
    values.flat[-1] = np.nan
    return _first(arrays, Array(values))


# Flower wants a type, a shape, a form and bytes; nobody checks that they fit each other.
_ABSURD = Array("float32", (10**9, 10**9), "numpy.ndarray", b"x")

WRONG: dict[str, Callable[[Misbehaving, Message], Message]] = {
    "raises": _raises,
    "hangs": _hangs,
    "is killed": _is_killed,
    "leaves": _leaves,
    "forgets to answer": _forgets,
    "is late": _is_late,
    "sends NaN": _with(_nan),
    "sends a wrong shape": _with(lambda a: _first(a, Array(np.ones((2, 3), np.float32)))),
    "sends wrong keys": _with(lambda a: {f"my.{name}": array for name, array in a.items()}),
    "sends an absurd size": _with(lambda a: _first(a, _ABSURD)),
    "sends a NaN loss": _with_metric("loss", float("nan")),
    "sends a NaN weight": _with_metric("num-examples", float("nan")),
}


def misbehaving(how: str, **settings: Any) -> dict[str, Any]:
    """Return participant 1 of the toy, misbehaving in some way, as an experiment names it."""
    return {"name": "faults:Misbehaving", "participant": 1, "how": how, **settings}


class DeadlyAttack(Chance):
    """Guess; but kill the process that is at it, until the file `once` is there."""

    def __init__(self, once: str) -> None:
        self.once = Path(once)

    def dry_run(self, *_: Any) -> None:
        """Live through the dry run: it dies in a worker process."""

    def score(self, *arguments: Any) -> Any:
        """Die, or guess."""
        if not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(*arguments)


@dataclass
class Listening:
    """A watcher that keeps what is said, and counts the steps."""

    said: list[str] = field(default_factory=list)
    steps: int = 0

    def say(self, text: str) -> None:
        """Keep the line."""
        self.said.append(text)

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Count the steps."""

        def advance(standing: str) -> None:
            self.steps += 1

        yield advance


def files(run: RunDirectory) -> dict[str, str]:
    """Return a digest of each file that the seed decides, whatever it was run on, and how often."""
    apart = {"experiment.yaml", "results.json", "report.html"}  # what it is run on, commands, costs
    return {k: v for k, v in toys.content_of(run).items() if k not in apart}


def reached(run: RunDirectory, federation: str = "honest") -> int:
    """Return the round of a federation's checkpoint."""
    path = run.checkpoint(federation)
    return Checkpoint.load(path).progress.round if path.is_file() else 0


def children(pid: int) -> list[int]:
    """Return the processes that a process has forked."""
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def lives(pid: int) -> bool:
    """Return whether a process is there and not dead."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


@dataclass
class Command:
    """A `fedsim` command in a process of its own, with a process group of its own."""

    process: Any
    output: Path

    @property
    def pid(self) -> int:
        """The process, and its group."""
        return int(self.process.pid)

    def ended(self, seconds: float = 240.0) -> tuple[int, str]:
        """Wait for its end, and that of its processes; return the exit code and what it said."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"it goes on: {self.output.read_text()}"
        return self.process.exitcode, self.output.read_text()


@contextmanager
def commands(folder: Path) -> Iterator[Callable[..., Command]]:
    """Give what starts `fedsim` commands; those that still run are killed at the end.

    Parameters
    ----------
    folder
        Where they run, and what they say is kept.
    """
    context = fork_server()
    started: list[Command] = []

    def start(*arguments: object, first: Callable[[], None] = _nothing) -> Command:
        output = folder / f"said-{len(started)}.txt"
        told = [str(argument) for argument in arguments]
        process = context.Process(target=_be_fedsim, args=(told, folder, output, first))
        process.start()
        started.append(Command(process, output))
        return started[-1]

    try:
        yield start
    finally:
        for command in started:
            command.process.kill()
            command.process.join()


def _nothing() -> None:
    pass


def _be_fedsim(
    arguments: Sequence[str], folder: Path, output: Path, first: Callable[[], None]
) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where nohup runs the tests
    descriptor = os.open(output, os.O_CREAT | os.O_WRONLY, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.chdir(folder)
    os.environ["COLUMNS"] = "400"
    torch.set_num_threads(1)
    sys.argv = ["fedsim", *arguments]
    first()
    main()


def checkpoint_every_round() -> None:
    """Let this process write a checkpoint after each round, and not after some seconds."""
    checkpointing.CHECKPOINT_SECONDS = 0.0


def die_while_writing(number: int) -> None:
    """Let this process be killed at the n-th dangerous moment of writing files.

    A file has four: a folder is made for it; it is written, but not on the disk yet (half of it is
    lost then); it is on the disk under a temporary name; it has its name, but that is not on the
    disk.
    """
    checkpoint_every_round()
    moments = itertools.count(1)

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            if next(moments) == number:
                for half in Path.cwd().rglob(f"*{UNFINISHED}/*"):
                    # A file with another name (`share`) has long been on the disk.
                    if half.stat().st_nlink == 1:
                        os.truncate(half, half.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return called

    tempfile.mkdtemp = dying(tempfile.mkdtemp)
    os.fsync = dying(os.fsync)
    Path.replace = dying(Path.replace)  # type: ignore[method-assign]


def limit_files(size: int) -> None:
    """Let this process write no file of more than so many bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def written(folder: Path, **sections: Any) -> Path:
    """Write the toy experiment as a file for the command line, and return it."""
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(toys.tree(**sections), sort_keys=False))
    return path
