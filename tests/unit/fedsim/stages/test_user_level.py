"""Users asked about: their scores from those of their records, judged per user."""

from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import toys

import fedsim
from fedsim.config.loading import experiment_of_tree
from fedsim.data import Arrays, AuditSet, read_ledger
from fedsim.evaluation import Scores
from fedsim.privacy import Guarantee
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.evaluate import evaluate_scores
from fedsim.stages.preparation.setup_building import build_setup
from fedsim.stages.preparation.user_level import by_user, scores_by_user

USERS, EACH = 1200, 4


def audit(user_score: str = "mean") -> AuditSet:
    """Return an audit of 1,200 users with four records each; the first half are members."""
    users = np.repeat(np.arange(USERS), EACH)
    records = np.random.default_rng(0).permutation(10 * len(users))[: len(users)]
    order = np.argsort(records)
    return AuditSet(
        records[order], users[order] < USERS // 2, users[order] % 2 == 0, users[order], user_score
    )


def scores(lift: float, asked: AuditSet) -> Scores:
    noise = np.random.default_rng(1).normal(size=(1, len(asked)))
    return Scores(asked.records, noise + lift * asked.member)


@pytest.mark.parametrize("user_score", ["mean", "max"])
def test_a_users_score_is_that_of_its_records_and_users_are_joined_by_their_first_record(
    user_score,
):
    asked = audit(user_score)
    given = scores(0.5, asked)
    shuffled = np.random.default_rng(2).permutation(len(asked))
    found = scores_by_user(asked, Scores(given.records[shuffled], given.scores[:, shuffled]))
    users = by_user(asked)
    assert np.array_equal(users.records, found.records)
    assert len(users) == USERS
    for record, score in zip(found.records[:50], found.scores[0, :50], strict=True):
        own = asked.users == asked.users[asked.records == record][0]
        slow = getattr(np, user_score)(given.scores[0, own])
        assert score == pytest.approx(slow, abs=1e-12)
        assert record == asked.records[own].min()


def test_a_planted_leak_is_found_at_its_size() -> None:
    """Means of four scores, half a deviation higher for members: AUC is Phi(0.5 * sqrt(4 / 2))."""
    asked = audit()
    result = evaluate_scores(asked, scores(0.5, asked), seed=0)
    truth = NormalDist().cdf(0.5 * np.sqrt(EACH / 2))
    assert result.auc.low < truth < result.auc.high
    assert result.auc.value == pytest.approx(truth, abs=0.05)
    assert result.cases[0].joined.members == USERS // 4


@pytest.mark.parametrize("user_score", ["mean", "max"])
def test_no_leak_stays_at_chance_and_at_one_percent(user_score) -> None:
    asked = audit(user_score)
    result = evaluate_scores(asked, scores(0.0, asked), seed=0)
    assert result.auc.low < 0.5 < result.auc.high
    tpr = result.figures["tpr@0.01"]
    assert tpr.low <= 0.01 <= tpr.high


def letters(users: int = 60, each: int = 5) -> Arrays:
    """Records of users that have nothing to do with their labels: what is learned is by heart."""
    random = np.random.default_rng(0)
    features = random.normal(size=(users * each, 12)).astype(np.float32)
    groups = np.array([f"user-{n}" for n in np.repeat(np.arange(users), each)])
    return Arrays(features, random.integers(4, size=len(features)), num_classes=4, groups=groups)


def test_a_federation_of_users_end_to_end(tmp_path: Path, monkeypatch) -> None:
    """Whole users are held out; the loss finds members by heart, a coin finds nobody."""
    monkeypatch.setattr(toys, "letters", letters, raising=False)
    sizes = {"known_members": 5, "known_nonmembers": 5, "tested_members": 9}
    experiment = toys.tree(
        data={"name": "toys:letters", "test_records": 150},
        partition={
            "name": "GroupedNaturalIdPartitioner",
            "group_size": 15,
            "participants": 2,
            "records": None,
        },
        model={"name": "fully-connected", "widths": [64]},
        federation={
            "rounds": 30,
            "local": {
                "batch_size": 10,
                "learning_rate": 0.01,
                "optimizer": "adam",
                "epochs": 3,
                "schedule": {},
            },
        },
        snapshots={"rounds": [30]},
        audit={**sizes, "tested_nonmembers": 20, "unit": "user"},
        adversaries=["curious-server"],
        attacks=["loss", "scalar-logistic", "shadow", "random"],
    )
    experiment["partition"].pop("records")
    run = fedsim.run(experiment, tmp_path / "run")
    directory = RunDirectory(run.path)
    ledger = read_ledger(directory.ledger)
    assert set(ledger.groups[ledger.test]).isdisjoint(ledger.groups[~ledger.test])
    judged = {row.attack: row for row in run.results.results if row.victim != "mean"}
    assert (judged["loss"].members, judged["loss"].nonmembers) == (9, 20)
    assert judged["loss"].figures["auc"].value > 0.9
    assert judged["random"].figures["auc"].low < 0.5 < judged["random"].figures["auc"].high
    assert "Members and non-members are users here" in directory.report.read_text()


def lonely() -> Arrays:
    """Three users, one of whom has a single record; class 3 of four is declared and empty."""
    random = np.random.default_rng(0)
    groups = np.array([0] * 60 + [1] * 60 + [2])
    features = random.normal(size=(len(groups), 12)).astype(np.float32)
    test = np.zeros(len(groups), dtype=bool)
    test[40:60] = True
    labels = random.integers(3, size=len(groups))
    return Arrays(features, labels, test=test, num_classes=4, groups=groups)


def test_a_participant_with_one_record_and_a_class_without_any(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(toys, "lonely", lonely, raising=False)
    sizes = {"known_members": 10, "known_nonmembers": 5, "tested_members": 10}
    experiment = toys.tree(
        partition={"name": "NaturalIdPartitioner", "participants": 3},
        audit={**sizes, "tested_nonmembers": 10},
        adversaries=["curious-server"],
        attacks=["loss"],
    )
    experiment["data"], experiment["partition"] = "toys:lonely", dict(experiment["partition"])
    del experiment["partition"]["records"]
    run = fedsim.run(experiment, tmp_path / "run")
    ledger = read_ledger(RunDirectory(run.path).ledger)
    assert [len(records) for records in ledger.training_sets] == [40, 60, 1]


USERS_OF_LETTERS = {"data": {"name": "toys:letters", "test_records": 150}, "attacks": ["loss"]}
NOISY = [{"name": "local-dp", "clipping_norm": 0.3, "noise_multiplier": 4.0}]


@pytest.mark.parametrize(
    ("partition", "unit"),
    [
        ({"name": "NaturalIdPartitioner", "participants": 58}, "user"),
        ({"name": "GroupedNaturalIdPartitioner", "group_size": 2, "participants": 29}, None),
        ({"name": "NaturalIdPartitioner", "partition_by": "label", "participants": 4}, None),
        ({"name": "disjoint", "participants": 3, "records": 40}, None),
    ],
)
def test_a_guarantee_is_of_a_user_where_participants_are_users(
    partition: dict[str, Any], unit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys, "letters", letters, raising=False)
    experiment = toys.tree(**USERS_OF_LETTERS, defences=NOISY, adversaries=["released-model"])
    sizes = {"known_members": 1, "known_nonmembers": 1, "tested_members": 1}
    experiment["audit"] |= {**sizes, "tested_nonmembers": 1}
    experiment["partition"] = partition
    [stated] = build_setup(experiment_of_tree(experiment, "users"), None, SILENCE).guarantees
    assert isinstance(stated.found, Guarantee)
    assert stated.found.unit == (unit or "participant")
    assert f"differential privacy of a {unit or 'participant'} against" in stated.found.in_words()


@pytest.mark.parametrize("natural", [True, False])
def test_an_audit_of_users_has_a_ceiling_where_participants_are_users(
    natural: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys, "letters", letters, raising=False)
    experiment = toys.tree(
        **USERS_OF_LETTERS,
        defences=NOISY,
        adversaries=[{"name": "curious-participant", "participant": 2}],
        federation={"rounds": 1},
    )
    experiment["snapshots"] = {"rounds": [1]}
    experiment["partition"] = {"name": "NaturalIdPartitioner", "participants": 30}
    if not natural:
        grouped = {"name": "GroupedNaturalIdPartitioner", "group_size": 2, "participants": 15}
        experiment["partition"] = grouped
    experiment["audit"] = {
        "victims": [0],
        "known_members": 2,
        "known_nonmembers": 5,
        "tested_members": 10,
        "tested_nonmembers": 20,
        "unit": "user",
    }
    results = fedsim.run(experiment, tmp_path).results
    [guaranteed] = results.guarantees
    assert guaranteed.unit == ("user" if natural else "participant")
    assert {row.ceiling is not None for row in results.results} == {natural}
    assert results.self_check == ()
