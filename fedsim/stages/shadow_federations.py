"""Shadow federations, which the attacker runs itself on other records.

Shadow models (Shokri, Stronati, Song and Shmatikov, "Membership inference attacks against machine
learning models", IEEE S&P 2017) for federations: as many participants with as many records, the
same training, and known membership. All queries and all attacks share them.

An attacker inside the federation knows its initial parameters, so its shadow federations start from
them; an attacker that has only the released model does not know them.

Where an attack needs models that have trained on the audited records (`Needs.shadow_targets`), the
victim's stand-in trains on a random half of them, and on the other half in the next federation. The
attacker has the records, all alike: whether one is a member decides nothing in here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from flwr.app import ArrayRecord

from fedsim import seeds
from fedsim.adversary.base import Threat
from fedsim.adversary.server_position import RecordingServer
from fedsim.attacks import ShadowFederation
from fedsim.data import MembershipQuery
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.progress import SILENCE, Watcher
from fedsim.rundir import RunDirectory
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.setup import Setup
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.preparation.views import hidden_audit, view_of
from fedsim.stages.shadow_records import (
    Targets,
    drawn_records,
    shadow_ledger,
    targets_of,
    trained_on,
)
from fedsim.stages.simulate import simulate
from fedsim.stages.simulate_in_step import go_in_step, simulate_in_step, stacked_setup

LABEL = "shadow"
ShadowFederations = Mapping[tuple[str, str], tuple[ShadowFederation, ...]]
"""By (adversary, query key)."""


class ShadowRecorder(RecordingServer):
    """The attacker in its own shadow federation: it sees all messages."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.wanted = tuple(SnapshotKey.parse(name) for name in wanted)

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(who="the attacker", sees="everything in a federation of its own")

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Answer from what the attackers of the real federation see."""
        return self.wanted

    def aggregated(self, round_number: int, arrays: ArrayRecord) -> None:
        """Keep the aggregate."""
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)


def shadows_of(setup: Setup, run: RunDirectory, watcher: Watcher) -> ShadowFederations:
    """Run the shadow federations that the attacks of a setup need; existing ones are kept.

    Raises
    ------
    FedsimError
        If there are too few records for one.
    """
    if setup.experiment.given is not None:
        return {}
    found: dict[tuple[str, str], tuple[ShadowFederation, ...]] = {}
    for outside, targets in product((False, True), (False, True)):
        attackers = [
            attacker for attacker in setup.attackers if attacker.threat().outside == outside
        ]
        needs = [attack.needs for attack in setup.attacks.values()]
        asked = [one.shadow_federations for one in needs if one.shadow_targets == targets]
        count = max(asked, default=0) if attackers else 0
        together = count > 1 and go_in_step(setup)
        drawn = []
        for number in range(count):
            name = f"{'outside' if outside else 'inside'}{'-targets' * targets}-{number}"
            trains_on = targets_of(setup, attackers, number) if targets else None
            shadow, overlapping = _shadow_setup(setup, attackers, name, outside, trains_on)
            if overlapping:
                watcher.say(
                    f"shadow federation {name}: {overlapping:,} of its "
                    f"{drawn_records(shadow.ledger):,} records "
                    "are the federation's own, as there are too few others"
                )
            place = RunDirectory(run.shadows(name))
            drawn.append((stacked_setup(shadow) if together else shadow, place, overlapping))
            if not together:
                simulate(shadow, place, watcher)
        if together:
            simulate_in_step([(shadow, place) for shadow, place, _ in drawn], watcher)
        for shadow, place, overlapping in drawn:
            for attacker in attackers:
                for query in attacker.queries:
                    made = _shadow(shadow, place, attacker, query, overlapping)
                    if targets:
                        made = replace(made, trained=trained_on(setup, shadow.ledger, query))
                    key = (attacker.label, query.key)
                    found[key] = (*found.get(key, ()), made)
    return found


def _shadow(
    shadow: Setup, place: RunDirectory, attacker: Attacker, query: MembershipQuery, overlapping: int
) -> ShadowFederation:
    (everything,) = shadow.attackers
    seen = everything.store(shadow.experiment, place).series(*attacker.answering(query))
    hidden = hidden_audit(shadow, query)
    view = view_of(shadow, place, everything, query, seen, hidden=hidden)
    view = replace(view, adversary=attacker.label)
    return ShadowFederation(view, hidden.audit.member, overlapping, drawn_records(shadow.ledger))


def _shadow_setup(
    setup: Setup,
    attackers: Sequence[Attacker],
    name: str,
    outside: bool,
    targets: Targets | None = None,
) -> tuple[Setup, int]:
    """Return a shadow federation's setup, and how many of its records are the real one's own."""
    seed = seeds.derive(
        setup.experiment.seed, "rehearsal", name
    )  # the path decides every draw: it keeps the word
    federation = setup.experiment.federation
    last = federation.evaluation.model_copy(update={"every": federation.rounds})  # none is read
    experiment = setup.experiment.model_copy(
        update={
            "seed": seed,
            "federation": federation.model_copy(update={"evaluation": last}),
            "adversaries": (),
            "attacks": (),
            "audit": setup.experiment.audit.model_copy(update={"null": False}),
            "snapshots": setup.experiment.snapshots.model_copy(update={"keep": "parameters"}),
        }
    )
    queries = tuple(dict.fromkeys(q for attacker in attackers for q in attacker.queries))
    ledger, overlapping = shadow_ledger(setup, queries, seed, targets)
    shadow = build_setup(experiment, None, SILENCE, dataset=setup.dataset, ledger=ledger)
    wanted = sorted({k.name for p in attackers for q in p.queries for k in p.answering(q)})
    attacker = Attacker(LABEL, (ShadowRecorder(wanted),), queries)
    new_model = shadow.new_model if outside else setup.new_model
    return replace(shadow, attackers=(attacker,), new_model=new_model), overlapping
