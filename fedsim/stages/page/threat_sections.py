"""Threat models for the results file and the page."""

from typing import Literal

from fedsim.config.experiment import Experiment
from fedsim.config.sections import AuditSettings
from fedsim.report.data import ThreatSection
from fedsim.report.result_schema import ThreatModel
from fedsim.stages.kept_snapshots import of_snapshots
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.plan import StatedThreat

HOLDER = "the holder of the model"


def threat_in_words(stated: StatedThreat, experiment: Experiment) -> ThreatModel:
    """Return a threat model as the results file has it."""
    threat = stated.threat
    if experiment.given is not None and not of_snapshots(experiment):
        return _of_a_given_model(stated, len(experiment.given.weights), experiment.audit)
    return ThreatModel(
        adversary=stated.adversary,
        who=threat.who,
        sees=threat.sees,
        does=threat.does,
        knows=stated.knows,
        learns_from=dict(stated.learns_from),
    )


def _of_a_given_model(stated: StatedThreat, versions: int, audit: AuditSettings) -> ThreatModel:
    """Return the threat model of an attacker that has only a trained model."""
    sees = "the trained model" if versions == 1 else f"{versions} versions of the model"
    return ThreatModel(
        adversary=stated.adversary,
        who=HOLDER,
        sees=f"{sees}, and nothing of the training",
        does="nothing to the training, which was over: it only looks at the model",
        knows=f"{audit.known_members:,} members and {audit.known_nonmembers:,} non-members",
        learns_from=dict(stated.learns_from),
    )


def placed(attacker: Attacker, stated: StatedThreat, experiment: Experiment) -> ThreatSection:
    """Return a threat model for the diagram of who sees what."""
    position: Literal["server", "participant", "outside", "no federation"] = "server"
    if experiment.given is not None:
        position = "no federation"
    elif stated.threat.outside:
        position = "outside"
    elif attacker.participant is not None:
        position = "participant"
    return ThreatSection(
        words=threat_in_words(stated, experiment),
        position=position,
        participants=experiment.partition.participants,
        victims=tuple(sorted({v for query in attacker.queries for v in query.victims})),
        participant=attacker.participant,
        active=stated.threat.active,
    )
