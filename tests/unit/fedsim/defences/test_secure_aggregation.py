"""Secure aggregation: sums as FedAvg's, single uploads shown to nobody, and noise in shares."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg
from scipy.stats import chi2

from adversaries.positions.curious_server import CuriousServer
from fedsim.config.choice import LabelledChoice
from fedsim.config.federation import LocalTraining
from fedsim.data import MembershipQuery
from fedsim.defences import Defence, Guarantee, NoGuarantee
from fedsim.defences.composition import build_defences
from fedsim.errors import ConfigError
from fedsim.observation.keys import SnapshotKind
from fedsim.observation.snapshots import SnapshotStore
from fedsim.privacy import FederationFacts, Release, total_epsilon
from fedsim.progress import SILENCE
from fedsim.stages.preparation.setup_building import build_setup

SUMS = {"name": "secure-aggregation"}
SHOWN: list[tuple[str, int]] = []
EVERY = {"rounds": [1, 2, 3, 4]}


class Peeping(CuriousServer):
    """Says that it needs nothing single, and notes what it is shown all the same."""

    def on_sums(self) -> "Peeping":
        return self

    def queries(self, victims: Any, participants: int) -> tuple[MembershipQuery, ...]:
        return (MembershipQuery("all", tuple(range(participants))),)

    def answering(self, query: MembershipQuery) -> Any:
        return (SnapshotKind.AGGREGATE.of(),)

    def receive(self, round_number: int, participant: int, arrays: ArrayRecord) -> Any:
        SHOWN.append(("upload", participant))
        return arrays

    def summed(self, round_number: int, arrays: ArrayRecord) -> None:
        SHOWN.append(("sum", round_number))
        self.record(round_number, SnapshotKind.AGGREGATE.of(), arrays)


def kept(run: Any, who: str) -> dict[tuple[int, str], dict[str, np.ndarray]]:
    return {
        (s.round, s.key.name): {n: v.numpy() for n, v in s.load().items()}
        for s in SnapshotStore(run.snapshots(who)).index()
    }


def built(facts: FederationFacts, **settings: Any) -> Defence:
    [defence] = build_defences([LabelledChoice(**settings)], facts).values()
    return defence


def test_sums_are_fedavgs_bit_for_bit_and_no_upload_is_kept(tmp_path: Path) -> None:
    seen = ["curious-server", "released-model"]
    run = toys.simulated(tmp_path / "sums", defences=[SUMS], adversaries=seen, snapshots=EVERY)
    bare = toys.simulated(tmp_path / "bare", adversaries=["released-model"], snapshots=EVERY)
    sums, released = kept(run, "curious-server"), kept(run, "released-model")
    assert sorted(sums) == [(r, "aggregate") for r in (1, 2, 3, 4)]
    for key, arrays in kept(bare, "released-model").items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(sums[key][name], value)
            np.testing.assert_array_equal(released[key][name], value)


def test_an_adversary_is_shown_sums_and_never_an_upload(tmp_path: Path) -> None:
    SHOWN.clear()
    peeping = {"name": "test_secure_aggregation:Peeping"}
    toys.simulated(tmp_path / "sums", defences=[SUMS], adversaries=[peeping])
    assert [("sum", r) for r in (1, 2, 3, 4)] == SHOWN
    SHOWN.clear()
    toys.simulated(tmp_path / "bare", adversaries=[peeping])
    assert {what for what, _ in SHOWN} == {"upload"}


@pytest.mark.parametrize(
    "adversary",
    [
        {"name": "isolating-server", "first": 3},
        {"name": "gradient-ascent-server", "first": 3},
    ],
)
def test_an_adversary_that_needs_single_uploads_is_refused(adversary: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError,
        match=r"needs the upload of participant 0, which the defence secure-aggregation hides from "
        r"it: it sees the sum of the uploads of those who took part, and no single one",
    ):
        build_setup(toys.experiment(defences=[SUMS], adversaries=[adversary]), None, SILENCE)


@pytest.mark.parametrize(
    ("strategy", "before", "who"),
    [
        ("FedMedian", [], "FedMedian"),
        ("Krum", [], "Krum"),
        (
            "FedAvg",
            [{"name": "server-fixed-clipping", "clipping_norm": 1.0, "noise_multiplier": 1.0}],
            "CentralNoise",
        ),
    ],
)
def test_a_server_that_looks_at_single_uploads_is_refused(
    strategy: str, before: list[dict[str, Any]], who: str
) -> None:
    sections = {"defences": [*before, SUMS], "federation": {"strategy": strategy}}
    with pytest.raises(ConfigError, match=f"secure-aggregation: {who} needs single uploads"):
        build_setup(toys.experiment(**sections), None, SILENCE)


@pytest.mark.parametrize("strategy", ["FedProx", "FedAdam", "FedAvgM"])
def test_strategies_that_go_on_from_the_mean_work_on_sums(strategy: str) -> None:
    sections: dict[str, Any] = {"defences": [SUMS], "federation": {"strategy": strategy}}
    if strategy == "FedProx":
        sections["federation"]["strategy"] = {"name": "FedProx", "proximal_mu": 0.1}
    assert build_setup(toys.experiment(**sections), None, SILENCE)


def test_a_server_on_sums_meets_them_before_its_own_half_adds_noise(tmp_path: Path) -> None:
    noise = {"name": "fixed-clipping", "clipping_norm": 0.3, "noise_multiplier": 5.0}
    seen = ["curious-server", "released-model"]
    run = toys.simulated(tmp_path, defences=[noise, SUMS], adversaries=seen, snapshots=EVERY)
    sums, released = kept(run, "curious-server"), kept(run, "released-model")
    difference = np.concatenate(
        [(released[1, "aggregate"][n] - v).ravel() for n, v in sums[1, "aggregate"].items()]
    )
    low, high = chi2.ppf([0.0005, 0.9995], len(difference)) * (5.0 * 0.3 / 3) ** 2
    assert low < float(np.square(difference).sum()) < high


def test_a_sum_of_one_is_named(tmp_path: Path) -> None:
    facts = FederationFacts(
        *(3, 2, 1, (10, 10), frozenset({"w"}), LocalTraining(), 3), attendance=((1, 2, 3), (1, 3))
    )
    assert (
        built(facts, name="secure-aggregation")
        .in_words()
        .endswith(", but in round 2 a sum of one: the upload of the only participant")
    )
    shared = {"name": "distributed-dp", "clipping_norm": 1.0, "noise_multiplier": 1.0}
    alone = built(facts, **shared).guarantee(facts)
    assert isinstance(alone, NoGuarantee)
    assert "in round 2 a participant is alone" in alone.why
    masked = built(facts, name="secure-aggregation", protocol="secagg+")
    with pytest.raises(ConfigError, match="at least two participants, and in round 2 only one"):
        masked.wrap_strategy(FedAvg())


def test_shares_of_noise_are_in_the_sum_as_large_as_central_noise(tmp_path: Path) -> None:
    def mean(noise: float) -> dict[str, np.ndarray]:
        shared = {"name": "distributed-dp", "clipping_norm": 0.3, "noise_multiplier": noise}
        run = toys.simulated(
            tmp_path / str(noise),
            seed=4,
            defences=[shared],
            adversaries=["curious-server"],
            snapshots=EVERY,
        )
        return kept(run, "curious-server")[1, "aggregate"]

    loud, quiet = mean(5.0), mean(0.0)
    noise = np.concatenate([(loud[n] - quiet[n]).ravel() for n in quiet])
    low, high = chi2.ppf([0.0005, 0.9995], len(noise)) * (5.0 * 0.3 / 3) ** 2
    assert low < float(np.square(noise).sum()) < high


def test_the_guarantee_of_shares_leaves_out_one_of_them() -> None:
    facts = FederationFacts(4, 3, 3, (10, 10, 10), frozenset({"w"}), LocalTraining(), 3)
    shared = {"name": "distributed-dp", "clipping_norm": 1.0, "noise_multiplier": 3.0}
    found = built(facts, **shared).guarantee(facts)
    assert isinstance(found, Guarantee)
    left = Release(3.0 * math.sqrt(2 / 3), count=4)
    assert found.epsilon == pytest.approx(total_epsilon((left,), 1e-5))
    assert found.against == ("server", "participant", "outside")
    # A defence that changes what has only a share of the noise leaves none.
    late = built(facts, **shared).guarantee(replace(facts, later=("rounded",)))
    assert isinstance(late, NoGuarantee)
