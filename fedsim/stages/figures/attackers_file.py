"""``attackers.json``: the attackers of a run as they described themselves when it was made.

Reports and comparisons need an attacker's threat model, its position, its queries and which
snapshots answer them. The plugin that declares these may be missing where the results are read, so
they are written when the run is made.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from fedsim.adversary.base import Adversary, Threat
from fedsim.adversary.participant_position import ParticipantAdversary
from fedsim.adversary.server_position import ServerAdversary
from fedsim.config.experiment import Experiment
from fedsim.data import MembershipQuery
from fedsim.errors import FedsimError, RunDirectoryError
from fedsim.files import read_bytes, write_text
from fedsim.observation.keys import SnapshotKey
from fedsim.report.strict_model import StrictModel
from fedsim.rundir import RunDirectory
from fedsim.rundir.kept_json import first_fault
from fedsim.stages.preparation.attackers import Attacker, attackers_of

LongText = Annotated[str, Field(max_length=10_000)]


class _ThreatWords(StrictModel):
    who: LongText
    sees: LongText
    does: LongText
    active: bool
    outside: bool


class _Asked(StrictModel):
    """A query: whose data is asked about."""

    key: LongText
    victims: tuple[int, ...]
    holders: tuple[int, ...]

    @classmethod
    def of(cls, query: MembershipQuery, **more: tuple[str, ...]) -> Self:
        return cls.model_validate(
            {
                "key": query.key,
                "victims": tuple(map(int, query.victims)),
                "holders": tuple(map(int, query.holders)),
                **more,
            }
        )

    def query(self) -> MembershipQuery:
        return MembershipQuery(self.key, self.victims, self.holders)


class _StatedQuery(_Asked):
    """A query, and the keys that answer it: in every observed round, and in active rounds only."""

    answering: tuple[LongText, ...]
    answering_while_acting: tuple[LongText, ...]


class _StatedAttacker(StrictModel):
    """An attacker; `participant` is None in the server's position, `acts_from` if passive."""

    label: LongText
    participant: int | None
    acts_from: int | None
    reads_others: bool
    threat: _ThreatWords
    queries: tuple[_StatedQuery, ...]
    left_out: tuple[_Asked, ...] = ()

    @classmethod
    def of(cls, attacker: Attacker) -> Self:
        threat = attacker.threat()
        return cls(
            label=attacker.label,
            participant=attacker.participant,
            acts_from=attacker.acts_from(),
            reads_others=attacker.reads_others,
            threat=_ThreatWords(**vars(threat)),
            queries=tuple(
                _StatedQuery.of(
                    query,
                    answering=_names(attacker.answering(query)),
                    answering_while_acting=_names(attacker.answering_while_acting(query)),
                )
                for query in attacker.queries
            ),
            left_out=tuple(map(_Asked.of, attacker.left_out)),
        )

    def attacker(self) -> Attacker:
        """Return the attacker, with an adversary that only makes the same declarations."""
        queries = tuple(one.query() for one in self.queries)
        kind = _OnServer if self.participant is None else _OnParticipant
        left_out = tuple(one.query() for one in self.left_out)
        return Attacker(self.label, (kind(self),), queries, self.reads_others, left_out)


class _AttackersFile(StrictModel):
    schema_version: Annotated[Literal[1], Field(alias="schema")]
    attackers: Annotated[tuple[_StatedAttacker, ...], Field(min_length=1)]


class _Stated(Adversary):
    """An adversary with the declarations of another one; it does nothing."""

    stated: _StatedAttacker

    def threat(self) -> Threat:
        """Return the threat model."""
        return Threat(**self.stated.threat.model_dump())

    def acts_from(self) -> int | None:
        """Return the first round in which it changed a message."""
        return self.stated.acts_from

    def answering(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Return the keys that answered a query."""
        return map(SnapshotKey.parse, self._about(query).answering)

    def answering_while_acting(self, query: MembershipQuery) -> Iterable[SnapshotKey]:
        """Return the keys that answered it in active rounds only."""
        return map(SnapshotKey.parse, self._about(query).answering_while_acting)

    def _about(self, query: MembershipQuery) -> _StatedQuery:
        return next(one for one in self.stated.queries if one.key == query.key)


class _OnServer(_Stated, ServerAdversary):
    def __init__(self, stated: _StatedAttacker) -> None:
        self.stated = stated


class _OnParticipant(_Stated, ParticipantAdversary):
    def __init__(self, stated: _StatedAttacker) -> None:
        super().__init__(stated.participant or 0)
        self.stated = stated


def keep_attackers(attackers: Sequence[Attacker], run: RunDirectory) -> None:
    """Write the declarations of the attackers."""
    stated = _AttackersFile(schema_version=1, attackers=tuple(map(_StatedAttacker.of, attackers)))
    text = stated.model_dump_json(indent=2) + "\n"
    with suppress(OSError):
        if read_bytes(run.attackers) == text.encode():
            return
    write_text(run.attackers, text)


def recorded_attackers(experiment: Experiment, run: RunDirectory) -> tuple[Attacker, ...]:
    """Return the attackers of a run as recorded when it was made.

    For runs of versions without this file, they are built from their plugins.

    Raises
    ------
    RunDirectoryError
        If the file is damaged, or of other attackers than the experiment's.
    PluginError
        If there is no file, and a plugin cannot be built.
    """
    try:
        content = read_bytes(run.attackers)
    except FileNotFoundError:
        return attackers_of(experiment)
    except OSError as error:
        raise RunDirectoryError(f"{run.attackers} cannot be read ({error.strerror})") from error
    try:
        found = tuple(
            one.attacker() for one in _AttackersFile.model_validate_json(content).attackers
        )
        for attacker in found:
            for query in attacker.queries:
                attacker.closest(query)  # what a damaged name or none at all would break later
    except ValidationError as error:
        raise RunDirectoryError(f"{run.attackers} is damaged: {first_fault(error)}") from None
    except (FedsimError, ValueError) as error:
        raise RunDirectoryError(f"{run.attackers} is damaged: {error}") from error
    own = [chosen.label for chosen in experiment.adversaries]
    if strange := [one.label for one in found if one.label not in own]:
        raise RunDirectoryError(
            f"{run.attackers} has {strange[0]!r}, which is no adversary of {run.experiment}"
        )
    return found


def _names(keys: Iterable[SnapshotKey]) -> tuple[str, ...]:
    return tuple(key.name for key in keys)
