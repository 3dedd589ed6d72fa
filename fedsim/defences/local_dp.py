"""Local differential privacy: each participant clips its update, and adds noise before it sends it.

The Gaussian mechanism (Dwork and Roth, "The Algorithmic Foundations of Differential Privacy",
2014, appendix A) on the whole update. Unlike with Flower's ``LocalDpMod``, whose noise is that of
one round, the guarantee counts all rounds in which a participant trains, and buffers are neither
clipped nor noised.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MessageType
from flwr.clientapp.typing import Mod

from fedsim import seeds
from fedsim.defences.base import Half
from fedsim.defences.noisy_clipping import NoisyClipping
from fedsim.models.trainable import required_names
from fedsim.privacy import FederationFacts, Guarantee, NoGuarantee
from fedsim.privacy.gaussian import participant_guarantee, why_unbounded
from fedsim.privacy.guarantee import EVERYBODY
from fedsim.training.client_tasks import participant_of
from fedsim.transport.messages import arrays_of, round_of, with_arrays

FIGURES = "the loss and accuracy that participants report beside are not looked at"


class LocalDP(NoisyClipping):
    """Participants clip their updates, and add Gaussian noise to them.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise on each parameter, in clipping norms.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"participants"})

    def in_words(self) -> str:
        """Return what it does."""
        return (
            f"participants shorten updates that are longer than {self.max_norm:g}, and add noise "
            f"of {self.noise_multiplier:g} times that to each"
        )

    def client_mods(self) -> Sequence[Mod]:
        """Return the mods that add noise, and, inside of it, clip."""
        return (self.add_noise, self.clip)

    def deviation(self, round_number: int) -> float:
        """Return the standard deviation of the noise on each parameter of an upload."""
        return self.noise_multiplier * self.max_norm

    def add_noise(
        self, message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        """Add noise to a clipped upload; other messages pass."""
        trains = message.metadata.message_type.partition(".")[0] == MessageType.TRAIN
        number = round_of(message) if trains else 0
        reply = call_next(message, context)
        if trains and reply.has_content() and self.noise_multiplier:
            upload = arrays_of(reply.content, "local training")
            names = None if self.facts is None else self.facts.trainable
            seed = 0 if self.facts is None else self.facts.seed
            random = seeds.generator(seed, "local-dp", number, participant_of(context))
            noisy = noised(upload, self.deviation(number), required_names(names, upload), random)
            reply.content = with_arrays(reply.content, noisy)
        return reply

    def guarantee(self, facts: FederationFacts) -> Guarantee | NoGuarantee | None:
        """Return the guarantee of a participant, against everybody."""
        why = why_unbounded(facts, self.noise_multiplier)
        if why is not None:
            return NoGuarantee(why)
        return participant_guarantee(
            facts,
            lambda shares: dict.fromkeys(shares, self.noise_multiplier),
            delta=self.delta,
            accountant=self.accountant,
            against=EVERYBODY,
            assumptions=(FIGURES,),
        )


def noised(
    arrays: ArrayRecord, deviation: float, names: frozenset[str], random: np.random.Generator
) -> ArrayRecord:
    """Return arrays with Gaussian noise on those of `names`, in the type of each."""

    def noisy(array: Array) -> Array:
        values = array.numpy()
        noise = random.normal(0.0, deviation, values.shape)
        return Array(np.asarray(values + noise, values.dtype))

    return ArrayRecord({n: noisy(a) if n in names else a for n, a in arrays.items()})
