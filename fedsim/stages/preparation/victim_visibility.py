"""The rounds in which an attacker will see its victims, computed before round 1.

Under partial participation, the participants of a round are sampled from the experiment's seed, so
the samples are known beforehand: a new strategy is asked whom it would train and evaluate. Queries
about victims that are seen in no observed round are dropped.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp.strategy import FedAvg, FedProx, Strategy

from fedsim import seeds
from fedsim.config.experiment import Experiment
from fedsim.data import Ledger, MembershipQuery
from fedsim.engines.base import NodesGrid
from fedsim.engines.flower_identity import local_identity
from fedsim.errors import ConfigError, DataError
from fedsim.federation.log_filters import only_warnings_of_flower
from fedsim.federation.participation import ParticipatingGrid
from fedsim.observation.keys import SnapshotKind
from fedsim.stages.preparation.attackers import Attacker
from fedsim.transport.messages import ROUND

_NAMED = 5  # how many rounds an error message suggests


class _SilentGrid(NodesGrid):
    """A grid that only lists the connected nodes."""

    def states(self) -> Mapping[int, RecordDict]:
        return {}

    def restore(self, states: Mapping[int, RecordDict]) -> None:
        """There is nothing to put back."""

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        return []


@dataclass(frozen=True)
class RoundDraws:
    """The participants that train and evaluate in each round, by the experiment's seed.

    Attributes
    ----------
    experiment
        The experiment.
    new_strategy
        Returns a new instance of its strategy.
    """

    experiment: Experiment
    new_strategy: Callable[[], Strategy]

    @cached_property
    def _strategy(self) -> Strategy:
        return self.new_strategy()

    @cached_property
    def _present(self) -> tuple[list[int], list[frozenset[int]]]:
        """The rounds in which attendance changes, rising, and the participants from each on."""
        participants = self.experiment.partition.participants
        there = self.experiment.federation.presences(participants)
        return [*there], [*there.values()]

    def training(self, round_number: int) -> frozenset[int]:
        """Return the participants that train in a round."""
        return self._drawn(round_number, "strategy", self._strategy.configure_train)

    def evaluating(self, round_number: int) -> frozenset[int]:
        """Return the participants that evaluate the aggregate of a round."""
        federation = self.experiment.federation
        if round_number % federation.evaluation.every and round_number != federation.rounds:
            return frozenset()
        configure = self._strategy.configure_evaluate
        return self._drawn(round_number, "strategy-evaluation", configure)

    def _drawn(self, round_number: int, path: str, configure: Any) -> frozenset[int]:
        participants = self.experiment.partition.participants
        if not 1 <= round_number <= self.experiment.federation.rounds:
            return frozenset()
        starts, there = self._present
        here = there[bisect_right(starts, round_number) - 1]
        if (
            getattr(configure, "__func__", None) in _ALL
            and _fraction_of(self._strategy, configure) >= 1
        ):
            return here
        grid = _SilentGrid(participants)
        nodes = grid.get_node_ids()
        present = ParticipatingGrid(grid, [nodes[p] for p in sorted(here)])
        with (
            only_warnings_of_flower(),
            local_identity(),
            seeds.global_draws(self.experiment.seed, path, round_number),
        ):
            config = ConfigRecord({ROUND: round_number})
            messages = configure(round_number, ArrayRecord(), config, present)
            return frozenset(nodes.index(m.metadata.dst_node_id) for m in messages)


_ALL = (FedAvg.configure_train, FedProx.configure_train, FedAvg.configure_evaluate)
"""What asks all who are there, where the fraction is 1: nothing need be drawn in each round."""


def _fraction_of(strategy: Any, configure: Any) -> float:
    """Return the fraction of participants that a Flower strategy trains or evaluates."""
    kind = configure.__name__.removeprefix("configure_")
    return float(getattr(strategy, f"fraction_{kind}", 0.0))


def rounds_seen(
    attacker: Attacker, query: MembershipQuery, draws: RoundDraws, rounds: Iterable[int]
) -> tuple[int, ...]:
    """Return the rounds in which an attacker will have the snapshot closest to the victims."""
    key, own = attacker.closest(query), attacker.participant
    if key.kind is SnapshotKind.UPLOAD:
        return tuple(r for r in rounds if key.participant in draws.training(r))
    if own is None:
        return tuple(rounds)
    # A participant is sent an aggregate to evaluate it, or to train on it in the next round.
    return tuple(r for r in rounds if own in draws.training(r + 1) or own in draws.evaluating(r))


def attackers_with_visible_victims(
    attackers: Sequence[Attacker], draws: RoundDraws, say: Callable[[str], None]
) -> tuple[Attacker, ...]:
    """Return the attackers with the queries whose victims they will see.

    Queries that are dropped, and victims that miss rounds, are reported.

    Raises
    ------
    ConfigError
        If no attacker sees a victim; the sentence says in which rounds one would be seen.
    """
    observed = draws.experiment.observed_rounds
    kept, unseen = [], []
    for attacker in attackers:
        seen = {query: rounds_seen(attacker, query, draws, observed) for query in attacker.queries}
        for query, rounds in seen.items():
            if not rounds:
                unseen.append((attacker, query))
            elif len(rounds) < len(observed):
                say(
                    f"{attacker.label} sees {query.key} in {len(rounds)} of {len(observed)} "
                    f"observed rounds: {_listed(rounds)}"
                )
        if any(seen.values()):
            kept.append(attacker.asking_only({query for query, rounds in seen.items() if rounds}))
    if not kept and unseen:
        raise ConfigError(f"{_sentence(*unseen[0], draws)}; nothing would be left to attack")
    for attacker, query in unseen:
        say(f"{_sentence(attacker, query, draws)}; it is left out, and the others are attacked")
    return tuple(kept)


def attackers_with_audits(attackers: Iterable[Attacker], ledger: Ledger) -> tuple[Attacker, ...]:
    """Return the attackers with the queries that have an audit in a ledger.

    Raises
    ------
    DataError
        If no query has one.
    """
    asked = (
        one.asking_only({q for q in one.queries if q.key in ledger.roles}) for one in attackers
    )
    left = tuple(one for one in asked if one.queries)
    if not left:
        raise DataError(
            "the ledger has an audit of no query that the adversaries ask; it is of another run"
        )
    return left


def attackers_without_queries(
    named: Iterable[Attacker], asking: Iterable[Attacker]
) -> tuple[Attacker, ...]:
    """Return those of the named attackers that are not among the asking, all queries left out."""
    labels = {attacker.label for attacker in asking}
    return tuple(one.asking_only(()) for one in named if one.label not in labels)


def _sentence(attacker: Attacker, query: MembershipQuery, draws: RoundDraws) -> str:
    experiment = draws.experiment
    others = rounds_seen(attacker, query, draws, range(1, experiment.federation.rounds + 1))
    instead = (
        f"rounds in which it would: {_listed(others[:_NAMED])}"
        if others
        else "there is no round in which it would; choose other audit.victims"
    )
    observed = _listed(experiment.observed_rounds)
    return (
        f"{attacker.label} sees nothing of {query.key} in the observed rounds {observed}, as who "
        "takes part in them is drawn (fraction_train) or set (federation.attendance) otherwise "
        f"({instead}; see snapshots.rounds)"
    )


def _listed(rounds: Iterable[int]) -> str:
    return ", ".join(map(str, rounds))
