"""Worker processes on this machine: forked, so that they share the data; they end with the parent.

A fork sees everything that its parent had loaded, without a copy and without pickling, and it costs
milliseconds. What makes forks unsafe is kept out:

- OpenMP's threads do not survive a fork, and the thread that was forked would wait for them for
  ever. A fork therefore computes in a thread of its own, which starts with no such memories.
- A fork never writes to the terminal; it has nothing to say but through its channel.
- A process that waits for its parent, or computes for one that is gone, ends: by the closed
  channel, and by Linux's parent-death signal.
"""

import ctypes
import math
import multiprocessing
import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from fedsim.engines.threads import limit_threads
from fedsim.errors import FedsimError
from fedsim.transport.channel import Channel, new_channel

_PR_SET_PDEATHSIG = 1

Task = Callable[[Channel], None]


class WorkerEnded(FedsimError):  # noqa: N818 - it says what happened
    """A process of ours ended before its work did; what it kept between rounds is gone."""

    def __str__(self) -> str:
        return f"{self.happened}; run the same command again, it goes on where it was"

    @property
    def happened(self) -> str:
        """Which process ended and how, without what to do about it."""
        return str(self.args[0])


@dataclass(frozen=True)
class Worker:
    """A forked process, and our end of the channel to it."""

    process: BaseProcess
    channel: Channel

    def receive(self, doing: str) -> Any:
        """Return the next object that the process sends.

        Parameters
        ----------
        doing
            What the process is doing, for the error's sentence: "the process that ..."

        Raises
        ------
        WorkerEnded
            If it ended instead.
        """
        try:
            return self.channel.receive()
        except (EOFError, ConnectionResetError) as error:
            self.process.join()
            raise WorkerEnded(f"the process that {doing} {_end(self.process.exitcode)}") from error


@contextmanager
def forked(tasks: Sequence[Task]) -> Iterator[tuple[Worker, ...]]:
    """Run each task in a process forked now, and end them all when the block ends.

    Parameters
    ----------
    tasks
        Each is called once, in its own process, with that process's end of the channel. It ends
        when its end of the channel says so, or when it is killed at the end of the block.

    Raises
    ------
    FedsimError
        If this is not Linux.
    """
    if not hasattr(os, "memfd_create"):
        raise FedsimError(
            "engine.workers above 1 and engine.timeout need Linux; set engine.workers to 1, and "
            "engine.timeout to null"
        )
    context = multiprocessing.get_context("fork")
    workers: list[Worker] = []
    try:
        for task in tasks:
            ours, theirs = new_channel()
            not_theirs = [ours, *(worker.channel for worker in workers)]
            process = context.Process(
                target=_live, args=(task, theirs, not_theirs, os.getpid()), daemon=True
            )
            with warnings.catch_warnings():
                # Python warns when there are threads, as BLAS always has; see above.
                warnings.filterwarnings("ignore", "This process", DeprecationWarning)
                process.start()
            theirs.close()
            workers.append(Worker(process, ours))
        yield tuple(workers)
    finally:
        for worker in workers:
            worker.process.kill()  # whatever ended well has left nothing undone
            worker.channel.close()
        for worker in workers:
            worker.process.join()
            worker.process.close()


def who_sent(workers: Sequence[Worker], timeout: float = math.inf) -> list[Worker]:
    """Wait until there is something to receive, or an end, and return from whom."""
    seconds = max(0.0, timeout) if math.isfinite(timeout) else None
    ready = wait([worker.channel.socket for worker in workers], seconds)
    return [worker for worker in workers if worker.channel.socket in ready]


def computing(threads: int) -> ThreadPoolExecutor:
    """Return the one thread that a fork may compute in, with its limit of threads in torch."""
    return ThreadPoolExecutor(1, "compute", limit_threads, (threads,))


def end_on_defect(done: Future[None]) -> None:
    """End this process, with a traceback, if what it computed ended in a defect of ours."""
    if (error := done.exception()) is not None:
        traceback.print_exception(error)
        os._exit(1)


def portable(error: Exception) -> Exception:
    """Return an error that can be sent: itself, or its sentence where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - made in this line
    except Exception:  # a plugin's own error may fail in any way
        kind = FedsimError if isinstance(error, FedsimError) else RuntimeError
        sent = kind(str(error))
        for note in getattr(error, "__notes__", ()):
            sent.add_note(note)
        return sent
    return error


def _live(task: Task, channel: Channel, not_ours: Sequence[Channel], parent: int) -> None:
    """Be a forked process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; our parent deals with it
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    for end in not_ours:  # while we held them, no one would learn that our parent is gone
        end.close()
    with suppress(EOFError, ConnectionResetError):  # our parent wants no more
        task(channel)


def _end(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"ended with exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
