"""What an attacker may compute with: the model, the data set, and the audited records."""

import numpy as np

from fedsim import seeds
from fedsim.adversary.resources import AttackerResources
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.setup import Setup


def give_resources(setup: Setup, attacker: Attacker) -> None:
    """Give an attacker's adversaries their resources: targets are the records of their queries.

    They get these records alone, without the split, and under other ids than the ledger's.
    """
    audited = [setup.ledger.audit(query).records for query in attacker.queries]
    records = np.unique(np.concatenate(audited)) if audited else np.array([], dtype=np.int64)
    targets = (np.searchsorted(records, of_query) for of_query in audited)
    resources = AttackerResources(
        setup.on_device(setup.new_model),
        setup.dataset.only(records).on(setup.device),
        dict(zip((query.key for query in attacker.queries), targets, strict=True)),
        seeds.derive(setup.experiment.seed, "adversary", attacker.label),
        setup.objective,
    )
    for adversary in attacker.adversaries:
        adversary.give_resources(resources)
