"""The view of a query that an attack receives, for every stage.

It contains nothing about membership. An attack gets only the audited records of its query, copied
from the data set in a random order; their ids are their positions in that order. So neither ids,
nor order, nor split, nor the records of other queries reveal members.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedsim.attacks import AuxiliaryRecords, ShadowFederation, View
from fedsim.data import AuditSet, Dataset, MembershipQuery
from fedsim.observation.snapshot_file import Snapshot
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.setup import Setup, shuffled_records


@dataclass(frozen=True, eq=False)
class HiddenAudit:
    """The audit of a query under the ids that an attack knows its records by.

    Attributes
    ----------
    dataset
        The audited records alone.
    audit
        The audit in their order; its record ids are 0..n-1.
    order
        (n,) where each of them stands in the ledger's audit.
    """

    dataset: Dataset
    audit: AuditSet
    order: NDArray[np.intp]

    @property
    def known(self) -> AuxiliaryRecords:
        """The known records and the truth about them."""
        known = self.audit.known
        return AuxiliaryRecords(self.audit.records[known], self.audit.member[known])

    def revealed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the records (..., n) in the order of the ledger's audit."""
        found = np.empty_like(values)
        found[..., self.order] = values
        return found


def hidden_audit(setup: Setup, query: MembershipQuery) -> HiddenAudit:
    """Return the audit of a query with hidden record ids."""
    audit = setup.ledger.audit(query)
    order = shuffled_records(setup.experiment.seed, query, len(audit))
    hidden = AuditSet(np.arange(len(audit)), audit.member[order], audit.known[order])
    return HiddenAudit(setup.dataset.only(audit.records[order]), hidden, order)


def view_of(
    setup: Setup,
    run: RunDirectory,
    attacker: Attacker,
    query: MembershipQuery,
    seen: tuple[Snapshot, ...],
    shadows: tuple[ShadowFederation, ...] = (),
    hidden: HiddenAudit | None = None,
) -> View:
    """Return the view of some snapshots for a query.

    Parameters
    ----------
    setup, run
        The experiment, and where its features are kept.
    attacker, query
        Who asks about whom.
    seen
        What was seen.
    shadows
        The shadow federations of the attacker.
    hidden
        The hidden audit of the query, if it exists already.
    """
    hidden = hidden or hidden_audit(setup, query)
    return View(
        adversary=attacker.label,
        query=query,
        seen=seen,
        new_model=setup.computing_model,
        dataset=hidden.dataset.on(setup.device),
        records=hidden.audit.records,
        features=run.features(attacker.label, query.key),
        shadows=shadows,
        objective=setup.objective,
        elsewhere=tuple(
            run.features(other.label, query.key)
            for other in setup.attackers
            if other.label != attacker.label
        ),
    )
