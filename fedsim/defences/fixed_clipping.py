"""Central noise on clipped updates: Flower's fixed clipping, with both of its halves.

Each update is clipped to `clipping_norm`, and the server adds Gaussian noise to their mean, of
standard deviation ``noise_multiplier * clipping_norm`` over the number of participants in a round:
McMahan et al., "Learning Differentially Private Recurrent Language Models" (ICLR 2018).

Flower's ``DifferentialPrivacyClientSideFixedClipping`` adds the noise and relies on a mod in the
participants' app to clip; without the mod nobody clips, and the noise has no bound to go by. Here
the two come together. In ``server-fixed-clipping`` the server clips, as in Flower's
``DifferentialPrivacyServerSideFixedClipping``: the same numbers, but that its position sees
uploads as they are.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar

from flwr.app import ArrayRecord, Message
from flwr.clientapp.typing import Mod
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, Strategy
from pydantic import Field

from fedsim.defences.base import Half
from fedsim.defences.central_noise import CentralNoise, Clip
from fedsim.defences.clipped_updates import clipped_update
from fedsim.defences.noisy_clipping import Budget, Delta, Noise, NoisyClipping, Norm
from fedsim.errors import ConfigError
from fedsim.privacy import Accountant, FederationFacts, Guarantee, NoGuarantee
from fedsim.privacy.gaussian import Multipliers, participant_guarantee, why_unbounded
from fedsim.transport.messages import arrays_of, with_arrays

SERVER = "the server follows the protocol"


class FixedClipping(NoisyClipping):
    """Participants clip their updates, and the server adds noise to the aggregate.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise in a sum of updates, in clipping norms.
    sampled
        How many participants train in a round; by default all that are there in the round with the
        fewest.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"participants", "server"})

    def __init__(
        self,
        clipping_norm: Norm,
        noise_multiplier: Noise,
        sampled: Annotated[int, Field(ge=1)] | None = None,
        delta: Delta = 1e-5,
        budget: Budget | None = None,
        accountant: Accountant = "rdp",
    ) -> None:
        super().__init__(clipping_norm, noise_multiplier, delta, budget, accountant)
        self.sampled = sampled

    def in_words(self) -> str:
        """Return what it does."""
        return (
            f"participants shorten updates that are longer than {self.max_norm:g}, and the server "
            f"adds noise of {self.noise_multiplier:g} times that to their sum"
        )

    def wrap_strategy(self, strategy: Strategy) -> Strategy:
        """Return the strategy with Flower's noise on its aggregate."""
        noisy = partial(
            DifferentialPrivacyClientSideFixedClipping,
            noise_multiplier=self.noise_multiplier,
            clipping_norm=self.max_norm,
            num_sampled_clients=self.training(self.facts),
        )
        names = None if self.facts is None else self.facts.trainable
        return CentralNoise(strategy, noisy, names, self.server_clip())

    def server_clip(self) -> Clip | None:
        """Return what the server does to each reply; here nothing."""
        return None

    def training(self, facts: FederationFacts | None) -> int:
        """Return how many train in a round, as the noise counts them.

        Raises
        ------
        ConfigError
            If neither a setting nor the federation says so.
        """
        if self.sampled is not None:
            return self.sampled
        if facts is None:
            raise ConfigError("fixed-clipping: say how many participants train in a round: sampled")
        return min(map(len, facts.shares.values()), default=facts.present)

    def guarantee(self, facts: FederationFacts) -> Guarantee | NoGuarantee | None:
        """Return the guarantee of a participant, by its weight in each round's mean."""
        why = why_unbounded(facts, self.noise_multiplier) or self.why_unclipped(facts)
        if why is not None:
            return NoGuarantee(why)
        return participant_guarantee(
            facts,
            self.multipliers(facts),
            delta=self.delta,
            accountant=self.accountant,
            against=("participant", "outside"),
            assumptions=(SERVER,),
        )

    def multipliers(self, facts: FederationFacts) -> Multipliers:
        """Return the noise over how far a participant's clipped update moves the mean."""
        noise = self.noise_multiplier / self.training(facts)
        return lambda shares: {p: noise / share for p, share in shares.items()}

    def why_unclipped(self, facts: FederationFacts) -> str | None:
        """Return why the mean is not one of clipped updates; None if it is."""
        if facts.later:
            return (
                f"{facts.later[0]} acts on updates after they are clipped; list the clipping last"
            )
        return why_no_mean(facts)


class ServerFixedClipping(FixedClipping):
    """The server clips the updates, and adds noise to the aggregate.

    Its settings are those of `FixedClipping`.
    """

    halves: ClassVar[frozenset[Half]] = frozenset({"server"})

    def in_words(self) -> str:
        """Return what it does."""
        return (
            f"the server shortens updates that are longer than {self.max_norm:g}, and adds noise "
            f"of {self.noise_multiplier:g} times that to their sum"
        )

    def client_mods(self) -> Sequence[Mod]:
        """Return no mods: participants do nothing."""
        return ()

    def server_clip(self) -> Clip:
        """Return what clips a reply."""
        return self.clip_reply

    def clip_reply(self, reply: Message, sent: ArrayRecord, names: frozenset[str]) -> None:
        """Clip the update in a reply."""
        upload = arrays_of(reply.content, "a participant")
        clipped = clipped_update(sent, upload, self.max_norm, names)
        if clipped is not upload:
            reply.content = with_arrays(reply.content, clipped)

    def why_unclipped(self, facts: FederationFacts) -> str | None:
        """Return why the mean is not one of clipped updates: the server clips last."""
        return why_no_mean(facts)


def why_no_mean(facts: FederationFacts) -> str | None:
    """Return why noise on the aggregate guarantees nothing: it is no mean of the updates."""
    if facts.averages:
        return None
    return (
        "the strategy's aggregate is not the mean of the updates, so nothing bounds how far one "
        "participant moves it; take FedAvg or FedProx"
    )
