"""Independent jobs, run in parallel in several processes.

A job is a generator that yields a line for each finished step. Progress that it reports to its
watcher is passed on to the parent's watcher. Jobs write their results into files, so nothing else
is sent back, and results do not depend on which process runs which job.
"""

import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import NoReturn

from fedsim.engines.processes import (
    Worker,
    computing_thread,
    end_on_defect,
    fork_processes,
    sendable_error,
    wait_for_senders,
)
from fedsim.progress import Advance, Watcher
from fedsim.transport.channel import Channel

Job = Callable[[Watcher], Iterator[str]]


def run_jobs(
    jobs: Mapping[str, Job], workers: int, threads: int, watcher: Watcher
) -> Generator[str]:
    """Run all jobs, and yield a line for each step as soon as it is finished.

    Parameters
    ----------
    jobs
        The jobs, by a name that completes the sentence "the process that was at work on". The
        processes are forks, so jobs need not be picklable.
    workers
        The number of processes. With one process, or for a single job, this process runs them.
    threads
        The number of computing threads of each process.
    watcher
        Receives the progress that the jobs report.

    Raises
    ------
    Exception
        Any exception that a job raised. The other jobs are aborted.
    FedsimError
        If a process ends before its job.
    """
    size = min(workers, len(jobs))
    if size <= 1:
        for job in jobs.values():
            yield from job(watcher)
        return
    with fork_processes([partial(_work, jobs, threads)] * size) as processes:
        yield from _overseen(processes, list(jobs), watcher)


def _overseen(processes: Sequence[Worker], jobs: Sequence[str], watcher: Watcher) -> Iterator[str]:
    """Give each free worker the next job, and receive what the jobs report."""
    unfinished, names = len(jobs), iter(jobs)
    with ExitStack() as stack:
        receivers = {w: stack.enter_context(closing(_Receiver(watcher))) for w in processes}
        at = {}
        for worker in processes:
            at[worker] = next(names)
            worker.channel.send(at[worker])
        while unfinished:
            for worker in wait_for_senders(processes):
                received = worker.receive(f"was at work on {at[worker]}")
                match received:
                    case Exception():
                        raise received
                    case _Step(standing):
                        yield standing
                    case _Finished():
                        unfinished -= 1
                        if name := next(names, None):
                            at[worker] = name
                            worker.channel.send(name)
                    case (what, *arguments):
                        getattr(receivers[worker], what)(*arguments)


@dataclass(frozen=True)
class _Step:
    """Reports that a step of a job is finished, with the line to show for it."""

    standing: str


@dataclass(frozen=True)
class _Finished:
    """Reports that a job is finished."""


class _Relay:
    """A watcher in a worker process, which sends each call over the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._numbers = count()

    def say(self, text: str) -> None:
        self._channel.send(("say", text))

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        number = next(self._numbers)
        self._channel.send(("begin", number, what, total, done))
        try:
            yield lambda standing: self._channel.send(("advance", number, standing))
        finally:
            self._channel.send(("end", number))


class _Receiver:
    """Passes the calls that a process's `_Relay` sends on to the watcher of this process."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._tasks: dict[int, tuple[Advance, ExitStack]] = {}

    def say(self, text: str) -> None:
        self._watcher.say(text)

    def begin(self, number: int, what: str, total: int, done: int) -> None:
        stack = ExitStack()
        self._tasks[number] = (stack.enter_context(self._watcher.task(what, total, done)), stack)

    def advance(self, number: int, standing: str) -> None:
        self._tasks[number][0](standing)

    def end(self, number: int) -> None:
        self._tasks.pop(number)[1].close()

    def close(self) -> None:
        """End the progress tasks of an aborted job."""
        while self._tasks:
            self._tasks.popitem()[1][1].close()


def _work(jobs: Mapping[str, Job], threads: int, channel: Channel) -> NoReturn:
    """Run the jobs that the parent names over the channel."""

    def do(name: str) -> None:
        try:
            for standing in jobs[name](_Relay(channel)):
                channel.send(_Step(standing))
        except Exception as error:  # raised again in the parent
            error.add_note(f"At work on {name}:\n{traceback.format_exc()}")
            channel.send(sendable_error(error))
        else:
            channel.send(_Finished())

    with computing_thread(threads) as thread:
        while True:
            thread.submit(do, channel.receive()).add_done_callback(end_on_defect)
