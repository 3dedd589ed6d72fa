"""Simulate a federation with an attacker in it, and measure what that attacker learns.

The names below are the public surface for scripts and plugins; they are imported when first used,
so that the command line answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedsim.adversary.base import Adversary, Threat
    from fedsim.adversary.participant_position import ParticipantAdversary
    from fedsim.adversary.server_position import ServerAdversary
    from fedsim.api import attack, attack_given, compare, gate, open_run, prepare, run, study
    from fedsim.attacks import (
        Attack,
        AuxiliaryRecords,
        ExpectedObservation,
        MemoryNeed,
        Traced,
    )
    from fedsim.config.experiment import Experiment, load_experiment
    from fedsim.data import Arrays, Dataset, MembershipQuery, SourceLocation
    from fedsim.data.partitioners import PartitionTask
    from fedsim.data.sources.tables import TableFile
    from fedsim.defences import Defence, FederationFacts, Guarantee, Hidden, NoGuarantee
    from fedsim.errors import FedsimError
    from fedsim.evaluation.metric import Metric, ResampledRecords, ScoredRecords
    from fedsim.finding import Finding
    from fedsim.models.exchange import exchanged_state, load_exchanged
    from fedsim.objectives import Objective, UtilityFigure
    from fedsim.observation.keys import SnapshotKey, SnapshotKind
    from fedsim.observation.needs import Knowledge, Needs
    from fedsim.observation.nodes import NodeNumbers
    from fedsim.observation.snapshots import Snapshot, SnapshotStore
    from fedsim.observation.view import ShadowFederation, View
    from fedsim.progress import Watcher
    from fedsim.report.results import Results
    from fedsim.result_objects import ComparedRuns, FinishedRun, FinishedStudy, GatedRun
    from fedsim.stages.external_model import ExternalModel
    from fedsim.training.trainer import Batches, LocalTrainer, TrainerState

    __version__: str

_HOMES = {
    "Batches": "fedsim.training.trainer",
    "LocalTrainer": "fedsim.training.trainer",
    "TrainerState": "fedsim.training.trainer",
    "UtilityFigure": "fedsim.objectives",
    "Objective": "fedsim.objectives",
    "PartitionTask": "fedsim.data.partitioners",
    "SourceLocation": "fedsim.data",
    "Adversary": "fedsim.adversary.base",
    "Arrays": "fedsim.data",
    "Attack": "fedsim.attacks",
    "ComparedRuns": "fedsim.result_objects",
    "Dataset": "fedsim.data",
    "Experiment": "fedsim.config.experiment",
    "FedsimError": "fedsim.errors",
    "Finding": "fedsim.finding",
    "FinishedRun": "fedsim.result_objects",
    "FinishedStudy": "fedsim.result_objects",
    "GatedRun": "fedsim.result_objects",
    "ExternalModel": "fedsim.stages.external_model",
    "AuxiliaryRecords": "fedsim.attacks",
    "MemoryNeed": "fedsim.attacks",
    "MembershipQuery": "fedsim.data",
    "Metric": "fedsim.evaluation.metric",
    "ParticipantAdversary": "fedsim.adversary.participant_position",
    "ExpectedObservation": "fedsim.attacks",
    "ResampledRecords": "fedsim.evaluation.metric",
    "Results": "fedsim.report.results",
    "ScoredRecords": "fedsim.evaluation.metric",
    "ServerAdversary": "fedsim.adversary.server_position",
    "Defence": "fedsim.defences",
    "FederationFacts": "fedsim.defences",
    "Guarantee": "fedsim.defences",
    "Hidden": "fedsim.defences",
    "NoGuarantee": "fedsim.defences",
    "NodeNumbers": "fedsim.observation.nodes",
    "Knowledge": "fedsim.observation.needs",
    "Needs": "fedsim.observation.needs",
    "ShadowFederation": "fedsim.observation.view",
    "Snapshot": "fedsim.observation.snapshots",
    "SnapshotKey": "fedsim.observation.keys",
    "SnapshotKind": "fedsim.observation.keys",
    "View": "fedsim.observation.view",
    "SnapshotStore": "fedsim.observation.snapshots",
    "TableFile": "fedsim.data.sources.tables",
    "Threat": "fedsim.adversary.base",
    "Traced": "fedsim.attacks",
    "Watcher": "fedsim.progress",
    "attack": "fedsim.api",
    "attack_given": "fedsim.api",
    "compare": "fedsim.api",
    "gate": "fedsim.api",
    "exchanged_state": "fedsim.models.exchange",
    "load_exchanged": "fedsim.models.exchange",
    "load_experiment": "fedsim.config.experiment",
    "open_run": "fedsim.api",
    "prepare": "fedsim.api",
    "run": "fedsim.api",
    "study": "fedsim.api",
}

__all__ = [
    "Adversary",
    "Arrays",
    "Attack",
    "AuxiliaryRecords",
    "Batches",
    "ComparedRuns",
    "Dataset",
    "Defence",
    "ExpectedObservation",
    "Experiment",
    "ExternalModel",
    "FederationFacts",
    "FedsimError",
    "Finding",
    "FinishedRun",
    "FinishedStudy",
    "GatedRun",
    "Guarantee",
    "Hidden",
    "Knowledge",
    "LocalTrainer",
    "MembershipQuery",
    "MemoryNeed",
    "Metric",
    "Needs",
    "NoGuarantee",
    "NodeNumbers",
    "Objective",
    "ParticipantAdversary",
    "PartitionTask",
    "ResampledRecords",
    "Results",
    "ScoredRecords",
    "ServerAdversary",
    "ShadowFederation",
    "Snapshot",
    "SnapshotKey",
    "SnapshotKind",
    "SnapshotStore",
    "SourceLocation",
    "TableFile",
    "Threat",
    "Traced",
    "TrainerState",
    "UtilityFigure",
    "View",
    "Watcher",
    "attack",
    "attack_given",
    "compare",
    "exchanged_state",
    "gate",
    "load_exchanged",
    "load_experiment",
    "open_run",
    "prepare",
    "run",
    "study",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata  # slow, and of no use for anything else

        return metadata.version("fedsim")
    if name not in _HOMES:
        raise AttributeError(f"module 'fedsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
