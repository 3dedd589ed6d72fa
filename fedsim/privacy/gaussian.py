"""The participant-level guarantee of Gaussian noise on clipped updates, over all rounds."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fedsim.privacy.accountants import Accountant, Release, total_epsilon
from fedsim.privacy.facts import FederationFacts
from fedsim.privacy.guarantee import Guarantee, Position

SEED = "the experiment's seed, which the noise is drawn from, is not known"
SIZES = "who trains in which round, and on how many records, may be known"

Multipliers = Callable[[Mapping[int, float]], Mapping[int, float]]
"""Returns the noise multiplier of each participant in a round from their weights in it."""


def why_unbounded(facts: FederationFacts, noise_multiplier: float) -> str | None:
    """Return why noise of this size on updates guarantees nothing, or None if it does."""
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
    """Return the guarantee for each participant's presence, and for the content of its data.

    An absent participant counts as one with a zero update. Replacing a participant's data changes
    the sum by up to twice the clipping norm, which halves the noise multiplier.

    Parameters
    ----------
    facts
        The federation, with the rounds in which each participant trains.
    multipliers
        The standard deviation of the noise over the participant's sensitivity, in each round.
    delta, accountant
        The delta of the guarantee, and the accountant that computes its epsilon.
    against, assumptions
        The positions that the guarantee holds against, and its assumptions.
    """
    counts = [Counter[float]() for _ in range(facts.participants)]
    alike = Counter(map(id, facts.shares.values()))
    for shares in {id(shares): shares for shares in facts.shares.values()}.values():
        for participant, multiplier in multipliers(shares).items():
            counts[participant][multiplier] += alike[id(shares)]
    each, changed = (
        tuple(
            total_epsilon(
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
