"""Secure aggregation in simulation: the server's position sees sums, and no single upload.

What the protocols of Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine
Learning" (CCS 2017) and Bell et al. (CCS 2020) achieve, without their cryptography: the simulator
shows an attacker in the server's position the sum of the uploads of those who took part, and
nothing else. The sum is exact. Flower's SecAgg+ itself, whose sum is one of rounded numbers, takes
part where the experiment runs on Flower's runtimes and asks for it (`fedsim.flower.secagg_plus`).
Protocols assume that the server follows them, so one that does not is refused.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi, Strategy
from pydantic import Field

from fedsim.defences.base import Defence, Half, Hidden
from fedsim.defences.outer_strategy import SumsOnly
from fedsim.errors import ConfigError
from fedsim.observation.keys import SnapshotKind
from fedsim.privacy import FederationFacts
from fedsim.transport.fast_fedavg import FastFedAvg

_MEANS = {FedAvg.aggregate_train, FastFedAvg.aggregate_train}
_OF_MEANS = (FedAvgM, FedAdagrad, FedAdam, FedYogi)
"""Strategies that go on from FedAvg's mean, and look at no single upload."""
SECAGG_PLUS = "secagg+"
MOST_SUMMED = 1024
"""Of how many uploads a sum of SecAgg+ stays below its modulus, as it is set here."""


class SecureAggregation(Defence):
    """The server sees sums of uploads only: an exact stand-in for secure aggregation.

    It needs a strategy that uses nothing but the weighted mean of the uploads. Numbers of records,
    and the loss and accuracy that participants report, are not part of the sum.

    Parameters
    ----------
    protocol
        ``none`` for the stand-in, or ``secagg+`` for Flower's SecAgg+, with cryptography: on
        Flower's own runtimes only.
    clipping_range
        With SecAgg+, the largest magnitude of an uploaded parameter; what is larger is cut.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"server"})
    alters_updates: ClassVar[bool] = False

    def __init__(
        self,
        protocol: Literal["none", "secagg+"] = "none",
        clipping_range: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 8.0,
    ) -> None:
        self.protocol = protocol
        self.clipping_range = clipping_range

    def in_words(self) -> str:
        """Return what it does, and in which rounds a sum is of one upload."""
        if self.protocol == SECAGG_PLUS:
            return (
                "participants mask their uploads, and the server learns their sum only (Flower's "
                f"SecAgg+, which cuts parameters beyond {self.clipping_range:g} and rounds)"
            )
        return (
            "the server is shown sums of the uploads only (an exact stand-in in simulation, "
            f"without cryptography){alone_in_sums(self.facts)}"
        )

    def wrap_strategy(self, strategy: Strategy) -> Strategy:
        """Return the strategy, marked as one that is shown sums.

        Raises
        ------
        ConfigError
            If it looks at single uploads; with SecAgg+, if a round has one upload or too many.
        """
        require_sums(strategy)
        if self.protocol == SECAGG_PLUS:
            _require_summable(self.facts)
        return SumsOnly(strategy)

    def hides(self) -> tuple[Hidden, ...]:
        """Hide the uploads from the server."""
        return (UPLOADS,)


UPLOADS = Hidden(
    "server",
    frozenset({SnapshotKind.UPLOAD}),
    "it sees the sum of the uploads of those who took part, and no single one",
)


def _require_summable(facts: FederationFacts | None) -> None:
    """Raise `ConfigError` if SecAgg+ cannot sum the uploads of some round."""
    if alone := alone_rounds(facts):
        raise ConfigError(
            "secure-aggregation: SecAgg+ sums the uploads of at least two participants, and in "
            f"round {alone[0]} only one trains; let more take part in each round"
        )
    counts = {r: len(there) for r, there in facts.shares.items()} if facts else {}
    if large := [r for r, count in counts.items() if count > MOST_SUMMED]:
        raise ConfigError(
            f"secure-aggregation: SecAgg+ sums the uploads of at most {MOST_SUMMED:,} participants "
            f"here, and in round {large[0]} {counts[large[0]]:,} train; let fewer take part in "
            "each round (fraction_train), or leave protocol out"
        )


def alone_rounds(facts: FederationFacts | None) -> list[int]:
    """Return in which rounds a sum is the upload of one participant."""
    return [r for r, there in facts.shares.items() if len(there) == 1] if facts else []


def alone_in_sums(facts: FederationFacts | None) -> str:
    """Return in which rounds a sum is the upload of one participant, to follow a sentence."""
    rounds = alone_rounds(facts)
    if not rounds:
        return ""
    named = ", ".join(map(str, rounds[:5])) + (", ..." if len(rounds) > 5 else "")
    return f", but in round {named} a sum of one: the upload of the only participant"


def require_sums(strategy: Strategy) -> None:
    """Raise `ConfigError` if a strategy uses more of the uploads than their weighted mean."""
    if getattr(strategy, "sums_suffice", False):
        require_sums(vars(strategy)["strategy"])
        return
    inner = vars(strategy).get("strategy")
    if isinstance(inner, Strategy) and type(strategy).__name__.startswith(_FLOWERS_NOISE):
        require_sums(inner)
        return
    is_mean = isinstance(strategy, FedAvg) and type(strategy).aggregate_train in _MEANS
    if not is_mean and type(strategy) not in _OF_MEANS:
        raise ConfigError(
            f"secure-aggregation: {type(strategy).__name__} needs single uploads, and the server "
            "is shown sums; take FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam or FedYogi, and "
            "defences by which participants clip"
        )


_FLOWERS_NOISE = "DifferentialPrivacyClientSide"


def with_protocol(defences: Iterable[Defence]) -> SecureAggregation | None:
    """Return the defence that is to be Flower's SecAgg+; None if none is."""
    for one in defences:
        if isinstance(one, SecureAggregation) and one.protocol == SECAGG_PLUS:
            return one
    return None
