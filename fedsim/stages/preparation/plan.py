"""The plan of a run, printed before anything runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from fedsim.adversary.base import Threat
from fedsim.config.experiment import Experiment
from fedsim.data import MembershipQuery
from fedsim.defences.base import Defence
from fedsim.models import exchanged_state
from fedsim.models.exchange import exchanged_shapes
from fedsim.observation.snapshots import planned_bytes
from fedsim.stages.preparation.attackers import Attacker
from fedsim.stages.preparation.idle_participants import number_list
from fedsim.stages.preparation.setup import Setup


@dataclass(frozen=True)
class StatedThreat:
    """A complete threat model: the plugin's words, the auxiliary records, the attacks.

    `learns_from` says in words what each attack learns from, by the attack's label.
    """

    adversary: str
    threat: Threat
    knows: str
    asks: tuple[str, ...]
    learns_from: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The size of a run: rounds, observed rounds, bytes on the disk, audited records; and defences.

    `defences` has a label and a description with guarantee for each defence; `guarantees` describes
    the guarantee of the local trainer; `idle` lists the participants without records.
    """

    rounds: int
    observed_rounds: tuple[int, ...]
    participants: int
    parameters: int
    snapshot_bytes: int
    audited_records: int
    defences: tuple[tuple[str, str], ...] = ()
    guarantees: tuple[str, ...] = ()
    idle: str = ""


def stated_threats(
    attackers: Sequence[Attacker],
    experiment: Experiment,
    learns_from: Mapping[str, str] = MappingProxyType({}),
) -> tuple[StatedThreat, ...]:
    """Return the threat model of each attacker; `learns_from` is the attacks', by label."""
    audit = experiment.audit
    of = " (users, with their records)" if audit.unit == "user" else ""
    knows = (
        f"the model, the training settings, and {audit.known_members:,} members and "
        f"{audit.known_nonmembers:,} non-members{of}"
    )
    return tuple(
        StatedThreat(
            attacker.label,
            attacker.threat(),
            knows,
            tuple(_asked(query) for query in attacker.queries),
            learns_from,
        )
        for attacker in attackers
    )


def plan(setup: Setup) -> Plan:
    """Return the size of the run that `setup` describes."""
    experiment = setup.experiment
    model = setup.new_model()
    weights = sum(
        tensor.numel() * tensor.element_size() for tensor in exchanged_state(model).values()
    )
    observed = experiment.observed_rounds
    # Where parameters are let go, those of one round are there at a time.
    kept = len(observed) if experiment.snapshots.keep == "parameters" else 1
    return Plan(
        rounds=experiment.federation.rounds,
        observed_rounds=observed,
        participants=experiment.partition.participants,
        parameters=sum(math.prod(shape) for shape in exchanged_shapes(model).values()),
        snapshot_bytes=sum(
            planned_bytes(weights, kept, attacker.keys(experiment)) for attacker in setup.attackers
        ),
        audited_records=sum(
            len(setup.ledger.audit(query))
            for attacker in setup.attackers
            for query in attacker.queries
        ),
        defences=tuple(
            (label, defence_in_words(defence)) for label, defence in setup.defences.items()
        ),
        guarantees=tuple(
            f"{one.defence}: {one.found.in_words()}"
            for one in setup.guarantees
            if one.defence.startswith("trainer ")
        ),
        idle=number_list(setup.idle),
    )


def defence_in_words(defence: Defence) -> str:
    """Return a description of a defence: its effect, what it hides, and its guarantee."""
    hidden = [f"hidden from the {one.position}: {one.why}" for one in defence.hides()]
    found = None if defence.facts is None else defence.guarantee(defence.facts)
    promised = found.in_words() if found is not None else "no guarantee of differential privacy"
    return "; ".join([defence.in_words(), *hidden, promised])


def _asked(query: MembershipQuery) -> str:
    if query.holders:
        return f"anybody but participant {', '.join(map(str, query.holders))}"
    return f"participant {', '.join(map(str, query.victims))}"
