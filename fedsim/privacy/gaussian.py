"""The guarantee of noise on clipped updates: of a participant, over its rounds of training."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fedsim.privacy.accountants import Accountant, Release, epsilon_of
from fedsim.privacy.facts import FederationFacts
from fedsim.privacy.guarantee import Guarantee, Position

SEED = "the experiment's seed, which the noise is drawn from, is not known"
SIZES = "who trains in which round, and on how many records, may be known"

Multipliers = Callable[[Mapping[int, float]], Mapping[int, float]]
"""The noise multiplier of each participant in a round, given their weights in it."""


def why_unbounded(facts: FederationFacts, noise_multiplier: float) -> str | None:
    """Return why noise of this size on updates guarantees nothing; None if it does."""
    if noise_multiplier == 0:
        return "no noise is added"
    if facts.buffers:
        return (
            f"the model's running statistics ({min(facts.buffers)}) are sent beside the updates "
            "without noise; take a model without them, as one with GroupNorm"
        )
    return None


def participant_guarantee(
    facts: FederationFacts,
    multipliers: Multipliers,
    *,
    delta: float,
    accountant: Accountant,
    against: Sequence[Position],
    assumptions: Sequence[str],
) -> Guarantee:
    """Return the guarantee of each participant's presence, and of what its data are.

    A participant that is away counts as one with an update of zero. Other data in its place move a
    sum by up to twice the clipping norm: half the noise multiplier.

    Parameters
    ----------
    facts
        Who trains in which round.
    multipliers
        Noise over how far the participant moves the sum, in each round.
    delta, accountant
        Of the epsilons.
    against, assumptions
        The delta of the guarantee.
    """
    counts = [Counter[float]() for _ in range(facts.participants)]
    alike = Counter(map(id, facts.shares.values()))
    for shares in {id(shares): shares for shares in facts.shares.values()}.values():
        for participant, multiplier in multipliers(shares).items():
            counts[participant][multiplier] += alike[id(shares)]
    each, changed = (
        tuple(
            epsilon_of(
                tuple(Release(z / moved, count=count) for z, count in sorted(found.items())),
                delta,
                accountant,
            )
            for found in counts
        )
        for moved in (1, 2)
    )
    return Guarantee(
        max(each),
        delta,
        "user" if facts.of_users else "participant",
        tuple(against),
        (*assumptions, SIZES, SEED),
        each,
        changed,
        accountant,
    )
