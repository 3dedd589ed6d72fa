"""Worker processes on this machine: forks that share the parent's data and end with the parent.

A fork sees everything that its parent has loaded, without a copy and without pickling, and takes
milliseconds to start. The known dangers of forks are avoided as follows:

- OpenMP's threads do not survive a fork, and the forked thread would wait for them for ever. A
  fork therefore computes in a new thread, which has not used OpenMP yet.
- A fork never writes to the terminal; it reports through its channel only.
- A process whose parent has ended ends, too: a process that waits, because its channel is closed,
  and a process that computes, by Linux's parent-death signal.
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


class WorkerEnded(FedsimError):  # noqa: N818 - the name is an event
    """A worker process ended before its work was finished; the states that it kept are lost."""

    def __str__(self) -> str:
        return f"{self.happened}; run the same command again, it goes on where it was"

    @property
    def happened(self) -> str:
        """Which process ended and how, without the advice for the user."""
        return str(self.args[0])


@dataclass(frozen=True)
class Worker:
    """A forked process, and the parent's end of the channel to it."""

    process: BaseProcess
    channel: Channel

    def receive(self, doing: str) -> Any:
        """Return the next object that the process sends.

        Parameters
        ----------
        doing
            What the process is doing, to complete the error message "the process that ..."

        Raises
        ------
        WorkerEnded
            If the process ended instead.
        """
        try:
            return self.channel.receive()
        except (EOFError, ConnectionResetError) as error:
            self.process.join()
            raise WorkerEnded(f"the process that {doing} {_end(self.process.exitcode)}") from error


@contextmanager
def fork_processes(tasks: Sequence[Task]) -> Iterator[tuple[Worker, ...]]:
    """Run each task in a process that is forked now, and end all processes with the context.

    Parameters
    ----------
    tasks
        Each task is called once, in its own process, with that process's end of the channel. A
        process ends when its task returns, when the channel is closed, or when it is killed at
        the end of the context.

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
                # Python warns if there are threads, and BLAS always has some; see the docstring.
                warnings.filterwarnings("ignore", "This process", DeprecationWarning)
                process.start()
            theirs.close()
            workers.append(Worker(process, ours))
        yield tuple(workers)
    finally:
        for worker in workers:
            worker.process.kill()  # nothing is lost: a worker that succeeded has finished its work
            worker.channel.close()
        for worker in workers:
            worker.process.join()
            worker.process.close()


def wait_for_senders(workers: Sequence[Worker], timeout: float = math.inf) -> list[Worker]:
    """Wait until some workers have sent something or have ended, and return these workers."""
    seconds = max(0.0, timeout) if math.isfinite(timeout) else None
    ready = wait([worker.channel.socket for worker in workers], seconds)
    return [worker for worker in workers if worker.channel.socket in ready]


def computing_thread(threads: int) -> ThreadPoolExecutor:
    """Return the thread in which a fork may compute; torch uses `threads` threads in it."""
    return ThreadPoolExecutor(1, "compute", limit_threads, (threads,))


def end_on_defect(done: Future[None]) -> None:
    """End this process with a traceback if its computation raised an unexpected exception."""
    if (error := done.exception()) is not None:
        traceback.print_exception(error)
        os._exit(1)


def sendable_error(error: Exception) -> Exception:
    """Return the error itself, or a `FedsimError` with its message if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - pickled in this line
    except Exception:  # pickling a plugin's own error may raise anything
        kind = FedsimError if isinstance(error, FedsimError) else RuntimeError
        sent = kind(str(error))
        for note in getattr(error, "__notes__", ()):
            sent.add_note(note)
        return sent
    return error


def _live(task: Task, channel: Channel, not_ours: Sequence[Channel], parent: int) -> None:
    """Run a task as the body of a forked process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent handles it
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    for end in not_ours:  # otherwise no worker would notice that the parent has ended
        end.close()
    with suppress(EOFError, ConnectionResetError):  # the parent has closed the channel
        task(channel)


def _end(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"ended with exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
