"""Simulate a federation with a dishonest party in it, and measure what that party learns.

The names below are the public surface for scripts and plugins; they are imported when first used,
so that the command line answers at once.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedsim.api import attack, attack_given, compare, open_run, run, study
    from fedsim.attacks import Attack, Known, MemoryNeed, Observation, Prospect, Traced
    from fedsim.config import Experiment, load_experiment
    from fedsim.data import Arrays, Dataset
    from fedsim.errors import FedsimError
    from fedsim.federation.adversary import Adversary, Threat
    from fedsim.federation.participant_position import ParticipantAdversary
    from fedsim.federation.server_position import ServerAdversary
    from fedsim.outcomes import ComparedRuns, FinishedRun, FinishedStudy
    from fedsim.progress import Watcher
    from fedsim.report.results import Results
    from fedsim.snapshots import Snapshot, SnapshotStore
    from fedsim.stages.given import GivenModel

    __version__: str

_HOMES = {
    "Adversary": "fedsim.federation.adversary",
    "Arrays": "fedsim.data",
    "Attack": "fedsim.attacks",
    "ComparedRuns": "fedsim.outcomes",
    "Dataset": "fedsim.data",
    "Experiment": "fedsim.config",
    "FedsimError": "fedsim.errors",
    "FinishedRun": "fedsim.outcomes",
    "FinishedStudy": "fedsim.outcomes",
    "GivenModel": "fedsim.stages.given",
    "Known": "fedsim.attacks",
    "MemoryNeed": "fedsim.attacks",
    "Observation": "fedsim.attacks",
    "ParticipantAdversary": "fedsim.federation.participant_position",
    "Prospect": "fedsim.attacks",
    "Results": "fedsim.report.results",
    "ServerAdversary": "fedsim.federation.server_position",
    "Snapshot": "fedsim.snapshots",
    "SnapshotStore": "fedsim.snapshots",
    "Threat": "fedsim.federation.adversary",
    "Traced": "fedsim.attacks",
    "Watcher": "fedsim.progress",
    "attack": "fedsim.api",
    "attack_given": "fedsim.api",
    "compare": "fedsim.api",
    "load_experiment": "fedsim.config",
    "open_run": "fedsim.api",
    "run": "fedsim.api",
    "study": "fedsim.api",
}

__all__ = [
    "Adversary",
    "Arrays",
    "Attack",
    "ComparedRuns",
    "Dataset",
    "Experiment",
    "FedsimError",
    "FinishedRun",
    "FinishedStudy",
    "GivenModel",
    "Known",
    "MemoryNeed",
    "Observation",
    "ParticipantAdversary",
    "Prospect",
    "Results",
    "ServerAdversary",
    "Snapshot",
    "SnapshotStore",
    "Threat",
    "Traced",
    "Watcher",
    "attack",
    "attack_given",
    "compare",
    "load_experiment",
    "open_run",
    "run",
    "study",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("fedsim")
    if name not in _HOMES:
        raise AttributeError(f"module 'fedsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
