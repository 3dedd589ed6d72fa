"""The attackers of an experiment: the adversaries in each position, with queries and keys."""

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace

from fedsim import plugins
from fedsim.adversary.base import Adversary, Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.config.attackers import AttackerSettings
from fedsim.config.choice import Choice
from fedsim.config.experiment import Experiment
from fedsim.data import MembershipQuery
from fedsim.defences.base import Defence
from fedsim.errors import PluginError
from fedsim.observation.keys import SnapshotKey, SnapshotKind
from fedsim.observation.snapshots import Policy, SnapshotStore
from fedsim.rundir import RunDirectory


@dataclass(frozen=True)
class Attacker:
    """An attacker: its label, the adversaries in its position, and what it asks.

    `reads_others` says whether it keeps every participant's uploads because an attack reads them.
    `left_out` are the queries that are not asked: about victims that it sees in no observed round,
    or that have no records.
    """

    label: str
    adversaries: tuple[Adversary, ...]
    queries: tuple[MembershipQuery, ...]
    reads_others: bool = False
    left_out: tuple[MembershipQuery, ...] = ()

    @property
    def participant(self) -> int | None:
        """The participant in whose position it sits; None for the server's."""
        positions = [a.participant for a in self.adversaries if isinstance(a, ParticipantAdversary)]
        return positions[0] if positions else None

    def asking_only(self, kept: Container[MembershipQuery]) -> "Attacker":
        """Return it with some of its queries; the others are recorded as left out."""
        asked = tuple(query for query in self.queries if query in kept)
        left_out = tuple(query for query in self.queries if query not in kept)
        return replace(self, queries=asked, left_out=(*self.left_out, *left_out))

    def acts_from(self) -> int | None:
        """Return the first round in which any of its adversaries acts; None if none ever does."""
        starts = [adversary.acts_from() for adversary in self.adversaries]
        return min((start for start in starts if start is not None), default=None)

    def threat(self) -> Threat:
        """Return the threat model of its adversaries together."""
        threats = [adversary.threat() for adversary in self.adversaries]
        actions = [threat.does for threat in threats if threat.active]
        return Threat(
            who=threats[0].who,
            sees="; ".join(dict.fromkeys(threat.sees for threat in threats)),
            does="; and ".join(actions) or threats[0].does,
            active=bool(actions),
            outside=all(threat.outside for threat in threats),
        )

    def answering(self, query: MembershipQuery) -> tuple[SnapshotKey, ...]:
        """Return the keys of the snapshots that answer a query, in the order of a round."""
        return self._keys(lambda adversary: adversary.answering(query))

    def answering_while_acting(self, query: MembershipQuery) -> tuple[SnapshotKey, ...]:
        """Return the keys of further snapshots that exist only in active rounds."""
        return self._keys(lambda adversary: adversary.answering_while_acting(query))

    def closest(self, query: MembershipQuery) -> SnapshotKey:
        """Return the key that is closest to the victims' data; see `View.closest`."""
        return max(key for key in self.answering(query) if key.kind.is_trained)

    def keys(self, experiment: Experiment) -> frozenset[SnapshotKey]:
        """Return the keys that it keeps in any round."""
        return self.keys_throughout(experiment) | {
            key for q in self.queries for key in self.answering_while_acting(q)
        }

    def keys_throughout(self, experiment: Experiment) -> frozenset[SnapshotKey]:
        """Return the keys that it keeps in every observed round."""
        keys = {key for query in self.queries for key in self.answering(query)}
        all_uploads = experiment.snapshots.participants == "all" or self.reads_others
        if all_uploads and self.sees_uploads:
            keys |= {SnapshotKind.UPLOAD.of(p) for p in range(experiment.partition.participants)}
        return frozenset(keys)

    def others(self, query: MembershipQuery, experiment: Experiment) -> tuple[SnapshotKey, ...]:
        """Return the keys of the uploads of participants that are not victims."""
        participants = range(experiment.partition.participants)
        return tuple(SnapshotKind.UPLOAD.of(p) for p in participants if p not in query.victims)

    def seen_keys(self, query: MembershipQuery, experiment: Experiment) -> tuple[SnapshotKey, ...]:
        """Return all keys that attacks may be given for a query."""
        others = self.others(query, experiment) if self.reads_others else ()
        return (*self.answering(query), *self.answering_while_acting(query), *others)

    @property
    def acts_on_sums(self) -> bool:
        """Whether all of its active adversaries work on sums of uploads."""
        return all(
            isinstance(one, ServerAdversary) and one.looks_at_sums()
            for one in self.adversaries
            if one.threat().active
        )

    @property
    def sees_uploads(self) -> bool:
        """Whether participants' uploads pass its position and answer its queries."""
        return all(
            any(key.kind is SnapshotKind.UPLOAD for key in self.answering(query))
            for query in self.queries
        )

    def sure_rounds(self, experiment: Experiment, query: MembershipQuery, *, sampled: bool) -> int:
        """Return the number of observed rounds in which it surely sees a victim; at least one.

        `sampled` says whether the strategy samples participants.
        """
        uploads = self.closest(query).kind is SnapshotKind.UPLOAD
        needed = {*query.victims} if uploads else {self.participant} - {None}
        if sampled and needed:
            return 1
        honest, participants = experiment.federation, experiment.partition.participants
        there = honest.presences(participants)
        starts, sure = [*there], [needed <= present for present in there.values()]
        return max(1, sum(sure[bisect_right(starts, r) - 1] for r in experiment.observed_rounds))

    def store(self, experiment: Experiment, run: RunDirectory) -> SnapshotStore:
        """Return its store of snapshots, with the rounds and keys to keep."""
        policy = Policy(frozenset(experiment.observed_rounds), self.keys(experiment))
        return SnapshotStore(run.snapshots(self.label), policy)

    def _keys(
        self, declared: Callable[[Adversary], Iterable[SnapshotKey]]
    ) -> tuple[SnapshotKey, ...]:
        """Return the keys that its adversaries declare, sorted and without duplicates."""
        keys = {key for adversary in self.adversaries for key in declared(adversary)}
        if invalid := [key for key in keys if not isinstance(key, SnapshotKey)]:
            raise PluginError(
                f"{self.label} says that snapshots of {invalid[0]!r} answer its query; name what "
                "they are of as in fedsim.SnapshotKind.UPLOAD.of(participant)"
            )
        return tuple(sorted(keys))


def attackers_of(experiment: Experiment) -> tuple[Attacker, ...]:
    """Return the attackers of an experiment, built; no data is needed.

    Raises
    ------
    PluginError
        If a plugin cannot be built, is not an `Adversary`, or states no `Threat`.
    """
    return tuple(attacker_of(choice, experiment) for choice in experiment.adversaries)


def attacker_of(chosen: AttackerSettings, experiment: Experiment) -> Attacker:
    """Return one of the attackers of an experiment; see `attackers_of`."""
    victims, participants = experiment.audit.victims, experiment.partition.participants
    adversaries = tuple(_adversary(choice, experiment) for choice in chosen.together)
    if shows_sums_to_servers(experiment):
        adversaries = tuple(_on_sums(adversary) for adversary in adversaries)
    asked = {adversary.queries(victims, participants) for adversary in adversaries}
    if len(asked) > 1 or len({isinstance(a, ServerAdversary) for a in adversaries}) > 1:
        raise PluginError(
            f"adversaries {chosen.label} cannot act together: they hold different positions or are "
            "after different victims; list them apart, or give them the same position and victims"
        )
    attacker = Attacker(chosen.label, adversaries, asked.pop())
    for query in attacker.queries:
        if not any(key.kind.is_trained for key in attacker.answering(query)):
            raise PluginError(
                f"adversaries {chosen.label} keep nothing that local training has made and that "
                f"would answer the query {query.key}; name an upload or an aggregate in answering()"
            )
    return attacker


def shows_sums_to_servers(experiment: Experiment) -> bool:
    """Return whether a defence hides the uploads from the server's position."""
    built = (plugins.build("defences", one.name, one.settings) for one in experiment.defences)
    return any(
        hidden.position == "server" and SnapshotKind.UPLOAD in hidden.kinds
        for defence in built
        if isinstance(defence, Defence)
        for hidden in defence.hides()
    )


def _on_sums(adversary: Adversary) -> Adversary:
    """Return an adversary's form for sums of uploads; those without one are refused later."""
    if not isinstance(adversary, ServerAdversary) or adversary.threat().outside:
        return adversary
    return adversary.on_sums() or adversary


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
    if hasattr(adversary, "owners") or hasattr(adversary, "owners_while_acting"):
        raise PluginError(
            f"adversary {choice.name} defines owners(), which nothing calls; name what it keeps in "
            "answering() and answering_while_acting(), as fedsim.SnapshotKind.UPLOAD.of(victim)"
        )
    stated: object = adversary.threat()
    if not isinstance(stated, Threat):
        raise PluginError(
            f"adversary {choice.name} returned a {type(stated).__name__} from threat(); a "
            "fedsim.Threat is needed"
        )
    return adversary
