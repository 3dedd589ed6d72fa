"""Jobs that do not depend on each other, done side by side in several processes.

A job is a generator: it yields a line for each step that is done. What it reports to its watcher
reaches the parent's watcher. Jobs leave their results in files, so nothing else comes back, and who
does which job when changes none of them.
"""

import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import NoReturn

from fedsim.engines.processes import Worker, computing, end_on_defect, forked, portable, who_sent
from fedsim.progress import Advance, Watcher
from fedsim.transport.channel import Channel

Job = Callable[[Watcher], Iterator[str]]


def steps_of(
    jobs: Mapping[str, Job], workers: int, threads: int, watcher: Watcher
) -> Generator[str]:
    """Do all jobs, and yield a line for each step that is done, as they are done.

    Parameters
    ----------
    jobs
        What is to be done, by a name that finishes the sentence "the process that was at work on".
        They are forked as they are now, so they need not be picklable.
    workers
        How many processes do them; with one, or for one job, it is this process.
    threads
        How many threads each of the processes computes with.
    watcher
        Receives what the jobs report to theirs.

    Raises
    ------
    Exception
        What a job raised. The other jobs are broken off.
    FedsimError
        If a process ends before its job.
    """
    size = min(workers, len(jobs))
    if size <= 1:
        for job in jobs.values():
            yield from job(watcher)
        return
    with forked([partial(_work, jobs, threads)] * size) as processes:
        yield from _overseen(processes, list(jobs), watcher)


def _overseen(processes: Sequence[Worker], jobs: Sequence[str], watcher: Watcher) -> Iterator[str]:
    """Hand out the jobs, the next one to the first free worker, and receive what they report."""
    unfinished, names = len(jobs), iter(jobs)
    with ExitStack() as stack:
        receivers = {w: stack.enter_context(closing(_Receiver(watcher))) for w in processes}
        at = {}
        for worker in processes:
            at[worker] = next(names)
            worker.channel.send(at[worker])
        while unfinished:
            for worker in who_sent(processes):
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
    """A step of a job is done."""

    standing: str


@dataclass(frozen=True)
class _Finished:
    """A job is done."""


class _Relay:
    """A watcher in a process of ours: everything goes over the channel, by method."""

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
    """Passes what one process's `_Relay` sends on to the watcher here."""

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
        """End what a job that was broken off has begun."""
        while self._tasks:
            self._tasks.popitem()[1][1].close()


def _work(jobs: Mapping[str, Job], threads: int, channel: Channel) -> NoReturn:
    """Do the jobs that the channel names."""

    def do(name: str) -> None:
        try:
            for standing in jobs[name](_Relay(channel)):
                channel.send(_Step(standing))
        except Exception as error:  # it is raised again in the parent
            error.add_note(f"At work on {name}:\n{traceback.format_exc()}")
            channel.send(portable(error))
        else:
            channel.send(_Finished())

    with computing(threads) as thread:
        while True:
            thread.submit(do, channel.receive()).add_done_callback(end_on_defect)
