"""The attackers of an experiment: the adversaries in each position, what they ask and see."""

from dataclasses import dataclass

from fedsim import plugins
from fedsim.adversary.base import Adversary, Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.config.experiment import AttackerSettings, Choice, Experiment
from fedsim.data import MembershipQuery
from fedsim.errors import PluginError
from fedsim.observation.snapshots import AGGREGATE, Policy, SnapshotStore, participant_owner
from fedsim.rundir import RunDirectory


@dataclass(frozen=True)
class Attacker:
    """An attacker: its label, the adversaries in its position, and what it asks."""

    label: str
    adversaries: tuple[Adversary, ...]
    queries: tuple[MembershipQuery, ...]

    @property
    def participant(self) -> int | None:
        """The participant in whose position it sits; None for the server's."""
        positions = [a.participant for a in self.adversaries if isinstance(a, ParticipantAdversary)]
        return positions[0] if positions else None

    def acts_from(self) -> int | None:
        """Return the first round in which any of its adversaries acts; None if none ever does."""
        starts = [adversary.acts_from() for adversary in self.adversaries]
        return min((start for start in starts if start is not None), default=None)

    def threat(self) -> Threat:
        """Return the threat model of its adversaries together."""
        threats = [adversary.threat() for adversary in self.adversaries]
        deeds = [threat.does for threat in threats if threat.active]
        return Threat(
            who=threats[0].who,
            sees="; ".join(dict.fromkeys(threat.sees for threat in threats)),
            does="; and ".join(deeds) or threats[0].does,
            active=bool(deeds),
            outside=all(threat.outside for threat in threats),
        )

    def answering(self, query: MembershipQuery) -> tuple[str, ...]:
        """Return the owners of the snapshots that answer a query."""
        return tuple(dict.fromkeys(o for a in self.adversaries for o in a.owners(query)))

    def answering_while_acting(self, query: MembershipQuery) -> tuple[str, ...]:
        """Return the owners of those that there are only from rounds in which it acts."""
        found = (o for a in self.adversaries for o in a.owners_while_acting(query))
        return tuple(dict.fromkeys(found))

    def owners(self, experiment: Experiment) -> frozenset[str]:
        """Return whose snapshots it keeps, in whatever round."""
        return self.owners_throughout(experiment) | {
            owner for q in self.queries for owner in self.answering_while_acting(q)
        }

    def owners_throughout(self, experiment: Experiment) -> frozenset[str]:
        """Return whose snapshots it keeps in every observed round."""
        owners = {owner for query in self.queries for owner in self.answering(query)}
        uploads = {participant_owner(victim) for victim in experiment.audit.victims}
        if experiment.snapshots.participants == "all" and uploads <= owners:
            owners |= {participant_owner(p) for p in range(experiment.partition.participants)}
        return frozenset(owners)

    def sure_rounds(self, experiment: Experiment, query: MembershipQuery, *, sampled: bool) -> int:
        """Return in how many observed rounds it is sure to see who is asked about; at least one.

        `sampled` says whether a strategy trains only some of those who are there.
        """
        uploads = self.answering(query)[-1:] != (AGGREGATE,)
        needed = {*query.victims} if uploads else {self.participant} - {None}
        if sampled and needed:
            return 1
        honest, participants = experiment.federation, experiment.partition.participants
        present = [honest.present(r, participants) for r in experiment.observed_rounds]
        return max(1, sum(needed <= there for there in present))

    def store(self, experiment: Experiment, run: RunDirectory) -> SnapshotStore:
        """Return where it keeps them, and which rounds."""
        policy = Policy(frozenset(experiment.observed_rounds), self.owners(experiment))
        return SnapshotStore(run.snapshots(self.label), policy)


def attackers_of(experiment: Experiment) -> tuple[Attacker, ...]:
    """Return the attackers of an experiment, built; no data is needed.

    Raises
    ------
    PluginError
        If a plugin cannot be built, is not an `Adversary`, or states no `Threat`.
    """
    return tuple(_attacker(choice, experiment) for choice in experiment.adversaries)


def _attacker(chosen: AttackerSettings, experiment: Experiment) -> Attacker:
    victims, participants = experiment.audit.victims, experiment.partition.participants
    adversaries = tuple(_adversary(choice, experiment) for choice in chosen.together)
    asked = {adversary.queries(victims, participants) for adversary in adversaries}
    if len(asked) > 1 or len({isinstance(a, ServerAdversary) for a in adversaries}) > 1:
        raise PluginError(
            f"adversaries {chosen.label} cannot act together: they hold different positions or are "
            "after different victims; list them apart, or give them the same position and victims"
        )
    return Attacker(chosen.label, adversaries, asked.pop())


def _adversary(choice: Choice, experiment: Experiment) -> Adversary:
    adversary = plugins.build(
        "adversaries",
        choice.name,
        choice.settings,
        victims=experiment.audit.victims,
        participants=experiment.partition.participants,
    )
    if not isinstance(adversary, ServerAdversary | ParticipantAdversary):
        raise PluginError(
            f"adversary {choice.name!r} gave a {type(adversary).__name__}; a plugin of group "
            "adversaries must derive from fedsim.ServerAdversary or fedsim.ParticipantAdversary"
        )
    stated: object = adversary.threat()
    if not isinstance(stated, Threat):
        raise PluginError(
            f"adversary {choice.name} returned a {type(stated).__name__} from threat(); a "
            "fedsim.Threat is needed"
        )
    return adversary
