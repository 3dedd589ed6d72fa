"""Simulate a federation with a dishonest party in it, and measure what that party learns.

The names below are the public surface for scripts and plugins; they are imported when first used,
so that the command line answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedsim.attacks import Attack, Known, Observation, Traced
    from fedsim.config import Experiment, load_experiment
    from fedsim.data import Arrays, Dataset
    from fedsim.errors import FedsimError
    from fedsim.experiment import run
    from fedsim.federation.adversary import Adversary, Threat
    from fedsim.federation.participant_position import ParticipantAdversary
    from fedsim.federation.server_position import ServerAdversary
    from fedsim.snapshots import Snapshot, SnapshotStore

_HOMES = {
    "Adversary": "fedsim.federation.adversary",
    "Arrays": "fedsim.data",
    "Attack": "fedsim.attacks",
    "Dataset": "fedsim.data",
    "Experiment": "fedsim.config",
    "FedsimError": "fedsim.errors",
    "Known": "fedsim.attacks",
    "Observation": "fedsim.attacks",
    "ParticipantAdversary": "fedsim.federation.participant_position",
    "ServerAdversary": "fedsim.federation.server_position",
    "Snapshot": "fedsim.snapshots",
    "SnapshotStore": "fedsim.snapshots",
    "Threat": "fedsim.federation.adversary",
    "Traced": "fedsim.attacks",
    "load_experiment": "fedsim.config",
    "run": "fedsim.experiment",
}

__all__ = [
    "Adversary",
    "Arrays",
    "Attack",
    "Dataset",
    "Experiment",
    "FedsimError",
    "Known",
    "Observation",
    "ParticipantAdversary",
    "ServerAdversary",
    "Snapshot",
    "SnapshotStore",
    "Threat",
    "Traced",
    "load_experiment",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fedsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
