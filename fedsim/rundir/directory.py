"""The layout of a run directory.

``experiment.yaml`` the resolved experiment; ``provenance.json`` versions, commit, machine;
``ledger.parquet`` who holds which record and what is audited; ``federations/NAME/`` one federation
each, the honest one and one for each active adversary: ``checkpoint.safetensors`` where it stands,
``history.json`` utility over the rounds, ``malicious_updates.json`` how far malicious messages lie
from honest ones, ``findings.json`` what adversaries report; ``states/`` where federations branch;
``snapshots/ADVERSARY/`` what it saw; ``features/``, ``scores/``, ``exposure/``, ``findings/`` and
``traces/`` below ``ADVERSARY/QUESTION/`` what the attacks made of it; ``results.json`` and
``report.html`` what came out.

A stage reads files and writes files, so each can be run alone and again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedsim.config.yaml_files import EXPERIMENT
from fedsim.errors import RunDirectoryError
from fedsim.files import UNFINISHED, make_private_folder, remove_unfinished, write_text
from fedsim.rundir.lock import locked_folder
from fedsim.rundir.same_experiment import (
    deciding,
    differing_settings,
    measured,
    written_experiment,
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
            there = written_experiment(run.experiment)
            if deciding(there) != deciding(resolved):
                differing = differing_settings(there, resolved)
                raise RunDirectoryError(
                    f"{path} holds a run of another experiment (compare {run.experiment}: "
                    f"{differing}); choose another --out, or delete that folder"
                )
            if measured(written_experiment(run.experiment)) != measured(resolved):
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
        if not (path / EXPERIMENT).is_file():
            raise RunDirectoryError(
                f"{path} is not a run directory (it has no experiment.yaml); `fedsim run CONFIG "
                f"--out {path}` makes one"
            )
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others out of this run within the context; sweep what a killed one was writing.

        Raises
        ------
        RunDirectoryError
            As `fedsim.rundir.lock.locked_folder`.
        """
        with locked_folder(self.path):
            remove_unfinished(self.path)
            yield

    @property
    def experiment(self) -> Path:
        """The resolved experiment."""
        return self.path / EXPERIMENT

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

    def canary_cosines(self, federation: str) -> Path:
        """What a federation's aggregates say of its canary participants."""
        return self.path / "federations" / federation / "canary-cosines.json"

    def malicious_updates(self, federation: str) -> Path:
        """Distances of a federation's malicious messages from honest ones.

        Runs of earlier versions have them in ``crafted.json``.
        """
        folder = self.path / "federations" / federation
        earlier = folder / "crafted.json"
        return earlier if earlier.is_file() else folder / "malicious_updates.json"

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
