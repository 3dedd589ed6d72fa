"""The layout of a run directory, and who may work in it.

``experiment.yaml`` the resolved experiment; ``provenance.json`` versions, commit, machine;
``ledger.parquet`` who holds which record and what is audited; ``federations/NAME/`` one federation
each, the honest one and one for each active adversary: ``checkpoint.safetensors`` where it stands,
``history.json`` utility over the rounds, ``crafted.json`` how far malicious messages lie from
honest ones, ``findings.json`` what adversaries report; ``states/`` where federations branch;
``snapshots/ADVERSARY/`` what it saw; ``features/``, ``scores/``, ``exposure/``, ``findings/`` and
``traces/`` below ``ADVERSARY/QUESTION/`` what the attacks made of it; ``results.json`` and
``report.html`` what came out.

A stage reads files and writes files, so each can be run alone and again.
"""

import fcntl
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedsim.bounded_io import read_text
from fedsim.config.engine import DECIDING
from fedsim.config.yaml_files import parse_yaml
from fedsim.errors import ConfigError, RunDirectoryError
from fedsim.files import (
    OWNER_ONLY_FILE,
    UNFINISHED,
    make_private_folder,
    remove_unfinished,
    write_text,
)


@dataclass(frozen=True)
class RunDirectory:
    """One run's folder; the properties name its files."""

    path: Path

    @classmethod
    def create(cls, path: Path, resolved: str) -> "RunDirectory":
        """Return the run directory of an experiment, new or to be resumed.

        Parameters
        ----------
        path
            The folder.
        resolved
            The experiment as YAML, defaults written out.

        Raises
        ------
        RunDirectoryError
            If the folder holds another experiment's run, or something else altogether, or cannot
            be made.
        """
        run = cls(path)
        if run.experiment.is_file():
            if _deciding(_text_in(run.experiment)) != _deciding(resolved):
                raise RunDirectoryError(
                    f"{path} holds a run of another experiment (compare {run.experiment}); choose "
                    "another --out, or delete that folder"
                )
            if _measured(_text_in(run.experiment)) != _measured(resolved):
                write_text(run.experiment, resolved)
        elif path.exists() and not (path.is_dir() and _is_empty(path)):
            raise RunDirectoryError(
                f"{path} is not a run directory and not empty; choose another --out"
            )
        else:
            try:
                make_private_folder(path)
                write_text(run.experiment, resolved)
            except OSError as error:
                raise RunDirectoryError(
                    f"cannot make the run directory {path}: {error}; choose another --out"
                ) from error
        return run

    @classmethod
    def existing(cls, path: Path) -> "RunDirectory":
        """Return the run directory at `path`.

        Raises
        ------
        RunDirectoryError
            If there is none.
        """
        if not (path / "experiment.yaml").is_file():
            raise RunDirectoryError(
                f"{path} is not a run directory (it has no experiment.yaml); `fedsim run CONFIG "
                f"--out {path}` makes one"
            )
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others out of this run for one block; sweep what a killed one was writing.

        The lock is the kernel's, so it ends with the process that holds it, however that ends.

        Raises
        ------
        RunDirectoryError
            If another process works in it, and the sentence says which; or if there is a
            symbolic link in it.
        """
        if links := self._links():
            raise RunDirectoryError(
                f"{links[0]} is a symbolic link, and nothing is written to where a run directory "
                "leads out of itself; put there what it points to"
            )
        lock = self.path / ".lock"
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, OWNER_ONLY_FILE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 1000, 0).decode(errors="replace")
                raise RunDirectoryError(
                    f"{holder or 'another process'} is working in {self.path}; wait for it, or "
                    "choose another --out"
                ) from error
            _say_who_works_here(descriptor)
            remove_unfinished(self.path)
            yield
        finally:
            os.close(descriptor)

    def _links(self) -> list[Path]:
        """Return the symbolic links in the folder, by name."""
        return sorted(path for path in self.path.rglob("*") if path.is_symlink())

    @property
    def experiment(self) -> Path:
        """The resolved experiment."""
        return self.path / "experiment.yaml"

    @property
    def provenance(self) -> Path:
        """Versions, commit and machine of the run."""
        return self.path / "provenance.json"

    @property
    def ledger(self) -> Path:
        """Who holds which record, and what is audited."""
        return self.path / "ledger.parquet"

    @property
    def content(self) -> Path:
        """Digests of the data and the model that the run was made from."""
        return self.path / "content.json"

    @property
    def attackers(self) -> Path:
        """What the attackers state of themselves: threat models, queries, what answers them."""
        return self.path / "attackers.json"

    @property
    def guarantees(self) -> Path:
        """What the defences guarantee, or why they do not."""
        return self.path / "guarantees.json"

    def checkpoint(self, federation: str) -> Path:
        """Where a federation stands."""
        return self.path / "federations" / federation / "checkpoint.safetensors"

    def history(self, federation: str) -> Path:
        """Utility over a federation's rounds."""
        return self.path / "federations" / federation / "history.json"

    def malicious_updates(self, federation: str) -> Path:
        """How far a federation's malicious messages lie from honest ones."""
        return self.path / "federations" / federation / "crafted.json"

    def adversary_findings(self, federation: str) -> Path:
        """What the adversaries in the server's position of a federation report of their own."""
        return self.path / "federations" / federation / "findings.json"

    def participant_findings(self, federation: str, participant: int) -> Path:
        """What those in a participant's position report of their own."""
        name = f"findings.participant-{participant}.json"
        return self.path / "federations" / federation / name

    def attack_findings(self, adversary: str, query: str, attack: str) -> Path:
        """What an attack reports beside its scores."""
        return self.path / "findings" / adversary / query / f"{attack}.json"

    @property
    def states(self) -> Path:
        """States from which federations of this run branch, until all have ended."""
        return self.path / "states"

    @property
    def results(self) -> Path:
        """The figures of all attacks."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    def snapshots(self, adversary: str) -> Path:
        """Return the folder of what an adversary saw."""
        return self.path / "snapshots" / adversary

    def features(self, adversary: str, query: str) -> Path:
        """Return the folder of what was extracted from an adversary's snapshots."""
        return self.path / "features" / adversary / query

    def shadows(self, name: str) -> Path:
        """Return the folder of a federation of the attacker's own; laid out as this one."""
        return self.path / "shadows" / name

    def scores(self, adversary: str, query: str, attack: str) -> Path:
        """Return the file of an attack's scores."""
        return self.path / "scores" / adversary / query / f"{attack}.parquet"

    def scored(self, adversary: str, query: str) -> tuple[Path, ...]:
        """Return the files of scores that are there."""
        return tuple(sorted((self.path / "scores" / adversary / query).glob("*.parquet")))

    def exposure(self, adversary: str, query: str, attack: str, last: int) -> Path:
        """Return the file of an attack's scores from no more than the rounds until `last`."""
        folder = self.path / "exposure" / adversary / query / attack
        return folder / f"round-{last:05d}.parquet"

    def exposures(self, adversary: str, query: str, attack: str) -> tuple[Path, ...]:
        """Return those that are there, by rising round."""
        return tuple(sorted(self.exposure(adversary, query, attack, 0).parent.glob("*.parquet")))

    def traces(self, adversary: str, query: str, owner: str, attack: str) -> Path:
        """Return the file of a signal's course over the snapshots of an owner."""
        return self.path / "traces" / adversary / query / owner / f"{attack}.parquet"

    def traced(self, adversary: str, query: str, owner: str) -> tuple[Path, ...]:
        """Return the files of traces that are there."""
        return tuple(sorted((self.path / "traces" / adversary / query / owner).glob("*.parquet")))


def _is_empty(folder: Path) -> bool:
    """Return whether a folder holds nothing but what a killed process was writing."""
    return all(path.name.endswith(UNFINISHED) for path in folder.iterdir())


def _say_who_works_here(lock: int) -> None:
    """Write into a lock file who holds it, as the subject of a sentence."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    holder = f"process {os.getpid()} on {socket.gethostname()} ({command:.200}, since {since})"
    with suppress(OSError):  # a full disk is no reason not to work here
        os.ftruncate(lock, 0)
        os.pwrite(lock, " ".join(holder.split()).encode(), 0)


def _text_in(path: Path) -> str:
    """Return a text, and of a file that holds none what is no experiment."""
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError):
        return ""


_MEASURED_AGAIN = ("metrics", "attacks")
"""What a finished run is attacked and measured by anew, without being simulated again."""
_SEEDS = "attack_seeds"


def _measured(resolved: str) -> object:
    tree = parse_yaml(resolved, "an experiment")
    if not isinstance(tree, dict):
        return None
    audit = tree.get("audit")
    seeds = audit.get(_SEEDS) if isinstance(audit, dict) else None
    return [seeds, *(tree.get(key) for key in _MEASURED_AGAIN)]


def _deciding(resolved: str) -> object:
    """Return what decides a simulation: all but what it is run on, attacked and measured by.

    What is no mapping is returned as it is, and so equals no experiment.
    """
    try:
        tree = parse_yaml(resolved, "an experiment")
    except ConfigError:
        return resolved
    if not isinstance(tree, dict):
        return tree
    tree = {key: value for key, value in tree.items() if key not in _MEASURED_AGAIN}
    if isinstance(tree.get("audit"), dict):
        tree["audit"] = {k: v for k, v in tree["audit"].items() if k != _SEEDS}
    if isinstance(tree.get("engine"), dict):
        return {**tree, "engine": {k: v for k, v in tree["engine"].items() if k in DECIDING and v}}
    return tree
