"""The dishonest parties of an experiment: the adversaries in each seat, what they ask and see."""

from dataclasses import dataclass

from fedsim import plugins
from fedsim.adversary.base import Adversary, Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.config.experiment import Choice, DishonestParty, Experiment
from fedsim.data import Question
from fedsim.errors import PluginError
from fedsim.observation.snapshots import AGGREGATE, Policy, SnapshotStore, participant_owner
from fedsim.rundir import RunDirectory


@dataclass(frozen=True)
class Party:
    """A dishonest party: its label, the adversaries in its seat, and what it asks."""

    label: str
    adversaries: tuple[Adversary, ...]
    questions: tuple[Question, ...]

    @property
    def participant(self) -> int | None:
        """The participant in whose seat it sits; None for the server's."""
        seats = [a.participant for a in self.adversaries if isinstance(a, ParticipantAdversary)]
        return seats[0] if seats else None

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

    def answering(self, question: Question) -> tuple[str, ...]:
        """Return the owners of the snapshots that answer a question."""
        return tuple(dict.fromkeys(o for a in self.adversaries for o in a.owners(question)))

    def answering_while_acting(self, question: Question) -> tuple[str, ...]:
        """Return the owners of those that there are only from rounds in which it acts."""
        found = (o for a in self.adversaries for o in a.owners_while_acting(question))
        return tuple(dict.fromkeys(found))

    def owners(self, experiment: Experiment) -> frozenset[str]:
        """Return whose snapshots it keeps, in whatever round."""
        return self.owners_throughout(experiment) | {
            owner for q in self.questions for owner in self.answering_while_acting(q)
        }

    def owners_throughout(self, experiment: Experiment) -> frozenset[str]:
        """Return whose snapshots it keeps in every observed round."""
        owners = {owner for question in self.questions for owner in self.answering(question)}
        uploads = {participant_owner(victim) for victim in experiment.audit.victims}
        if experiment.snapshots.participants == "all" and uploads <= owners:
            owners |= {participant_owner(p) for p in range(experiment.partition.participants)}
        return frozenset(owners)

    def sure_rounds(self, experiment: Experiment, question: Question, *, sampled: bool) -> int:
        """Return in how many observed rounds it is sure to see who is asked about; at least one.

        `sampled` says whether a strategy trains only some of those who are there.
        """
        uploads = self.answering(question)[-1:] != (AGGREGATE,)
        needed = {*question.victims} if uploads else {self.participant} - {None}
        if sampled and needed:
            return 1
        honest, participants = experiment.federation, experiment.partition.participants
        present = [honest.present(r, participants) for r in experiment.observed_rounds]
        return max(1, sum(needed <= there for there in present))

    def store(self, experiment: Experiment, run: RunDirectory) -> SnapshotStore:
        """Return where it keeps them, and which rounds."""
        policy = Policy(frozenset(experiment.observed_rounds), self.owners(experiment))
        return SnapshotStore(run.snapshots(self.label), policy)


def parties_of(experiment: Experiment) -> tuple[Party, ...]:
    """Return the dishonest parties of an experiment, built; no data is needed.

    Raises
    ------
    PluginError
        If a plugin cannot be built, is not an `Adversary`, or states no `Threat`.
    """
    return tuple(_party(choice, experiment) for choice in experiment.adversaries)


def _party(chosen: DishonestParty, experiment: Experiment) -> Party:
    victims, participants = experiment.audit.victims, experiment.partition.participants
    adversaries = tuple(_adversary(choice, experiment) for choice in chosen.together)
    asked = {adversary.questions(victims, participants) for adversary in adversaries}
    if len(asked) > 1 or len({isinstance(a, ServerAdversary) for a in adversaries}) > 1:
        raise PluginError(
            f"adversaries {chosen.label} cannot act together: they sit in different seats or are "
            "after different victims; list them apart, or give them the same seat and victims"
        )
    return Party(chosen.label, adversaries, asked.pop())


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
