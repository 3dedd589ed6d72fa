"""Whether an experiment that was accepted then comes to its end: run in a process of its own."""

import json
import os
import resource
import select
import signal
import traceback
from pathlib import Path
from shutil import rmtree
from typing import Any

from fedsim.errors import FedsimError
from fuzz.values.running import run_whole

MOST_BYTES = 6 << 30
DIVERGED = ("not finite", "has a loss of", "nan", "inf", "NaN")
"""What sentences say of training that has diverged, which nobody can know before round 1."""


def outcome_of(tree: Any, folder: Path, data: Path, seconds: float) -> tuple[str, str]:
    """Run an experiment, and return what came of it: a word and, but for "ended", a text.

    The words: ``ended``; ``diverged``; ``running``, when the time was over; ``failed``.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if not process:  # the child
        os.close(reader)
        _run_and_tell(tree, folder, data, writer)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], seconds)
        told = os.read(reader, 1 << 16) if ready else b""
    finally:
        os.close(reader)
        os.killpg(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        rmtree(folder / "run", ignore_errors=True)
    if not ready:
        return "running", f"after {seconds} s"
    if not told:
        return "failed", f"the process ended with status {status}"
    word, text = json.loads(told)
    return word, text


def _run_and_tell(tree: Any, folder: Path, data: Path, writer: int) -> None:
    os.setpgid(0, 0)
    # Of what is written to: threads that an earlier value started have reserved much besides.
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    try:
        run_whole(tree, folder, data)
        found = "ended", ""
    except FedsimError as error:
        found = "diverged" if any(word in str(error) for word in DIVERGED) else "failed", str(error)
    except BaseException:
        found = "failed", traceback.format_exc()[-2500:]
    os.write(writer, json.dumps(found).encode())
    os._exit(0)
