"""Guarantees: who is covered by how much, by the rounds and the weight of each participant."""

from collections.abc import Mapping

import numpy as np
import pytest
from scipy.integrate import trapezoid

from fedsim.config.federation import LocalTraining
from fedsim.privacy import FederationFacts, Guarantee, NoGuarantee, Release, total_epsilon
from fedsim.privacy.gaussian import participant_guarantee, why_unbounded
from fedsim.privacy.guarantee import Ceiling

FACTS = FederationFacts(
    *(4, 3, 2, (40, 30, 10), frozenset({"w"}), LocalTraining(batch_size=10), 3),
    attendance=((1, 2, 3, 4), (1, 3), ()),
)


def guarantee(facts: FederationFacts) -> Guarantee:
    def multipliers(shares: Mapping[int, float]) -> Mapping[int, float]:
        return {participant: 2.0 / share for participant, share in shares.items()}

    return participant_guarantee(
        facts, multipliers, delta=1e-5, accountant="rdp", against=("outside",), assumptions=("x",)
    )


def test_epsilon_is_of_the_rounds_that_a_participant_trains_in() -> None:
    found = guarantee(FACTS)
    # With 30 of 70 records in two rounds; the first alone in the other two.
    first = (Release(2.0, count=2), Release(2 / (4 / 7), count=2))
    assert found.each[0] == pytest.approx(total_epsilon(first, 1e-5))
    assert found.each[1] == pytest.approx(total_epsilon((Release(2 / (3 / 7), count=2),), 1e-5))
    assert found.each[2] == 0.0
    assert found.epsilon == found.each[0]
    halved = tuple(Release(one.noise_multiplier / 2, count=one.count) for one in first)
    assert found.changed[0] == pytest.approx(total_epsilon(halved, 1e-5))
    assert found.ceiling([1]).epsilon == found.changed[1]
    assert found.ceiling([1, 0]).epsilon == found.changed[0]


def test_epsilon_grows_with_the_rounds() -> None:
    epsilons = [guarantee(FACTS.until(last)).epsilon for last in range(1, 5)]
    assert epsilons == sorted(set(epsilons))
    assert FACTS.until(2).attendance == ((1, 2), (1,), ())


def test_weights_are_those_of_whole_batches_where_the_rest_is_dropped() -> None:
    local = LocalTraining(batch_size=20, drop_last=True)
    facts = FederationFacts(1, 3, 3, (40, 39, 25), frozenset(), local, 0)
    assert dict(facts.shares[1]) == {0: 0.5, 1: 0.25, 2: 0.25}


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0, 8.0, 1000.0])
def test_a_ceiling_binds_rates_and_accuracy(epsilon: float) -> None:
    ceiling = Ceiling(epsilon, 1e-3)
    rates = np.linspace(0, 1, 200_001)
    tpr = np.array([ceiling.tpr(rate) for rate in rates])
    assert (tpr <= np.exp(min(epsilon, 700)) * rates + 1e-3 + 1e-12).all()
    assert ((1 - rates - 1e-3) * np.exp(-epsilon) <= 1 - tpr + 1e-12).all()
    assert ceiling.accuracy == pytest.approx(float(((tpr + 1 - rates) / 2).max()), abs=1e-5)
    assert ceiling.auc == pytest.approx(float(trapezoid(tpr, rates)), abs=1e-5)
    assert ceiling.tpr(0.0) == pytest.approx(1e-3)


def test_why_nothing_is_guaranteed() -> None:
    assert why_unbounded(FACTS, 1.0) is None
    assert why_unbounded(FACTS, 0.0) == "no noise is added"
    buffers = FederationFacts(
        *(4, 3, 2, (40,), frozenset({"w"}), LocalTraining(), 3), buffers=frozenset({"n.mean"})
    )
    assert "(n.mean) are sent beside the updates without noise" in str(why_unbounded(buffers, 1.0))
    assert NoGuarantee("no noise is added").in_words().endswith("privacy: no noise is added")


def test_in_words() -> None:
    found = Guarantee(8.0, 1e-5, "record", ("server", "participant", "outside"), ("a", "b"))
    assert found.in_words() == (
        "(8, 1e-05)-differential privacy of a record against the server, participants and "
        "outsiders, if a and b"
    )
