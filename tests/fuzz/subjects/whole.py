"""The command line on a run directory in which one file is broken: exit code 0 or 2, never more."""

import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random

from fedsim.cli.main import main
from fedsim.errors import FedsimError
from fuzz.corpus import Corpus
from fuzz.harness import Subject
from fuzz.mutators import raw

COMMANDS = (("report", "{run}", "--quiet"), ("compare", "{run}"))
READ = (
    *("experiment.yaml", "ledger.parquet", "results.json", "provenance.json", "attackers.json"),
    *("federations/*/*.json", "scores/*/*/*.parquet", "traces/*/*/*/*.parquet"),
)


def command_line(corpus: Corpus) -> Subject:
    """`fedsim report` and `fedsim compare` on a broken run."""
    run = corpus.folder / "whole"
    files = sorted(path for pattern in READ for path in corpus.run.glob(pattern))

    def make(random: Random) -> tuple[tuple[str, ...], Path, bytes]:
        source = random.choice(files)
        others = [path.read_bytes() for path in files if path.suffix == source.suffix]
        return random.choice(COMMANDS), source, raw.mutated(source.read_bytes(), random, others)

    def read(broken: tuple[tuple[str, ...], Path, bytes], folder: Path) -> None:
        command, source, content = broken
        shutil.copytree(corpus.run, run, dirs_exist_ok=True)
        (run / source.relative_to(corpus.run)).write_bytes(content)
        outside = _seen(corpus.run)
        code, said = called([part.format(run=run) for part in command])
        assert code in (0, 2), (code, said[-500:])
        assert "Traceback" not in said, said[-500:]
        assert _seen(corpus.run) == outside
        assert not list(run.rglob("*.part")), "half of a file was left"
        if code == 2:
            raise FedsimError(" ".join(said.split()).removeprefix("fedsim: "))

    return Subject("command line", make, read)


def called(arguments: list[str]) -> tuple[int, str]:
    """Run the command line in this process, and return its exit code and what it said."""
    told, before, paths = StringIO(), sys.argv, list(sys.path)
    sys.argv = ["fedsim", *arguments]
    try:
        with redirect_stdout(told), redirect_stderr(told):
            main()
        code: object = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv, sys.path[:] = before, paths
    return code if isinstance(code, int) else 1, told.getvalue()


def _seen(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what there is in a folder, by size and time of change."""
    found = {}
    for path in folder.rglob("*"):
        facts = path.stat()
        found[str(path)] = (facts.st_size, facts.st_mtime_ns)
    return found


READERS = {"command line": command_line}
