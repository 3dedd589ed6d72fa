"""Commands of ours in processes of their own, forked from one that has imported everything.

To import PyTorch and Flower anew takes longer than most commands that are tested. What such a
process does not show is how a program of ours starts: `tests/integration/test_cli.py` and
`tests/unit/fedsim/test_package.py` start it as a user does.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The tests' own, and what a run imports when it first needs it: most of a short one's time.
PRELOADED = ["faults", "fedsim.api", "torch._dynamo", "sklearn.model_selection", "plotly.io"]
_TESTS = Path(__file__).parent


def fork_server() -> Any:
    """Return the context that forks processes from one that has imported `PRELOADED`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def finished(
    module: str,
    arguments: Sequence[object],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m MODULE ARGUMENTS`` in a folder to its end, and return what it said.

    Parameters
    ----------
    module, arguments
        For a command of ours ``"fedsim"``, and what follows it.
    folder
        Where it runs.
    environment, more
        Its environment, by default this process's, and what is changed in it. ``PYTHONPATH`` is
        where it finds modules, besides those that are installed.
    """
    variables = {**(os.environ if environment is None else environment), **more}
    command = [module, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as kept:
        said = [Path(kept) / name for name in ("stdout", "stderr")]
        process = fork_server().Process(target=_become, args=(command, folder, variables, said))
        process.start()
        process.join()
        out, err = (path.read_text(encoding="utf-8") for path in said)
    return subprocess.CompletedProcess(command, process.exitcode, out, err)


def _become(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], said: Sequence[Path]
) -> None:
    for stream, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where nohup runs the tests
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    ours = [path for path in sys.path if path and not Path(path).is_relative_to(_TESTS)]
    sys.path[:] = [*filter(None, variables.get("PYTHONPATH", "").split(os.pathsep)), *ours]
    sys.argv = [*command]
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
