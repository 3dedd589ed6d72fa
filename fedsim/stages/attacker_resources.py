"""What an attacker may compute with: the model, the data set, and the audited records."""

from fedsim import seeds
from fedsim.adversary.base import AttackerResources
from fedsim.stages.setup import Attacker, Setup


def brief(setup: Setup, attacker: Attacker) -> None:
    """Brief an attacker's adversaries: their targets are the audited records of their queries."""
    briefing = AttackerResources(
        setup.new_model,
        setup.dataset,
        {query.key: setup.ledger.audit(query).records for query in attacker.queries},
        seeds.derive(setup.experiment.seed, "adversary", attacker.label),
        setup.objective,
    )
    for adversary in attacker.adversaries:
        adversary.brief(briefing)
