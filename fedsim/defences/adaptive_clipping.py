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
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, ClassVar

from flwr.app import Context, Message, MessageType
from flwr.clientapp.typing import Mod
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, Strategy
from pydantic import Field

from fedsim.defences.base import Half
from fedsim.defences.fixed_clipping import FixedClipping, why_no_mean
from fedsim.defences.following_norm import (
    FollowingNoise,
    NormCourse,
    clip_and_tell,
    norm_in,
    update_noise,
)
from fedsim.defences.noisy_clipping import Budget, Delta, Noise, Norm
from fedsim.errors import ConfigError
from fedsim.models.trainable import required_names
from fedsim.privacy import Accountant, FederationFacts
from fedsim.privacy.gaussian import Multipliers
from fedsim.transport.messages import arrays_of


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

    Its settings are those of `AdaptiveClipping`.
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
