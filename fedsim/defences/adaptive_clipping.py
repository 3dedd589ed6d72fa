"""Central noise with a clipping norm that follows the updates: adaptive clipping, both halves.

Andrew, Thakkar, McMahan and Ramaswamy, "Differentially Private Learning with Adaptive Clipping"
(NeurIPS 2021), algorithm 1: each participant says by one bit whether its update is within the norm
C, and with the noisy fraction b of those that are, ``C <- C * exp(-rate * (b - quantile))`` for the
next round. Of the noise, ``(z^-2 - (2 bit_noise)^-2)^(-1/2)`` is put on the updates.

The noise is that of Flower's wrapper for fixed clipping, which is given the norm of each round.
Flower's own wrappers for adaptive clipping (1.41) depart from the paper twice: they count the
updates that *were* clipped, so that the norm runs away from the quantile, and they scale a round's
noise by the norm of the next.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

from flwr.app import ArrayRecord, Context, Message, MessageType, MetricRecord
from flwr.clientapp.typing import Mod
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, Strategy
from pydantic import Field

from fedsim import seeds
from fedsim.defences.base import Half
from fedsim.defences.central_noise import CentralNoise
from fedsim.defences.clipped_updates import clipped_update
from fedsim.defences.fixed_clipping import Budget, Delta, FixedClipping, Noise, Norm, why_no_mean
from fedsim.errors import ConfigError, MessageError
from fedsim.models.trainable import required_names
from fedsim.privacy import Accountant, FederationFacts
from fedsim.privacy.gaussian import Multipliers
from fedsim.transport.messages import METRICS, arrays_of, with_arrays

NORM = "clipping_norm"
"""Under which key Flower's strategy sends the norm."""
BIT = "norm_bit"
"""Under which key it looks for the bit."""


class AdaptiveClipping(FixedClipping):
    """Participants clip to a norm that follows their updates, and the server adds noise.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise in a sum of updates, in clipping norms, that bits and
        updates together are worth; the noise on the updates is a little larger.
    clipping_norm
        The norm of the first round.
    quantile
        The share of the updates that are to be within the norm.
    rate
        How fast the norm follows.
    bit_noise
        Standard deviation of the noise on the number of updates within the norm; it must be above
        half of `noise_multiplier`. By default a twentieth of the participants, or, if that is too
        little, `noise_multiplier`.
    sampled
        How many participants train in a round; by default all that are there in the round with the
        fewest.
    delta
        For which epsilon is given.
    budget
        The largest epsilon; the federation ends before the round that would exceed it.
    accountant
        ``rdp`` or ``prv`` of Opacus, or ``pld`` of dp-accounting.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"participants", "server"})

    def __init__(
        self,
        noise_multiplier: Noise,
        clipping_norm: Norm = 0.1,
        quantile: Annotated[float, Field(ge=0, le=1)] = 0.5,
        rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.2,
        bit_noise: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None,
        sampled: Annotated[int, Field(ge=1)] | None = None,
        delta: Delta = 1e-5,
        budget: Budget | None = None,
        accountant: Accountant = "rdp",
    ) -> None:
        super().__init__(clipping_norm, noise_multiplier, sampled, delta, budget, accountant)
        if bit_noise is not None and 2 * bit_noise <= noise_multiplier:
            raise ConfigError(
                f"adaptive-clipping: bit_noise {bit_noise:g} must be above half of "
                f"noise_multiplier, {noise_multiplier / 2:g}: what the bits tell is part of it"
            )
        self.quantile = quantile
        self.rate = rate
        self.bit_noise = bit_noise

    def in_words(self) -> str:
        """Return what it does."""
        return f"participants shorten updates that are longer than {self._norm_in_words}"

    @property
    def _norm_in_words(self) -> str:
        return (
            f"a norm, {self.max_norm:g} at first, which {self.quantile:.0%} of them are to be "
            f"within, and the server adds noise of {self.noise_multiplier:g} times that to their "
            "sum"
        )

    def client_mods(self) -> Sequence[Mod]:
        """Return the mod that clips to the norm that was sent, and adds the bit."""
        return (self.clip_to_sent,)

    def clip_to_sent(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Train, clip what is uploaded, and say whether it was within the norm."""
        if message.metadata.message_type.partition(".")[0] != MessageType.TRAIN:
            return call_next(message, context)
        norm = norm_in(message)
        sent = arrays_of(message.content, "the server")
        reply = call_next(message, context)
        if reply.has_content():
            names = None if self.facts is None else self.facts.trainable
            clip_and_tell(reply, sent, norm, required_names(names, sent))
        return reply

    def wrap_strategy(self, strategy: Strategy) -> Strategy:
        """Return the strategy with Flower's noise on its aggregate, and a norm that follows."""
        training = self.training(self.facts)
        bit_noise = self._bit_noise(training)
        noisy = partial(
            DifferentialPrivacyClientSideFixedClipping,
            noise_multiplier=update_noise(self.noise_multiplier, bit_noise),
            clipping_norm=self.max_norm,
            num_sampled_clients=training,
        )
        names = None if self.facts is None else self.facts.trainable
        seed = 0 if self.facts is None else self.facts.seed
        course = NormCourse(self.quantile, self.rate, bit_noise, seed)
        return FollowingNoise(strategy, noisy, names, course, clips=self.clipped_by == "server")

    @property
    def clipped_by(self) -> str:
        """Who clips."""
        return "participants"

    def multipliers(self, facts: FederationFacts) -> Multipliers:
        """Return the noise multiplier of updates and bits together (Andrew et al., theorem 1)."""
        training = self.training(facts)
        bits = self._bit_noise(training)
        noise = update_noise(self.noise_multiplier, bits) / training
        return lambda shares: {
            p: 1 / math.hypot(share / noise, 1 / (2 * bits)) for p, share in shares.items()
        }

    def _bit_noise(self, training: int) -> float:
        """Return the standard deviation of the noise on the count, 0 without any noise."""
        if self.bit_noise is not None or not self.noise_multiplier:
            return self.bit_noise or 0.0
        usual = training / 20  # Andrew et al., section 3.1
        return usual if usual > self.noise_multiplier / 2 else self.noise_multiplier


class ServerAdaptiveClipping(AdaptiveClipping):
    """The server clips to a norm that follows the updates, and adds noise to the aggregate.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise in a sum of updates, in clipping norms, that bits and
        updates together are worth; the noise on the updates is a little larger.
    clipping_norm
        The norm of the first round.
    quantile
        The share of the updates that are to be within the norm.
    rate
        How fast the norm follows.
    bit_noise
        Standard deviation of the noise on the number of updates within the norm; it must be above
        half of `noise_multiplier`. By default a twentieth of the participants, or, if that is too
        little, `noise_multiplier`.
    sampled
        How many participants train in a round; by default all that are there in the round with the
        fewest.
    delta
        For which epsilon is given.
    budget
        The largest epsilon; the federation ends before the round that would exceed it.
    accountant
        ``rdp`` or ``prv`` of Opacus, or ``pld`` of dp-accounting.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"server"})

    def in_words(self) -> str:
        """Return what it does."""
        return f"the server shortens updates that are longer than {self._norm_in_words}"

    def client_mods(self) -> Sequence[Mod]:
        """Return no mods: participants do nothing."""
        return ()

    @property
    def clipped_by(self) -> str:
        """Who clips."""
        return "server"

    def why_unclipped(self, facts: FederationFacts) -> str | None:
        """Return why the mean is not one of clipped updates: the server clips last."""
        return why_no_mean(facts)


@dataclass(frozen=True)
class NormCourse:
    """How the norm follows the updates.

    Attributes
    ----------
    quantile, rate
        The share that is to be within the norm, and how fast it follows.
    bit_noise
        Standard deviation of the noise on the number of those that are.
    seed
        What that noise is drawn from.
    """

    quantile: float
    rate: float
    bit_noise: float
    seed: int

    def following(self, norm: float, bits: Sequence[int], server_round: int) -> float:
        """Return the norm of the next round.

        >>> round(NormCourse(0.5, 0.2, 0.0, 0).following(1.0, (1, 0, 0, 0), 1), 4)
        1.0513
        """
        random = seeds.generator(self.seed, "adaptive-clipping", server_round)
        within = (sum(bits) + random.normal(0.0, self.bit_noise)) / len(bits)
        return norm * math.exp(-self.rate * (within - self.quantile))


class FollowingNoise(CentralNoise):
    """Flower's noise by the norm of each round, and the norm of the next.

    Parameters
    ----------
    strategy, noisy, trainable
        As for `CentralNoise`.
    course
        How the norm follows.
    clips
        Whether the server clips, too; else the participants have.
    """

    def __init__(
        self,
        strategy: Strategy,
        noisy: Callable[[Strategy], Strategy],
        trainable: frozenset[str] | None,
        course: NormCourse,
        *,
        clips: bool,
    ) -> None:
        super().__init__(strategy, noisy, trainable)
        self._following = course.following
        self._clips = clips
        self.sums_suffice = not clips

    @property
    def norm(self) -> float:
        """The clipping norm of the round; an attribute of Flower's wrapper, which sends it."""
        return float(vars(self.strategy)[NORM])

    def clip_reply(self, reply: Message, sent: ArrayRecord, names: frozenset[str]) -> None:
        """Clip a reply, and add the bit, where the server does that."""
        if self._clips:
            clip_and_tell(reply, sent, self.norm, names)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate with noise by the norm of this round, and set that of the next."""
        replies = list(replies)
        found = super().aggregate_train(server_round, replies)
        bits = [bit_in(reply) for reply in replies]
        setattr(self.strategy, NORM, self._following(self.norm, bits, server_round))
        return found


def update_noise(noise_multiplier: float, bit_noise: float) -> float:
    """Return the noise multiplier of the updates, so that bits and updates are worth the whole.

    Andrew et al., theorem 1.

    >>> update_noise(0.0, 0.0)
    0.0
    """
    if not noise_multiplier:
        return 0.0
    ratio = noise_multiplier / (2 * bit_noise)
    return noise_multiplier / math.sqrt((1 - ratio) * (1 + ratio))


def bit_in(reply: Message) -> int:
    """Return whether an update was within the norm, 1 or 0.

    Raises
    ------
    MessageError
        If its sender does not say so.
    """
    for figures in reply.content.metric_records.values():
        if figures.get(BIT) in (0, 1):
            return int(str(figures[BIT]))
    raise MessageError("a participant sent no norm bit; its half of the defence is missing")


def clip_and_tell(reply: Message, sent: ArrayRecord, norm: float, names: frozenset[str]) -> None:
    """Clip the update in a reply to a norm, and add the bit whether it was within it."""
    upload = arrays_of(reply.content, "local training")
    clipped = clipped_update(sent, upload, norm, names)
    if clipped is not upload:
        reply.content = with_arrays(reply.content, clipped)
    for figures in reply.content.metric_records.values():
        figures[BIT] = int(clipped is upload)
        return
    reply.content[METRICS] = MetricRecord({BIT: int(clipped is upload)})


def norm_in(message: Message) -> float:
    """Return the norm that the server sends.

    Raises
    ------
    MessageError
        If it sends none.
    """
    for config in message.content.config_records.values():
        norm = config.get(NORM)
        if isinstance(norm, int | float) and norm > 0:
            return float(norm)
    raise MessageError("the server sent no clipping norm; its half of the defence is missing")
