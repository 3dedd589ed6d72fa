"""Follow the README from top to bottom in a fresh clone, as somebody would who has just found it.

It installs everything and takes as long as that takes, so it is run by hand::

    .venv/bin/python tests/integration/newcomer.py --data-dir DIR          # the real thing
    .venv/bin/python tests/integration/newcomer.py --cut                   # on smaller sizes

What is committed is cloned. A table of what each command took ends it, with the time from ``fedsim
new adversary`` to the report of that adversary, which may be five minutes at most.
"""

import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

sys.path.append(str(Path(__file__).parents[1] / "docs"))

import exceptions
from snippets import README, ROOT, snippets

OWN = "docs/your-own.md"
NEW, REPORT = "fedsim new adversary my-adversary", "fedsim run experiment.yaml"
MOST_SECONDS = 300
KEPT = ("PIP_", "SSL_", "HTTP", "http", "LANG", "NO_PROXY", "no_proxy")
STANDS_FOR_DIR = "DIR"


@dataclass
class Newcomer:
    """Somebody with a clone, a home of their own and nothing installed.

    Attributes
    ----------
    clone
        The clone's folder.
    data_dir
        Where the real data are; None if there are none.
    took
        Each command, with its seconds by the clock and of processors.
    """

    clone: Path
    data_dir: Path | None
    took: list[tuple[str, float, float]] = field(default_factory=list)
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.clone

    def does(self, command: str) -> None:
        """Give a command and note what it took; stop at the first that fails."""
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
            return
        typer.secho(f"$ {command}", bold=True)
        began, computed = time.monotonic(), _computed()
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment(), check=False
        )
        self.took.append((command, time.monotonic() - began, _computed() - computed))
        if done.returncode:
            raise SystemExit(f"{command!r} in {self.folder} ended with {done.returncode}")

    def writes(self, name: str, text: str) -> None:
        """Write a file that a page shows."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        home = self.clone.parent / "home"
        home.mkdir(exist_ok=True)
        places = (self.clone / ".venv/bin", Path(sys.base_prefix) / "bin", os.defpath)
        path = os.pathsep.join(map(str, places))
        return kept | {"HOME": str(home), "PATH": path, "TERM": "dumb"}


def _computed() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def follow(newcomer: Newcomer, page: str, tests: bool) -> None:
    """Do what a page says; data files and parts of files are only looked at."""
    for snippet in snippets(page):
        if snippet.title:
            newcomer.writes(snippet.title, snippet.text)
        elif snippet.language == "python":
            newcomer.does(f"python -c {shlex.quote(snippet.text)}")
        elif snippet.language == "bash":
            for given in snippet.commands:
                for command in _possible(given, newcomer.data_dir, tests):
                    newcomer.does(command)


def _possible(given: str, data_dir: Path | None, tests: bool) -> Iterator[str]:
    """Yield what is done for a command, if anything."""
    words = given.split()
    if given.startswith("fedsim data fetch") or STANDS_FOR_DIR in words:
        if data_dir is None:
            typer.echo(f"not done without --data-dir: {given}")
        elif STANDS_FOR_DIR in words:
            yield given.replace(f" {STANDS_FOR_DIR}", f" {shlex.quote(str(data_dir))}")
        else:
            yield f"{given} --data-dir {shlex.quote(str(data_dir))}"
    elif given == "make test" and not tests:
        typer.echo("not done without --tests: make test")
    elif given.startswith("fedsim study"):
        instead = exceptions.INSTEAD.get(given)
        yield instead.command if instead else given
    else:
        yield given


def cut(clone: Path) -> None:
    """Make the clone's experiments smaller, as the tests of the documentation do."""
    from fedsim.config.loading import read_experiment

    for name, smaller in exceptions.SMALLER_EXPERIMENTS.items():
        resolved = read_experiment(ROOT / name, smaller.settings).resolved()
        (clone / name).write_text(resolved, encoding="utf-8")


def main(
    data_dir: Annotated[Path | None, typer.Option(help="Where the real data are.")] = None,
    smaller: Annotated[bool, typer.Option("--cut", help="Run smaller experiments.")] = False,
    tests: Annotated[bool, typer.Option("--tests", help="Do `make test`, too.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder behind.")] = False,
) -> None:
    """Follow the README in a fresh clone."""
    folder = Path(tempfile.mkdtemp(prefix="newcomer-"))
    newcomer = Newcomer(folder / "fedsim", data_dir.resolve() if data_dir else None)
    subprocess.run(["git", "clone", "--quiet", ROOT, newcomer.clone], check=True)
    try:
        if smaller:
            cut(newcomer.clone)
        _from_top_to_bottom(newcomer, tests)
    finally:
        for command, clock, computed in newcomer.took:
            shown = command.partition("\n")[0][:100]
            typer.echo(f"{clock:8.1f} s  {computed:8.1f} s of processors  {shown}")
        if keep:
            typer.echo(f"left in {folder}")
        else:
            shutil.rmtree(folder)


def _from_top_to_bottom(newcomer: Newcomer, tests: bool) -> None:
    newcomer.does("make quickstart")  # the first command; what is one's own needs it
    follow(newcomer, OWN, tests)
    newcomer.folder = newcomer.clone
    follow(newcomer, README, tests)
    commands = [command for command, _, _ in newcomer.took]
    between = newcomer.took[commands.index(NEW) : commands.index(REPORT) + 1]
    seconds = sum(clock for _, clock, _ in between)
    report = newcomer.folder / "runs" / "experiment" / "report.html"
    if not report.is_file():
        raise SystemExit(f"{report} is not there")
    typer.echo(f"from `{NEW}` to the first report: {seconds:.1f} s")
    if seconds > MOST_SECONDS:
        raise SystemExit(f"that is more than {MOST_SECONDS} s")


if __name__ == "__main__":
    typer.run(main)
