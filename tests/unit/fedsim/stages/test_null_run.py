"""Null runs: sound ones pass at their level, and the mistakes that they are there for do not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from scipy.stats import binom

import fedsim
from fedsim.attacks import Attack
from fedsim.config.loading import experiment_of_tree
from fedsim.data import Ledger, read_ledger
from fedsim.data.null_audit import null_training_sets
from fedsim.errors import DataError
from fedsim.evaluation.joined_scores import EvaluationCase
from fedsim.evaluation.metrics import Accuracy, Auc, EpsilonLowerBound, TprAtFpr
from fedsim.evaluation.scores import Joined
from fedsim.evaluation.thresholds import best_threshold
from fedsim.observation.needs import Needs
from fedsim.progress import SILENCE
from fedsim.rundir import RunDirectory
from fedsim.stages.figures.null_check import FAILED, null_failures, null_figures
from fedsim.stages.preparation import experiment_data, views
from fedsim.stages.preparation.setup_building import build_setup

METRICS = (Accuracy(), Auc(), TprAtFpr(0.01))
RECORDS = 600
MEMBER = np.random.default_rng(0).permutation(np.arange(RECORDS) < RECORDS // 2)


class ById(Attack):
    """Read what an id says."""

    needs = Needs()

    def score(self, view: Any, known: Any, candidates: Any, seed: int, watcher: Any) -> Any:
        return -candidates.astype(np.float64)


def sections(**more: Any) -> dict[str, Any]:
    return toys.tree(
        data="toys:with_test_records",
        partition={"participants": 2, "records": 200},
        federation={"rounds": 1, "local": {"batch_size": 25, "learning_rate": 0.1}},
        snapshots={"rounds": [1]},
        audit={
            "known_members": 40,
            "known_nonmembers": 40,
            "tested_members": 150,
            "tested_nonmembers": 150,
            "null": True,
        },
        adversaries=["curious-server"],
        attacks=["loss", "label", "random", "test_null_run:ById"],
        metrics=["accuracy", "auc", "tpr@0.01", "epsilon"],
        **more,
    )


def case(scores: Any, thresholds: Any = None) -> EvaluationCase:
    scores = np.atleast_2d(scores)
    joined = Joined(np.arange(RECORDS), MEMBER, scores)
    cuts = np.zeros(len(scores)) if thresholds is None else thresholds
    return EvaluationCase(joined, np.asarray(cuts, dtype=np.float64))


def beyond(cases: dict[str, EvaluationCase], level: float = 0.01) -> list[tuple[str, str]]:
    found = null_figures(cases, METRICS, 3, level)
    return [(one.attack, one.metric) for one in found if one.beyond]


def test_sound_figures_pass_as_often_as_the_level_says() -> None:
    random, runs, level = np.random.default_rng(2), 60, 0.05
    failed = 0
    for _ in range(runs):
        common = random.normal(size=RECORDS)  # attacks agree on what is hard
        cases = {str(k): case(common + random.normal(size=RECORDS)) for k in range(3)}
        failed += bool(beyond(cases, level))
    assert binom.sf(failed - 1, runs, level) > 0.01


def test_a_leak_is_found() -> None:
    random = np.random.default_rng(3)
    cases = {
        "leaks": case(random.normal(size=RECORDS) + 0.5 * MEMBER),
        "guesses": case(random.normal(size=RECORDS)),
    }
    assert ("leaks", "auc") in beyond(cases)
    assert all(attack == "leaks" for attack, _ in beyond(cases))


def test_records_drawn_anew_in_each_round_are_found() -> None:
    """Members' means are of one record each, non-members' of twenty: no tail is left of them."""
    random = np.random.default_rng(4)
    hard = random.normal(size=RECORDS)
    rounds = hard + 0.3 * random.normal(size=(20, RECORDS))
    others = np.flatnonzero(~MEMBER)
    anew = rounds.copy()
    for row, one in zip(anew, rounds, strict=True):
        row[others] = random.permutation(one[others])
    assert beyond({"same": case(rounds.mean(0))}) == []
    assert ("anew", "tpr@0.01") in beyond({"anew": case(anew.mean(0))})


def test_at_a_tenth_of_a_percent_too() -> None:
    """Ten false positives of 10,000: guessing is covered, and records drawn anew stand out."""
    random, size = np.random.default_rng(6), 20_000
    member = random.permutation(np.arange(size) < size // 2)
    hard = random.normal(size=size)
    rounds = hard + 0.3 * random.normal(size=(10, size))
    others, anew = np.flatnonzero(~member), rounds.copy()
    for row, one in zip(anew, rounds, strict=True):
        row[others] = random.permutation(one[others])
    metric = TprAtFpr(0.001)

    def figure(scores: Any) -> Any:
        joined = Joined(np.arange(size), member, scores.mean(0)[None])
        found = EvaluationCase(joined, np.zeros(1))
        (tested,) = null_figures({"mean": found}, [metric], 3)
        return tested, metric.own_interval(found.scored[0], 0.95)

    sound, (low, high) = figure(rounds)
    assert not sound.beyond
    assert low <= 0.001 <= high
    assert sound.guessing == pytest.approx(0.001, abs=2e-4)
    found, (low, _) = figure(anew)
    assert found.beyond
    assert found.value > 0.05  # the mistake alone
    assert low > 0.03


def test_thresholds_chosen_on_the_evaluated_records_are_found() -> None:
    random = np.random.default_rng(5)
    scores = random.normal(size=(20, RECORDS))
    chosen = [best_threshold(row[MEMBER], row[~MEMBER]) for row in scores]
    assert beyond({"random": case(scores)}) == []
    assert beyond({"random": case(scores, chosen)}) == [("random", "accuracy")]


def test_a_null_run_is_sound_and_says_so(tmp_path: Path) -> None:
    run = fedsim.run(sections(), tmp_path / "run")
    (finding,) = [one for one in run.results.findings if one.adversary == "null run"]
    assert finding.figures[FAILED] == null_failures(run.results.findings) == 0
    assert finding.figures["figures"] == 4 * 3  # the bound of epsilon is left to its confidence
    setup = build_setup(experiment_of_tree(sections(), "the toy"), None, SILENCE)
    ledger = read_ledger(RunDirectory(run.path).ledger)
    audited = ledger.roles["participant-0"] > 0
    for own, trained in zip(ledger.training_sets, setup.training_sets, strict=True):
        assert len(trained) == len(own)
        assert not audited[trained].any()
    assert ledger.holders_of([0])[audited].sum() == 190  # members are still called so


def test_labels_that_tell_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_class(dataset: Any, *_: Any, **__: Any) -> list[Any]:
        pool = dataset.pool_records
        order = pool[np.argsort(dataset.labels[pool], kind="stable")]
        return [np.sort(part) for part in np.split(order[:400], 2)]

    monkeypatch.setattr(experiment_data, "partition", by_class)
    tree = sections()
    tree["audit"]["nonmember_classes"] = "any"
    run = fedsim.run(tree, tmp_path / "run")
    assert null_failures(run.results.findings) > 0
    assert "label" in str(run.results.findings[-1].rows[0])


def test_an_order_that_tells_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "shuffled_records", lambda seed, query, count: np.arange(count))
    run = fedsim.run(sections(), tmp_path / "run")
    failed = [row[1] for row in run.results.findings[-1].rows if row[-1]]
    assert set(failed) == {"ById"}


def test_exit_code_1_says_that_a_figure_is_no_guessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from fedsim.cli.app import app

    monkeypatch.setattr(views, "shuffled_records", lambda seed, query, count: np.arange(count))
    config = tmp_path / "toy.yaml"
    tree = sections()
    del tree["audit"]["null"]
    config.write_text(toys_yaml(tree))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["run", str(config), "--null", "--quiet"])
    assert result.exit_code == 1, result.output
    assert (tmp_path / "runs" / "toy-null" / "results.json").is_file()


def toys_yaml(tree: dict[str, Any]) -> str:
    import json

    return json.dumps(tree)  # JSON is YAML


def test_a_training_set_of_audited_records_alone_is_refused() -> None:
    nothing = np.zeros(8, dtype=bool)
    roles = np.repeat(np.array([1, 0], dtype=np.int8), 4)
    sets = (np.arange(4), np.arange(4, 8))
    ledger = Ledger(np.zeros(8, dtype=np.int64), nothing, nothing, sets, {"participant-0": roles})
    with pytest.raises(DataError, match="participant 0 has no others"):
        null_training_sets(ledger, 0)


def test_bounds_are_left_to_their_own_confidence() -> None:
    assert not EpsilonLowerBound().resampled
