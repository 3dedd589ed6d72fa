"""What an attack is handed of an attacker's query: one place, for every stage."""

from fedsim.attacks import ShadowFederation, View
from fedsim.data import MembershipQuery
from fedsim.observation.snapshots import Snapshot
from fedsim.rundir import RunDirectory
from fedsim.stages.attackers import Attacker
from fedsim.stages.setup import Setup


def view_of(
    setup: Setup,
    run: RunDirectory,
    attacker: Attacker,
    query: MembershipQuery,
    seen: tuple[Snapshot, ...],
    shadows: tuple[ShadowFederation, ...] = (),
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
        What the attacker saw in federations of its own.
    """
    return View(
        adversary=attacker.label,
        query=query,
        seen=seen,
        new_model=setup.new_model,
        dataset=setup.dataset,
        records=setup.ledger.audit(query).records,
        features=run.features(attacker.label, query.key),
        shadows=shadows,
        objective=setup.objective,
    )
