"""One adversary in tiny federations, each of which is run once, when first needed."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedsim.adversary.base import GIVEN_ATTRIBUTES, Adversary
from fedsim.config.attackers import AttackerSettings
from fedsim.config.choice import HONEST
from fedsim.config.experiment import Experiment
from fedsim.conformance import toy
from fedsim.conformance.checklist import Failed
from fedsim.conformance.traffic import Traffic, traffic
from fedsim.observation.snapshots import SnapshotStore
from fedsim.progress import SILENCE, Advance, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attacker_resources import give_resources
from fedsim.stages.preparation.attackers import Attacker, attacker_of
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulate import simulate

Checksums = Mapping[str, str]
"""Checksums of files by their path in a run directory."""


@dataclass(frozen=True)
class AdversaryTrial:
    """An adversary by name and settings, and a folder in which its federations are run."""

    name: str
    settings: Mapping[str, Any]
    folder: Path

    @property
    def chosen(self) -> dict[str, Any]:
        """The adversary as an experiment names it."""
        return {**self.settings, "name": self.name, "label": toy.LABEL}

    @cached_property
    def attacker(self) -> Attacker:
        """The adversary in its position, freshly built."""
        chosen = AttackerSettings.model_validate(self.chosen)
        return attacker_of(chosen, toy.federation_with(["curious-server"]))

    @property
    def adversary(self) -> Adversary:
        """The adversary itself."""
        return self.attacker.adversaries[0]

    @cached_property
    def start(self) -> int | None:
        """The first round in which it declares to act."""
        return self.attacker.acts_from()

    @cached_property
    def experiment(self) -> Experiment:
        """The federation of the trial: long enough for it to act.

        Raises
        ------
        Failed
            If it acts too late for a tiny federation.
        """
        rounds = max(toy.FEWEST_ROUNDS, (self.start or 0) + toy.ROUNDS_OF_ACTION)
        if rounds > toy.MOST_ROUNDS:
            raise Failed(
                f"it acts from round {self.start} on, too late for a tiny federation of "
                f"{toy.MOST_ROUNDS} rounds; check it with an earlier start"
            )
        return toy.federation_with([self.chosen], rounds)

    @cached_property
    def setup(self) -> Setup:
        """Everything that the federation needs, the adversary not yet used."""
        return build_setup(self.experiment, None, SILENCE)

    @cached_property
    def honest(self) -> Traffic:
        """The messages of an honest federation."""
        return traffic(self.setup)

    @cached_property
    def with_it(self) -> Traffic:
        """The messages of the federation with the adversary."""
        return traffic(self.setup, self._placed(self.setup))

    @cached_property
    def changed_attributes(self) -> tuple[str, ...]:
        """The attributes that a federation changes on the adversary, except its memory."""
        setup = build_setup(self.experiment, None, SILENCE)
        (adversary,) = self._placed(setup)
        before = _own_attributes(adversary)
        traffic(setup, (adversary,))
        after = _own_attributes(adversary)
        return tuple(sorted(k for k in after if after[k] != before.get(k)))

    @cached_property
    def run(self) -> RunDirectory:
        """The federation as an experiment runs it, from the beginning and uninterrupted."""
        return self.simulated("run")

    def simulated(
        self, name: str, experiment: Experiment | None = None, watcher: Watcher = SILENCE
    ) -> RunDirectory:
        """Run or resume the first stage in a folder of this name, with newly built objects."""
        experiment = experiment or self.experiment
        run = RunDirectory.create(self.folder / name, experiment.resolved())
        with run.locked():
            simulate(build_setup(experiment, None, SILENCE), run, watcher)
        return run

    def stopped(self, name: str, after: int) -> None:
        """Run the first stage into a folder, and stop it after some rounds as Ctrl-C does."""
        try:
            self.simulated(name, watcher=Stopping(after))
        except KeyboardInterrupt:
            return

    def beside_an_onlooker(self) -> Experiment:
        """Return the experiment with an honest federation beside the adversary's own.

        Its onlooker keeps the snapshots that the adversary needs from before it acts.
        """
        wanted = sorted(key.name for key in self.attacker.keys_throughout(self.experiment))
        onlooker = {"name": toy.ONLOOKER, "label": "onlooker", "wanted": wanted}
        return toy.federation_with([onlooker, self.chosen], self.experiment.federation.rounds)

    def _placed(self, setup: Setup) -> tuple[Adversary, ...]:
        (attacker,) = setup.attackers
        give_resources(setup, attacker)
        store = SnapshotStore(self.folder / "kept")
        return tuple(adversary.keep_in(store) for adversary in attacker.adversaries)


def contents(run: RunDirectory) -> Checksums:
    """Return checksums of the files that the adversary's seed and settings determine."""
    mine = [run.snapshots(toy.LABEL), run.checkpoint(toy.LABEL).parent]
    honest = run.checkpoint(HONEST).parent
    folders = mine if run.checkpoint(toy.LABEL).is_file() else [mine[0], honest]
    return {
        str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _own_attributes(adversary: Adversary) -> dict[str, str]:
    """Return how an adversary's own attributes print, without what fedsim gives it."""
    own = {name: value for name, value in vars(adversary).items() if name not in GIVEN_ATTRIBUTES}
    return {name: repr(value) for name, value in own.items()}


@dataclass
class Stopping:
    """A watcher that presses Ctrl-C after a number of rounds."""

    after: int

    def say(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def task(self, what: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Count the steps."""

        def advance(standing: str) -> None:
            self.after -= 1
            if not self.after:
                raise KeyboardInterrupt

        yield advance
