"""What a run is going to do, said before it does anything."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fedsim.adversary.base import Threat
from fedsim.config.experiment import Experiment
from fedsim.data import Question
from fedsim.observation.snapshots import planned_bytes
from fedsim.stages.setup import Party, Scene
from fedsim.transport.messages import shapes_of


@dataclass(frozen=True)
class StatedThreat:
    """A threat model in full: the plugin's own words, and what the audit lets it know."""

    adversary: str
    threat: Threat
    knows: str
    asks: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The size of a run: rounds, observed rounds, bytes on the disk, audited records."""

    rounds: int
    observed_rounds: tuple[int, ...]
    participants: int
    parameters: int
    snapshot_bytes: int
    audited_records: int


def stated_threats(parties: Sequence[Party], experiment: Experiment) -> tuple[StatedThreat, ...]:
    """Return the threat model of each dishonest party."""
    audit = experiment.audit
    knows = (
        f"the model, the training settings, and {audit.known_members:,} members and "
        f"{audit.known_nonmembers:,} non-members"
    )
    return tuple(
        StatedThreat(
            party.label,
            party.threat(),
            knows,
            tuple(_asked(question) for question in party.questions),
        )
        for party in parties
    )


def plan(scene: Scene) -> Plan:
    """Return the size of the run that `scene` describes."""
    experiment, audit = scene.experiment, scene.experiment.audit
    model = scene.new_model()
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    observed = experiment.observed_rounds
    questions = sum(len(party.questions) for party in scene.parties)
    sizes = (
        audit.known_members,
        audit.known_nonmembers,
        audit.tested_members,
        audit.tested_nonmembers,
    )
    return Plan(
        rounds=experiment.federation.rounds,
        observed_rounds=observed,
        participants=experiment.partition.participants,
        parameters=sum(math.prod(shape) for shape in shapes_of(model).values()),
        snapshot_bytes=sum(
            planned_bytes(weights, len(observed), party.owners(experiment))
            for party in scene.parties
        ),
        audited_records=questions * sum(sizes),
    )


def _asked(question: Question) -> str:
    if question.holders:
        return f"anybody but participant {', '.join(map(str, question.holders))}"
    return f"participant {', '.join(map(str, question.victims))}"
