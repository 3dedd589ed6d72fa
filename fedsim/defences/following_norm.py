"""The adaptive clipping norm: participants' bits, and noise in proportion to each round's norm.

Andrew et al. (NeurIPS 2021), algorithm 1; see `fedsim.defences.adaptive_clipping`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from flwr.app import ArrayRecord, Message, MetricRecord
from flwr.serverapp.strategy import Strategy

from fedsim import seeds
from fedsim.defences.central_noise import CentralNoise
from fedsim.defences.clipped_updates import clipped_update
from fedsim.errors import MessageError
from fedsim.transport.messages import METRICS, arrays_of, with_arrays

NORM = "clipping_norm"
"""Under which key Flower's strategy sends the norm."""
BIT = "norm_bit"
"""Under which key it looks for the bit."""


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
