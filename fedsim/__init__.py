"""Simulate a federation with an attacker in it, and measure what that attacker learns.

The names below are the public API for scripts and plugins. They are imported when first used, so
that the command line starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedsim.adversary.base import Adversary, Threat
    from fedsim.adversary.participant_position import ParticipantAdversary
    from fedsim.adversary.server_position import ServerAdversary
    from fedsim.api import attack, attack_given, compare, gate, open_run, prepare, run, study
    from fedsim.api.finished_study import FinishedStudy
    from fedsim.api.result_objects import ComparedRuns, FinishedRun, GatedRun
    from fedsim.attacks import (
        Attack,
        AuxiliaryRecords,
        ExpectedObservation,
        MemoryNeed,
        Traced,
    )
    from fedsim.canaries import CanaryKind, CandidateRecords, CraftedCanaries
    from fedsim.config.engine import Engine
    from fedsim.config.experiment import Experiment
    from fedsim.data import Arrays, Dataset, MembershipQuery, SourceLocation
    from fedsim.data.partitioners import PartitionTask
    from fedsim.data.sources.tables import TableFile
    from fedsim.defences import Defence, FederationFacts, Guarantee, Hidden, NoGuarantee
    from fedsim.engines.base import NewGrid, NodesGrid
    from fedsim.engines.in_process import LocalGrid
    from fedsim.errors import FedsimError
    from fedsim.evaluation.metric import Metric, ResampledRecords, ScoredRecords
    from fedsim.finding import Finding
    from fedsim.models.exchange import exchanged_state, load_exchanged
    from fedsim.objectives import Objective, UtilityFigure
    from fedsim.observation.keys import SnapshotKey, SnapshotKind
    from fedsim.observation.needs import Knowledge, Needs
    from fedsim.observation.nodes import NodeNumbers
    from fedsim.observation.snapshot_file import Snapshot
    from fedsim.observation.snapshots import SnapshotStore
    from fedsim.observation.view import ShadowFederation, View
    from fedsim.progress import Watcher
    from fedsim.report.results import Results
    from fedsim.stages.external_model import ExternalModel
    from fedsim.stages.preparation.experiment_faults import load_experiment
    from fedsim.training.trainer import Batches, LocalTrainer, TrainerState

    __version__: str

_HOMES = {
    "Adversary": "fedsim.adversary.base",
    "Arrays": "fedsim.data",
    "Attack": "fedsim.attacks",
    "AuxiliaryRecords": "fedsim.attacks",
    "Batches": "fedsim.training.trainer",
    "CanaryKind": "fedsim.canaries",
    "CandidateRecords": "fedsim.canaries",
    "ComparedRuns": "fedsim.api.result_objects",
    "CraftedCanaries": "fedsim.canaries",
    "Dataset": "fedsim.data",
    "Defence": "fedsim.defences",
    "Engine": "fedsim.config.engine",
    "ExpectedObservation": "fedsim.attacks",
    "Experiment": "fedsim.config.experiment",
    "ExternalModel": "fedsim.stages.external_model",
    "FederationFacts": "fedsim.defences",
    "FedsimError": "fedsim.errors",
    "Finding": "fedsim.finding",
    "FinishedRun": "fedsim.api.result_objects",
    "FinishedStudy": "fedsim.api.finished_study",
    "GatedRun": "fedsim.api.result_objects",
    "Guarantee": "fedsim.defences",
    "Hidden": "fedsim.defences",
    "Knowledge": "fedsim.observation.needs",
    "LocalGrid": "fedsim.engines.in_process",
    "LocalTrainer": "fedsim.training.trainer",
    "MembershipQuery": "fedsim.data",
    "MemoryNeed": "fedsim.attacks",
    "Metric": "fedsim.evaluation.metric",
    "Needs": "fedsim.observation.needs",
    "NewGrid": "fedsim.engines.base",
    "NoGuarantee": "fedsim.defences",
    "NodeNumbers": "fedsim.observation.nodes",
    "NodesGrid": "fedsim.engines.base",
    "Objective": "fedsim.objectives",
    "ParticipantAdversary": "fedsim.adversary.participant_position",
    "PartitionTask": "fedsim.data.partitioners",
    "ResampledRecords": "fedsim.evaluation.metric",
    "Results": "fedsim.report.results",
    "ScoredRecords": "fedsim.evaluation.metric",
    "ServerAdversary": "fedsim.adversary.server_position",
    "ShadowFederation": "fedsim.observation.view",
    "Snapshot": "fedsim.observation.snapshot_file",
    "SnapshotKey": "fedsim.observation.keys",
    "SnapshotKind": "fedsim.observation.keys",
    "SnapshotStore": "fedsim.observation.snapshots",
    "SourceLocation": "fedsim.data",
    "TableFile": "fedsim.data.sources.tables",
    "Threat": "fedsim.adversary.base",
    "Traced": "fedsim.attacks",
    "TrainerState": "fedsim.training.trainer",
    "UtilityFigure": "fedsim.objectives",
    "View": "fedsim.observation.view",
    "Watcher": "fedsim.progress",
    "attack": "fedsim.api",
    "attack_given": "fedsim.api",
    "compare": "fedsim.api",
    "exchanged_state": "fedsim.models.exchange",
    "gate": "fedsim.api",
    "load_exchanged": "fedsim.models.exchange",
    "load_experiment": "fedsim.stages.preparation.experiment_faults",
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
    "CanaryKind",
    "CandidateRecords",
    "ComparedRuns",
    "CraftedCanaries",
    "Dataset",
    "Defence",
    "Engine",
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
    "LocalGrid",
    "LocalTrainer",
    "MembershipQuery",
    "MemoryNeed",
    "Metric",
    "Needs",
    "NewGrid",
    "NoGuarantee",
    "NodeNumbers",
    "NodesGrid",
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
