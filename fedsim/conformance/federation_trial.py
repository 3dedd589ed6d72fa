"""A plugin in a tiny federation, run like an experiment, and the files of the run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fedsim.config.choice import HONEST
from fedsim.config.experiment import Experiment
from fedsim.conformance import toy
from fedsim.conformance.checklist import Failed
from fedsim.progress import SILENCE, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.simulate import simulate


@dataclass(frozen=True)
class FederationTrial:
    """A plugin by name and settings, in a federation of three participants."""

    name: str
    settings: Mapping[str, Any]
    folder: Path

    @property
    def plain(self) -> Experiment:
        """The federation without the plugin, with a server that keeps what it sees."""
        return toy.federation_with([toy.WATCHING_SERVER])

    @property
    def experiment(self) -> Experiment:
        """The federation with the plugin in it."""
        raise NotImplementedError

    def simulated(
        self, name: str, watcher: Watcher = SILENCE, experiment: Experiment | None = None
    ) -> Mapping[str, str]:
        """Run or resume the federation in a folder, and return checksums of its final state."""
        experiment = experiment or self.experiment
        run = RunDirectory.create(self.folder / name, experiment.resolved())
        with run.locked():
            simulate(build_setup(experiment, None, SILENCE), run, watcher)
        files = [*run.snapshots(HONEST).parent.rglob("*.safetensors"), run.checkpoint(HONEST)]
        return {
            str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(files)
            if path.is_file()
        }

    @cached_property
    def end(self) -> Mapping[str, str]:
        """The checksums of an uninterrupted federation."""
        return self.simulated("whole")


def require_alike(found: Mapping[str, str], expected: Mapping[str, str], how: str) -> None:
    """Raise `Failed` unless two federations left the same bits."""
    other = [name for name in expected if found.get(name) != expected[name]]
    if other:
        raise Failed(f"{how}, it leaves {len(other)} of {len(expected)} files with other bits")
